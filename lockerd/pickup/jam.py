"""A jam in the middle of a journey: the machine tries once, staff clear it, and the journey goes on by evidence or with a ticket.

No motion is ordered again. The unit is reset, its path brought to rest, and what its sensors, totals and readers then say decides
how the journey goes on; the chip is read again before anything is handed out or given back. Pure.
"""

from __future__ import annotations

from msgspec.structs import replace

from lockerd.model.custody import Fault, Motion, Place, Result, Unit
from lockerd.model.view import Action, FaultKind
from lockerd.pickup.chips import lost_kept, was_accepted
from lockerd.pickup.guards import (
    KEEP,
    PICK,
    RECYCLER_MOTIONS,
    Change,
    Do,
    Guard,
    Row,
    all_of,
    always,
    asks,
    new_taken,
    nothing,
    old_gone,
    old_inside,
    setting,
    tapped,
)
from lockerd.pickup.state import (
    Clear,
    Cleared,
    Effect,
    Event,
    IssueTicket,
    Jam,
    Journey,
    MotionEnded,
    Move,
    ReadOld,
    Settled,
    Stage,
    Tapped,
    TimedOut,
)

JAMS = 3
"""How often a journey waits for a jam to be cleared; after that it ends."""

_STUCK = frozenset({Fault.JAM, Fault.MOTOR, Fault.SENSOR, Fault.GATE_BLOCKED, Fault.DOOR_OPEN, Fault.OTHER})
"""Faults that a reset or a hand can clear."""

_S = Stage


def stuck(journey: Journey, event: Event) -> bool:
    """The motion got stuck, or its end is not known to a unit that answers; the journey has not waited too often."""
    if not isinstance(event, MotionEnded) or journey.jams >= JAMS or journey.claim is None:
        return False
    outcome = event.outcome
    doubtful = outcome.result is Result.IN_DOUBT and outcome.observation is not None
    return doubtful or (outcome.result is Result.FAILED and outcome.fault in _STUCK)


def _stopped(journey: Journey, event: Event) -> Journey:
    if not isinstance(event, MotionEnded):
        return journey
    unit = Unit.RECYCLER if event.motion in RECYCLER_MOTIONS else Unit.DISPENSER
    kind = FaultKind.JAM if event.outcome.result is Result.FAILED else FaultKind.IN_DOUBT
    return replace(journey, jam=Jam(unit, journey.stage, kind), jams=journey.jams + 1, notice=None)


def _clear(journey: Journey, event: Event) -> tuple[Effect, ...]:
    jam = _stopped(journey, event).jam
    return (Clear(jam.unit),) if jam is not None else ()


def stopping(source: Stage) -> Row:
    """The row of a motion that got stuck in this stage."""
    return Row(source, MotionEnded, _S.CLEARING, "stuck", stuck, _stopped, _clear)


def _of(unit: Unit, *more: Guard) -> Guard:
    return all_of(lambda journey, _event: journey.jam is not None and journey.jam.unit is unit, *more)


def _at_rest(_journey: Journey, event: Event) -> bool:
    return isinstance(event, Cleared) and event.at_rest


def _leaving(journey: Journey, _event: Event) -> bool:
    return journey.fault is not None


def _collectable(journey: Journey, _event: Event) -> bool:
    """The new card lies in a slot, and the old one, if it was asked for, is still inside."""
    in_slot = journey.new_place is Place.SLOT and journey.claim is not None and journey.claim.slot is not None
    return in_slot and (not journey.old_accepted or journey.old_place in (Place.ESCROW, Place.BIN))


def _old_at(place: Place | None, *stages: Stage) -> Guard:
    return lambda journey, _event: (
        journey.old_place is place and (not stages or (journey.jam is not None and journey.jam.stage in stages))
    )


def _lost(journey: Journey, _event: Event) -> bool:
    return journey.lost is not None


def _goes_back(journey: Journey, _event: Event) -> bool:
    """An accepted old card is in escrow, its unit is not what is stuck, and the new card did not get stuck at the gate."""
    jam = journey.jam
    away = jam is None or (jam.unit is Unit.DISPENSER and jam.stage not in (_S.PRESENTING, _S.RETRACTING))
    return journey.old_place is Place.ESCROW and journey.old_accepted and journey.lost is None and away


def _given_up(journey: Journey, _event: Event) -> Journey:
    kind = journey.jam.kind if journey.jam is not None else FaultKind.JAM
    return replace(journey, fault=journey.fault or kind, notice=None)


def _left(journey: Journey, event: Event) -> Journey:
    return replace(_given_up(journey, event), jams=JAMS)  # nobody waits any more


_freed = setting(jam=None)
_collected = setting(jam=None, fault=None)


def _freed_and(change: Change) -> Change:
    return lambda journey, event: replace(change(journey, event), jam=None)


