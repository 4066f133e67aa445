"""`python -m tests.crash.kills`: kill -9 the running daemon at random moments, on real wires, over a long history.

Rounds of a simulated machine (pseudo-terminals, every part a process of its own): staff load cards, citizens collect them, and
the daemon is killed again and again, also while it starts or recovers. After each round nothing may contradict: where the cards
really are, the daemon's ledger, the office's ledger. Exit status 1 otherwise. Printed is the time from exec to /readyz 200.

A round has a seed of its own, and is told as it ends. With `--state DIR` its result stays there, and the same command goes on
after the last one: a folder is of one commit. `--jobs J` plays J machines beside each other; they share nothing but the cores,
so the times to ready are those of a daemon with J - 1 neighbours.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from lockerd.store.verify import verify
from sim.clients import Impossible, Refused, TooLate, eventually
from sim.harness import STAFF_NAME, STAFF_PIN, Addresses, Harness, Setting, free_addresses
from sim.people import Citizen, population
from sim.processes import ProcessDied
from sim.robot import Body, Robot, Visit, newest_code
from tests.crash.history import KEY, tell_office, write
from tests.crash.truth import contradictions, doubts, hands, miscounted

PEOPLE = 6
KILLS_A_ROUND = 80
"""At most: whoever has not collected by then collects undisturbed."""
PORTS = 21_000
"""From here on, a hundred for each machine: below those that a kernel gives to whoever asks for any."""
AGE = 3600.0
"""Seconds between the end of the history and now."""
PATIENCE = 600.0
"""Seconds for what has to come right by itself once nobody is killed any more."""
WHILE_STARTING = 0.35
"""So often a daemon is killed before it is ready."""
LEFT_ALONE = 0.2
"""So often it lives long enough for a citizen to get on."""
TROUBLE = (Impossible, Refused, TooLate, ProcessDied, aiohttp.ClientError, TimeoutError, OSError)


@dataclass(slots=True)
class Tally:
    """What the rounds found. `ready` is seconds from exec to ready, `cpu` what daemon and face worker computed till then."""

    kills: int = 0
    while_starting: int = 0
    rounds: int = 0
    pickups: int = 0
    quarantined: int = 0
    ready: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take in another round."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)

    def summary(self, rows: int) -> dict[str, Any]:
        """The object of `--json`; times in seconds."""
        return {
            "kills": self.kills,
            "while_starting": self.while_starting,
            "rounds": self.rounds,
            "rows": rows,
            "pickups": self.pickups,
            "cards_in_doubt": self.quarantined,
            "starts_measured": len(self.ready),
            "ready_p50": _percentile(self.ready, 50),
            "ready_p99": _percentile(self.ready, 99),
            "ready_max": _percentile(self.ready, 100),
            "cpu_p50": _percentile(self.cpu, 50),
            "cpu_p99": _percentile(self.cpu, 99),
            "violations": len(self.wrong),
        }


def _percentile(values: Sequence[float], percent: int) -> float:
    """By nearest rank; 0 of nothing."""
    found = sorted(values)
    return round(found[max(-(-len(found) * percent // 100), 1) - 1], 3) if found else 0.0


class Round:
    """One machine from its stocking until everybody has a card; the daemon dies `kills` times meanwhile."""

    def __init__(self, harness: Harness, random: Random, people: Sequence[Citizen], tally: Tally, kills: int) -> None:
        self._harness = harness
        self._random = random
        self._people = people
        self._tally = tally
        self._kills = kills
        self._kiosk = harness.kiosk
        self._robot = Robot(self._kiosk, harness.world, Body(random, harness.setting.speed))
        self._served = asyncio.Event()

    async def run(self) -> None:
        """Play and kill; what is wrong at the end goes into the tally."""
        async with asyncio.TaskGroup() as group:
            follower = group.create_task(self._kiosk.follow())
            killer = group.create_task(self._killer())
            await self._stock()
            for person in self._people:
                await self._collect(person)
            self._served.set()
            await killer
            follower.cancel()
        await self._compare()

    # --- who plays

    async def _stock(self) -> None:
        """Staff bring all cards, again and again until each lies in a slot."""
        world, console = self._harness.world, self._harness.console
        mine = {one.new_card.card_id for one in self._people}
        deadline = time.monotonic() + PATIENCE
        while True:
            places = await self._places()
            if all(places[card] == "slot" for card in mine):
                return
            if time.monotonic() > deadline:
                raise TooLate(f"not everything is stocked: {places}")
            try:
                await console.login(STAFF_NAME, STAFF_PIN)
                if "reject_lane" in places.values():
                    await world.act("take_rejects")
                places = await self._places()
                tray = sorted(card for card in mine if places[card] == "tray")
                if tray:
                    await world.act("place_tray", cards=tray)
                await console.start_loading()
                while (await console.loading())["running"]:
                    await asyncio.sleep(0.1)
            except TROUBLE:
                await asyncio.sleep(0.2)

    async def _collect(self, person: Citizen) -> None:
        """Somebody comes until the new card is theirs and the old one stays."""
        code = await newest_code(self._harness.inbox, person.phone, PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while (places := await self._places())[person.new_card.card_id] != "person":
            if time.monotonic() > deadline:
                raise TooLate(f"{person.person_id} is not served: {places[person.new_card.card_id]}")
            old = person.old_card.card_id if person.old_card else None
            held = old if old is not None and places[old] == "person" else None
            with suppress(*TROUBLE):
                async with asyncio.timeout(60.0):
                    await self._robot.visit(Visit(person, person.person_id, (code,), held, (held,) if held else ()))
            with suppress(*TROUBLE):
                await self._harness.world.act("look", person=None)
                await self._harness.world.act("take_from_reader")
        self._tally.pickups += 1

    async def _places(self) -> dict[str, str]:
        return {card["card_id"]: card["place"] for card in (await self._harness.world.truth())["cards"]}

    # --- who kills

    async def _killer(self) -> None:
        for _ in range(self._kills):
            if self._served.is_set():
                break
            starting = asyncio.ensure_future(self._started())
            if self._random.random() < WHILE_STARTING:
                await asyncio.wait((starting,), timeout=self._random.uniform(0.0, 2.0))
                self._tally.while_starting += not starting.done()
            else:
                await starting
                alone = self._random.random() < LEFT_ALONE
                await asyncio.sleep(self._random.uniform(*((2.0, 8.0) if alone else (0.0, 2.0))))
            await self._harness.kill_lockerd()
            starting.cancel()
            await asyncio.wait((starting,))
            self._tally.kills += 1
        await self._started()

    async def _started(self) -> None:
        began = time.monotonic()
        await self._harness.start_lockerd()
        self._tally.ready.append(time.monotonic() - began)
        self._tally.cpu.append(_cpu_seconds(self._harness.lockerd_pid))

    # --- who compares

    async def _compare(self) -> None:
        harness, path = self._harness, self._harness.setting.database
        await asyncio.sleep(1.0)

        async def told() -> bool | None:
            last = _one(path, "SELECT value FROM meta WHERE key = 'last_seq'")
            return True if (await harness.office.ledger())["last_seq"] == last else None

        try:
            await eventually("the office told of all", PATIENCE, told)
        except TooLate as late:
            self._tally.wrong.append(str(late))
        truth = await harness.world.truth()
        await harness.stop_lockerd()
        office = await harness.office.ledger()
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            found = contradictions(truth, db) + hands(truth, self._people) + miscounted(truth)
            self._tally.quarantined += doubts(db)
        found += verify(path).wrong
        for person in self._people:
            found += _office_says(person, office)
        if office.get("poison"):
            found.append(f"{office['poison']} events that the office could not book")
        self._tally.wrong += found


def _office_says(person: Citizen, office: dict[str, Any]) -> list[str]:
    claim = person.new_card.card_id
    state = office["claims"].get(claim, {}).get("state")
    kept = office["old_cards"].get(claim)
    found = [] if state == "collected" else [f"{claim} is with its owner, for the office it is {state}"]
    if person.old_card is not None and kept != "retained":
        found.append(f"the predecessor of {claim} is kept, for the office it is {kept}")
    return found


def _one(path: Path, sql: str) -> Any:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchone()[0]


def _cpu_seconds(group: int) -> float:
    """User and system time of a process group's living members (proc(5), fields 5, 14 and 15 of stat)."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it may end meanwhile
            fields = stat.read_text("utf-8").rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Game:
    """What all rounds of a run have in common."""

    folder: Path
    history: Path
    rows: int
    kills: int
    speed: float


