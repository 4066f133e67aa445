"""What the citizen's screen shows: a pure picture of the journey's state, and what a tap can say back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from lockerd.model.policy import Evidence


class Screen(StrEnum):
    """The pages of the citizen's screen. FAULT and OUT_OF_SERVICE are pages, too, never dead ends."""

    CODE = "code"  # attract screen and pickup code
    IDENTIFY = "identify"  # ID card on the reader, or the number typed
    FACE = "face"
    FINGERPRINT = "fingerprint"
    REVIEW = "review"  # a reviewer at the office compares one picture, with consent
    CONFIRM = "confirm"
    OLD_CARD = "old_card"
    TAKE = "take"
    DONE = "done"
    FAULT = "fault"
    OUT_OF_SERVICE = "out_of_service"


class Progress(StrEnum):
    """What the machine does while a page stands. NONE, LOOKING, REVIEWING, RETURNING_OLD_CARD and STUCK leave the citizen
    something to do; a journey is cancelled only while nothing moves (NONE, LOOKING and REVIEWING).
    """

    NONE = "none"
    CHECKING = "checking"  # code and ID
    LOOKING = "looking"  # face
    REVIEWING = "reviewing"  # the office's reviewer looks at the picture
    OPENING = "opening"  # the shutter of the old-card throat
    CLOSING = "closing"
    READING_OLD_CARD = "reading_old_card"
    RETURNING_OLD_CARD = "returning_old_card"  # please take it
    FETCHING = "fetching"  # the new card is on its way
    FINISHING = "finishing"
    RECOVERING = "recovering"
    STUCK = "stuck"  # staff clear a jam; the pickup goes on then, or the citizen takes a ticket


class Notice(StrEnum):
    """Why the page is shown again, or what the citizen should know; the text is in the catalogue, per language."""

    CODE_WRONG = "code_wrong"  # also for an unknown card: same words
    CODE_SENT = "code_sent"  # where a card waits for this ID card and a phone is known: said in any case
    CARD_FOR_CODE = "card_for_code"  # show the card to have a code sent
    CODE_LOCKED = "code_locked"  # ID card and face still work
    CODE_LOCKED_COUNTER = "code_locked_counter"  # nothing opens without the code
    NUMBER_WRONG = "number_wrong"
    CARD_NEEDED = "card_needed"  # without the code the number alone does not do
    CARD_LOST = "card_lost"  # reported lost: it shows nothing, whoever holds it
    CARD_LOST_COUNTER = "card_lost_counter"  # nothing opens without an ID card
    CARD_UNREADABLE = "card_unreadable"
    READER_DOWN = "reader_down"
    READER_ASKED = "reader_asked"  # the one inside that should read a card; it is asked again
    FACE_RETRY = "face_retry"
    FACE_WAIT = "face_wait"  # after many tries that failed
    FACE_NO_FACE = "face_no_face"
    FACE_SEVERAL = "face_several"
    FACE_CLOSER = "face_closer"
    FACE_LIGHT = "face_light"
    FACE_STILL = "face_still"
    FACE_TURN = "face_turn"
    FACE_MASK = "face_mask"
    FACE_TURN_LEFT = "face_turn_left"
    FACE_TURN_RIGHT = "face_turn_right"
    FINGER_RETRY = "finger_retry"
    OLD_CARD_NOT_YOURS = "old_card_not_yours"
    OLD_CARD_NOT_THEIRS = "old_card_not_theirs"  # of whom the card is collected for
    OLD_CARD_UNREADABLE = "old_card_unreadable"
    OLD_CARD_LOST = "old_card_lost"  # reported lost by somebody: kept, and another is wanted
    LOST_CARD_KEPT = "lost_card_kept"  # the own one that was found
    FOUND_AT_COUNTER = "found_at_counter"  # the throat does not open for it


