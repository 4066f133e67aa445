"""Faults by seed: what breaks, when, and for how long."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from random import Random

from sim.assembly import CAMERA, READERS
from sim.soak.checker import Checker
from sim.soak.stage import Stage
from sim.world import Impossible, Place

_MOTIONS = {
    "dispenser": ("reset", "align", "load", "store", "pick", "present", "retract", "capture", "reject"),
    "recycler": ("reset", "open", "close", "accept", "return", "retain"),
}
_SENSORS = {
    "dispenser": ("transport", "exit", "slot", "load", "home", "retract_full", "gate_open"),
    "recycler": ("throat", "escrow", "home", "bin_full", "shutter_open"),
}


class Fire:
    """Breaks things of a stage at random times, `a_day` on average; `counts` tells how often what."""

    def __init__(self, stage: Stage, random: Random, checker: Checker, a_day: float) -> None:
        self._stage = stage
        self._random = random
        self._checker = checker
        self._mean = 86400.0 / a_day
        self.counts: dict[str, int] = {}

    @property
    def total(self) -> int:
        """How many faults there were."""
        return sum(self.counts.values())

    async def run(self) -> None:
        """Burn until cancelled."""
        kinds: tuple[tuple[Callable[[], None], int], ...] = (
            (self._power, 6),
            (self._power_soon, 10),
            (self._kill_soon, 8),
            (self._jam, 10),
            (self._noise, 6),
            (self._silence, 6),
            (self._stick, 3),
            (self._disk, 3),
            (self._clock, 2),
            (self._office, 3),
            (self._network, 2),
            (self._swap, 1),
        )
        acts, weights = zip(*kinds, strict=True)
        while True:
            await asyncio.sleep(self._random.expovariate(1 / self._mean))
            (act,) = self._random.choices(acts, weights)
            act()

    def _note(self, kind: str, what: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self._checker.note(f"FAULT {kind} {what}")

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, act)

    def _power(self) -> None:
        """The mains, at any time of day."""
        if not self._stage.machine.world.powered:
            return
        seconds = self._random.choice((self._random.uniform(2, 30), self._random.uniform(30, 1200)))
        self._note("power", f"{seconds:.0f} s")
        self._stage.power_off()
        self._later(seconds, self._stage.power_on)

    def _power_soon(self) -> None:
        """The mains, in the middle of something: a few crossings after somebody came."""
        self._cut_soon("power_midway", self._power)

    def _kill_soon(self) -> None:
        """The daemon alone, in the middle of something; the units go on."""

        def kill() -> None:
            self._note("kill", "")
            self._stage.daemon.stop()
            self._later(self._random.uniform(0.5, 5.0), self._restart)

        self._cut_soon("kill_midway", kill)

    def _cut_soon(self, kind: str, act: Callable[[], None]) -> None:
        after = self._random.randrange(1, 1200)
        self._note(kind, f"{after} crossings from the next motion")
        self._stage.daemon.seams.cut_after_motion(after, act)

    def _restart(self) -> None:
        if self._stage.machine.world.powered:
            self._stage.daemon.start()

    def _jam(self) -> None:
        unit = self._random.choice(sorted(_MOTIONS))
        motion = self._random.choice(_MOTIONS[unit])
        self._note("jam", f"{unit} {motion}")
        self._stage.machine.units[unit].jam(motion)

    def _noise(self) -> None:
        noise = self._stage.daemon.noise
        noise.rate = self._random.choice((0.01, 0.05, 0.2))
        seconds = self._random.uniform(60, 1800)
        self._note("noise", f"{noise.rate} for {seconds:.0f} s")

        def end() -> None:
            noise.rate = 0.0

        self._later(seconds, end)

    def _silence(self) -> None:
        part = self._random.choice(("dispenser", "recycler", "cabinet", *READERS, CAMERA))
        seconds = self._random.choice((self._random.uniform(1, 20), self._random.uniform(20, 900)))
        self._note("silence", f"{part} {seconds:.0f} s")
        self._stage.machine.silence(part, seconds)

    def _stick(self) -> None:
        unit = self._random.choice(sorted(_SENSORS))
        sensor = self._random.choice(_SENSORS[unit])
        level = self._random.random() < 0.5
        seconds = self._random.uniform(10, 1200)
        self._note("stick", f"{unit} {sensor} {level} {seconds:.0f} s")
        self._checker.lying = True
        self._stage.machine.units[unit].stick(sensor, level)

        def end() -> None:
            self._stage.machine.units[unit].stick(sensor, None)
            self._checker.lying = bool(self._stage.machine.world.stuck)

        self._later(seconds, end)

    def _disk(self) -> None:
        disk = self._stage.daemon.disk
        match self._random.randrange(3):
            case 0:
                self._note("disk", "full")
                disk.full = True
                self._later(self._random.uniform(10, 600), lambda: setattr(disk, "full", False))
            case 1:
                self._note("disk", "error, commit lost")
                disk.next.append((sqlite3.SQLITE_IOERR, False))
            case _:
                self._note("disk", "error, commit durable")
                disk.next.append((sqlite3.SQLITE_IOERR, True))

    def _clock(self) -> None:
        seconds = self._random.choice((-7200.0, -60.0, 60.0, 86400.0))
        self._note("clock", f"{seconds:+.0f} s")
        self._stage.clock.ahead += seconds
        self._later(self._random.uniform(60, 3600), lambda: setattr(self._stage.clock, "ahead", 0.0))

    def _office(self) -> None:
        seconds = self._random.uniform(60, 36000)
        self._note("office", f"absent {seconds:.0f} s")
        self._stage.office.absent_until = asyncio.get_running_loop().time() + seconds

    def _network(self) -> None:
        seconds = self._random.uniform(60, 7200)
        self._note("sms", f"none {seconds:.0f} s")
        self._stage.town.sms_until = asyncio.get_running_loop().time() + seconds

    def _swap(self) -> None:
        """Somebody with a key exchanges two cards."""
        world = self._stage.machine.world
        full = [spot.slot for spot in world.spots.values() if spot.place is Place.SLOT and spot.slot is not None]
        if len(full) < 2 or any(unit.moving for unit in self._stage.machine.firmware.values()):
            return
        a, b = self._random.sample(sorted(full), 2)
        self._note("swap", f"{a} {b}")
        with suppress(Impossible):
            self._checker.tainted(world.card_in_slot(a), world.card_in_slot(b))
            world.swap_slots(a, b)
            self._stage.machine.changed()
