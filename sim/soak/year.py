"""One seed: so many simulated days of one machine under fire, and what became of them."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from sim.soak.auditor import Auditor
from sim.soak.broken import last_lines, named, whose
from sim.soak.checker import Checker
from sim.soak.citizens import HONEST, QUICK, SLOW, Temper, Visit
from sim.soak.custody import Custody
from sim.soak.fire import Fire
from sim.soak.item import CUSTODY, VISIT, Item
from sim.soak.months import Month, Months, told
from sim.soak.script import Script, until
from sim.soak.setting import CROWDS, DAY, TEMPERS, WITH_ANOTHERS, Setting
from sim.soak.staff import Staff
from sim.soak.stage import Stage, quiet, staged
from sim.soak.standstill import Standstill
from sim.virtual_time import run
from sim.world import Impossible, Place

DATABASE = "lockerd.db"
ROUND_SECONDS = DAY
CLOSING_LOOKS, CLOSING_SECONDS = 12, 600.0
OUT_OF_SERVICE_SECONDS = 1800.0
AGAIN_SECONDS = 4 * 3600.0
_TRIES = 8  # to draw somebody who has a reason to come, before all are looked at
_FULL_EVERY = 4  # visits; each move and each event is compared when it is written
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # a disk would sync for ever


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one seed. `violation` is (minute, what) of the first, None where there is none."""

    seed: int
    days: float
    dispenser: str
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
    script: tuple[Item, ...]
    months: tuple[Month, ...] = ()
    seconds: float = field(default=0.0, compare=False)  # by the clock
    cpu_seconds: float = field(default=0.0, compare=False)  # the auditor's included


