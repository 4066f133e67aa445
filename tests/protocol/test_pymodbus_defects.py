"""Defects of pymodbus 3.16.1 around the frames: no gap, a lost or dead line, the terminal's errors, its server.

Each is first shown on the bare library. tests/protocol/test_bus_owner.py has those of single answers.
"""

from __future__ import annotations

import asyncio
import itertools
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from lockerd.devices.bus import SILENCES, DeviceRefused, DeviceSilent, ModbusBus, RtuSettings, TcpSettings
from sim.bus import tcp_bus
from sim.firmware import UnitFirmware
from sim.modbus_slave import RtuSlave
from tests.modbus_rig import BenchMechanism, Flash, PtyPeer, identity, running
from tests.wire_rig import NEW, TIMEOUT, Script, bare, guarded, line, owned

SLOW = 1200  # baud; 3.5 characters take 29 ms there, far more than a busy machine makes a master pause
GAP = RtuSettings("", SLOW).gap


def pauses(script: Script) -> list[float]:
    times = [time for time, _ in script.requests]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


async def test_bare_pymodbus_leaves_no_gap_between_frames() -> None:
    script = Script(*[NEW] * 5)
    async with bare(script, baudrate=SLOW) as client:
        for _ in range(5):
            await client.read_holding_registers(9, count=1, device_id=1)
    assert min(pauses(script)) < GAP


async def test_frames_of_the_bus_owner_keep_their_distance() -> None:
    script = Script(*[NEW] * 5)
    async with guarded(script, baudrate=SLOW) as bus:
        await asyncio.gather(*(bus.read(1, 9, 1) for _ in range(5)))
    assert min(pauses(script)) >= GAP


async def test_bare_pymodbus_raises_another_error_while_disconnected() -> None:
    script = Script(NEW)
    async with line(script) as peer:
        client = AsyncModbusSerialClient(peer.port, timeout=TIMEOUT, retries=0, reconnect_delay=0)
        with pytest.raises(ConnectionException):
            client.read_holding_registers(9, count=1, device_id=1)
    assert script.requests == []


async def test_a_lost_line_is_silence_to_the_callers_of_the_bus_owner() -> None:
    script = Script(NEW)
    async with line(script) as peer, owned(RtuSettings(peer.port)) as bus:
        assert await bus.read(1, 9, 1) == (0x600D,)
        peer.close()
        with pytest.raises(DeviceSilent):
            await bus.read(1, 9, 1)
        with pytest.raises(DeviceSilent, match="not connected") as caught:
            await bus.write(1, 0x100, [1])
        assert not caught.value.sent


async def test_a_serial_line_that_went_silent_looks_connected_to_bare_pymodbus() -> None:
    async with bare(Script()) as client:
        for _ in range(SILENCES + 1):
            with pytest.raises(ModbusException):
                await client.read_holding_registers(9, count=1, device_id=1)
        assert client.connected


async def test_a_serial_line_that_went_silent_is_opened_anew_by_the_bus_owner() -> None:
    script = Script()
    async with line(script) as peer:
        bus = ModbusBus(RtuSettings(peer.port), timeout=0.15, latency=0.15)
        task = asyncio.get_running_loop().create_task(bus.run())
        for asked in range(SILENCES):
            assert bus.line_statistics().reconnects == 0, asked
            with pytest.raises(DeviceSilent):
                await bus.read(1, 9, 1)
        assert len(script.requests) == SILENCES
        peer.on_bytes = lambda _: NEW
        assert await answered(bus) == (0x600D,)
        assert bus.line_statistics().reconnects == 1
        task.cancel()
        await asyncio.wait([task])


