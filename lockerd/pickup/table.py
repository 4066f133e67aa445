"""The collection journey: one table of transitions, and `step`, which does nothing but look things up in it.

Every row reads: in this stage, on this event, when this holds, go to that stage, changing the journey so and asking for
these effects. The first row that fits wins; an event that fits no row changes nothing. The diagram in
docs/architecture.md is drawn from this table (`python -m lockerd.pickup.diagram`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from firmware_protocol.idnumber import is_valid
from lockerd.model.cards import Chip, Claim, ClaimKind
from lockerd.model.custody import Fault, Motion, Place, Result
from lockerd.model.identity import FaceReason, FaceVerdict
from lockerd.model.view import Action, FaultKind, Notice
from lockerd.pickup.state import (
    CardFailed,
    CardSeen,
    CheckCode,
    ChipRead,
    ClaimChecked,
    Effect,
    EndJourney,
    Event,
    ExitCleared,
    FaceDecided,
    FacePrompted,
    FindClaim,
    IssueTicket,
    Journey,
    MotionEnded,
    Move,
    Prepare,
    ReadNew,
    ReadOld,
    Record,
    RecordOldTaken,
    RecordTaken,
    Stage,
    Tapped,
    ThroatCleared,
    ThroatFilled,
    TicketIssued,
    TimedOut,
)

FACE_TRIES = 3  # transactions, then another way (ISO/IEC 19795: attempts within one transaction are the worker's)
OLD_CARD_TRIES = 3
RECYCLER_MOTIONS = frozenset({Motion.OPEN, Motion.CLOSE, Motion.ACCEPT, Motion.RETURN, Motion.RETAIN, Motion.EMPTY_BIN})

Guard = Callable[[Journey, Event], bool]
Change = Callable[[Journey, Event], Journey]
Do = Callable[[Journey, Event], tuple[Effect, ...]]


def _always(_journey: Journey, _event: Event) -> bool:
    return True


def _same(journey: Journey, _event: Event) -> Journey:
    return journey


def _nothing(_journey: Journey, _event: Event) -> tuple[Effect, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Row:
    """One transition. `label` is for the diagram; `to` None stays in the stage without entering it again."""

    source: Stage
    on: type
    to: Stage | None
    label: str
    when: Guard = _always
    change: Change = _same
    do: Do = _nothing


def _tapped(action: Action) -> Guard:
    return lambda _journey, event: isinstance(event, Tapped) and event.tap.action is action


def _moved(motion: Motion, *results: Result) -> Guard:
    wanted = results or (Result.DONE,)
    return lambda _journey, event: (
        isinstance(event, MotionEnded) and event.motion is motion and event.outcome.result in wanted
    )


def _motion_fault(motion: Motion, fault: Fault) -> Guard:
    return lambda _journey, event: (
        isinstance(event, MotionEnded) and event.motion is motion and event.outcome.fault is fault
    )


def _all(*guards: Guard) -> Guard:
    return lambda journey, event: all(guard(journey, event) for guard in guards)


def _effects(*effects: Effect) -> Do:
    return lambda _journey, _event: effects


def _set(**values: object) -> Change:
    return lambda journey, _event: replace(journey, **values)  # type: ignore[arg-type]  # names are checked by the tests


def _ends(outcome: str) -> Do:
    return lambda journey, _event: (EndJourney(journey.journey_id, outcome),)


def _old_back(*more: Effect) -> Do:
    return lambda journey, _event: (RecordOldTaken(journey.old_card_id), *more)


def _old_inside(journey: Journey, _event: Event) -> bool:
    return journey.old_place is Place.ESCROW


def _failing(source: Stage, on: type, kind: FaultKind, label: str, when: Guard = _always) -> tuple[Row, Row]:
    """The two rows of any failure: an old card in escrow goes back to its owner before the fault page."""
    change = _set(fault=kind, notice=None)
    return (
        Row(
            source,
            on,
            Stage.GIVING_BACK,
            f"{label}, old card inside",
            _all(when, _old_inside),
            change,
            _effects(IssueTicket(), Move(Motion.RETURN)),
        ),
        Row(source, on, Stage.FAULT, label, when, change, _effects(IssueTicket())),
    )


# --- guards and changes that need more than a line ------------------------------------------------------------------


def chip_is_of_claim(chip: Chip | None, claim: Claim | None) -> bool:
    """Whether the chip is that of the claim's new card: same number and same start of validity."""
    return (
        chip is not None
        and claim is not None
        and chip.id_number == claim.person.id_number
        and chip.valid_from == claim.valid_from
    )