async def _round(game: Game, seed: int, lane: int, tally: Tally) -> None:
    """One machine with its own people, moments and ports."""
    state = game.folder / f"round-{seed}"
    shutil.rmtree(state, ignore_errors=True)
    (state / "lockerd").mkdir(parents=True, mode=0o700)
    shutil.copyfile(game.history, state / "lockerd" / "lockerd.db")
    (state / "device.key").write_text(KEY.hex() + "\n")
    (state / "device.key").chmod(0o600)
    tell_office(state / "office", game.history, "locker-1")
    names = Addresses.__slots__
    wanted = Addresses(**{name: str(PORTS + 100 * lane + 10 * number) for number, name in enumerate(names)})
    setting = Setting(state, free_addresses(wanted), seed, game.speed, take_seconds=6.0)
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
        Harness(setting, session) as harness,
    ):
        await harness.kill_lockerd()
        kills = min(KILLS_A_ROUND, game.kills)
        await Round(harness, Random(f"{seed}:kills"), population(seed, PEOPLE), tally, kills).run()


async def _result(game: Game, seed: int, lane: int) -> Tally:
    """Of the round with this seed: the one that is kept in the folder, or played now."""
    kept = game.folder / f"result-{game.rows}-{seed}.json"
    if kept.exists():
        return Tally(**json.loads(kept.read_text("utf-8")))
    tally = Tally(rounds=1)
    try:
        await _round(game, seed, lane, tally)
    except* TROUBLE as group:
        tally.wrong.append(f"seed {seed}: {group.exceptions[0]!r}")
    if not tally.wrong:
        kept.write_text(json.dumps(asdict(tally)), "utf-8")
        shutil.rmtree(game.folder / f"round-{seed}")
    return tally