async def answered(bus: ModbusBus) -> tuple[int, ...]:
    """The first answer; a busy machine may be late with it."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await bus.read(1, 9, 1)
            except DeviceSilent:
                await asyncio.sleep(0.01)


async def test_a_line_on_which_anybody_speaks_is_not_opened_anew() -> None:
    answers = [b"", b"", b"", b"", b"\x55"] * 2
    async with line(Script(*answers)) as peer:
        bus = ModbusBus(RtuSettings(peer.port), timeout=0.02, latency=0.02)
        task = asyncio.get_running_loop().create_task(bus.run())
        for _ in answers:
            with pytest.raises(DeviceSilent):
                await bus.read(1, 9, 1)
        assert bus.line_statistics().reconnects == 0
        assert bus.statistics(1).crc_errors == 2
        task.cancel()
        await asyncio.wait([task])


async def test_a_line_that_is_lost_as_soon_as_it_is_found_is_tried_less_and_less_often() -> None:
    loop = asyncio.get_running_loop()
    found: list[float] = []

    def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.append(loop.time())
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server, owned(TcpSettings("127.0.0.1", server.sockets[0].getsockname()[1])) as bus:
        async with asyncio.timeout(20):
            while len(found) < 4:
                with pytest.raises(DeviceSilent):
                    await bus.read(1, 9, 1)
                await asyncio.sleep(0.01)
    waits = [later - earlier for earlier, later in itertools.pairwise(found)]
    assert all(wait >= least for wait, least in zip(waits, (0.2, 0.4, 0.8), strict=True))


@asynccontextmanager
async def pty() -> AsyncIterator[str]:
    with PtyPeer(lambda _: NEW) as peer:
        yield peer.port


async def test_parity_on_a_pseudo_terminal_raises_a_raw_error_from_bare_pymodbus() -> None:
    async with pty() as port:
        client = AsyncModbusSerialClient(port, framer=FramerType.RTU, parity="E", retries=0, reconnect_delay=0)
        with pytest.raises(termios.error):
            await client.connect()
        client.close()


async def test_a_terminal_that_refuses_its_settings_is_a_line_that_cannot_be_opened() -> None:
    async with pty() as port, owned(RtuSettings(port, parity="even")) as bus:
        with pytest.raises(DeviceSilent, match="cannot be opened") as caught:
            await bus.read(1, 9, 1)
        assert not caught.value.sent


async def test_a_port_in_use_is_no_error_to_bare_pymodbus_and_cannot_be_opened_by_the_bus_owner() -> None:
    async with pty() as port:
        first, second = (
            AsyncModbusSerialClient(port, framer=FramerType.RTU, retries=0, reconnect_delay=0) for _ in range(2)
        )
        assert await first.connect()
        assert not await second.connect()
        async with owned(RtuSettings(port)) as bus:
            with pytest.raises(DeviceSilent, match="cannot be opened"):
                await bus.read(1, 9, 1)
            first.close()
            assert await answered(bus) == (0x600D,)
        second.close()


@asynccontextmanager
async def pymodbus_server(*data: SimData) -> AsyncIterator[int]:
    server = ModbusTcpServer(SimDevice(id=1, simdata=list(data)), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    try:
        assert isinstance(server.transport, asyncio.Server)
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus declares no type for it


async def test_a_server_of_pymodbus_answers_for_units_it_does_not_have() -> None:
    async with pymodbus_server(SimData(0, values=[7], datatype=DataType.REGISTERS)) as port:
        client = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, reconnect_delay=0)
        assert await client.connect()
        assert (await client.read_holding_registers(0, count=1, device_id=2)).exception_code == 4
        client.close()
        async with owned(TcpSettings("127.0.0.1", port)) as bus:
            assert await bus.read(1, 0, 1) == (7,)
            with pytest.raises(DeviceRefused, match="4"):
                await bus.read(2, 0, 1)


async def test_the_simulated_line_leaves_units_it_does_not_have_to_others() -> None:
    unit = UnitFirmware(identity(), BenchMechanism(), Flash())
    unit.power_on(7)
    async with running(unit):
        slave = RtuSlave({1: unit})
        async with line(slave.feed) as peer, owned(RtuSettings(peer.port)) as bus:
            assert (await bus.read(1, 0, 1))[0]
            with pytest.raises(DeviceSilent):
                await bus.read(2, 0, 1)
        async with tcp_bus({1: unit}, "127.0.0.1", 0) as port, owned(TcpSettings("127.0.0.1", port)) as bus:
            with pytest.raises(DeviceRefused, match="11"):
                await bus.read(2, 0, 1)


async def test_a_count_doubles_the_text_of_a_server_of_pymodbus() -> None:
    text = SimData(0, count=2, values="ab", datatype=DataType.STRING)
    listed = SimData(8, values=[0x6162], datatype=DataType.REGISTERS)
    async with pymodbus_server(text, listed) as port, owned(TcpSettings("127.0.0.1", port)) as bus:
        assert await bus.read(1, 0, 2) == (0x6162, 0x6162)
        assert await bus.read(1, 8, 1) == (0x6162,)