def chip_is_predecessor(chip: Chip | None, claim: Claim | None) -> bool:
    """Whether the chip is that of an older card of the claimant: same number, earlier start of validity."""
    return (
        chip is not None
        and claim is not None
        and chip.id_number == claim.person.id_number
        and chip.valid_from < claim.valid_from
    )


def needs_old_card(claim: Claim | None) -> bool:
    """Whether this claim wants its predecessor handed back now."""
    return claim is not None and claim.kind is ClaimKind.RENEWAL and not claim.old_card_kept


def _wants_old(journey: Journey, _event: Event) -> bool:
    return needs_old_card(journey.claim)


def _number_ok(journey: Journey, event: Event) -> bool:
    return isinstance(event, Tapped) and is_valid(event.tap.value.upper()) and journey.code is not None


def _with_code(journey: Journey, _event: Event) -> bool:
    return journey.code is not None


def _compare(journey: Journey, event: Event) -> tuple[Effect, ...]:
    number = event.chip.id_number if isinstance(event, CardSeen) else event.tap.value.upper()  # type: ignore[union-attr]
    return (CheckCode(number, journey.code),) if journey.code is not None else (FindClaim(number),)


def _begin(_journey: Journey, event: Event) -> Journey:
    code = event.tap.value if isinstance(event, Tapped) and event.tap.action is Action.CODE else None
    return Journey(visit=_journey.visit, code=code)


def _by_card(journey: Journey, event: Event) -> Journey:
    return replace(journey, by_card=isinstance(event, CardSeen), notice=None)


def _matched(journey: Journey, event: Event) -> bool:
    return isinstance(event, ClaimChecked) and event.claim is not None


def _locked(_journey: Journey, event: Event) -> bool:
    return isinstance(event, ClaimChecked) and event.locked


def _check_failed(_journey: Journey, event: Event) -> bool:
    return isinstance(event, ClaimChecked) and event.failed


def _take_claim(journey: Journey, event: Event) -> Journey:
    claim = event.claim if isinstance(event, ClaimChecked) else None
    return replace(journey, claim=claim, code=None, notice=None, attempts_left=None)


def _count_wrong_code(journey: Journey, event: Event) -> Journey:
    left = event.attempts_left if isinstance(event, ClaimChecked) else None
    return Journey(visit=journey.visit, journey_id=journey.journey_id, notice=Notice.CODE_WRONG, attempts_left=left)


def _verdict(verdict: FaceVerdict) -> Guard:
    return lambda _journey, event: isinstance(event, FaceDecided) and event.result.verdict is verdict


def _face_tries_left(journey: Journey, _event: Event) -> bool:
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
    FaceReason.TURN_LEFT: Notice.FACE_TURN_LEFT,
    FaceReason.TURN_RIGHT: Notice.FACE_TURN_RIGHT,
}


def _prompt(journey: Journey, event: Event) -> Journey:
    notice = _PROMPTS.get(event.reason) if isinstance(event, FacePrompted) else None
    return replace(journey, notice=notice or journey.notice)


def _count_face(journey: Journey, _event: Event) -> Journey:
    tries = journey.face_tries + 1
    return replace(journey, face_tries=tries, notice=Notice.FACE_RETRY, attempts_left=FACE_TRIES - tries)


def _is_predecessor(journey: Journey, event: Event) -> bool:
    return isinstance(event, ChipRead) and chip_is_predecessor(event.chip, journey.claim)


def _is_new_card(journey: Journey, event: Event) -> bool:
    return isinstance(event, ChipRead) and chip_is_of_claim(event.chip, journey.claim)


def _refuse(journey: Journey, event: Event) -> Journey:
    unreadable = isinstance(event, ChipRead) and event.chip is None
    notice = Notice.OLD_CARD_UNREADABLE if unreadable else Notice.OLD_CARD_NOT_YOURS
    return replace(journey, old_tries=journey.old_tries + 1, notice=notice)


