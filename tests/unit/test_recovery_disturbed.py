"""When the machine tries by itself to bring a unit to rest, and when it waits for staff."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from lockerd.errors import DeviceError
from lockerd.journey.recovery import Recovery
from lockerd.model.custody import Fault, Observation, Order, Outcome, Place, Result, Sensor, Unit
from lockerd.motions import Made

HOMED = Observation(Unit.DISPENSER, 1, False, False, None, None, frozenset({Sensor.HOME}), None, 0, 0, 0)


@dataclass
class Units:
    """Both units as they were last heard; a RESET clears the dispenser's fault unless it is `jammed`."""

    dispenser: Observation | None = HOMED
    recycler: Observation | None = field(default_factory=lambda: replace(HOMED, unit=Unit.RECYCLER))
    jammed: bool = False
    made: list[str] = field(default_factory=list)

    def last(self, unit: Unit) -> Observation | None:
        return self.dispenser if unit is Unit.DISPENSER else self.recycler

    async def observe(self, unit: Unit) -> Observation:
        seen = self.last(unit)
        if seen is None:
            raise DeviceError(unit, "silent")
        return seen

    async def make(self, order: Order, **_: object) -> Made:
        self.made.append(order.motion)
        if not self.jammed and self.dispenser is not None:
            self.dispenser = replace(self.dispenser, fault=None, interrupted=False, sensors=frozenset({Sensor.HOME}))
        return Made(Outcome(Result.DONE, None, self.dispenser), None)


class NoCards:
    """A database in which no card is on its way."""

    async def transaction(self, _work: Callable[[Any], Any]) -> list[object]:
        return []


def recovery(units: Units) -> Recovery:
    parts: dict[str, Any] = dict.fromkeys(("vault", "units", "readers", "stamp", "resuming", "stocking"))
    return Recovery(db=cast(Any, NoCards()), motions=cast(Any, units), **parts)


DISTURBED = {
    "fault": replace(HOMED, fault=Fault.JAM),
    "interrupted": replace(HOMED, interrupted=True, boot_id=2),
    "not homed": replace(HOMED, sensors=frozenset(), boot_id=2),
    "card in the path": replace(HOMED, place=Place.TRANSPORT),
}


@pytest.mark.parametrize("name", DISTURBED)
def test_a_unit_that_is_not_at_rest_disturbs(name: str) -> None:
    assert recovery(Units(DISTURBED[name])).disturbed()


@pytest.mark.parametrize("seen", [HOMED, None], ids=["at rest", "silent"])
def test_a_unit_at_rest_or_silent_does_not(seen: Observation | None) -> None:
    assert not recovery(Units(seen)).disturbed()


async def test_what_a_reset_clears_is_cleared_by_itself() -> None:
    units = Units(DISTURBED["interrupted"])
    one = recovery(units)
    await one.bring_to_rest()
    assert units.made == ["reset"]
    assert one.fit
    assert not one.disturbed()


async def test_a_jam_is_tried_once_and_then_waits_for_staff_or_a_new_boot() -> None:
    units = Units(DISTURBED["fault"], jammed=True)
    one = recovery(units)
    await one.bring_to_rest()
    assert units.made == ["reset"]
    assert not one.fit
    assert not one.disturbed(), "the same jam is not tried again by itself"
    units.dispenser = replace(DISTURBED["fault"], boot_id=2)
    assert one.disturbed()


async def test_a_silent_recycler_is_left_alone_and_settled_when_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockerd.journey.recovery.BOOT_SECONDS", 0.0)
    units = Units(recycler=None)
    one = recovery(units)
    await one.bring_to_rest()
    assert one.fit, "cards can be handed out without it"
    assert one.unsettled == {Unit.RECYCLER}
    assert not one.disturbed(), "it is still silent"
    units.recycler = replace(HOMED, unit=Unit.RECYCLER)
    assert one.disturbed(), "at rest as it is, nobody knows yet what became of its cards"
    await one.bring_to_rest()
    assert not one.unsettled
    assert not one.disturbed()


async def test_a_recycler_that_never_ends_its_motion_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockerd.journey.recovery.BUSY_SECONDS", 0.0)
    units = Units(recycler=replace(HOMED, unit=Unit.RECYCLER, busy=True))
    one = recovery(units)
    await one.bring_to_rest()
    assert one.fit
    assert one.unsettled == {Unit.RECYCLER}
