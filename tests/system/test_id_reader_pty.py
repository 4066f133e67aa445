"""The driver, the serial line and the simulated module over a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from firmware_protocol import samv
from firmware_protocol.idnumber import check_digit
from firmware_protocol.samv import Command
from lockerd.devices.id_reader import SamvReader, Timing
from lockerd.devices.serial_line import open_serial
from lockerd.errors import DeviceError
from lockerd.model.cards import Chip
from sim.id_reader import ChipData, SamvDevice, resident_chip
from sim.ptys import Send, serve_pty

NUMBER = "99010119900101001" + check_digit("99010119900101001")
CARD = resident_chip("测试甲", NUMBER, "20200101", "长期")
CHIP = Chip("测试甲", NUMBER, "20200101", "长期", "counter")
PATIENT = Timing(answer=10, card=10, first_pause=0.01, longest_pause=0.02)
HASTY = Timing(answer=0.05, card=0.05, first_pause=0.01, longest_pause=0.02)


class Bench:
    """A module on a pty; `before` sees each chunk from the host first and may put bytes in front of the answer."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.card: ChipData | None = CARD
        self.silent = False
        self.before: Callable[[bytes], bytes] = lambda _data: b""
        self.device = SamvDevice(lambda: self.card)

    def handle(self, data: bytes, send: Send) -> None:
        noise = self.before(data)
        answer = self.device.feed(data)
        if not self.silent:
            send(noise + answer)

    @asynccontextmanager
    async def powered(self, baudrate: float | None = None) -> AsyncIterator[None]:
        task = asyncio.create_task(serve_pty(self.link, self.handle, baudrate=baudrate))
        while not self.link.is_symlink() and not task.done():
            await asyncio.sleep(0)
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @asynccontextmanager
    async def reader(self, timing: Timing = PATIENT) -> AsyncIterator[SamvReader]:
        reader = SamvReader("counter", lambda: open_serial(str(self.link), 115_200, device="counter"), timing)
        try:
            yield reader
        finally:
            reader.close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "reader-counter")


async def test_card_read_and_no_card(bench: Bench) -> None:
    async with bench.powered(baudrate=115_200), bench.reader() as reader:
        assert await reader.read() == CHIP
        bench.card = None
        assert await reader.read() is None
        await reader.probe()
    assert reader.counters.connections == 1


@pytest.mark.parametrize("leaves_at", [Command.SELECT, Command.READ_TEXT_PHOTO])
async def test_card_removed_in_the_middle(bench: Bench, leaves_at: Command) -> None:
    def take_away(data: bytes) -> bytes:
        if samv.Request(leaves_at).to_bytes() in data:
            bench.card = None
        return b""

    bench.before = take_away
    async with bench.powered(), bench.reader() as reader:
        assert await reader.read() is None
        assert reader.last_answer_ok


async def test_garbage_on_the_line(bench: Bench) -> None:
    bench.before = lambda data: b"\xaa\xaa\xaa\x96\x00" + samv.HEADER + b"\xff\xff" + bytes(range(256))
    async with bench.powered(), bench.reader() as reader:
        assert await reader.read() == CHIP
        assert reader.counters.dropped_bytes >= 3 * 268


async def test_silent_reader_and_its_return(bench: Bench) -> None:
    bench.silent = True
    async with bench.powered(), bench.reader(HASTY) as reader:
        with pytest.raises(DeviceError, match="counter: gives no answer to FIND"):
            await reader.read()
        assert not reader.last_answer_ok
        assert reader.counters.time_outs == 1
        bench.silent = False
        assert await until_read(reader) == CHIP
        assert reader.last_answer_ok
        assert reader.counters.connections == 1


async def test_pty_vanishes_and_comes_back(bench: Bench) -> None:
    async with bench.reader() as reader:
        async with bench.powered():
            assert await reader.read() == CHIP
        with pytest.raises(DeviceError, match="line is gone"):
            await reader.read()
        with pytest.raises(DeviceError, match="cannot open"):
            await reader.read()
        async with bench.powered():
            assert await until_read(reader) == CHIP
        assert reader.counters.connections == 2


async def test_pty_vanishes_while_the_driver_waits(bench: Bench) -> None:
    bench.silent = True
    async with bench.reader() as reader:
        async with bench.powered():
            task = asyncio.create_task(reader.read())
            while not reader.counters.connections:
                await asyncio.sleep(0)
        async with asyncio.timeout(5):
            with pytest.raises(DeviceError, match="line is gone"):
                await task


async def until_read(reader: SamvReader) -> Chip | None:
    """The first chip within five seconds; a reader that was away is polled, as a journey does."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await reader.read()
            except DeviceError:
                await asyncio.sleep(0.005)


async def test_line_writes_what_exceeds_the_terminals_buffer(tmp_path: Path) -> None:
    got = bytearray()
    complete = asyncio.Event()
    data = bytes(range(256)) * 400
    link = tmp_path / "port"

    def handle(chunk: bytes, send: Send) -> None:
        got.extend(chunk)
        if len(got) >= len(data):
            complete.set()

    task = asyncio.create_task(serve_pty(link, handle))
    while not link.is_symlink():
        await asyncio.sleep(0)
    line = await open_serial(str(link), 115_200, device="port")
    await line.write(data, 5)
    await asyncio.wait_for(complete.wait(), 5)
    assert got == data
    assert await line.read(10, 0) == b""
    assert await line.read(10, 0.01) == b""
    line.close()
    line.close()
    with pytest.raises(DeviceError, match="closed"):
        await line.read(1, 0)
    task.cancel()
    await asyncio.wait([task])


async def test_line_that_takes_nothing_gives_up_in_time(tmp_path: Path) -> None:
    master, slave = os.openpty()
    try:
        line = await open_serial(os.ttyname(slave), 115_200, device="port")
        with pytest.raises(DeviceError, match="takes no bytes"):
            await line.write(bytes(1_000_000), 0.05)
        line.close()
    finally:
        os.close(master)
        os.close(slave)


async def test_line_in_use_and_what_is_no_terminal_are_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    for port in (tmp_path / "absent", plain):
        with pytest.raises(DeviceError, match="port: cannot open"):
            await open_serial(str(port), 115_200, device="port")
    master, slave = os.openpty()
    line = await open_serial(os.ttyname(slave), 115_200, device="port")
    with pytest.raises(DeviceError, match="cannot open"):
        await open_serial(os.ttyname(slave), 115_200, device="port")
    line.close()
    os.close(master)
    os.close(slave)
