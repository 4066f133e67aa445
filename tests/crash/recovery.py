"""The real daemon on an image: started on simulated units that stand as they stood at that moment, until it is at rest."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from sim.assembly import Machine
from sim.people import Citizen
from sim.soak.harness import Daemon
from sim.soak.office import Office
from sim.soak.seams import Fetch
from sim.soak.senses import Clock
from sim.soak.stage import BEGAN, FIRMWARE_LOOK_SECONDS, MemoryKept, quiet
from sim.virtual_time import run
from sim.world import World
from tests.crash.truth import contradictions, doubts, hands

PATIENCE = 1200.0
"""Virtual seconds: an old card that is given back and left behind is drawn in again within them."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of an image: what is wrong, and how many cards are in doubt (quarantined, not guessed)."""

    wrong: list[str]
    in_doubt: int


def recover(folder: Path, state: dict[str, Any], town: Sequence[Citizen], at: float) -> Recovered:
    """Start the daemon on the database in `folder`, `at` virtual seconds after the story's beginning, and let it come to rest."""
    with quiet():
        return run(_recover(folder, state, town, at))


async def _nothing(_fetch: Fetch, _into: frozenset[str] | None) -> None:
    pass


async def _recover(folder: Path, state: dict[str, Any], town: Sequence[Citizen], at: float) -> Recovered:
    loop = asyncio.get_running_loop()
    kept = MemoryKept(folder / "world", state["seed"], World.from_json(state["world"]))
    kept.boots, kept.firmware = state["boots"], {name: dict(record) for name, record in state["firmware"].items()}
    kept.world.powered = True
    kept.world.on_reader = None  # everybody has gone
    kept.world.look(None)
    people = [one for one in town if one.new_card.card_id in kept.world.spots]
    machine = Machine(people, kept, clock=loop.time, poll_interval=FIRMWARE_LOOK_SECONDS)
    clock = Clock(loop, BEGAN + at + 60.0)  # type: ignore[arg-type]  # the loop is a virtual one
    told: list[int] = []
    office = Office(clock.true, lambda seq, _kind, _data: told.append(seq))
    deliver: Callable[[str, str, str], bool] = lambda *_: True  # noqa: E731
    daemon = Daemon(machine, office, folder, Random(1), clock=clock, deliver=deliver, committed=_nothing)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(machine.run()), group.create_task(daemon.run())]
        await asyncio.sleep(0)
        machine.boot()
        daemon.start()
        await asyncio.sleep(PATIENCE)
        page = daemon.page
        daemon.stop()
        for one in running:
            one.cancel()
    wrong = [f"the daemon ended: {story}" for story in daemon.failures] + office.wrong
    if page is None or page.screen != "code":
        wrong.append(f"the machine does not serve: {page}")
    with closing(sqlite3.connect(folder / "lockerd.db")) as db:
        last = db.execute("SELECT value FROM meta WHERE key = 'last_seq'").fetchone()[0]
        if told != list(range(1, last + 1)):
            wrong.append(f"the office has {len(told)} events of {last}")
        truth = machine.truth()
        return Recovered(wrong + contradictions(truth, db) + hands(truth, town), doubts(db))
