"""What a collection journey knows, what can happen to it, and what it can ask for. Frozen values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from lockerd.model.cards import Chip, Claim, LostReport
from lockerd.model.custody import Motion, Outcome, Place, Unit
from lockerd.model.identity import FaceReason, FaceResult, FingerResult
from lockerd.model.policy import THE_OWNER, Collector, Combination, Combinations, Evidence
from lockerd.model.review import ReviewDecision
from lockerd.model.view import FaultKind, Notice, Tap


class Stage(StrEnum):
    """Where a journey stands. Stages that wait for a motion or a check end by its outcome, never by a tap."""

    IDLE = "idle"
    IDENTIFY = "identify"
    SENDING = "sending"
    CHECKING = "checking"
    FACE = "face"
    CONSENT = "consent"
    REVIEWING = "reviewing"
    FINGERPRINT = "fingerprint"
    CONFIRM = "confirm"
    OPENING = "opening"
    AWAIT_OLD = "await_old"
    DRAWING_OLD = "drawing_old"
    READING_OLD = "reading_old"
    KEEPING_LOST = "keeping_lost"
    REFUSING_OLD = "refusing_old"
    AWAIT_REFUSED = "await_refused"
    CLOSING = "closing"
    PICKING = "picking"
    CHECKING_NEW = "checking_new"
    PRESENTING = "presenting"
    AWAIT_TAKEN = "await_taken"
    KEEPING_OLD = "keeping_old"
    DONE = "done"
    ENDING = "ending"
    RETRACTING = "retracting"
    CHECKING_RETRACTED = "checking_retracted"
    RESTOWING = "restowing"
    CAPTURING = "capturing"
    GIVING_BACK = "giving_back"
    AWAIT_GIVEN_BACK = "await_given_back"
    DRAWING_FORGOTTEN = "drawing_forgotten"
    KEEPING_FORGOTTEN = "keeping_forgotten"
    CLEARING = "clearing"
    JAMMED = "jammed"
    FAULT = "fault"


class Watch(StrEnum):
    """What the session keeps an eye on during a stage."""

    NOTHING = "nothing"
    READER = "reader"  # a card on the counter reader
    FACE = "face"
    REVIEW = "review"  # the office's reviewer
    FINGERPRINT = "fingerprint"
    THROAT_FILLED = "throat_filled"
    THROAT_CLEARED = "throat_cleared"
    EXIT_CLEARED = "exit_cleared"


class Patience(StrEnum):
    """How long a stage waits for the citizen; the seconds are configuration."""

    ENDLESS = "endless"
    ANSWER = "answer"
    INSERT = "insert"
    TAKE = "take"
    GIVE_BACK = "give_back"
    CLEAR = "clear"  # time for staff to clear a jam
    READ = "read"  # time to read a last page


@dataclass(frozen=True, slots=True)
class Jam:
    """What is stuck: the unit, the stage in which the journey stopped, and the fault page if it ends there."""

    unit: Unit
    stage: Stage
    kind: FaultKind


class Journey(msgspec.Struct, frozen=True):
    """All that is known about the one journey at the machine; a fresh one is IDLE.

    `visit` grows with each entry of a stage, so that answers meant for an earlier stage are told apart. `code` is never
    shown; `wants_code` says that the ID card is shown to have a code sent, nothing else. `old_card_id` names the old card that
    this journey entered in the ledger; `old_place` and `new_place` are the recorded places of the two cards as far as this
    journey moved them, None for untouched. `old_accepted` says that the card in escrow is the claim's predecessor. `shown` is
    the evidence shown so far; `opens` are the combinations of the policy that can still open, the first of which is being
    asked for; `wanted` is the policy's own first, for the page that says what is missing. `chip_photo` and `finger` are
    the photo and the fingerprint block of the ID card that was shown. `lost` is set from when a card in escrow turned out to
    be reported lost until it is in the bin; such a card is never given back.
    `silences` counts the looks in a row that a card's reader did not answer.
    `jam` is what is stuck, `jams` counts how often something was; `stopped` is where a journey with a ticket stopped.
    `repr` shows nothing personal.
    """

    journey_id: str = ""
    stage: Stage = Stage.IDLE
    visit: int = 0
    code: str | None = None
    claim: Claim | None = None
    collector: Collector = THE_OWNER
    by_card: bool = False
    wants_code: bool = False
    shown: frozenset[Evidence] = frozenset()
    opens: Combinations = ()
    wanted: Combination = ()
    chip_photo: bytes = b""
    finger: bytes = b""
    finger_tries: int = 0
    notice: Notice | None = None
    attempts_left: int | None = None
    face_tries: int = 0
    old_tries: int = 0
    old_card_id: str | None = None
    old_accepted: bool = False
    lost: LostReport | None = None
    silences: int = 0
    old_place: Place | None = None
    new_place: Place | None = None
    jam: Jam | None = None
    jams: int = 0
    fault: FaultKind | None = None
    stopped: Stage | None = None
    ticket: str | None = None

    def __repr__(self) -> str:
        shown = ((name, getattr(self, name)) for name in self.__struct_fields__ if name not in _PERSONAL)
        return f"Journey({', '.join(f'{name}={value!r}' for name, value in shown)})"


_PERSONAL = frozenset({"code", "claim", "chip_photo", "finger"})


@dataclass(frozen=True, slots=True)
class Tapped:
    """The citizen tapped."""

    tap: Tap


@dataclass(frozen=True, slots=True)
class CardSeen:
    """The counter reader read a card."""

    chip: Chip = field(repr=False)


@dataclass(frozen=True, slots=True)
class CardFailed:
    """The counter reader does not answer (`silent`), or saw a card that it cannot read or that was reported `lost`."""

    silent: bool = False
    lost: bool = False


@dataclass(frozen=True, slots=True)
class ClaimChecked:
    """The evidence was compared. `locked` says that the code way is closed.

    On a match `claim` is set, with who is there to collect it and the combinations of the policy that open it for them;
    `no_finger` says that the fingerprint sensor does not answer.
    """

    claim: Claim | None = field(repr=False)
    collector: Collector = THE_OWNER
    opens: Combinations = ()
    locked: bool = False
    attempts_left: int | None = None
    failed: bool = False  # the store could not tell; nothing was compared
    no_finger: bool = False


@dataclass(frozen=True, slots=True)
class CodeSent:
    """The wish for a code was taken; nobody here learns what becomes of it."""


@dataclass(frozen=True, slots=True)
class FacePrompted:
    """The camera cannot use what it sees; tell the citizen."""

    reason: FaceReason


@dataclass(frozen=True, slots=True)
class FaceDecided:
    """One verification transaction ended."""

    result: FaceResult


@dataclass(frozen=True, slots=True)
class ReviewDecided:
    """The office's review ended, and what came of it is durable."""

    decision: ReviewDecision