def _old_tries_left(journey: Journey, _event: Event) -> bool:
    return journey.old_tries < OLD_CARD_TRIES


def _has_fault(journey: Journey, _event: Event) -> bool:
    return journey.fault is not None


def _note_ticket(journey: Journey, event: Event) -> Journey:
    return replace(journey, ticket=event.ticket) if isinstance(event, TicketIssued) else journey


def _old_gone(journey: Journey, _event: Event) -> Journey:
    return replace(journey, old_place=Place.TAKEN, old_card_id=None)


def _fault_of(kind: FaultKind) -> Change:
    return _set(fault=kind, notice=None)


def _gone_from_exit(_journey: Journey, event: Event) -> bool:
    """RETRACT found no card and the unit sees none: a hand was faster."""
    return (
        isinstance(event, MotionEnded)
        and event.motion is Motion.RETRACT
        and event.outcome.fault is Fault.NO_CARD
        and event.outcome.observation is not None
        and event.outcome.observation.place is None
    )


def _seen_at(place: Place) -> Guard:
    return lambda _journey, event: isinstance(event, MotionEnded) and event.place is place


_PICK = Move(Motion.PICK, (Record.CONSUME_CODE,))
_REJECT_TO_BOX = Move(Motion.CAPTURE, (Record.FREEZE_SLOT,))
_RESTOW = Move(Motion.STORE)

_S = Stage

