"""The words of the journey's table: what a row is, when it holds, how it changes the journey, what it asks for. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from firmware_protocol.idnumber import is_valid
from lockerd.model.cards import ClaimKind
from lockerd.model.custody import Fault, Motion, Place, Result
from lockerd.model.identity import FaceReason, FaceVerdict
from lockerd.model.view import Action, FaultKind, Notice
from lockerd.pickup.state import (
    CardSeen,
    CheckCode,
    ClaimChecked,
    Effect,
    EndJourney,
    Event,
    FaceDecided,
    FacePrompted,
    FindClaim,
    IssueTicket,
    Journey,
    MotionEnded,
    Move,
    Record,
    RecordOldTaken,
    SendCode,
    Stage,
    Tapped,
    TicketIssued,
)

FACE_TRIES = 3  # transactions, then another way (ISO/IEC 19795: attempts within one transaction are the worker's)
OLD_CARD_TRIES = 3
PICK = Move(Motion.PICK, (Record.CONSUME_CODE,))
KEEP = Move(Motion.RETAIN, (Record.OLD_KEPT,))
CODES = frozenset({Action.CODE, Action.LETTER_CODE})
RECYCLER_MOTIONS = frozenset({Motion.OPEN, Motion.CLOSE, Motion.ACCEPT, Motion.RETURN, Motion.RETAIN, Motion.EMPTY_BIN})

Guard = Callable[[Journey, Event], bool]
Change = Callable[[Journey, Event], Journey]
Do = Callable[[Journey, Event], tuple[Effect, ...]]


def always(_journey: Journey, _event: Event) -> bool:
    """Holds in any case."""
    return True


def unchanged(journey: Journey, _event: Event) -> Journey:
    """Leave the journey as it is."""
    return journey


def nothing(_journey: Journey, _event: Event) -> tuple[Effect, ...]:
    """Ask for nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Row:
    """One transition. `label` is for the diagram; `to` None stays in the stage without entering it again."""

    source: Stage
    on: type
    to: Stage | None
    label: str
    when: Guard = always
    change: Change = unchanged
    do: Do = nothing


def tapped(action: Action) -> Guard:
    """The citizen tapped this action."""
    return lambda _journey, event: isinstance(event, Tapped) and event.tap.action is action


def moved(motion: Motion, *results: Result) -> Guard:
    """This motion ended in one of the results; DONE where none is named."""
    wanted = results or (Result.DONE,)
    return lambda _journey, event: (
        isinstance(event, MotionEnded) and event.motion is motion and event.outcome.result in wanted
    )


def found_none(motion: Motion) -> Guard:
    """This motion found no card, and the unit sees none: a hand was faster."""
    return lambda _journey, event: (
        isinstance(event, MotionEnded)
        and event.motion is motion
        and event.outcome.fault is Fault.NO_CARD
        and event.outcome.observation is not None
        and event.outcome.observation.place is None
    )


def all_of(*guards: Guard) -> Guard:
    """All of the guards hold."""
    return lambda journey, event: all(guard(journey, event) for guard in guards)


def asks(*effects: Effect) -> Do:
    """Ask for these effects, in this order."""
    return lambda _journey, _event: effects


def setting(**values: object) -> Change:
    """Set these fields of the journey."""
    return lambda journey, _event: replace(journey, **values)


def ends(outcome: str) -> Do:
    """End the journey with this outcome."""
    return lambda journey, _event: (EndJourney(journey.journey_id, outcome),)


def old_back(*more: Effect) -> Do:
    """Record that the old card is in its hand again, then ask for more."""
    return lambda journey, _event: (RecordOldTaken(journey.old_card_id), *more)


def old_inside(journey: Journey, _event: Event) -> bool:
    """An old card stands in escrow that its owner may have back."""
    return journey.old_place is Place.ESCROW and journey.lost is None


def failing(source: Stage, on: type, kind: FaultKind, label: str, when: Guard = always) -> tuple[Row, Row]:
    """The two rows of any failure: an old card in escrow goes back to its owner before the fault page."""
    change = setting(fault=kind, notice=None)
    return (
        Row(
            source,
            on,
            Stage.GIVING_BACK,
            f"{label}, old card inside",
            all_of(when, old_inside),
            change,
            asks(IssueTicket(), Move(Motion.RETURN)),
        ),
        Row(source, on, Stage.FAULT, label, when, change, asks(IssueTicket())),
    )


# --- guards and changes that need more than a line ------------------------------------------------------------------


def number_ok(journey: Journey, event: Event) -> bool:
    """The tap carries a valid ID number, and a code was given: a number alone is no evidence."""
    return isinstance(event, Tapped) and is_valid(event.tap.value.upper()) and journey.code is not None


def with_code(journey: Journey, _event: Event) -> bool:
    """The citizen gave a code."""
    return journey.code is not None


def compared(journey: Journey, event: Event) -> tuple[Effect, ...]:
    """Have the evidence compared: the code against the one record, or the card alone looked up."""
    number = event.chip.id_number if isinstance(event, CardSeen) else event.tap.value.upper()  # type: ignore[union-attr]
    return (CheckCode(number, journey.code),) if journey.code is not None else (FindClaim(number),)


def begun(_journey: Journey, event: Event) -> Journey:
    """A fresh journey, with the code where one was typed."""
    code = event.tap.value if isinstance(event, Tapped) and event.tap.action in CODES else None
    return Journey(visit=_journey.visit, code=code)


def wants_code(journey: Journey, _event: Event) -> bool:
    """The citizen wants a code sent."""
    return journey.wants_code