@dataclass(frozen=True, slots=True)
class FingerDecided:
    """One comparison of a finger ended."""

    result: FingerResult


@dataclass(frozen=True, slots=True)
class ThroatFilled:
    """A card stands in the old-card throat."""


@dataclass(frozen=True, slots=True)
class ThroatCleared:
    """The card in the throat was taken by a hand."""


@dataclass(frozen=True, slots=True)
class ExitCleared:
    """The new card was taken by a hand: exit sensor clear and the unit's total one higher."""


@dataclass(frozen=True, slots=True)
class MotionEnded:
    """A motion ended; `place` is the recorded place of the card it carried, None if it carried none."""

    motion: Motion
    outcome: Outcome
    place: Place | None
    card_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChipRead:
    """The reader behind a throat or gate was asked; None is a card whose chip does not tell, or, with `silent`, no answer.

    `lost` says that the card at the throat was reported lost.
    """

    chip: Chip | None = field(repr=False)
    silent: bool = False
    lost: LostReport | None = None


@dataclass(frozen=True, slots=True)
class Cleared:
    """The machine tried to bring the path of a unit that was stuck to rest. Where it did, the ledger says this of the journey's
    cards and claim.
    """

    at_rest: bool
    claim: Claim | None = field(default=None, repr=False)
    old_place: Place | None = None
    new_place: Place | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """Staff cleared what was stuck and want the machine to settle."""


@dataclass(frozen=True, slots=True)
class TicketIssued:
    """The ticket is durable."""

    ticket: str


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The stage's patience ended."""


Event = (
    Tapped
    | CardSeen
    | CardFailed
    | ClaimChecked
    | CodeSent
    | FacePrompted
    | FaceDecided
    | ReviewDecided
    | FingerDecided
    | ThroatFilled
    | ThroatCleared
    | ExitCleared
    | MotionEnded
    | ChipRead
    | Cleared
    | Settled
    | TicketIssued
    | TimedOut
)


class Record(StrEnum):
    """What becomes durable in the same transaction as a motion's intent or outcome."""

    CONSUME_CODE = "consume_code"  # with the intent: the code opens nothing more, and what was shown is journalled
    REGISTER_OLD = "register_old"  # with the intent: the ledger learns of the old card
    OLD_KEPT = (
        "old_kept"  # with the outcome, when a predecessor is in the bin; with the intent, that it was reported lost
    )
    FREEZE_SLOT = "freeze_slot"  # with the intent


@dataclass(frozen=True, slots=True)
class CheckCode:
    """Compare code and number with the one record; answered by ClaimChecked."""

    id_number: str = field(repr=False)
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FindClaim:
    """Look for a claim of the holder of this ID card; answered by ClaimChecked."""

    id_number: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendCode:
    """Send a new pickup code to the holder of this ID card, where a card waits; not waited for, answered by CodeSent."""

    id_number: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Prepare:
    """Turn the carousel to the claim's slot while the citizen is busy; not waited for."""


@dataclass(frozen=True, slots=True)
class Move:
    """Make one motion through intent, motion, outcome; answered by MotionEnded."""

    motion: Motion
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Clear:
    """Reset a unit that is stuck and bring its path to rest by evidence; answered by Cleared."""

    unit: Unit


@dataclass(frozen=True, slots=True)
class ReadOld:
    """Read the chip at the old-card throat, after a pause where its reader was silent; answered by ChipRead."""


@dataclass(frozen=True, slots=True)
class ReadNew:
    """Read the chip before the exit gate, after a pause where its reader was silent; answered by ChipRead."""


@dataclass(frozen=True, slots=True)
class RecordTaken:
    """The new card is in the citizen's hand: claim collected, place TAKEN, event for the office."""


@dataclass(frozen=True, slots=True)
class RecordOldTaken:
    """The old card is in the citizen's hand again."""

    card_id: str | None


@dataclass(frozen=True, slots=True)
class IssueTicket:
    """Issue the counter's ticket for the journey's fault; answered by TicketIssued."""


@dataclass(frozen=True, slots=True)
class EndJourney:
    """The journey is over; its outcome becomes durable and the next may begin."""

    journey_id: str
    outcome: str


Effect = (
    CheckCode
    | FindClaim
    | SendCode
    | Prepare
    | Move
    | Clear
    | ReadOld
    | ReadNew
    | RecordTaken
    | RecordOldTaken
    | IssueTicket
    | EndJourney
)