async def run(game: Game, *, seed: int, jobs: int) -> Tally:
    """Rounds with one seed after the other, until there were so many kills or something is wrong."""
    tally = Tally()
    seeds = itertools.count(seed)
    began = time.monotonic()

    async def machines(lane: int) -> None:
        while tally.kills < game.kills and not tally.wrong:
            number = next(seeds)
            found = await _result(game, number, lane)
            tally.add(found)
            told = f"seed {number}: {found.kills} kills, {found.pickups} pickups, {len(found.wrong)} violations"
            ready = f"ready p50 {_percentile(tally.ready, 50)} s, p99 {_percentile(tally.ready, 99)} s"
            print(
                f"{time.monotonic() - began:6.0f} s  {told}; together {tally.kills} of {game.kills}, {ready}",
                file=sys.stderr,
                flush=True,
            )

    async with asyncio.TaskGroup() as group:
        for lane in range(jobs):
            group.create_task(machines(lane))
    return tally


def main(argv: Sequence[str] | None = None) -> int:
    """Kill and compare; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tests.crash.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, metavar="N", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of people and moments")
    parser.add_argument("--rows", type=int, default=300_000, metavar="N", help="of history (default %(default)s)")
    parser.add_argument("--speed", type=float, default=8.0, metavar="F", help="motors and hands F times as fast")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="machines at a time (default %(default)s)")
    parser.add_argument("--state", type=Path, metavar="DIR", help="keep results here, and go on from those that are")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as name:
        folder = arguments.state or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        history = folder.resolve() / f"history-{arguments.rows}.db"
        if not history.exists():
            write(history.with_suffix(".part"), arguments.rows, time.time() - AGE)
            history.with_suffix(".part").rename(history)
        game = Game(folder.resolve(), history, arguments.rows, arguments.kills, arguments.speed)
        tally = asyncio.run(run(game, seed=arguments.seed, jobs=arguments.jobs))
    print(json.dumps({"jobs": arguments.jobs, **tally.summary(arguments.rows)}))
    for words in tally.wrong:
        print(words, file=sys.stderr)
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
