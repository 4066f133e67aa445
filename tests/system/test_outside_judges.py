"""Strangers on the wire: mbpoll, a host on libmodbus, and minimalmodbus talk to the simulated dispenser and to the C board."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware_protocol.blocks import (
    COMMAND_ADDRESS,
    COMMAND_COUNT,
    IDENTITY_ADDRESS,
    IDENTITY_COUNT,
    STATUS_ADDRESS,
    STATUS_COUNT,
    CommandBlock,
    IdentityBlock,
    StatusBlock,
)
from firmware_protocol.mailbox import next_seq
from firmware_protocol.units import Opcode, Position, Result, UnitKind
from sim.bus import tcp_bus
from sim.firmware import UnitFirmware
from sim.modbus_slave import RtuSlave
from sim.ptys import serve_pty
from tests.c_board import CBoard, cable, free_port, powered
from tests.c_parts import SOURCES, build, libmodbus, need
from tests.modbus_rig import BenchMechanism, Flash, identity, running, until


@dataclass(frozen=True)
class Wire:
    """How a stranger reaches the unit: a serial port, or host and port."""

    kind: str
    place: str
    port: int = 0


@asynccontextmanager
async def simulated(kind: str, folder: Path) -> AsyncIterator[Wire]:
    """The simulator's units, a card in slot 3 of the dispenser and one in the throat of the recycler."""
    units: dict[int, UnitFirmware] = {
        kind: UnitFirmware(identity(kind, capacity), mechanism, Flash(), poll_interval=0.01)
        for kind, capacity, mechanism in (
            (UnitKind.DISPENSER, 8, BenchMechanism(stocked=[3])),
            (UnitKind.RECYCLER, 0, BenchMechanism(at=Position.THROAT)),
            (UnitKind.CABINET, 0, BenchMechanism()),
        )
    }
    for unit in units.values():
        unit.power_on(7)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(*units.values()))
        if kind == "tcp":
            port = await stack.enter_async_context(tcp_bus(units, "127.0.0.1", 0))
            yield Wire("tcp", "127.0.0.1", port)
            return
        slave = RtuSlave(units)
        link = folder / "bus"
        group = await stack.enter_async_context(asyncio.TaskGroup())
        served = group.create_task(serve_pty(link, lambda data, send: send(slave.feed(data))))
        await until(link.exists)
        yield Wire("rtu", str(link))
        served.cancel()


async def tell(*command: str | Path) -> tuple[int, str]:
    """Run a stranger to its end; its exit status and all it said."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


class Mbpoll:
    """Debian's mbpoll."""

    def __init__(self, wire: Wire, unit: int = 1) -> None:
        where = ["-p", str(wire.port)] if wire.kind == "tcp" else ["-b", "115200", "-P", "none"]
        self._head = ["mbpoll", "-m", wire.kind, "-a", str(unit), "-0", "-1", "-o", "2", *where]
        self._place = wire.place

    async def read(self, address: int, count: int) -> list[int]:
        status, said = await tell(*self._head, "-r", str(address), "-c", str(count), "-t", "4:hex", self._place)
        assert status == 0, said
        return [int(value, 16) for value in re.findall(r"^\[\d+\]:\s+0x([0-9A-F]{4})", said, re.MULTILINE)]

    async def write(self, address: int, values: list[int]) -> str:
        written = [f"0x{value:04X}" for value in values]
        return (await tell(*self._head, "-r", str(address), "-t", "4:hex", self._place, *written))[1]


@pytest.mark.parametrize("kind", ["rtu", "tcp"])
async def test_mbpoll_reads_and_orders(kind: str, tmp_path: Path) -> None:
    need("mbpoll")
    async with simulated(kind, tmp_path) as wire:
        stranger = Mbpoll(wire)
        assert IdentityBlock.from_registers(await stranger.read(IDENTITY_ADDRESS, IDENTITY_COUNT)) == identity()
        status = StatusBlock.from_registers(await stranger.read(STATUS_ADDRESS, STATUS_COUNT))
        command = CommandBlock(status.boot_id, next_seq(status.accepted_seq), Opcode.PICK, 3)
        assert f"Written {COMMAND_COUNT} references" in await stranger.write(COMMAND_ADDRESS, command.to_registers())
        status = StatusBlock.from_registers(await stranger.read(STATUS_ADDRESS, STATUS_COUNT))
        assert (status.done_seq, status.result, status.position) == (1, Result.DONE, Position.TRANSPORT)
        later = CommandBlock(status.boot_id, 9, Opcode.PRESENT).to_registers()
        assert "busy" in await stranger.write(COMMAND_ADDRESS, later)
        assert "Illegal data address" in await stranger.write(STATUS_ADDRESS, later)


