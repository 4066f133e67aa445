"""One seed: so many simulated days of one machine under fire, and what became of them."""

from __future__ import annotations

import asyncio
import resource
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sim.soak.checker import Checker
from sim.soak.citizens import CONFUSED, HONEST, SLOW, Temper, Visit
from sim.soak.fire import Fire
from sim.soak.harness import quiet
from sim.soak.staff import Staff
from sim.soak.stage import Stage, staged
from sim.soak.town import Resident
from sim.virtual_time import run
from sim.world import Impossible, Place

DAY = 86400.0
ROUND_SECONDS = DAY
OUT_OF_SERVICE_SECONDS = 1800.0
AGAIN_SECONDS = 4 * 3600.0
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # a disk would sync for ever


@dataclass(frozen=True, slots=True)
class Setting:
    """What is simulated. `visits` and `faults` are a day's average."""

    days: float
    slots: int = 300
    visits: float = 20.0
    faults: float = 12.0


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one seed. `violation` is (minute, what) of the first, None where there is none."""

    seed: int
    days: float
    pickups: int
    faults: int
    trace: str
    peak_rss_mb: float
    violation: tuple[int, str] | None
    counts: dict[str, int]
    starts: int
    full_checks: int
    failures: list[str]
    story: tuple[str, ...]


class Year:
    """Plays one seed on a stage."""

    def __init__(self, stage: Stage, seed: int, setting: Setting, checker: Checker) -> None:
        self._stage = stage
        self._setting = setting
        self._checker = checker
        self._random = Random(f"{seed}:visits")
        self._staff = Staff(stage, Random(f"{seed}:staff"), checker)
        self.fire = Fire(stage, Random(f"{seed}:fire"), checker, setting.faults) if setting.faults else None
        self.pickups = 0
        self._floor = asyncio.Lock()
        self._came: dict[str, float] = {}

    async def run(self, until: float) -> None:
        """Until that virtual second, or the first violation."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._staff_life()),
                group.create_task(self._visits()),
                group.create_task(self._on_call()),
            ]
            if self.fire is not None:
                tasks.append(group.create_task(self.fire.run()))
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._checker.violated.wait()
            for task in tasks:
                task.cancel()

    async def _staff_life(self) -> None:
        await asyncio.sleep(30.0)
        town = self._stage.town
        while True:
            waiting = sum(not one.collected for one in town.residents.values())
            for _ in range(max(int(self._setting.visits * 2) - waiting, 0)):
                town.announce()
            await asyncio.sleep(600.0)
            async with self._floor:
                await self._staff.round()
            self._checker.full_wanted = True
            self._forget()
            await asyncio.sleep(ROUND_SECONDS / 2)

    async def _on_call(self) -> None:
        """Somebody comes when the machine stands still for too long."""
        still = 0.0
        while True:
            await asyncio.sleep(300.0)
            page = self._stage.daemon.page
            dark = self._stage.machine.world.powered and (page is None or page.screen == "out_of_service")
            still = still + 300.0 if dark else 0.0
            if still > OUT_OF_SERVICE_SECONDS:
                async with self._floor:
                    self._checker.note("staff are called")
                    self._staff.mend()
                    await self._staff.settle()
                still = 0.0

    async def _visits(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._random.expovariate(self._setting.visits / DAY))
            ready = [
                one
                for one in self._stage.town.residents.values()
                if not one.collected
                and one.code is not None
                and loop.time() - self._came.get(one.who.person_id, -AGAIN_SECONDS) >= AGAIN_SECONDS
            ]
            if not ready:
                continue
            resident = self._random.choice(ready)
            async with self._floor:
                await self._visit(resident)

    async def _visit(self, resident: Resident) -> None:
        temper = self._temper(resident)
        visit = Visit(self._stage, resident, temper, self._random, self._checker)
        await visit.run()
        self._came[resident.who.person_id] = asyncio.get_running_loop().time()
        self.pickups += visit.took
        self._checker.full_wanted = True
        await asyncio.sleep(self._random.uniform(5.0, 60.0))

    def _temper(self, resident: Resident) -> Temper:
        others = [one for one in self._stage.town.residents.values() if one is not resident]
        stranger = self._random.choice(others).who if others else None
        draw = self._random.random()
        if draw < 0.6 or stranger is None:
            return HONEST
        if draw < 0.75:
            return SLOW
        if draw < 0.92:
            return CONFUSED
        if draw < 0.96:
            return Temper("impostor", face=stranger.person_id)
        foreign = stranger.old_card
        if foreign is None or self._stage.machine.world.spots[foreign.card_id].place is not Place.PERSON:
            return HONEST
        return Temper("with a foreign card", instead=foreign.card_id)

    def _forget(self) -> None:
        """People whose story is over leave it."""
        for one in list(self._stage.town.residents.values()):
            if one.collected:
                try:
                    self._stage.town.leave(one)
                except Impossible:
                    continue
                self._came.pop(one.who.person_id, None)


async def _play(folder: Path, seed: int, setting: Setting, until: float, echo: Callable[[str], None] | None) -> Report:
    loop = asyncio.get_running_loop()
    checker = Checker(loop.time)
    checker.echo = echo
    async with staged(folder, seed, slots=setting.slots, witness=checker) as stage:
        checker.machine = stage.machine
        year = Year(stage, seed, setting, checker)
        await year.run(until)
        for text in stage.office.wrong:
            checker.wrong(text)
        first = checker.violations[0] if checker.violations else None
        return Report(
            seed=seed,
            days=setting.days,
            pickups=year.pickups,
            faults=year.fire.total if year.fire else 0,
            trace=checker.trace,
            peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            violation=(int(first[0] // 60), first[1]) if first else None,
            counts=dict(sorted(year.fire.counts.items())) if year.fire else {},
            starts=stage.daemon.starts,
            full_checks=checker.full_checks,
            failures=stage.daemon.failures,
            story=tuple(checker.story),
        )


def play(
    seed: int, setting: Setting, *, until: float | None = None, echo: Callable[[str], None] | None = None
) -> Report:
    """Play one seed to its end, to `until` (virtual seconds) or to the first violation. `echo` gets every line of the story."""
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None))
    try:
        with quiet():
            return run(_play(folder, seed, setting, setting.days * DAY if until is None else until, echo))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
