"""A jam in the journey's table: one try, then staff or a ticket, and going on by what the ledger says afterwards."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from lockerd.model.custody import Fault, Motion, Place, Result, Unit
from lockerd.model.view import Action, FaultKind, Progress, Ways
from lockerd.pickup.jam import JAMS
from lockerd.pickup.screens import view_of
from lockerd.pickup.state import (
    ChipRead,
    Clear,
    Cleared,
    Event,
    ExitCleared,
    IssueTicket,
    Journey,
    ReadNew,
    ReadOld,
    Settled,
    Stage,
    ThroatFilled,
    TimedOut,
)
from tests.pickup_walks import CLAIM, TO_CONFIRM, TO_ESCROW, TO_EXIT, TO_PICKING, ended, motions, tap, walk

TO_OPENING: tuple[Event, ...] = (*TO_CONFIRM, tap(Action.CONFIRM))
TO_DRAWING: tuple[Event, ...] = (*TO_OPENING, ended(Motion.OPEN, None), ThroatFilled())
PICK_JAM = ended(Motion.PICK, Place.IN_DOUBT, Result.FAILED, Fault.JAM)
ACCEPT_JAM = ended(Motion.ACCEPT, Place.IN_DOUBT, Result.FAILED, Fault.JAM)
BACK = Cleared(True, replace(CLAIM, slot=5), Place.ESCROW, Place.SLOT)
STILL = Cleared(False)


def inside(old: Place | None, new: Place | None = Place.SLOT) -> Cleared:
    return Cleared(True, CLAIM, old, new)


def test_the_unit_is_reset_and_no_motion_is_ordered_again() -> None:
    journey, asked = walk(PICK_JAM, start=walk(*TO_PICKING)[0])
    assert (journey.stage, journey.fault, journey.ticket) == (Stage.CLEARING, None, None)
    assert asked == [Clear(Unit.DISPENSER)]
    journey, asked = walk(STILL, start=journey)
    assert (journey.stage, asked) == (Stage.JAMMED, [])
    view = view_of(journey, seconds_left=None, warn=False, ways=Ways())
    assert (view.fault, view.progress) == (FaultKind.JAM, Progress.STUCK)
    assert walk(Settled(), start=journey)[1] == [Clear(Unit.DISPENSER)]


def test_a_card_that_lies_in_a_slot_again_is_fetched_from_there_and_its_chip_read() -> None:
    journey, asked = walk(*TO_PICKING, PICK_JAM, STILL, Settled(), BACK)
    assert (journey.stage, journey.jam) == (Stage.PICKING, None)
    assert journey.claim is not None
    assert journey.claim.slot == 5
    assert motions(asked)[-1] is Motion.PICK
    _, asked = walk(ended(Motion.PICK, Place.TRANSPORT), start=journey)
    assert asked == [ReadNew()]


@pytest.mark.parametrize("way_out", [tap(Action.TICKET), TimedOut()])
def test_whoever_does_not_wait_gets_the_old_card_and_a_ticket(way_out: Event) -> None:
    journey, asked = walk(way_out, start=walk(*TO_PICKING, PICK_JAM, STILL)[0])
    assert (journey.stage, journey.fault) == (Stage.GIVING_BACK, FaultKind.JAM)
    assert asked[0] == IssueTicket()
    assert journey.stopped is Stage.PICKING
    assert motions(asked) == [Motion.RETURN]
    stuck = ended(Motion.RETURN, Place.ESCROW, Result.FAILED, Fault.JAM)
    assert walk(stuck, start=journey)[0].stage is Stage.FAULT, "nobody waits any more"


@pytest.mark.parametrize("way_out", [tap(Action.TICKET), TimedOut()])
def test_a_card_that_is_stuck_unread_in_the_throat_stays_inside(way_out: Event) -> None:
    journey, asked = walk(way_out, start=walk(*TO_DRAWING, ACCEPT_JAM, STILL)[0])
    assert (journey.stage, asked) == (Stage.FAULT, [IssueTicket()])


@pytest.mark.parametrize(
    ("cleared", "stage", "effects"),
    [
        (inside(Place.ESCROW), Stage.READING_OLD, [ReadOld()]),
        (inside(Place.THROAT), Stage.DRAWING_OLD, [Motion.ACCEPT]),
        (inside(Place.TAKEN), Stage.OPENING, [Motion.OPEN]),
        (inside(Place.IN_DOUBT), Stage.FAULT, [IssueTicket()]),
        (inside(Place.BIN), Stage.FAULT, [IssueTicket()]),
    ],
)
def test_an_old_card_is_gone_on_with_where_it_is(cleared: Cleared, stage: Stage, effects: list[object]) -> None:
    journey, asked = walk(cleared, start=walk(*TO_DRAWING, ACCEPT_JAM)[0])
    assert journey.stage is stage
    assert (motions(asked) or asked) == effects
    assert journey.old_accepted is False


@pytest.mark.parametrize(
    ("cleared", "stage", "motion"),
    [
        (inside(Place.ESCROW, Place.TAKEN), Stage.KEEPING_OLD, Motion.RETAIN),
        (inside(Place.ESCROW, Place.IN_DOUBT), Stage.KEEPING_FORGOTTEN, Motion.RETAIN),
        (inside(Place.ESCROW, Place.RETRACT), Stage.GIVING_BACK, Motion.RETURN),
        (inside(Place.TAKEN), Stage.FAULT, None),
    ],
)
def test_a_new_card_is_fetched_only_from_a_slot_and_against_the_old_one(
    cleared: Cleared, stage: Stage, motion: Motion | None
) -> None:
    gate = ended(Motion.PRESENT, Place.TRANSPORT, Result.FAILED, Fault.GATE_BLOCKED)
    journey, asked = walk(cleared, start=walk(*TO_EXIT[:-1], gate)[0])
    assert journey.stage is stage
    assert motions(asked) == ([motion] if motion else [])


def test_an_old_card_stays_while_nothing_tells_whether_a_hand_took_the_new_one() -> None:
    """A bought dispenser that was not heard at the gate cannot say it afterwards either."""
    unheard = ended(Motion.PRESENT, Place.IN_DOUBT, Result.IN_DOUBT)
    journey, asked = walk(inside(Place.ESCROW, Place.IN_DOUBT), start=walk(*TO_EXIT[:-1], unheard)[0])
    assert IssueTicket() in asked
    assert motions(asked) == [Motion.RETAIN]
    kept, _ = walk(ended(Motion.RETAIN, Place.BIN), start=journey)
    assert (kept.stage, kept.fault) == (Stage.FAULT, FaultKind.IN_DOUBT)


def test_a_card_that_was_not_taken_is_not_presented_again_after_a_jam_on_its_way_back() -> None:
    back = ended(Motion.RETRACT, Place.EXIT, Result.FAILED, Fault.JAM)
    journey, asked = walk(*TO_EXIT, TimedOut(), back, BACK)
    assert (journey.stage, journey.fault) == (Stage.GIVING_BACK, FaultKind.NOT_TAKEN)
    assert motions(asked)[-1] is Motion.RETURN


def test_an_old_card_that_is_stuck_on_its_way_back_is_offered_again() -> None:
    stuck = ended(Motion.RETURN, Place.IN_DOUBT, Result.FAILED, Fault.JAM)
    journey, _ = walk(*TO_EXIT, TimedOut(), ended(Motion.RETRACT, Place.TRANSPORT))
    journey = msgspec.structs.replace(journey, stage=Stage.GIVING_BACK)
    assert walk(stuck, inside(Place.ESCROW), start=journey)[0].stage is Stage.GIVING_BACK
    assert walk(stuck, inside(Place.THROAT), start=journey)[0].stage is Stage.AWAIT_GIVEN_BACK
    refusing, _ = walk(*TO_ESCROW, ChipRead(None), stuck)
    assert walk(inside(Place.THROAT), start=refusing)[0].stage is Stage.AWAIT_REFUSED
    assert walk(inside(Place.ESCROW), start=refusing)[0].stage is Stage.READING_OLD


def test_a_journey_does_not_wait_for_ever() -> None:
    journey, _ = walk(*TO_PICKING)
    for _ in range(JAMS):
        journey, _ = walk(PICK_JAM, BACK, start=journey)
        assert journey.stage is Stage.PICKING
    journey, asked = walk(PICK_JAM, start=journey)
    assert (journey.stage, journey.stopped) == (Stage.GIVING_BACK, Stage.PICKING)
    assert IssueTicket() in asked


@pytest.mark.parametrize(
    "event",
    [
        ended(Motion.PICK, Place.SLOT, Result.NOT_MOVED, Fault.SILENT),
        ended(Motion.PICK, Place.IN_DOUBT, Result.IN_DOUBT, silent=True),
        ended(Motion.PICK, Place.IN_DOUBT, Result.FAILED, Fault.SLOT_EMPTY),
    ],
)
def test_what_no_hand_can_clear_is_not_waited_for(event: Event) -> None:
    journey, asked = walk(event, start=walk(*TO_PICKING)[0])
    assert Clear(Unit.DISPENSER) not in asked
    assert journey.stage in {Stage.FAULT, Stage.GIVING_BACK}


def test_no_jam_is_waited_for_by_nobody() -> None:
    journey, _ = walk(*TO_EXIT, ExitCleared(), ended(Motion.RETAIN, Place.ESCROW, Result.FAILED, Fault.JAM))
    assert journey.stage is Stage.DONE, "the citizen has the new card; staff are told"
    assert walk(PICK_JAM, start=Journey(stage=Stage.PICKING))[0].stage is Stage.FAULT
    assert walk(*TO_DRAWING, ended(Motion.ACCEPT, Place.TAKEN, Result.FAILED, Fault.NO_CARD))[0].stage is Stage.OPENING