@pytest.mark.parametrize("kind", ["rtu", "tcp"])
@pytest.mark.parametrize(
    ("unit", "opcode", "arg0", "position"),
    [(UnitKind.RECYCLER, Opcode.ACCEPT, 0, Position.ESCROW), (UnitKind.CABINET, Opcode.FAN, 60, Position.NONE)],
)
async def test_mbpoll_orders_the_other_units(
    kind: str, unit: UnitKind, opcode: Opcode, arg0: int, position: Position, tmp_path: Path
) -> None:
    need("mbpoll")
    async with simulated(kind, tmp_path) as wire:
        stranger = Mbpoll(wire, unit)
        assert IdentityBlock.from_registers(await stranger.read(IDENTITY_ADDRESS, IDENTITY_COUNT)).kind is unit
        await stranger.write(COMMAND_ADDRESS, CommandBlock(7, 1, opcode, arg0).to_registers())
        status = StatusBlock.from_registers(await stranger.read(STATUS_ADDRESS, STATUS_COUNT))
        assert (status.done_seq, status.done_opcode, status.done_arg0) == (1, opcode, arg0)
        assert (status.result, status.position) == (Result.DONE, position)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("c") / "client", SOURCES / "client.c", more=libmodbus())


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("c") / "board", SOURCES / "board.c", more=libmodbus())


ORDERED = """\
kind 1 capacity 8
damaged 3
half 3
good 0
repeated 0
result 1 position 2 slot 3 done_arg0 3
foreign opcode 3
past the end 2
one register (FC6) 1
"""


@pytest.mark.parametrize("kind", ["rtu", "tcp"])
async def test_a_host_on_libmodbus_orders_the_simulated_dispenser(kind: str, client: Path, tmp_path: Path) -> None:
    async with simulated(kind, tmp_path) as wire:
        where = (wire.kind, wire.place, "115200" if kind == "rtu" else str(wire.port), "3")
        assert await tell(client, *where) == (0, ORDERED)


@pytest.mark.parametrize("kind", ["rtu", "tcp"])
async def test_two_c_programs_agree_through_the_header(kind: str, client: Path, board: Path, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        if kind == "rtu":
            line = await stack.enter_async_context(cable())
            ends, where = ("rtu", line.device), ("rtu", line.host, "115200", "3")
        else:
            port = str(free_port())
            ends, where = ("tcp", port), ("tcp", "127.0.0.1", port, "3")
        dispenser = await stack.enter_async_context(powered(CBoard(board, tmp_path, ends)))
        code, said = await tell(client, *where)
        # the carousel is empty: the same talk, another end
        assert (code, said) == (0, ORDERED.replace("result 1 position 2", "result 2 position 0"))
        assert dispenser.cards == {}


async def test_minimalmodbus_reads_and_orders(tmp_path: Path) -> None:
    minimalmodbus = pytest.importorskip("minimalmodbus", reason="not installed: minimalmodbus")
    async with simulated("rtu", tmp_path) as wire:

        def talk() -> StatusBlock:
            unit = minimalmodbus.Instrument(wire.place, UnitKind.DISPENSER)
            unit.serial.baudrate = 115200
            unit.serial.timeout = 2.0
            try:
                assert IdentityBlock.from_registers(unit.read_registers(IDENTITY_ADDRESS, IDENTITY_COUNT)) == identity()
                status = StatusBlock.from_registers(unit.read_registers(STATUS_ADDRESS, STATUS_COUNT))
                assert unit.read_register(STATUS_ADDRESS + 4) == status.state
                command = CommandBlock(status.boot_id, 1, Opcode.PICK, 3).to_registers()
                unit.write_registers(COMMAND_ADDRESS, command)
                unit.write_registers(COMMAND_ADDRESS, command)
                with pytest.raises(minimalmodbus.IllegalRequestError):
                    unit.write_registers(COMMAND_ADDRESS, [*command[:-1], command[-1] ^ 1])
                with pytest.raises(minimalmodbus.SlaveDeviceBusyError):
                    unit.write_registers(COMMAND_ADDRESS, CommandBlock(status.boot_id, 9, Opcode.RESET).to_registers())
                return StatusBlock.from_registers(unit.read_registers(STATUS_ADDRESS, STATUS_COUNT))
            finally:
                unit.serial.close()

        status = await asyncio.to_thread(talk)
        assert (status.done_seq, status.done_opcode, status.done_arg0) == (1, Opcode.PICK, 3)
        assert (status.result, status.position) == (Result.DONE, Position.TRANSPORT)
