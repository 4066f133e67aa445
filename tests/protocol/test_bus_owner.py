"""What bare pymodbus lets through on a serial line, and the bus owner that does not.

The far end of the pseudo-terminal is scripted byte by byte; every defect is first shown on the bare library.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from lockerd.devices.bus import DeviceRefused, DeviceSilent, ModbusBus, RtuSettings, TcpSettings
from tests.modbus_rig import PtyPeer, until
from tests.wire_rig import NEW, OLD, TIMEOUT, WRITTEN, Script, bare, guarded, line, owned, sealed


async def test_a_late_reply_is_the_next_answer_for_bare_pymodbus() -> None:
    async with bare(Script(b"", OLD + NEW)) as client:
        with pytest.raises(ModbusException):
            await client.read_holding_registers(0, count=1, device_id=1)
        answer = await client.read_holding_registers(9, count=1, device_id=1)
        assert answer.registers == [0x0BAD]


async def test_a_late_reply_is_dropped_by_the_bus_owner() -> None:
    script = Script((1.2 * TIMEOUT, OLD), NEW)
    async with guarded(script) as bus:
        with pytest.raises(DeviceSilent):
            await bus.read(1, 0, 1)
        assert await bus.read(1, 9, 1) == (0x600D,)
        assert script.requests[1][0] - script.requests[0][0] > 1.2 * TIMEOUT  # asked only when the late reply was over
        counted = bus.statistics(1)
        assert (counted.requests, counted.timeouts, bus.line_statistics().stale) == (2, 1, 1)


async def test_a_cancelled_read_leaves_its_answer_to_the_next_in_bare_pymodbus() -> None:
    async with bare(Script(b"", OLD + NEW)) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.read_holding_registers(0, count=1, device_id=1), 0.2 * TIMEOUT)
        answer = await client.read_holding_registers(9, count=1, device_id=1)
        assert answer.registers == [0x0BAD]


async def test_a_cancelled_caller_does_not_disturb_the_exchange_of_the_bus_owner() -> None:
    script = Script(b"", NEW)
    async with guarded(script) as bus:
        first = asyncio.get_running_loop().create_task(bus.read(1, 0, 1))
        never_sent = asyncio.get_running_loop().create_task(bus.write(1, 0x100, [1, 2]))
        await until(lambda: script.requests)
        first.cancel()
        never_sent.cancel()
        assert script.peer is not None
        script.peer.send(OLD)
        assert await bus.read(1, 9, 1) == (0x600D,)
        assert len(script.requests) == 2
        assert bus.statistics(1).timeouts == 0


async def test_a_write_is_content_with_the_answer_of_a_read_in_bare_pymodbus() -> None:
    async with bare(Script(OLD)) as client:
        answer = await client.write_registers(0x100, [1, 2], device_id=1)
        assert not answer.isError()


@pytest.mark.parametrize(
    "answer",
    [OLD, sealed("01 10 0100 0001"), sealed("01 10 0101 0002"), sealed("02 10 0100 0002"), WRITTEN[:-1] + b"\0"],
    ids=["a read's answer", "another count", "another address", "another unit", "wrong CRC"],
)
async def test_a_write_takes_only_its_own_answer(answer: bytes) -> None:
    async with guarded(Script(answer)) as bus:
        with pytest.raises(DeviceSilent, match="no fitting answer"):
            await bus.write(1, 0x100, [1, 2])
        counted = bus.statistics(1)
        assert (counted.crc_errors, counted.misfits) == ((1, 0) if answer[-1] == 0 else (0, 1))


@pytest.mark.parametrize("answer", [sealed("01 03 04 0001 0002"), sealed("01 04 02 0001"), sealed("03 03 02 0001")])
async def test_a_read_takes_only_its_own_answer(answer: bytes) -> None:
    async with guarded(Script(answer)) as bus:
        with pytest.raises(DeviceSilent, match="no fitting answer"):
            await bus.read(1, 0, 1)


async def test_an_echo_is_an_answer_to_a_single_write_of_bare_pymodbus() -> None:
    class Echo(Script):
        def __call__(self, data: bytes) -> bytes:
            return data

    async with bare(Echo()) as client:
        answer = await client.write_register(0x100, 7, device_id=1)
        assert not answer.isError()


async def test_an_echo_is_no_answer_to_the_bus_owner() -> None:
    async with guarded(lambda data: data) as bus:
        with pytest.raises(DeviceSilent):
            await bus.write(1, 0x100, [7])
        with pytest.raises(DeviceSilent):
            await bus.read(1, 0x200, 1)


async def test_an_answer_behind_the_echo_is_found() -> None:
    answers = iter([NEW, sealed("01 10 0100 0002")])
    async with guarded(lambda data: data + next(answers)) as bus:
        assert await bus.read(1, 9, 1) == (0x600D,)
        await bus.write(1, 0x100, [1, 2])


async def test_a_stray_byte_costs_bare_pymodbus_the_answer() -> None:
    async with bare(Script(b"\x03" + NEW)) as client:
        with pytest.raises(ModbusException):
            await client.read_holding_registers(9, count=1, device_id=1)


@pytest.mark.parametrize("stray", [b"\x00", b"\x03", b"\x01\x03", b"\x01\x10\xff" * 5])
async def test_stray_bytes_before_an_answer_cost_the_bus_owner_nothing(stray: bytes) -> None:
    async with guarded(Script(stray + NEW)) as bus:
        assert await bus.read(1, 9, 1) == (0x600D,)


async def test_bare_pymodbus_repeats_a_write_and_the_bus_owner_does_not() -> None:
    script = Script()
    async with line(script) as peer:
        client = AsyncModbusSerialClient(peer.port, framer=FramerType.RTU, timeout=TIMEOUT)
        assert await client.connect()
        with pytest.raises(ModbusException):
            await client.write_registers(0x100, [1], device_id=1)
        client.close()
    assert len(script.requests) == 4
    script = Script()
    async with guarded(script) as bus:
        with pytest.raises(DeviceSilent) as caught:
            await bus.write(1, 0x100, [1])
        assert caught.value.sent
        assert len(script.requests) == 1


async def test_an_exception_is_a_refusal_with_its_code() -> None:
    async with guarded(Script(sealed("01 90 06"), sealed("01 83 02"))) as bus:
        with pytest.raises(DeviceRefused) as write:
            await bus.write(1, 0x100, [1])
        with pytest.raises(DeviceRefused) as read:
            await bus.read(1, 0, 1)
        assert (write.value.code, read.value.code, bus.statistics(1).exceptions) == (6, 2, 2)


async def test_a_missing_port_is_silence_before_sending_and_is_not_tried_at_once_again() -> None:
    async with owned(RtuSettings("/nonexistent/line")) as bus:
        for reason in ("cannot be opened", "is not connected"):
            with pytest.raises(DeviceSilent, match=reason) as caught:
                await bus.write(1, 0x100, [1])
            assert not caught.value.sent


async def test_a_line_that_comes_back_is_opened_again(tmp_path: Path) -> None:
    link = tmp_path / "bus"
    with PtyPeer(Script(NEW)) as first:
        link.symlink_to(first.port)
        async with owned(RtuSettings(str(link))) as bus:
            assert await bus.read(1, 9, 1) == (0x600D,)
            first.close()
            link.unlink()
            with pytest.raises(DeviceSilent):
                await bus.read(1, 9, 1)
            with PtyPeer(lambda _: NEW) as second:
                link.symlink_to(second.port)

                async def works() -> bool:
                    try:
                        return await bus.read(1, 9, 1) == (0x600D,)
                    except DeviceSilent:
                        return False

                async with asyncio.timeout(5):
                    while not await works():
                        await asyncio.sleep(0.01)
            assert bus.line_statistics().reconnects == 1


async def test_a_tcp_answer_without_its_transaction_passes_bare_pymodbus_and_not_the_bus_owner() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(100):
            writer.write(bytes.fromhex("0000 0000 0005 01 03 02 0BAD"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=TIMEOUT, retries=0, reconnect_delay=0)
        assert await client.connect()
        assert (await client.read_holding_registers(9, count=1, device_id=1)).registers == [0x0BAD]
        client.close()
        async with owned(TcpSettings("127.0.0.1", port)) as bus:
            with pytest.raises(DeviceSilent):
                await bus.read(1, 9, 1)


async def test_a_stopped_bus_fails_its_callers_instead_of_hanging_them() -> None:
    script = Script()
    async with line(script) as peer:
        bus = ModbusBus(RtuSettings(peer.port), timeout=5.0)
        task = asyncio.get_running_loop().create_task(bus.run())
        waiting = [asyncio.get_running_loop().create_task(bus.read(1, 0, 1)) for _ in range(2)]
        await until(lambda: script.requests)
        task.cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(result, DeviceSilent) and result.sent for result in results] == [True, False]
        with pytest.raises(DeviceSilent, match="stopped"):
            await bus.read(1, 0, 1)
