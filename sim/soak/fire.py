"""Faults by seed: what breaks, when, and for how long."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from random import Random

from firmware_protocol.units import UnitKind
from sim.assembly import CAMERA, MODULE, READERS
from sim.soak.checker import Checker
from sim.soak.item import FAULT, Item
from sim.soak.script import Script, until
from sim.soak.stage import Stage
from sim.soak.town import SMS_DELAY
from sim.world import Impossible, Place

_MOTIONS = {
    "dispenser": ("reset", "align", "load", "store", "pick", "present", "retract", "capture", "reject"),
    "recycler": ("reset", "open", "close", "accept", "return", "retain"),
}
_SENSORS = {
    "dispenser": ("transport", "exit", "slot", "load", "home", "retract_full", "gate_open"),
    "recycler": ("throat", "escrow", "home", "bin_full", "shutter_open"),
}
_SOON, _OFTEN = 300.0, 0.25
_LONG_DAYS = 120.0  # on average between two long cuts
_LONG = ((13 * 3600.0, 36 * 3600.0), (36 * 3600.0, 21 * 86400.0))  # seconds; the second is rarer
_UNITS = {"dispenser": UnitKind.DISPENSER, "recycler": UnitKind.RECYCLER}


class Fire:
    """Breaks things of a stage at random times, `a_day` on average, or as the script has it; `counts` tells how often what.

    `only` names the kinds that happen, by a space; empty for all.
    """

    def __init__(self, stage: Stage, seed: int, checker: Checker, a_day: float, script: Script, only: str = "") -> None:
        self._stage = stage
        self._seed = seed
        self._schedule = Random(f"{seed}:fire")
        self._random = self._schedule
        self._checker = checker
        self._a_day = a_day
        self._script = script
        self._bought = (MODULE,) if stage.machine.module is not None else ()
        self.counts: dict[str, int] = {}
        self.total = 0
        self._kinds: dict[str, tuple[Callable[[], None], int]] = {
            "power": (self._power, 6),
            "power_midway": (self._power_soon, 10),
            "power_in_commit": (self._power_in_commit, 5),
            "kill_midway": (self._kill_soon, 8),
            "unit_midway": (self._unit_soon, 5),
            "jam": (self._jam, 10),
            "noise": (self._noise, 6),
            "silence": (self._silence, 6),
            "silence_midway": (self._silence_soon, 4),
            "silence_offered": (self._silence_offered, 2),
            "stick": (self._stick, 3),
            "disk": (self._disk, 3),
            "clock": (self._clock, 2),
            "office": (self._office, 3),
            "sms": (self._sms, 3),
            "swap": (self._swap, 1),
            "power_long": (self._power_long, 0),  # drawn apart
        }
        self._drawn = only.split() or list(self._kinds)

    async def run(self) -> None:
        """Burn until cancelled."""
        kept = self._script.kept(FAULT)
        if kept is not None:
            for item in kept:
                await until(item.at)
                self._play(item)
            return
        if not self._a_day:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._burn())
            if "power_long" in self._drawn:
                group.create_task(self._darken())

    async def _burn(self) -> None:
        weights = [self._kinds[kind][1] for kind in self._drawn]
        while any(weights):
            await asyncio.sleep(self._schedule.expovariate(self._a_day / 86400.0))
            (kind,) = self._schedule.choices(self._drawn, weights)
            self._play(Item(asyncio.get_running_loop().time(), kind, self.total + 1))

    async def _darken(self) -> None:
        """However many the other faults of a day are: a machine that is dark half of its life is not looked at."""
        schedule = Random(f"{self._seed}:long")
        while True:
            await asyncio.sleep(schedule.expovariate(1 / (_LONG_DAYS * 86400.0)))
            self._play(Item(asyncio.get_running_loop().time(), "power_long", self.total + 1))

    def put_out(self) -> None:
        """What burns on by itself ends."""
        daemon = self._stage.daemon
        daemon.seams.calm()
        daemon.noise.rate = 0.0
        daemon.disk.full = False
        daemon.disk.next.clear()
        self._stage.office.absent_until = float("-inf")

    def _play(self, item: Item) -> None:
        self.total += 1
        self._script.played.append(item)
        self._random = item.random(self._seed)
        self._kinds[item.kind][0]()

    def _note(self, kind: str, what: str, *, told: str = "") -> None:
        """One fault more of a kind; `told` are the parts of the line that are not counted apart."""
        kind = f"{kind} {what}".strip()
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self._checker.note(f"FAULT {kind} {told}".strip())
        self._checker.doubts.disturbed()

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, act)

    # --- power -------------------------------------------------------------------------------------------------------

    def _power(self) -> None:
        """The mains, at any time of day."""
        self._cut("idle", self._absence())

    def _absence(self) -> float:
        return self._random.choice((self._random.uniform(2, 30), self._random.uniform(30, 1200)))

    def _cut(self, when: str, seconds: float) -> None:
        if not self._stage.machine.world.powered:
            return
        self._note("power cut", when, told=f"for {seconds:.0f} s")
        self._stage.power_off()
        self._later(seconds, self._stage.power_on)

    def _power_soon(self) -> None:
        """The mains, in the middle of something: some crossings after the next motion was ordered."""
        seconds = self._absence()
        self._soon(lambda: self._cut("in the middle", seconds))

    def _power_long(self) -> None:
        """The mains, in the middle of something, for longer than personal data is kept, at times longer than history is."""
        seconds = self._random.uniform(*self._random.choices(_LONG, (4, 1))[0])
        self._soon(lambda: self._cut("for long", seconds))

    def _power_in_commit(self) -> None:
        """The mains, in the middle of a commit: what it wrote is on the disk already, or not yet."""
        durable = self._random.random() < 0.5
        seconds = self._absence()
        when = f"in a commit, {'after' if durable else 'before'} its sync"
        self._stage.daemon.seams.cut_in_commit(
            self._random.randrange(1, 30), lambda: self._cut(when, seconds), durable=durable
        )

    def _kill_soon(self) -> None:
        """The daemon alone, in the middle of something; the units go on."""
        seconds = self._random.uniform(0.5, 5.0)

        def kill() -> None:
            self._note("daemon killed", "")
            self._stage.daemon.stop()
            self._later(seconds, self._stage.daemon.start)

        self._soon(kill)

    def _unit_soon(self) -> None:
        """One unit, or a bought module alone, loses its power, in the middle of something, and boots again."""
        machine = self._stage.machine
        name = self._random.choice((*sorted(_UNITS), *self._bought))
        seconds, boot = self._random.uniform(1, 20), self._random.randrange(1, 2**32)

        def back() -> None:
            if not machine.world.powered:
                return
            if name in _UNITS:
                machine.firmware[_UNITS[name]].power_on(boot)
            elif machine.module is not None and not machine.module.powered:
                machine.module.power_on()

        def off() -> None:
            part = machine.firmware[_UNITS[name]] if name in _UNITS else machine.module
            if part is not None and part.powered:
                self._note("unit without power", name, told=f"for {seconds:.0f} s")
                part.power_off()
                self._later(seconds, back)

        self._soon(off)

    def _soon(self, act: Callable[[], None]) -> None:
        self._stage.daemon.seams.cut_after_motion(self._random.randrange(1, self._random.choice((12, 120, 1200))), act)

    # --- mechanics, lines, sensors -----------------------------------------------------------------------------------

    def _jam(self) -> None:
        unit = self._random.choice(sorted(_MOTIONS))
        motion = self._random.choice(_MOTIONS[unit])
        self._note("jam", f"{unit} {motion}")
        self._stage.machine.units[unit].jam(motion)

    def _noise(self) -> None:
        noise = self._stage.daemon.noise
        noise.rate = self._random.choice((0.01, 0.05, 0.2))
        seconds = self._random.uniform(60, 1800)
        self._note("noise", "", told=f"{noise.rate} for {seconds:.0f} s")

        def end() -> None:
            noise.rate = 0.0

        self._later(seconds, end)

    def _silence(self) -> None:
        part = self._random.choice(("dispenser", "recycler", "cabinet", *READERS, CAMERA, *self._bought))
        seconds = self._random.choice((self._random.uniform(1, 20), self._random.uniform(20, 900)))
        self._note("silence", part, told=f"for {seconds:.0f} s")
        self._stage.machine.silence(part, seconds)

    def _silence_soon(self) -> None:
        """A line breaks in the middle of something, often for longer than a motion is waited for."""
        part = self._random.choice((*sorted(_UNITS), *READERS, *self._bought))
        seconds = self._random.uniform(1, 90)

        def silent() -> None:
            self._note("silence in the middle", part, told=f"for {seconds:.0f} s")
            self._stage.machine.silence(part, seconds)

        self._soon(silent)

    def _silence_offered(self) -> None:
        """The dispenser's line breaks when it matters most: as the next card is held for a hand, if one is soon."""
        seconds = self._random.choice((self._random.uniform(1, 90), self._random.uniform(90, 600)))
        after = self._random.choice((0.0, self._random.uniform(0, 3)))
        loop = asyncio.get_running_loop()
        until = loop.time() + _SOON

        def silent() -> None:
            self._note("silence while a card is offered", "", told=f"for {seconds:.0f} s")
            self._stage.machine.silence("dispenser", seconds)

        def look() -> None:
            if self._stage.machine.world.spots.at(Place.EXIT):
                self._later(after, silent)
            elif loop.time() < until:
                self._later(_OFTEN, look)

        look()

    def _stick(self) -> None:
        unit = self._random.choice(sorted(_SENSORS))
        sensor = self._random.choice(_SENSORS[unit])
        level = self._random.random() < 0.5
        seconds = self._random.uniform(10, 1200)
        lies = self._stage.machine.sees(unit, sensor) is not level
        told = f"at {level} for {seconds:.0f} s"
        self._note("sensor lies" if lies else "sensor stuck", f"{unit} {sensor}", told=told)
        self._stage.machine.units[unit].stick(sensor, level)
        self._checker.moved()

        def end() -> None:
            self._stage.machine.units[unit].stick(sensor, None)

        self._later(seconds, end)

    # --- disk, clock, the others -------------------------------------------------------------------------------------

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
        self._checker.remedies.clock_jumped()
        self._stage.clock.ahead += seconds
        self._later(self._random.uniform(60, 3600), lambda: setattr(self._stage.clock, "ahead", 0.0))

    def _office(self) -> None:
        seconds = self._random.uniform(60, 36000)
        self._note("office", "absent", told=f"for {seconds:.0f} s")
        self._stage.office.absent_until = asyncio.get_running_loop().time() + seconds

    def _sms(self) -> None:
        seconds = self._random.uniform(60, 7200)
        if self._random.random() < 0.5:
            self._note("sms", "no network", told=f"for {seconds:.0f} s")
            self._stage.town.sms_until = asyncio.get_running_loop().time() + seconds
            return
        self._note("sms", "late", told=f"by up to {seconds:.0f} s")
        self._stage.town.sms_delay = (60.0, seconds)
        self._later(seconds, lambda: setattr(self._stage.town, "sms_delay", SMS_DELAY))

    def _swap(self) -> None:
        """Somebody with a key exchanges two cards."""
        world = self._stage.machine.world
        full = [spot.slot for spot in world.spots.values() if spot.place is Place.SLOT and spot.slot is not None]
        if len(full) < 2 or self._stage.machine.moves():
            return
        a, b = self._random.sample(sorted(full), 2)
        self._note("wrong card in a slot", "", told=f"{a} and {b} exchanged")
        with suppress(Impossible):
            self._checker.tainted(world.card_in_slot(a), world.card_in_slot(b))
            world.swap_slots(a, b)
            self._stage.machine.changed()
