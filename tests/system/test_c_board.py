"""A dispenser in C, built from the exported header on libmodbus, and the daemon's own driver: it dispenses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import groupby
from pathlib import Path

import pytest

from firmware_protocol.units import UnitKind
from lockerd.devices.bus import ModbusBus, RtuSettings, TcpSettings
from lockerd.devices.mailbox import MailboxUnit
from lockerd.devices.units import MailboxMover
from lockerd.errors import DeviceError
from lockerd.model.custody import Fault, Motion, Observation, Order, Outcome, Place, Result, Unit
from tests.c_board import SLOTS, CBoard, cable, free_port, powered
from tests.c_parts import SOURCES, build, libmodbus
from tests.modbus_rig import until


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("c") / "board", SOURCES / "board.c", more=libmodbus())


@pytest.fixture(params=["rtu", "tcp"])
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Bench:
    """A board on a wire, and the daemon's driver at the other end."""

    def __init__(self, board: CBoard, mover: MailboxMover) -> None:
        self.board = board
        self.mover = mover

    async def do(self, motion: Motion, slot: int | None = None) -> Outcome:
        return await self.mover.carry_out(await self.mover.plan(Order(Unit.DISPENSER, motion, slot)))

    async def observed(self) -> Observation:
        """The first answer after the board was away."""
        async with asyncio.timeout(15):
            while True:
                with suppress(DeviceError):
                    return await self.mover.observe()
                await asyncio.sleep(0.02)


@asynccontextmanager
async def benched(program: Path, wire: str, folder: Path, motion_ms: int = 20) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        settings: RtuSettings | TcpSettings
        if wire == "tcp":
            port = free_port()
            settings, ends = TcpSettings("127.0.0.1", port), ("tcp", str(port))
        else:
            line = await stack.enter_async_context(cable())
            settings, ends = RtuSettings(line.host), ("rtu", line.device)
        board = await stack.enter_async_context(powered(CBoard(program, folder, ends, motion_ms)))
        bus = ModbusBus(settings, timeout=0.5, latency=0.5)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        running = group.create_task(bus.run())
        unit = MailboxUnit(bus, UnitKind.DISPENSER, "dispenser", poll_interval=0.01)
        yield Bench(board, MailboxMover(unit, Unit.DISPENSER, motion_seconds=10.0))
        running.cancel()


async def test_a_card_goes_from_the_feeder_through_a_slot_into_a_hand(program: Path, wire: str, tmp_path: Path) -> None:
    async with benched(program, wire, tmp_path) as bench:
        await bench.board.hand("feed N1")
        for motion, slot in (
            (Motion.LOAD, None),
            (Motion.STORE, 5),
            (Motion.ALIGN, 0),
            (Motion.PICK, 5),
            (Motion.PRESENT, None),
        ):
            assert (await bench.do(motion, slot)).result is Result.DONE, motion
        seen = await bench.mover.observe()
        assert (bench.mover.capacity, seen.place, seen.slot, seen.dispensed) == (SLOTS, Place.EXIT, 5, 0)
        assert bench.board.cards == {"N1": "exit"}
        await bench.board.hand("take")
        seen = await bench.mover.observe()
        assert (seen.place, seen.dispensed) == (None, 1)
        places = [place for place, _ in groupby(world["N1"] for world in bench.board.motions)]
        way = "load between transport between slot5 between transport between exit outside"
        assert places == way.split()


async def test_a_card_not_taken_is_drawn_back_and_captured(program: Path, wire: str, tmp_path: Path) -> None:
    async with benched(program, wire, tmp_path) as bench:
        await bench.board.hand("feed N1")
        for motion in (Motion.LOAD, Motion.PRESENT, Motion.RETRACT, Motion.CAPTURE):
            assert (await bench.do(motion)).result is Result.DONE, motion
        seen = await bench.mover.observe()
        assert (seen.place, seen.dispensed, seen.retained, seen.bin_count) == (None, 0, 1, 1)


async def test_the_interlocks_are_faults_not_motions(program: Path, tmp_path: Path) -> None:
    async with benched(program, "tcp", tmp_path) as bench:
        for motion, slot, fault in (
            (Motion.PICK, 2, Fault.SLOT_EMPTY),
            (Motion.PRESENT, None, Fault.NO_CARD),
            (Motion.LOAD, None, Fault.NO_CARD),
        ):
            outcome = await bench.do(motion, slot)
            assert (outcome.result, outcome.fault) == (Result.FAILED, fault)
        with pytest.raises(DeviceError, match="slot 8 is not one of its 8"):
            await bench.mover.plan(Order(Unit.DISPENSER, Motion.PICK, SLOTS))


async def test_a_jam_is_told_and_a_reset_finds_the_card(program: Path, tmp_path: Path) -> None:
    async with benched(program, "tcp", tmp_path) as bench:
        await bench.board.hand("feed N1")
        await bench.board.hand("jam")
        jammed = await bench.do(Motion.LOAD)
        assert (jammed.result, jammed.fault) == (Result.FAILED, Fault.JAM)
        assert (await bench.mover.observe()).place is Place.IN_DOUBT
        assert (await bench.do(Motion.RESET)).result is Result.DONE
        assert (await bench.mover.observe()).place is Place.TRANSPORT


async def test_power_cut_in_the_middle_is_in_doubt_and_moves_once(program: Path, wire: str, tmp_path: Path) -> None:
    async with benched(program, wire, tmp_path, motion_ms=400) as bench:
        await bench.board.hand("feed N1")
        plan = await bench.mover.plan(Order(Unit.DISPENSER, Motion.LOAD))
        motion = asyncio.get_running_loop().create_task(bench.mover.carry_out(plan))
        await until(lambda: bench.board.cards["N1"] == "between")
        await bench.board.cut_power()
        await bench.board.power_on()
        assert (await motion).result is Result.IN_DOUBT
        seen = await bench.observed()
        assert (seen.interrupted, seen.place) == (True, Place.IN_DOUBT)
        again = await bench.mover.carry_out(plan)  # the same number again: acknowledged, never resumed
        assert again.result is Result.IN_DOUBT
        with pytest.raises(DeviceError, match="RESET first"):
            await bench.mover.plan(Order(Unit.DISPENSER, Motion.STORE, 1))
        assert (await bench.do(Motion.RESET)).result is Result.DONE
        assert (await bench.mover.observe()).place is Place.TRANSPORT
        assert (await bench.mover.settle(plan)).result is Result.IN_DOUBT


async def test_counters_and_a_card_taken_in_the_dark_outlive_the_power(program: Path, tmp_path: Path) -> None:
    async with benched(program, "tcp", tmp_path) as bench:
        await bench.board.hand("feed N1")
        await bench.board.hand("feed N2")
        for _ in range(2):
            await bench.do(Motion.LOAD)
            await bench.do(Motion.PRESENT)
            if bench.board.cards["N1"] == "exit":
                await bench.board.hand("take")
        before = await bench.mover.observe()
        assert (before.place, before.dispensed) == (Place.EXIT, 1)
        await bench.board.cut_power()
        await bench.board.hand("take")
        await bench.board.power_on()
        after = await bench.observed()
        assert after.boot_id != before.boot_id
        assert (after.place, after.dispensed, after.interrupted) == (None, 2, False)
        assert (await bench.do(Motion.ALIGN, 1)).result is Result.DONE
