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