TABLE: tuple[Row, ...] = (
    # code: the attract page
    Row(_S.IDLE, Tapped, _S.IDENTIFY, "code entered", _tapped(Action.CODE), _begin),
    Row(_S.IDLE, Tapped, _S.IDENTIFY, "no code", _tapped(Action.NO_CODE), _begin),
    Row(_S.IDLE, TimedOut, None, "forget the notice", change=_set(notice=None, attempts_left=None)),
    # identity first, then the code is compared against that one record
    Row(_S.IDENTIFY, CardSeen, _S.CHECKING, "card read", change=_by_card, do=_compare),
    Row(_S.IDENTIFY, CardFailed, None, "reader silent", lambda _j, e: isinstance(e, CardFailed) and e.silent,
        _set(notice=Notice.READER_DOWN)),
    Row(_S.IDENTIFY, CardFailed, None, "card unreadable", change=_set(notice=Notice.CARD_UNREADABLE)),
    Row(_S.IDENTIFY, Tapped, _S.CHECKING, "number typed", _all(_tapped(Action.NUMBER), _number_ok), _by_card, _compare),
    Row(_S.IDENTIFY, Tapped, None, "number without code", _all(_tapped(Action.NUMBER), lambda j, _e: j.code is None),
        _set(notice=Notice.CARD_NEEDED)),
    Row(_S.IDENTIFY, Tapped, None, "number wrong", _tapped(Action.NUMBER), _set(notice=Notice.NUMBER_WRONG)),
    *(
        row
        for when, name in ((_tapped(Action.CANCEL), "cancelled"), (_always, "time-out"))
        for on in (Tapped if name == "cancelled" else TimedOut,)
        for row in (
            Row(_S.IDENTIFY, on, _S.FAULT, f"{name} while the code is locked",
                _all(when, lambda j, _e: j.notice is Notice.CODE_LOCKED), _fault_of(FaultKind.NO_MATCH),
                _effects(IssueTicket())),
            Row(_S.IDENTIFY, on, _S.IDLE, name, when, do=_ends("left")),
        )
    ),
    Row(_S.CHECKING, ClaimChecked, _S.FAULT, "store cannot tell", _check_failed, _fault_of(FaultKind.BUSY),
        _effects(IssueTicket())),
    Row(_S.CHECKING, ClaimChecked, _S.FACE, "match", _matched, _take_claim, _effects(Prepare())),
    Row(_S.CHECKING, ClaimChecked, _S.IDENTIFY, "code locked", _locked,
        _set(code=None, notice=Notice.CODE_LOCKED, attempts_left=None)),
    Row(_S.CHECKING, ClaimChecked, _S.IDLE, "code wrong", _with_code, _count_wrong_code,
        _ends("code_wrong")),
    Row(_S.CHECKING, ClaimChecked, _S.FAULT, "no claim", change=_fault_of(FaultKind.NO_MATCH),
        do=_effects(IssueTicket())),
    # face
    Row(_S.FACE, FacePrompted, None, "prompt", change=_prompt),
    Row(_S.FACE, FaceDecided, _S.CONFIRM, "verified", _verdict(FaceVerdict.VERIFIED),
        _set(notice=None, attempts_left=None)),
    Row(_S.FACE, FaceDecided, _S.FAULT, "face check unavailable", _verdict(FaceVerdict.UNAVAILABLE),
        _fault_of(FaultKind.FACE_DOWN), _effects(IssueTicket())),
    Row(_S.FACE, FaceDecided, _S.FACE, "not verified, try again", _face_tries_left, _count_face),
    Row(_S.FACE, FaceDecided, _S.FAULT, "not verified", change=_fault_of(FaultKind.NO_MATCH),
        do=_effects(IssueTicket())),
    Row(_S.FACE, Tapped, _S.FAULT, "another way", _tapped(Action.OTHER_WAY), _fault_of(FaultKind.OTHER_WAY),
        _effects(IssueTicket())),
    Row(_S.FACE, Tapped, _S.IDLE, "cancelled", _tapped(Action.CANCEL), do=_ends("left")),
    # confirm
    Row(_S.CONFIRM, Tapped, _S.OPENING, "confirmed, renewal", _all(_tapped(Action.CONFIRM), _wants_old),
        do=_effects(Move(Motion.OPEN))),
    Row(_S.CONFIRM, Tapped, _S.PICKING, "confirmed", _tapped(Action.CONFIRM), do=_effects(_PICK)),
    Row(_S.CONFIRM, Tapped, _S.IDLE, "cancelled", _tapped(Action.CANCEL), do=_ends("left")),
    Row(_S.CONFIRM, TimedOut, _S.IDLE, "time-out", do=_ends("left")),
    # the old card into escrow
    Row(_S.OPENING, MotionEnded, _S.AWAIT_OLD, "shutter open", _moved(Motion.OPEN)),
    *_failing(_S.OPENING, MotionEnded, FaultKind.JAM, "shutter fails"),
    Row(_S.AWAIT_OLD, ThroatFilled, _S.DRAWING_OLD, "card inserted", change=_set(notice=None),
        do=_effects(Move(Motion.ACCEPT, (Record.REGISTER_OLD,)))),
    Row(_S.AWAIT_OLD, Tapped, _S.CLOSING, "cancelled", _tapped(Action.CANCEL), _fault_of(FaultKind.CANCELLED),
        _effects(IssueTicket(), Move(Motion.CLOSE))),
    Row(_S.AWAIT_OLD, TimedOut, _S.CLOSING, "time-out", change=_fault_of(FaultKind.TIMED_OUT),
        do=_effects(IssueTicket(), Move(Motion.CLOSE))),
    Row(_S.DRAWING_OLD, MotionEnded, _S.READING_OLD, "in escrow", _moved(Motion.ACCEPT), do=_effects(ReadOld())),
    Row(_S.DRAWING_OLD, MotionEnded, _S.OPENING, "pulled back by hand", _motion_fault(Motion.ACCEPT, Fault.NO_CARD),
        _old_gone, _old_back(Move(Motion.OPEN))),
    *_failing(_S.DRAWING_OLD, MotionEnded, FaultKind.JAM, "old card stuck"),
    Row(_S.READING_OLD, ChipRead, _S.PICKING, "predecessor of the claim", _is_predecessor,
        _set(notice=None, old_accepted=True), _effects(_PICK)),
    Row(_S.READING_OLD, ChipRead, _S.REFUSING_OLD, "another card", change=_refuse,
        do=_effects(Move(Motion.RETURN))),
    Row(_S.REFUSING_OLD, MotionEnded, _S.AWAIT_REFUSED, "offered back", _moved(Motion.RETURN)),
    Row(_S.REFUSING_OLD, MotionEnded, _S.FAULT, "cannot be offered back", change=_fault_of(FaultKind.JAM),
        do=_effects(IssueTicket())),
    Row(_S.AWAIT_REFUSED, ThroatCleared, _S.OPENING, "taken back, try another", _old_tries_left, _old_gone,
        _old_back(Move(Motion.OPEN))),
    Row(_S.AWAIT_REFUSED, ThroatCleared, _S.CLOSING, "taken back, enough tries",
        change=lambda j, e: replace(_old_gone(j, e), fault=FaultKind.OLD_CARD_REFUSED, notice=None),
        do=_old_back(IssueTicket(), Move(Motion.CLOSE))),
    Row(_S.AWAIT_REFUSED, TimedOut, _S.DRAWING_FORGOTTEN, "left behind",
        change=_fault_of(FaultKind.OLD_CARD_REFUSED), do=_effects(IssueTicket(), Move(Motion.ACCEPT))),
    Row(_S.CLOSING, MotionEnded, _S.FAULT, "closed", _has_fault),
    # the new card
    Row(_S.PICKING, MotionEnded, _S.CHECKING_NEW, "picked", _moved(Motion.PICK), do=_effects(ReadNew())),
    *_failing(_S.PICKING, MotionEnded, FaultKind.BUSY, "dispenser does not answer",
              _moved(Motion.PICK, Result.NOT_MOVED)),
    *_failing(_S.PICKING, MotionEnded, FaultKind.JAM, "pick fails", _moved(Motion.PICK, Result.FAILED)),
    *_failing(_S.PICKING, MotionEnded, FaultKind.IN_DOUBT, "end not known"),
    Row(_S.CHECKING_NEW, ChipRead, _S.PRESENTING, "chip is the claimant's", _is_new_card,
        do=_effects(Move(Motion.PRESENT))),
    Row(_S.CHECKING_NEW, ChipRead, _S.CAPTURING, "another chip", change=_fault_of(FaultKind.CARD_MISMATCH),
        do=_effects(IssueTicket(), _REJECT_TO_BOX)),
    Row(_S.PRESENTING, MotionEnded, _S.AWAIT_TAKEN, "at the exit", _moved(Motion.PRESENT)),
    Row(_S.PRESENTING, MotionEnded, _S.RESTOWING, "gate stays shut", _seen_at(Place.TRANSPORT),
        _fault_of(FaultKind.JAM), _effects(IssueTicket(), _RESTOW)),
    Row(_S.PRESENTING, MotionEnded, _S.RETRACTING, "held badly", _seen_at(Place.EXIT), _fault_of(FaultKind.JAM),
        _effects(IssueTicket(), Move(Motion.RETRACT))),
    *_failing(_S.PRESENTING, MotionEnded, FaultKind.IN_DOUBT, "place not known"),
    Row(_S.AWAIT_TAKEN, ExitCleared, _S.KEEPING_OLD, "taken, renewal", _old_inside, _set(new_place=Place.TAKEN),
        _effects(RecordTaken(), Move(Motion.RETAIN, (Record.OLD_KEPT,)))),
    Row(_S.AWAIT_TAKEN, ExitCleared, _S.DONE, "taken", change=_set(new_place=Place.TAKEN),
        do=_effects(RecordTaken())),
    Row(_S.AWAIT_TAKEN, TimedOut, _S.RETRACTING, "not taken", change=_fault_of(FaultKind.NOT_TAKEN),
        do=_effects(IssueTicket(), Move(Motion.RETRACT))),
    Row(_S.KEEPING_OLD, MotionEnded, _S.DONE, "old card kept, or staff told", _always),
    Row(_S.DONE, Tapped, _S.IDLE, "closed", _tapped(Action.CLOSE), do=_ends("collected")),
    Row(_S.DONE, TimedOut, _S.IDLE, "time-out", do=_ends("collected")),
    # the new card back into the machine
    Row(_S.RETRACTING, MotionEnded, _S.CHECKING_RETRACTED, "drawn back", _moved(Motion.RETRACT),
        do=_effects(ReadNew())),
    Row(_S.RETRACTING, MotionEnded, _S.KEEPING_OLD, "a hand was faster, renewal",
        _all(_gone_from_exit, _old_inside), _set(new_place=Place.TAKEN, fault=None),
        _effects(RecordTaken(), Move(Motion.RETAIN, (Record.OLD_KEPT,)))),
    Row(_S.RETRACTING, MotionEnded, _S.DONE, "a hand was faster", _gone_from_exit,
        _set(new_place=Place.TAKEN, fault=None), _effects(RecordTaken())),
    *_failing(_S.RETRACTING, MotionEnded, FaultKind.IN_DOUBT, "cannot be drawn back"),
    Row(_S.CHECKING_RETRACTED, ChipRead, _S.RESTOWING, "chip is the claimant's", _is_new_card,
        do=_effects(_RESTOW)),
    Row(_S.CHECKING_RETRACTED, ChipRead, _S.CAPTURING, "another chip", change=_fault_of(FaultKind.CARD_MISMATCH),
        do=_effects(_REJECT_TO_BOX)),
    *(
        Row(stage, MotionEnded, to, label, when, do=_effects(*effects))
        for stage in (_S.RESTOWING, _S.CAPTURING)
        for to, label, when, effects in (
            (_S.GIVING_BACK, "at rest, old card inside", _old_inside, (Move(Motion.RETURN),)),
            (_S.FAULT, "at rest", _always, ()),
        )
    ),
    # the old card back to its owner
    Row(_S.GIVING_BACK, MotionEnded, _S.AWAIT_GIVEN_BACK, "offered back", _moved(Motion.RETURN)),
    Row(_S.GIVING_BACK, MotionEnded, _S.FAULT, "cannot be offered back"),
    Row(_S.AWAIT_GIVEN_BACK, ThroatCleared, _S.CLOSING, "taken back", change=_old_gone,
        do=_old_back(Move(Motion.CLOSE))),
    Row(_S.AWAIT_GIVEN_BACK, TimedOut, _S.DRAWING_FORGOTTEN, "left behind", do=_effects(Move(Motion.ACCEPT))),
    Row(_S.DRAWING_FORGOTTEN, MotionEnded, _S.KEEPING_FORGOTTEN, "in escrow", _moved(Motion.ACCEPT),
        do=_effects(Move(Motion.RETAIN, (Record.OLD_KEPT,)))),
    Row(_S.DRAWING_FORGOTTEN, MotionEnded, _S.CLOSING, "taken after all",
        _motion_fault(Motion.ACCEPT, Fault.NO_CARD), _old_gone, _old_back(Move(Motion.CLOSE))),
    Row(_S.DRAWING_FORGOTTEN, MotionEnded, _S.FAULT, "stuck"),
    Row(_S.KEEPING_FORGOTTEN, MotionEnded, _S.FAULT, "kept", _moved(Motion.RETAIN),
        _set(fault=FaultKind.OLD_CARD_KEPT)),
    Row(_S.KEEPING_FORGOTTEN, MotionEnded, _S.FAULT, "stays in escrow"),
    # the last page of a journey that did not end well
    Row(_S.FAULT, Tapped, _S.IDLE, "closed", _tapped(Action.CLOSE), do=_ends("fault")),
    Row(_S.FAULT, TimedOut, _S.IDLE, "time-out", do=_ends("fault")),
)  # fmt: skip


