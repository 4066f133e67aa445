"""The whole daemon with the dispenser in C on its RS-485 line: staff load, a citizen renews, all books agree.

The simulator plays everything else: recycler, cabinet, readers, camera, office, telephones. Its own dispenser is silenced;
the new cards are in the C board's carousel only, and the reader at its exit reads what lies at its transport position.
"""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from sim.clients import Impossible, World, eventually
from sim.harness import Harness, Setting, free_addresses
from sim.id_reader import ChipData, SamvDevice, resident_chip
from sim.people import Citizen, population
from sim.ptys import serve_pty
from sim.scenarios import SCENARIOS
from sim.scene import PEOPLE, Scene, scene_of
from sim.verdict import disagreements, disappointments, read_database, read_ledger, read_truth
from tests.c_board import Cable, CBoard, cable, powered
from tests.c_parts import SOURCES, build, libmodbus
from tests.modbus_rig import until

SEED = 3
FOREVER = 1e6
_PLACES = {"outside": "person", "rejected": "reject_lane"}


@dataclass(frozen=True)
class BoardWorld(World):
    """The simulated world, with the new cards at the C board."""

    board: CBoard

    async def truth(self) -> dict[str, Any]:
        """The world's truth; new cards and the dispenser's total are the board's."""
        truth = await World.truth(self)
        for card in truth["cards"]:
            where = self.board.cards.get(card["card_id"])
            if where is not None:
                card["slot"] = int(where[4:]) if where.startswith("slot") else None
                card["place"] = "slot" if where.startswith("slot") else _PLACES.get(where, where)
        truth["units"]["dispenser"]["dispensed"] = self.board.dispensed
        truth["rejects"] = [card for card, where in self.board.cards.items() if where == "rejected"]
        truth["at_exit"] = next((card for card, where in self.board.cards.items() if where == "exit"), None)
        return truth

    async def act(self, do: str, **arguments: Any) -> None:
        """Hands at the dispenser are hands at the board."""
        if do == "place_tray":
            for card in arguments["cards"]:
                await self.board.hand(f"feed {card}")
        elif do == "take_rejects":
            pass  # the board's lane lies open: feeding a card again takes it from there
        elif do == "take_new":
            if "exit" not in self.board.cards.values():
                raise Impossible("take_new: no card stands in the exit")
            await self.board.hand("take")
        else:
            await World.act(self, do, **arguments)


class BoardHarness(Harness):
    """All processes of a run, with the C board in the place of the simulated dispenser."""

    board: CBoard

    @property
    def world(self) -> World:
        """The simulated machine around the board."""
        return BoardWorld(self.session, self.setting.addresses.control, self.board)


@asynccontextmanager
async def multidrop(bus: Path, board: Cable) -> AsyncIterator[None]:
    """Take the place of the simulator's serial line at `bus`: what the host sends goes to the simulator and the board.

    The board hears the simulator's answers too, as on a real line: libmodbus waits for them after a foreign request.
    """
    loop = asyncio.get_running_loop()
    simulator = os.open(bus, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    device = os.open(board.host, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def carry(source: int, *targets: int) -> None:
        with suppress(BlockingIOError):
            data = os.read(source, 4096)
            for target in targets:
                os.write(target, data)

    master, slave = os.openpty()
    for end in (slave, simulator, device):
        tty.setraw(end)
    os.set_blocking(master, False)
    loop.add_reader(master, carry, master, simulator, device)
    loop.add_reader(simulator, carry, simulator, master, device)
    loop.add_reader(device, carry, device, master)
    bus.unlink()  # noqa: ASYNC240 - a link in a temporary folder
    bus.symlink_to(os.ttyname(slave))  # noqa: ASYNC240 - the same
    try:
        yield
    finally:
        for end in (master, simulator, device):
            loop.remove_reader(end)
        for end in (master, slave, simulator, device):
            os.close(end)


def reader_of(board: CBoard, town: tuple[Citizen, ...]) -> SamvDevice:
    """The reader at the board's transport position."""
    chips = {
        one.new_card.card_id: resident_chip(
            one.new_card.name, one.new_card.id_number, one.new_card.valid_from, one.new_card.valid_to
        )
        for one in town
    }

    def field() -> ChipData | None:
        return next((chips[card] for card, where in board.cards.items() if where == "transport"), None)

    return SamvDevice(field)


async def test_the_daemon_serves_a_renewal_from_a_dispenser_in_c(tmp_path: Path) -> None:
    program = build(tmp_path / "board", SOURCES / "board.c", more=libmodbus())
    setting = Setting(tmp_path / "state", free_addresses(), seed=SEED, speed=8.0)
    (tmp_path / "flash").mkdir()
    async with (
        cable() as line,
        powered(CBoard(program, tmp_path / "flash", ("rtu", line.device), 100, slots=20)) as board,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
    ):
        harness = BoardHarness(setting, session)
        harness.board = board
        async with harness, asyncio.TaskGroup() as group:
            await World(session, setting.addresses.control).act("silence", unit="dispenser", seconds=FOREVER)
            await harness.stop_lockerd()
            machine = setting.state / "machine"
            device = reader_of(board, population(SEED, PEOPLE))
            async with multidrop(machine / "bus", line):
                tasks = [
                    group.create_task(serve_pty(machine / "reader-exit", lambda data, send: send(device.feed(data))))
                ]
                await until((machine / "reader-exit").exists)
                await harness.start_lockerd()
                scene = scene_of(harness, setting.seed, setting.speed)
                tasks.append(group.create_task(scene.kiosk.follow()))
                await _renewal(scene, setting)
                for task in tasks:
                    task.cancel()


async def _renewal(scene: Scene, setting: Setting) -> None:
    await scene.stock()
    board = scene.harness.world.board  # type: ignore[attr-defined]
    assert {where[:4] for where in board.cards.values()} == {"slot"}
    expected = await SCENARIOS["renewal"](scene)
    assert board.dispensed == 1
    harness = scene.harness
    truth = read_truth(await harness.world.truth())

    async def drained() -> bool | None:
        ledger = read_ledger(await harness.office.ledger())
        return True if ledger.new == truth.new and ledger.kept == truth.in_bin else None

    await eventually("the office's ledger complete", 30.0, drained)
    await harness.stop_lockerd()
    office = read_ledger(await harness.office.ledger())
    daemon = read_database(setting.database)
    assert disagreements(truth, daemon, office) == ()
    assert disappointments(expected, truth, daemon, office) == ()
