"""Where a card is after a motion that the unit gave up."""

from __future__ import annotations

import pytest

from lockerd.model.custody import (
    Fault,
    Motion,
    Observation,
    Order,
    Outcome,
    Place,
    Result,
    Unit,
    place_after,
    told_by_totals,
)


def failed(fault: Fault, seen: Place | None) -> Outcome:
    observation = Observation(Unit.DISPENSER, 1, False, False, seen, None, frozenset(), fault, 0, 0, 0)
    return Outcome(Result.FAILED, fault, observation)


@pytest.mark.parametrize(
    ("motion", "fault", "seen", "place"),
    [
        # refused before it began: what stands in the path is another card
        (Motion.PICK, Fault.TARGET_OCCUPIED, Place.TRANSPORT, Place.SLOT),
        (Motion.RETRACT, Fault.TARGET_OCCUPIED, Place.IN_DOUBT, Place.EXIT),
        (Motion.CAPTURE, Fault.BIN_FULL, Place.TRANSPORT, Place.TRANSPORT),
        # a hand was faster than the rollers: the total tells, and the record waits for it
        (Motion.RETRACT, Fault.NO_CARD, None, Place.EXIT),
        (Motion.RETRACT, Fault.JAM, None, Place.IN_DOUBT),
        (Motion.PICK, Fault.SLOT_EMPTY, None, Place.IN_DOUBT),
    ],
)
def test_a_motion_that_was_given_up(motion: Motion, fault: Fault, seen: Place | None, place: Place) -> None:
    slot = 3 if motion is Motion.PICK else None
    assert place_after(Order(Unit.DISPENSER, motion, slot), failed(fault, seen)) is place


TAKEN, KEPT, NOTHING = (8, 5), (7, 6), (7, 5)


@pytest.mark.parametrize(
    ("motion", "totals", "seen", "place"),
    [
        (Motion.PRESENT, TAKEN, None, Place.EXIT),  # recorded as taken with the total, when the path is looked at
        (Motion.RETURN, TAKEN, None, Place.THROAT),
        (Motion.RETRACT, TAKEN, None, Place.EXIT),
        (Motion.CAPTURE, KEPT, None, Place.RETRACT),
        (Motion.RETAIN, KEPT, None, Place.BIN),
        # nothing counted, the wrong total, two at once, or something still in the path: nobody knows
        (Motion.PRESENT, NOTHING, None, Place.IN_DOUBT),
        (Motion.PRESENT, KEPT, None, Place.IN_DOUBT),
        (Motion.PRESENT, (9, 5), None, Place.IN_DOUBT),
        (Motion.PRESENT, TAKEN, Place.IN_DOUBT, Place.IN_DOUBT),
        (Motion.RETAIN, TAKEN, None, Place.IN_DOUBT),
        (Motion.PICK, TAKEN, None, Place.IN_DOUBT),
    ],
)
def test_a_doubt_that_the_totals_end(motion: Motion, totals: tuple[int, int], seen: Place | None, place: Place) -> None:
    order = Order(Unit.DISPENSER, motion, 3 if motion is Motion.PICK else None)
    observation = Observation(Unit.DISPENSER, 1, False, True, seen, None, frozenset(), None, *totals, 0)
    outcome = told_by_totals(order, Outcome(Result.IN_DOUBT, None, observation), 7, 5)
    assert place_after(order, outcome) is place


def test_the_totals_change_nothing_that_is_known() -> None:
    known = failed(Fault.JAM, None)
    assert told_by_totals(Order(Unit.DISPENSER, Motion.PRESENT), known, -1, 0) is known