def step(journey: Journey, event: Event) -> tuple[Journey, tuple[Effect, ...]]:
    """Decide: the journey after `event` and what is to be done. Pure; an event that fits no row changes nothing."""
    if isinstance(event, TicketIssued):
        return _note_ticket(journey, event), ()
    journey = _note_place(journey, event)
    for row in TABLE:
        if row.source is journey.stage and isinstance(event, row.on) and row.when(journey, event):
            changed = row.change(journey, event)
            if row.to is not None:
                changed = replace(changed, stage=row.to, visit=journey.visit + 1)
                if row.to is Stage.IDLE:
                    changed = _fresh(changed)
            return changed, row.do(journey, event)
    return journey, ()


def _fresh(journey: Journey) -> Journey:
    """What the next citizen's page inherits: nothing but the answer to a wrong code."""
    if journey.notice is not Notice.CODE_WRONG:
        return Journey(visit=journey.visit)
    return Journey(visit=journey.visit, notice=journey.notice, attempts_left=journey.attempts_left)


def _note_place(journey: Journey, event: Event) -> Journey:
    """Remember where a motion left its card; the ledger is the record, this is for the screen and the guards."""
    if not isinstance(event, MotionEnded) or event.place is None:
        return journey
    if event.motion in RECYCLER_MOTIONS:
        return replace(journey, old_place=event.place, old_card_id=event.card_id or journey.old_card_id)
    return replace(journey, new_place=event.place)
