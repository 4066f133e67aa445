"""The lamp shows the place that was wanted last, and only a change of it is a command."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from lockerd.errors import DeviceError
from lockerd.journey.lights import Lights
from lockerd.model.climate import Climate
from lockerd.model.custody import CabinetObservation


@dataclass
class Cabinet:
    """Obeys one turn of the loop later; `silent` is how many commands get no answer."""

    told: list[tuple[str, ...]] = field(default_factory=list)
    silent: int = 0

    async def light(self, *names: str) -> None:
        self.told.append(names)
        await asyncio.sleep(0)
        if self.silent:
            self.silent -= 1
            raise DeviceError("cabinet", "no answer")

    async def observe(self) -> CabinetObservation:
        raise NotImplementedError

    async def set_climate(self, climate: Climate) -> None:
        raise NotImplementedError


async def followed(cabinet: Cabinet, *wanted: str | None) -> None:
    """Want one place after another, each as soon as the command before is on its way."""
    lights = Lights(cabinet)
    following = asyncio.ensure_future(lights.run())
    for name in wanted:
        lights.show(name)
        sent = len(cabinet.told)
        for _ in range(3):
            await asyncio.sleep(0)
            if len(cabinet.told) > sent:
                break
    for _ in range(5):
        await asyncio.sleep(0)
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following


async def test_the_same_place_is_not_lit_again() -> None:
    cabinet = Cabinet()
    await followed(cabinet, None, "throat", "throat", "throat", None, None)
    assert cabinet.told == [(), ("throat",), ()]


async def test_what_is_wanted_again_while_another_is_on_its_way_is_lit() -> None:
    cabinet = Cabinet()
    await followed(cabinet, "throat", "exit", "throat")
    assert cabinet.told == [("throat",), ("exit",), ("throat",)]


async def test_a_lamp_that_was_not_lit_is_tried_again_when_it_is_wanted_again() -> None:
    cabinet = Cabinet(silent=1)
    await followed(cabinet, "throat", None, "throat")
    assert cabinet.told[-1] == ("throat",)
