"""What a unit said a moment ago need not be asked again where nothing can have changed since."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import Any

import pytest

from lockerd.errors import DeviceError
from lockerd.journey.watching import Watching
from lockerd.model.custody import Observation, Unit
from lockerd.model.polling import LATELY_SECONDS
from lockerd.motions import Motions
from lockerd.pickup.state import Event, ExitCleared
from lockerd.store.journal import Stamp
from sim.virtual_time import run


class Carousel:
    """A dispenser that counts how often it is looked at; silent on demand."""

    capacity = 5

    def __init__(self) -> None:
        self.looks = 0
        self.silent = False

    async def observe(self) -> Observation:
        self.looks += 1
        if self.silent:
            raise DeviceError("dispenser", "no answer")
        return Observation(
            unit=Unit.DISPENSER,
            boot_id=1,
            busy=False,
            interrupted=False,
            place=None,
            slot=None,
            sensors=frozenset(),
            fault=None,
            dispensed=self.looks,
            retained=0,
            bin_count=0,
        )


def test_what_was_said_lately_is_not_asked_again() -> None:
    async def story() -> None:
        unit: Any = Carousel()
        nothing: Any = None
        motions = Motions(nothing, {Unit.DISPENSER: unit}, lambda: Stamp(0.0, 0.0, ""))
        assert (await motions.lately(Unit.DISPENSER)).dispensed == 1
        await asyncio.sleep(LATELY_SECONDS)
        assert (await motions.lately(Unit.DISPENSER)).dispensed == 1
        assert (await motions.observe(Unit.DISPENSER)).dispensed == 2
        await asyncio.sleep(LATELY_SECONDS + 0.01)
        assert (await motions.lately(Unit.DISPENSER)).dispensed == 3
        unit.silent = True
        with pytest.raises(DeviceError):
            await motions.observe(Unit.DISPENSER)
        with pytest.raises(DeviceError):
            await motions.lately(Unit.DISPENSER)

    run(story())


def test_a_hand_is_looked_for_first_in_what_the_motion_ended_with() -> None:
    async def story() -> None:
        unit: Any = Carousel()
        nothing: Any = None
        motions = Motions(nothing, {Unit.DISPENSER: unit}, lambda: Stamp(0.0, 0.0, ""))
        parts: dict[str, Any] = dict.fromkeys(field.name for field in fields(Watching))
        watching = Watching(**parts | {"motions": motions, "watched": 0.5})
        posted: list[Event] = []
        await motions.observe(Unit.DISPENSER)
        await watching.exit_cleared(0, posted.append)
        assert (unit.looks, len(posted)) == (1, 1), "the hand was quicker than the watch"
        began = asyncio.get_running_loop().time()
        await watching.exit_cleared(1, posted.append)
        assert (unit.looks, asyncio.get_running_loop().time() - began) == (2, 0.5)
        assert posted == [ExitCleared(), ExitCleared()]

    run(story())
