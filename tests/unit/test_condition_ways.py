"""What the first page offers, by what is known of the recycler; and that the shutter stays shut while a card is in its path."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any, cast

import pytest

from lockerd.checks import Survey
from lockerd.condition import Condition, Parts
from lockerd.errors import DeviceError
from lockerd.face.verifier import FaceStatus
from lockerd.journey.moving import Moving
from lockerd.model.custody import Fault, Motion, Observation, Order, Outcome, Place, Result, Sensor, Unit
from lockerd.model.polling import Pace
from lockerd.motions import Made
from lockerd.office.link import LinkStatus
from lockerd.pickup.state import Journey, Move

RESTED = Observation(Unit.RECYCLER, 1, False, False, None, None, frozenset({Sensor.HOME}), None, 0, 0, 0)
IN_ESCROW = replace(RESTED, place=Place.ESCROW)


@dataclass
class Recycler:
    """Both units as they were last heard: a dispenser that is well, and the recycler; it tells what it was ordered."""

    seen: Observation | None = RESTED
    made: list[Motion] = field(default_factory=list)

    def last(self, unit: Unit) -> Observation | None:
        return self.seen if unit is Unit.RECYCLER else replace(RESTED, unit=unit)

    async def observe(self, unit: Unit) -> Observation:
        seen = self.last(unit)
        if seen is None:
            raise DeviceError(unit, "silent")
        return seen

    async def make(self, order: Order, **_: object) -> Made:
        self.made.append(order.motion)
        return Made(Outcome(Result.DONE), None)


def condition(recycler: Recycler, *, idle: bool = True, settled: bool = True) -> Condition:
    others: dict[str, Any] = dict.fromkeys(("db", "bus", "cabinet"))
    well = type("Part", (), {"held": True, "no_backup": "", "unerased": ""})
    parts = Parts(
        housekeeping=cast(Any, well),
        ballast=cast(Any, well),
        motions=cast(Any, recycler),
        readers={},
        face=lambda: FaceStatus(worker_up=True, camera_up=True, model_id="", restarts=0),
        link=lambda: LinkStatus(reachable=True),
        fit=lambda: True,
        old_path_settled=lambda: settled,
        idle=lambda: idle,
        **others,
    )
    one = Condition(parts, lambda: None, Pace())
    one._survey = Survey(None, {}, 0)
    return one


CLOSED = {
    "silent": None,
    "fault": replace(RESTED, fault=Fault.JAM),
    "card in escrow": IN_ESCROW,
    "card in the throat": replace(RESTED, place=Place.THROAT),
    "place not known": replace(RESTED, place=Place.IN_DOUBT),
    "interrupted": replace(RESTED, interrupted=True),
    "not homed": replace(RESTED, sensors=frozenset()),
}


@pytest.mark.parametrize("name", CLOSED)
def test_renewals_are_closed_until_the_recycler_is_at_rest_and_other_journeys_are_not(name: str) -> None:
    recycler = Recycler(CLOSED[name])
    one = condition(recycler)
    assert (one.ways().renewal, one.ways().serving) == (False, True)
    assert one.report() is one.report(), "made anew though nothing has changed"
    recycler.seen = RESTED
    assert one.ways().renewal


def test_renewals_are_closed_while_a_restart_has_yet_to_be_settled() -> None:
    assert not condition(Recycler(), settled=False).ways().renewal


@pytest.mark.parametrize("seen", [IN_ESCROW, replace(IN_ESCROW, place=Place.IN_DOUBT)])
def test_a_card_in_the_path_is_no_trouble_during_a_journey(seen: Observation) -> None:
    assert condition(Recycler(seen), idle=False).ways().renewal


@pytest.mark.parametrize(
    ("seen", "result", "fault"),
    [
        (RESTED, Result.DONE, None),
        (IN_ESCROW, Result.NOT_MOVED, Fault.TARGET_OCCUPIED),
        (None, Result.NOT_MOVED, Fault.SILENT),
    ],
)
async def test_the_shutter_opens_to_an_empty_path_only(
    seen: Observation | None, result: Result, fault: Fault | None
) -> None:
    """A silent unit may have a card in its path, and hear the next order."""
    recycler = Recycler(seen)
    parts: dict[str, Any] = dict.fromkeys(signature(Moving).parameters.keys() - {"motions"})
    event = await Moving(motions=cast(Any, recycler), **parts).move(Move(Motion.OPEN), Journey())
    assert (event.outcome.result, event.outcome.fault) == (result, fault)
    assert recycler.made == ([Motion.OPEN] if result is Result.DONE else [])