class Year:
    """Plays one seed on a stage."""

    def __init__(self, stage: Stage, seed: int, setting: Setting, checker: Checker, script: Script) -> None:
        self._stage = stage
        self._seed = seed
        self._setting = setting
        self._checker = checker
        self._script = script
        self._schedule = Random(f"{seed}:visits")
        self._staff = Staff(stage, Random(f"{seed}:staff"), checker)
        self.custody = Custody(stage, checker, self._staff)
        self._standstill = Standstill(asyncio.get_running_loop().time, checker.wrong)
        self.fire = Fire(stage, seed, checker, setting.faults, script, setting.only)
        self.pickups = 0
        self.counts: dict[str, int] = {}
        self._floor = asyncio.Lock()
        self._came: dict[str, float] = {}
        self._visited = 0

    async def run(self, end: float) -> None:
        """Until that virtual second, or the first violation."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._staff_life()),
                group.create_task(self._visits()),
                group.create_task(self._on_call()),
                group.create_task(self._custody()),
                group.create_task(self.fire.run()),
            ]
            with suppress(TimeoutError):
                async with asyncio.timeout_at(end):
                    await self._checker.violated.wait()
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        """No fault burns any more: the office hears of everything, and all ledgers are compared once more."""
        checker = self._checker
        for _ in range(CLOSING_LOOKS):
            self.fire.put_out()
            self._stage.power_on()
            self._staff.mend()
            await self._staff.settle()
            seen, checker.full_wanted = checker.full_checks, True
            self._stage.office.announce(
                {"claim_id": "last"}
            )  # makes the daemon write once more, so that the checker looks
            await asyncio.sleep(CLOSING_SECONDS)
            if checker.violations or (checker.full_checks > seen and not checker.untold and not checker.office.news):
                return
        checker.wrong(
            f"{CLOSING_LOOKS * CLOSING_SECONDS / 60:.0f} minutes after the last fault the ledgers do not come to rest"
        )

    async def _staff_life(self) -> None:
        await asyncio.sleep(30.0)
        town = self._stage.town
        while True:
            waiting = sum(not one.collected for one in town.residents.values())
            for _ in range(max(int(self._setting.visits * 2) - waiting, 0)):
                town.announce()
            await asyncio.sleep(600.0)
            async with self._floor:
                self._count("staff bring cards")
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
                    self._count("staff are called")
                    self._staff.mend()
                    await self._staff.settle()
                still = 0.0

    async def _custody(self) -> None:
        """Two of the staff look at what only people can end."""
        kept = self._script.kept(CUSTODY)
        schedule = Random(f"{self._seed}:custody")
        for number in itertools.count():
            if kept is None:
                await asyncio.sleep(schedule.expovariate(self._setting.custody / DAY))
            elif number < len(kept):
                await until(kept[number].at)
            else:
                return
            async with self._floor:
                item = kept[number] if kept is not None else Item(asyncio.get_running_loop().time(), CUSTODY, number)
                self._script.played.append(item)
                self._count("two of the staff come")
                await self.custody.visit(item.random(self._seed))
            self._checker.full_wanted = True

    async def _visits(self) -> None:
        kept = self._script.kept(VISIT)
        if kept is not None:
            for item in kept:
                await until(item.at)
                async with self._floor:
                    await self._visit(item)
            return
        number = 0
        while True:
            await asyncio.sleep(self._schedule.expovariate(self._setting.visits / DAY))
            async with self._floor:
                drawn = self._drawn(number)
                if drawn is not None:
                    number += 1
                    await self._visit(drawn)

    def _drawn(self, number: int) -> Item | None:
        """Who comes now, and how; None when nobody has a reason to."""
        now = asyncio.get_running_loop().time()
        people = self._stage.town.residents
        random = Random(f"{self._seed}:visitor:{number}")
        everybody = list(people)
        tries = (random.choice(everybody) for _ in range(_TRIES if everybody else 0))
        who = next((one for one in tries if self._may_come(one, now)), "")
        if not who:
            ready = [one for one in everybody if self._may_come(one, now)]
            if not ready:
                return None
            who = random.choice(ready)
        crowd = CROWDS[self._setting.crowd]
        (how,) = random.choices(list(crowd), list(crowd.values()))
        others = [person for person in people if person != who] if how in WITH_ANOTHERS else []
        return Item(now, VISIT, number, who, how, random.choice(others) if others else "")

    def _may_come(self, person: str, now: float) -> bool:
        one = self._stage.town.residents[person]
        return (
            not one.collected and one.code is not None and now - self._came.get(person, -AGAIN_SECONDS) >= AGAIN_SECONDS
        )

    async def _visit(self, item: Item) -> None:
        resident = self._stage.town.residents.get(item.who)
        if resident is None or resident.collected:  # as it may be where other items are left out
            return
        self._script.played.append(item)
        temper = self._temper(item)
        self._count(f"visit {temper.name}")
        random = item.random(self._seed)
        visit = Visit(self._stage, resident, temper, random, self._checker)
        await visit.run()
        self._came[item.who] = asyncio.get_running_loop().time()
        self.pickups += visit.took
        right, faults = temper in (HONEST, QUICK, SLOW), sum(self.fire.counts.values())
        dark = not self._stage.machine.world.powered
        self._standstill.visited(resident.who.kind, took=visit.took, right=right, faults=faults, dark=dark)
        if not visit.took:
            self._stage.office.asked_for_code(resident.who.new_card.card_id)
        self._visited += 1
        if self._visited % _FULL_EVERY == 0:
            self._checker.full_wanted = True
        await asyncio.sleep(random.uniform(5.0, 60.0))

    def _temper(self, item: Item) -> Temper:
        other = self._stage.town.residents.get(item.other)
        card = (other.who.old_card or other.who.lost_card) if other else None
        match item.how:
            case "impostor" if other is not None:
                return Temper("impostor", face=item.other)
            case "with a foreign card" if card is not None and self._in_hand(card.card_id):
                return Temper("with a foreign card", instead=card.card_id)
        return TEMPERS.get(item.how, HONEST)

    def _in_hand(self, card: str) -> bool:
        return self._stage.machine.world.spots[card].place is Place.PERSON

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def _forget(self) -> None:
        """People whose story is over leave it."""
        for one in list(self._stage.town.residents.values()):
            if one.collected:
                try:
                    self._stage.town.leave(one)
                except Impossible:
                    continue
                self._came.pop(one.who.person_id, None)
                old = one.who.old_card or one.who.lost_card
                self._checker.forget(one.who.person_id, one.who.new_card.card_id, *([old.card_id] if old else []))


class _Run:
    """What is known of one run at any moment, also when it breaks off."""

    def __init__(self, seed: int, setting: Setting, script: Script, echo: Callable[[str], None] | None) -> None:
        self.seed = seed
        self.setting = setting
        self.script = script
        self.checker = Checker(lambda: asyncio.get_running_loop().time())
        self.checker.echo = echo
        self.stage: Stage | None = None
        self.year: Year | None = None
        self.months: list[Month] = []
        self._auditor: Auditor | None = None
        self.broken: BaseException | None = None
        self._began = time.perf_counter(), _cpu_seconds()

    def breaks(self, error: BaseException) -> None:
        """An exception that nobody expected ends the run; only the first counts."""
        if self.broken is None:
            self.broken = error
            self.checker.broke(f"{whose(error)} broke off: {named(error)}", last_lines(error))

    async def play(self, folder: Path, end: float) -> None:
        """To its end."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_loop)
        checker = self.checker
        bought = self.setting.dispenser_of(self.seed) == "crt"
        async with staged(folder, self.seed, slots=self.setting.slots, witness=checker, bought=bought) as self.stage:
            stage = self.stage
            stage.daemon.on_broken = self.breaks
            checker.attend(stage)
            self.year = Year(stage, self.seed, self.setting, checker, self.script)
            auditor = self._auditor = Auditor(folder / DATABASE, checker.found)
            months = Months(folder / DATABASE, self._month)
            self.months = months.months
            measuring = asyncio.create_task(months.run())
            await self.year.run(end)
            if not checker.violations:
                await self.year.close()
            auditor.end()
            if not checker.violations:
                auditor.begin(loop.time())
                auditor.end()
            measuring.cancel()
            for text in stage.office.wrong:
                checker.wrong(text)

    def _month(self, number: int, month: Month) -> None:
        print(told(self.seed, number, month), file=sys.stderr, flush=True)
        if self._auditor is not None:
            self._auditor.end()
            self._auditor.begin(asyncio.get_running_loop().time())

    def clear_up(self) -> None:
        """Leave no process behind, however the run ended."""
        if self._auditor is not None:
            self._auditor.give_up()

    def _on_loop(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback failed; a task that was given up before anybody asked how it ended is none of it."""
        if "handle" in context and isinstance(context.get("exception"), BaseException):
            self.breaks(context["exception"])

    def report(self) -> Report:
        """What became of it."""
        checker, daemon = self.checker, self.stage.daemon if self.stage else None
        first = checker.violations[0] if checker.violations else None
        kinds = [checker.decisions.counts]
        kinds += [self.year.fire.counts, self.year.counts, self.year.custody.counts] if self.year else []
        kinds += [daemon.noise.counts] if daemon else []
        return Report(
            seed=self.seed,
            days=self.setting.days,
            dispenser=self.setting.dispenser_of(self.seed),
            pickups=self.year.pickups if self.year else 0,
            faults=self.year.fire.total if self.year else 0,
            trace=checker.trace,
            peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            violation=(int(first[0] // 60), first[1]) if first else None,
            counts=dict(sorted((kind, count) for counts in kinds for kind, count in counts.items())),
            starts=daemon.starts if daemon else 0,
            full_checks=checker.full_checks,
            failures=daemon.failures if daemon else [],
            story=tuple(checker.story),
            script=tuple(self.script.played) if first else (),
            months=tuple(self.months),
            seconds=round(time.perf_counter() - self._began[0], 1),
            cpu_seconds=round(_cpu_seconds() - self._began[1], 1),
        )


def _cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def unplayed(seed: int, setting: Setting, why: str) -> Report:
    """The report of a seed whose process died."""
    return Report(seed, setting.days, setting.dispenser_of(seed), 0, 0, "", 0.0, (0, why), {}, 0, 0, [], (), ())


def play(
    seed: int,
    setting: Setting,
    *,
    end: float | None = None,
    echo: Callable[[str], None] | None = None,
    kept: Sequence[Item] | None = None,
) -> Report:
    """Play one seed to its end, to `end` (virtual seconds) or to the first violation.

    `echo` gets every line of the story; with `kept` only those visits and faults happen. Whatever is raised meanwhile, by the
    simulation or by the daemon, is told as this seed's violation.
    """
    one = _Run(seed, setting, Script(kept), echo)
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None))
    thresholds = gc.get_threshold()
    gc.collect()  # else what the last seed left is frozen with the rest
    gc.freeze()  # what was imported is not looked through again and again
    gc.set_threshold(20_000, *thresholds[1:])
    try:
        with quiet():
            run(one.play(folder, setting.days * DAY if end is None else end))
    except Exception as error:  # whatever it is: the other seeds go on
        one.breaks(error)
    finally:
        one.clear_up()
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        shutil.rmtree(folder, ignore_errors=True)
    return one.report()