def without_code(journey: Journey, _event: Event) -> bool:
    """The citizen gave no code."""
    return journey.code is None


def send_code(_journey: Journey, event: Event) -> tuple[Effect, ...]:
    """Have a code sent to the holder of the card that was shown."""
    return (SendCode(event.chip.id_number),) if isinstance(event, CardSeen) else ()


def begun_for_code(journey: Journey, _event: Event) -> Journey:
    """A fresh journey to have a code sent."""
    return Journey(visit=journey.visit, wants_code=True, notice=Notice.CARD_FOR_CODE)


def by_card(journey: Journey, event: Event) -> Journey:
    """Note whether the card itself was shown, and what its chip says of face and finger."""
    photo, finger = (event.chip.photo, event.chip.fingerprint) if isinstance(event, CardSeen) else (b"", b"")
    return replace(journey, by_card=isinstance(event, CardSeen), chip_photo=photo, finger=finger, notice=None)


def matched(journey: Journey, event: Event) -> bool:
    """The evidence fits a claim."""
    return isinstance(event, ClaimChecked) and event.claim is not None


def locked(_journey: Journey, event: Event) -> bool:
    """The code way is closed for this number."""
    return isinstance(event, ClaimChecked) and event.locked


def check_failed(_journey: Journey, event: Event) -> bool:
    """The store could not tell."""
    return isinstance(event, ClaimChecked) and event.failed


def count_wrong_code(journey: Journey, event: Event) -> Journey:
    """Back to the first page, with the tries that are left."""
    left = event.attempts_left if isinstance(event, ClaimChecked) else None
    return Journey(visit=journey.visit, journey_id=journey.journey_id, notice=Notice.CODE_WRONG, attempts_left=left)


def verdict(wanted: FaceVerdict) -> Guard:
    """The verification ended with this verdict."""
    return lambda _journey, event: isinstance(event, FaceDecided) and event.result.verdict is wanted


def face_unavailable(_journey: Journey, event: Event) -> bool:
    """Nobody could compare: no worker, no camera, a template of another model or of a kind without threshold. No try helps."""
    return isinstance(event, FaceDecided) and (
        event.result.verdict is FaceVerdict.UNAVAILABLE
        or event.result.reason in {FaceReason.WRONG_MODEL, FaceReason.NOT_CALIBRATED}
    )


def face_tries_left(journey: Journey, _event: Event) -> bool:
    """Another verification may follow this one."""
    return journey.face_tries + 1 < FACE_TRIES


_PROMPTS = {
    FaceReason.NO_FACE: Notice.FACE_NO_FACE,
    FaceReason.SEVERAL_FACES: Notice.FACE_SEVERAL,
    FaceReason.TOO_FAR: Notice.FACE_CLOSER,
    FaceReason.TOO_DARK: Notice.FACE_LIGHT,
    FaceReason.TOO_BRIGHT: Notice.FACE_LIGHT,
    FaceReason.BLURRED: Notice.FACE_STILL,
    FaceReason.TURNED_AWAY: Notice.FACE_TURN,
    FaceReason.MASKED: Notice.FACE_MASK,
    FaceReason.MOVE_CLOSER: Notice.FACE_CLOSER,
    FaceReason.TOO_MANY_TRIES: Notice.FACE_WAIT,
    FaceReason.TURN_LEFT: Notice.FACE_TURN_LEFT,
    FaceReason.TURN_RIGHT: Notice.FACE_TURN_RIGHT,
}


def prompted(journey: Journey, event: Event) -> Journey:
    """Show the camera's prompt."""
    notice = _PROMPTS.get(event.reason) if isinstance(event, FacePrompted) else None
    return replace(journey, notice=notice or journey.notice)


def count_face(journey: Journey, _event: Event) -> Journey:
    """Count a verification that failed."""
    tries = journey.face_tries + 1
    return replace(journey, face_tries=tries, notice=Notice.FACE_RETRY, attempts_left=FACE_TRIES - tries)


def new_taken(journey: Journey, _event: Event) -> bool:
    """The new card is in the citizen's hand already."""
    return journey.new_place is Place.TAKEN


def still_wanted(journey: Journey, _event: Event) -> bool:
    """The new card is not handed out yet."""
    return journey.new_place is not Place.TAKEN


def may_hand_in(journey: Journey) -> bool:
    """A lost card that was found can be handed in: the new one is taken, and the old one was not asked for."""
    return (
        journey.claim is not None
        and journey.claim.kind is ClaimKind.REPLACEMENT
        and journey.new_place is Place.TAKEN
        and journey.old_place in (None, Place.TAKEN)
        and journey.old_tries < OLD_CARD_TRIES
    )


def old_tries_left(journey: Journey, _event: Event) -> bool:
    """Another old card may be tried."""
    return journey.old_tries < OLD_CARD_TRIES


def has_fault(journey: Journey, _event: Event) -> bool:
    """The journey has a fault."""
    return journey.fault is not None


def note_ticket(journey: Journey, event: Event) -> Journey:
    """Keep the ticket for the page."""
    return replace(journey, ticket=event.ticket) if isinstance(event, TicketIssued) else journey


def old_gone(journey: Journey, _event: Event) -> Journey:
    """The old card is in its hand again."""
    return replace(journey, old_place=Place.TAKEN, old_card_id=None, old_accepted=False, lost=None)


def fault_of(kind: FaultKind) -> Change:
    """Set the fault of the page."""
    return setting(fault=kind, notice=None)


def seen_at(place: Place) -> Guard:
    """The card that was moved is recorded at this place now."""
    return lambda _journey, event: isinstance(event, MotionEnded) and event.place is place
