"""The recorded story: the real daemon on its real database file, in virtual time, with a mark after every commit it is told of.

`python -m tests.crash.story FOLDER`: staff load, citizens collect, the power goes and comes, hours and a night pass. Each
change of the physical world and each commit is one JSON line written to `FOLDER/marks`, so that a recording of the system
calls holds them in their order. A line is {"commit": n, "digest": ..., "at": virtual seconds} or {"machine": ...}.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from lockerd.store import database, opening
from sim.soak.checker import Checker
from sim.soak.citizens import CONFUSED, HONEST, Temper, Visit
from sim.soak.seams import Fetch
from sim.soak.staff import Staff
from sim.soak.stage import Stage, quiet, staged
from sim.virtual_time import run

SLOTS = 6
HOUR = 3600.0
BOLD = Temper("bold", leaves_card=1.0)
"""Walks away from the open exit."""

TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"


class Digest:
    """Of everything that a database says: each row of each table."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=12)

    def add(self, table: str, rows: Iterable[Iterable[object]]) -> None:
        """All rows of the next table."""
        self._hash.update(repr((table, [tuple(row) for row in rows])).encode())

    def text(self) -> str:
        """In hexadecimal digits."""
        return self._hash.hexdigest()


class Marker(Checker):
    """Sees what the soak's checker sees, and marks it."""

    def __init__(self, now: Callable[[], float], marks: int) -> None:
        super().__init__(now)
        self._clock = now
        self._marks = marks
        self._commits = 0
        self.kept: Any = None

    def moved(self) -> None:
        """See `Witness`."""
        super().moved()
        if self.kept is not None:
            self._mark({"machine": machine_state(self.kept)})

    async def committed(self, fetch: Fetch, into: frozenset[str] | None) -> None:
        """See `Witness`."""
        digest = Digest()
        for (table,) in await fetch(TABLES):
            digest.add(table, await fetch(f'SELECT * FROM "{table}"'))
        self._commits += 1
        self._mark({"commit": self._commits, "digest": digest.text(), "at": self._clock()})
        await super().committed(fetch, into)

    def _mark(self, what: dict[str, Any]) -> None:
        os.write(self._marks, json.dumps(what, separators=(",", ":")).encode() + b"\n")


def machine_state(kept: Any) -> dict[str, Any]:
    """What a machine keeps without power: the world and each firmware's memory."""
    return {"seed": kept.seed, "boots": kept.boots, "firmware": kept.firmware, "world": kept.world.to_json()}


async def _visits(stage: Stage, checker: Checker, random: Random, *tempers: tuple[int, Temper]) -> None:
    people = list(stage.town.residents.values())
    for number, temper in tempers:
        await Visit(stage, people[number], temper, random, checker).run()
        await asyncio.sleep(120.0)


def _power_off(stage: Stage) -> None:
    """Without what the soak does to an unsynced file: here the disk is the harness's."""
    stage.machine.cut_power()
    stage.daemon.stop()


async def _power_cut(stage: Stage) -> None:
    _power_off(stage)
    await asyncio.sleep(20.0)
    stage.power_on()
    await asyncio.sleep(60.0)


async def play(folder: Path, seed: int, marks: int, days: int) -> None:
    """The story, `days` times over, or for 0 days one citizen only; every violation that the checker sees is an error."""
    loop = asyncio.get_running_loop()
    marker = Marker(loop.time, marks)
    random = Random(f"{seed}:story")
    async with staged(folder, seed, slots=SLOTS, witness=marker) as stage:
        marker.attend(stage)
        marker.kept = stage.machine._kept
        staff = Staff(stage, Random(f"{seed}:staff"), marker)
        if not days:
            stage.town.announce()
            await asyncio.sleep(60.0)
            await staff.load()
            await asyncio.sleep(60.0)
            await _visits(stage, marker, random, (0, HONEST))
        for day in range(days):
            first = day * SLOTS
            for _ in range(SLOTS):
                stage.town.announce()
            await asyncio.sleep(60.0)
            await staff.load()
            await asyncio.sleep(60.0)
            await _visits(stage, marker, random, (first, HONEST), (first + 1, BOLD), (first + 2, CONFUSED))
            stage.daemon.seams.cut_after_motion(random.randrange(1, 12), partial(_power_off, stage))
            loop.call_later(400.0, stage.power_on)
            await _visits(stage, marker, random, (first + 3, HONEST))
            await asyncio.sleep(HOUR)
            await _visits(stage, marker, random, (first + 1, HONEST), (first + 3, HONEST), (first + 4, HONEST))
            await _power_cut(stage)
            await _visits(stage, marker, random, (first + 2, HONEST), (first + 5, HONEST))
            await asyncio.sleep(20 * HOUR)
    if marker.violations or stage.daemon.failures:
        raise SystemExit(f"the story itself went wrong: {marker.violations} {stage.daemon.failures}")


def without_sync(open_database: Callable[..., Any]) -> Callable[..., Any]:
    """The store's opening, with every sync of the connection switched off: what the harness has to notice."""

    def opened(*arguments: Any) -> tuple[sqlite3.Connection, int]:
        connection, lock = open_database(*arguments)
        connection.execute("PRAGMA synchronous = OFF")
        return connection, lock

    return opened


def main() -> None:
    """Play the story in the folder that is named."""
    parser = argparse.ArgumentParser(prog="tests.crash.story", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--unsynced", action="store_true", help="break the promise: synchronous=OFF")
    arguments = parser.parse_args()
    if arguments.unsynced:
        database.open_database = without_sync(opening.open_database)  # type: ignore[attr-defined]  # put in its place
    marks = os.open(arguments.folder / "marks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with quiet():
        run(play(arguments.folder, arguments.seed, marks, arguments.days))


if __name__ == "__main__":
    main()
