"""What the machine sees and knows of the world beside its wires: faces before the camera, and the time of day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto

from sim.assembly import Machine
from sim.soak.seams import Seams
from sim.virtual_time import VirtualLoop

_LOOK_SECONDS = 2.0
_MATCH_SECONDS = 1.5


class Clock:
    """Wall time: a date, virtual time since, and what somebody set it wrong by."""

    def __init__(self, loop: VirtualLoop, began: float) -> None:
        self._loop = loop
        self._began = began
        self.ahead = 0.0

    def now(self) -> float:
        """UTC seconds, as the machine believes."""
        return self._began + self._loop.time() + self.ahead

    def true(self) -> float:
        """UTC seconds."""
        return self._began + self._loop.time()


class Sight(Enum):
    """What the camera made of it."""

    SAME = auto()
    OTHER = auto()
    NOBODY = auto()
    GONE = auto()  # no picture


async def recognised(
    machine: Machine, seams: Seams, known: bytes, timeout: float, prompt: Callable[[bool], None]
) -> Sight:
    """Whether the one face that stands still before the camera within `timeout` seconds is the `known` one.

    `known` is the number of a face in ASCII. `prompt` is told once that nobody (False) or several people (True) are there.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    told = False
    while loop.time() < end:
        await seams.cross()
        scene = machine.scene()
        if scene is None:
            return Sight.GONE
        if scene.person is not None and scene.beside is None:
            await asyncio.sleep(_MATCH_SECONDS)
            return Sight.SAME if str(scene.person).encode() == known else Sight.OTHER
        if not told:
            prompt(scene.beside is not None)
            told = True
        await asyncio.sleep(_LOOK_SECONDS)
    return Sight.NOBODY