def _may_be_in_a_hand(journey: Journey, _event: Event) -> bool:
    """The new card got lost on its way to the gate or back, which may have been open, and is found nowhere."""
    at_gate = journey.jam is not None and journey.jam.stage in (_S.PRESENTING, _S.RETRACTING)
    return at_gate and journey.new_place is Place.IN_DOUBT


_RETURN = Move(Motion.RETURN)
_TICKET = IssueTicket()

_BY_EVIDENCE: tuple[tuple[Stage, str, Guard, Change, Do], ...] = (
    # the dispenser's path is at rest: the new card was taken, lies in a slot, or cannot be handed out now
    (_S.KEEPING_OLD, "a hand was faster, renewal", _of(Unit.DISPENSER, new_taken, old_inside), _collected, asks(KEEP)),
    (_S.DONE, "a hand was faster", _of(Unit.DISPENSER, new_taken), _collected, nothing),
    (_S.KEEPING_FORGOTTEN, "cleared, not found at the gate, old card inside",
     _of(Unit.DISPENSER, _may_be_in_a_hand, old_inside), _given_up, asks(_TICKET, KEEP)),
    (_S.GIVING_BACK, "cleared, old card inside", _of(Unit.DISPENSER, _leaving, old_inside), _freed, asks(_RETURN)),
    (_S.FAULT, "cleared", _of(Unit.DISPENSER, _leaving), _freed, nothing),
    (_S.PICKING, "cleared, in its slot", _of(Unit.DISPENSER, _collectable), _freed, asks(PICK)),
    (_S.GIVING_BACK, "cleared, not found, old card inside", _of(Unit.DISPENSER, old_inside), _given_up,
     asks(_TICKET, _RETURN)),
    (_S.FAULT, "cleared, not found", _of(Unit.DISPENSER), _given_up, asks(_TICKET)),
    # the recycler's path is at rest: the old card is where its sensors and totals say
    (_S.READING_OLD, "cleared, lost card in escrow", all_of(_lost, _old_at(Place.ESCROW)), _freed, asks(ReadOld())),
    (_S.GIVING_BACK, "cleared, old card inside", all_of(_leaving, old_inside), _freed, asks(_RETURN)),
    (_S.AWAIT_GIVEN_BACK, "cleared, old card in the throat", all_of(_leaving, _old_at(Place.THROAT)), _freed, nothing),
    (_S.FAULT, "cleared", _leaving, _freed, nothing),
    (_S.READING_OLD, "cleared, in escrow", old_inside, _freed, asks(ReadOld())),
    (_S.AWAIT_REFUSED, "cleared, in the throat", _old_at(Place.THROAT, _S.REFUSING_OLD), _freed, nothing),
    (_S.DRAWING_OLD, "cleared, in the throat", _old_at(Place.THROAT), _freed, asks(Move(Motion.ACCEPT))),
    (_S.PICKING, "cleared, lost card kept", all_of(_lost, _old_at(Place.BIN), was_accepted), _freed, asks(PICK)),
    (_S.DONE, "cleared, lost card kept", all_of(_lost, _old_at(Place.BIN), new_taken), _freed, nothing),
    (_S.OPENING, "cleared, lost card kept", all_of(_lost, _old_at(Place.BIN)), _freed_and(lost_kept),
     asks(Move(Motion.OPEN))),
    (_S.DONE, "cleared, nothing inside", all_of(new_taken, _old_at(Place.TAKEN)), _freed, nothing),
    (_S.DONE, "cleared, nothing inside", all_of(new_taken, _old_at(None)), _freed, nothing),
    (_S.OPENING, "cleared, nothing inside", _old_at(Place.TAKEN), _freed_and(old_gone), asks(Move(Motion.OPEN))),
    (_S.OPENING, "cleared, nothing inside", _old_at(None), _freed, asks(Move(Motion.OPEN))),
    (_S.FAULT, "cleared, not found", always, _given_up, asks(_TICKET)),
)  # fmt: skip

JAM_ROWS: tuple[Row, ...] = (
    Row(_S.CLEARING, Cleared, _S.JAMMED, "still stuck", lambda _j, e: isinstance(e, Cleared) and not e.at_rest),
    *(
        Row(_S.CLEARING, Cleared, to, label, all_of(_at_rest, when), change, do)
        for to, label, when, change, do in _BY_EVIDENCE
    ),
    Row(_S.JAMMED, Settled, _S.CLEARING, "staff cleared it", do=lambda journey, _event: (
        (Clear(journey.jam.unit),) if journey.jam is not None else ())),
    *(
        Row(_S.JAMMED, on, to, label + more, all_of(when, whose), _left, asks(*effects))
        for on, label, when in ((Tapped, "ticket wanted", tapped(Action.TICKET)), (TimedOut, "time-out", always))
        for to, more, whose, effects in (
            (_S.GIVING_BACK, ", old card inside", _goes_back, (_TICKET, _RETURN)),
            (_S.FAULT, "", always, (_TICKET,)),
        )
    ),
)  # fmt: skip