class FaultKind(StrEnum):
    """Which fault page; each says what happened, where the card is, what next, and shows the ticket."""

    NO_MATCH = "no_match"  # identity could not be shown
    MORE_NEEDED = "more_needed"  # the policy asks for more than was shown
    COUNTER_ONLY = "counter_only"  # the policy opens such cards nowhere else
    REVIEW_REFUSED = "review_refused"  # the office's reviewer did not approve
    NO_REVIEWER = "no_reviewer"  # nobody at the office decided in time
    FACE_DOWN = "face_down"
    FINGER_DOWN = "finger_down"  # no sensor, or no fingerprint on the card
    NOT_TAKEN = "not_taken"  # new card drawn back, still collectable
    OLD_CARD_REFUSED = "old_card_refused"
    OLD_CARD_KEPT = "old_card_kept"  # not taken back in time; the machine keeps it
    JAM = "jam"
    CARD_MISMATCH = "card_mismatch"  # the card from the slot is another one
    IN_DOUBT = "in_doubt"
    POWER = "power"  # the machine restarted in the middle
    CANCELLED = "cancelled"
    OTHER_WAY = "other_way"  # no face check wanted: the counter hands the card out
    TIMED_OUT = "timed_out"
    BUSY = "busy"  # a device that is needed does not answer


class Whereabouts(StrEnum):
    """Where the citizen's cards are, in words the fault page has for each."""

    NEW_SAFE_INSIDE = "new_safe_inside"
    NEW_IN_DOUBT = "new_in_doubt"
    NEW_AT_EXIT = "new_at_exit"
    OLD_WITH_YOU = "old_with_you"
    OLD_AT_THROAT = "old_at_throat"
    OLD_INSIDE = "old_inside"
    OLD_IN_DOUBT = "old_in_doubt"
    OLD_KEPT = "old_kept"
    LOST_KEPT = "lost_kept"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Ways:
    """What a citizen can do at the machine now: collect at all, show an ID card, show a face, hand in an old card, go on
    without a pickup code, type the ID number, have a finger compared.
    """

    serving: bool = True
    reader: bool = True
    face: bool = True
    renewal: bool = True
    no_code: bool = True
    number: bool = True
    finger: bool = True


class View(msgspec.Struct, frozen=True):
    """One page and all it needs. Personal data appears masked only.

    `seconds_left` is the time until the page gives up, None where it waits for ever; `attempts_left` counts remaining tries of
    this page; `masked_name` and `masked_number` are for CONFIRM; `ticket` names the counter's ticket; `warn` is True in the
    last 20 s before a time-out (WCAG 2.2.1), when the page offers more time. `number_allowed` is False where only the card
    itself will do, `no_code_allowed` where the pickup code is always wanted. `damaged` says that the old card need not be
    readable, `for_other` that somebody collects another's card; `wanted` is what a card asks for, where more is needed than was
    shown. `another_way` says that OTHER_WAY leads to another evidence and not to the counter.
    `hand_in` says on DONE that a lost card that was found can be handed in, on OLD_CARD that it is being.
    """

    screen: Screen
    progress: Progress = Progress.NONE
    notice: Notice | None = None
    fault: FaultKind | None = None
    whereabouts: tuple[Whereabouts, ...] = ()
    ticket: str | None = None
    attempts_left: int | None = None
    seconds_left: int | None = None
    warn: bool = False
    masked_name: str = ""
    masked_number: str = ""
    renewal: bool = False
    damaged: bool = False
    for_other: bool = False
    wanted: tuple[Evidence, ...] = ()
    hand_in: bool = False
    no_code_allowed: bool = True
    number_allowed: bool = True
    reader_available: bool = True
    face_available: bool = True
    renewal_available: bool = True
    finger_available: bool = True
    another_way: bool = False


class Action(StrEnum):
    """What a tap says. CODE, LETTER_CODE and NUMBER carry a value, LANGUAGE carries "zh" or "en"."""

    CODE = "code"
    LETTER_CODE = "letter_code"  # typed, or read from the letter's QR code by a scanner
    SEND_CODE = "send_code"  # have a new pickup code sent to the telephone that is known
    NO_CODE = "no_code"  # go on with the ID card and the face
    NUMBER = "number"
    CONFIRM = "confirm"
    AGREE = "agree"  # one picture may go to the office
    OTHER_WAY = "other_way"  # no face check, no picture: another way, or the counter with a ticket
    HAND_IN = "hand_in"  # the lost card is found
    TICKET = "ticket"  # do not wait for staff: go on at the counter
    CANCEL = "cancel"
    MORE_TIME = "more_time"
    CLOSE = "close"  # leave a fault or done page
    LANGUAGE = "language"


@dataclass(frozen=True, slots=True)
class Tap:
    """One tap. `repr` hides the value: it may be a pickup code or an ID number."""

    action: Action
    value: str = ""

    def __repr__(self) -> str:
        return f"Tap({self.action.value})"
