"""`python -m sim demo`: everything as processes on loopback, with a dock to play with; the same state next time."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from sim import run as run_command
from sim.dock import Dock, people_of
from sim.harness import DEMO_PORTS, STAFF_NAME, STAFF_PIN, Harness, Setting, Tables, free_addresses
from sim.people import population
from sim.robot import Staff, newest_code

TOWN = 200
"""People of the town that are looked through for those who have a card here; a larger number only adds people."""

FIRST_LOAD = 4
"""Cards that the scripted staff load at the first start; the rest of the tray is left to play with."""


DAMAGED = ("p4",)
"""Whose old card is damaged; the other loaded ones are two renewals and one that was lost."""

_BY_CODE = ["code", "id_card", "face", "old_card"]
WAYS: Tables = {
    "policy.owner": {
        "renewal": [
            _BY_CODE,
            ["code", "number", "face", "old_card"],
            ["code", "id_card", "remote_review", "old_card"],
            ["id_card", "face", "fingerprint", "old_card"],
        ],
    },
    "fingerprint": {"seconds": 20.0},
}
"""A configuration in which each way can be gone: without a face check a reviewer looks, without a code a finger is wanted."""


class Demo:
    """The demo in one `setting`: `run` is its whole life, until it is cancelled or something ends by itself."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    async def run(self) -> str:
        """Start all, load cards at the first start, say where everything is, and tell of each new SMS; returns why it ended."""
        why = ""
        try:
            await self._play()
        except* run_command.FAILURES as failed:
            why = run_command.first_words(failed)
        return why

    async def _play(self) -> None:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
            Harness(self._setting, session) as harness,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(harness.watch())
            truth = await harness.world.truth()
            people = people_of(truth, population(self._setting.seed, TOWN))
            kiosk = harness.kiosk
            group.create_task(kiosk.follow())
            dock = Dock(harness, kiosk, people, lambda work: group.create_task(_whole(work)))
            runner = web.AppRunner(dock.app(), access_log=None)
            await runner.setup()
            try:
                host, _, port = self._setting.addresses.dock.rpartition(":")
                await web.TCPSite(runner, host, int(port)).start()
                if all(card["place"] == "tray" for card in truth["cards"] if card["role"] == "new"):
                    print(f"Staff load the first {FIRST_LOAD} cards ...", flush=True)
                    staff = Staff(harness.console, harness.world)
                    await staff.load([p.new_card.card_id for p in people[:FIRST_LOAD]], STAFF_NAME, STAFF_PIN)
                    for person in people[:FIRST_LOAD]:
                        await newest_code(harness.inbox, person.phone, 30.0)
                known = await harness.inbox.messages()
                print(self._where(_words(known[-1]) if known else "none yet"), flush=True)
                await _tell_news(harness, {message["id"] for message in known})
            finally:
                await runner.cleanup()

    def _where(self, sms: str) -> str:
        at = self._setting.addresses
        rows = (
            ("Play here (dock)", f"http://{at.dock}/"),
            ("Citizen screen", f"http://{at.kiosk}/"),
            ("Staff console", f"http://{at.console}/   name {STAFF_NAME}, PIN {STAFF_PIN}"),
            ("Health", f"http://{at.health}/livez  /readyz?verbose  /metrics"),
            ("SMS inbox", f"http://{at.inbox}/"),
            ("Office ledger", f"http://{at.office}/sim/ledger"),
            ("State and logs", str(self._setting.state)),
            ("Newest SMS", sms),
        )
        width = max(len(name) for name, _ in rows)
        lines = [f"  {name:<{width}}   {value}" for name, value in rows]
        return "\n".join(["", *lines, "", "  Ctrl-C stops everything; the next start goes on from here.", ""])


async def _tell_news(harness: Harness, known: set[str]) -> None:
    while True:
        for message in await harness.inbox.messages():
            if message["id"] not in known:
                known.add(message["id"])
                print(f"  Newest SMS   {_words(message)}", flush=True)
        await asyncio.sleep(1.0)


def _words(message: Mapping[str, Any]) -> str:
    return f"to {message['phone']}: {message['text']}"


async def _whole(work: Awaitable[None]) -> None:
    await work


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `python -m sim demo`."""
    parser.add_argument("--state", type=Path, default=Path("demo-state"), metavar="DIR", help="where the demo lives on")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="which town, at the first start")
    parser.add_argument("--speed", type=float, default=1.0, metavar="F", help="motors F times as fast")
    parser.add_argument("--robot", action="store_true", help="let a scripted citizen do one renewal, then end")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo until Ctrl-C; returns the exit status."""
    if arguments.robot:
        return run_command.main(["renewal", "--seed", str(arguments.seed), "--speed", str(arguments.speed)])
    state: Path = arguments.state.resolve()
    addresses = free_addresses(DEMO_PORTS)
    setting = Setting(
        state,
        addresses,
        _seed(state, arguments.seed),
        arguments.speed,
        framed_by=f"http://{addresses.dock}",
        also=WAYS,
        fingerprint=True,
        damaged=DAMAGED,
    )
    try:
        why = run_command.interruptible(Demo(setting).run)
    except KeyboardInterrupt:
        print("\nStopped. The state is kept; start again to go on.")
        return 0
    print(f"The demo cannot go on: {why}", file=sys.stderr)
    return 1


def _seed(state: Path, wanted: int) -> int:
    """The town that lives in `state`, or the wanted one for a fresh state."""
    town = state / "town.json"
    return int(json.loads(town.read_text("utf-8"))["seed"]) if town.exists() else wanted


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="sim demo", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
