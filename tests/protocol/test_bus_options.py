"""Options of the serial line: turnaround, echo, parity, and what the baud rate means for waiting."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from lockerd.devices.bus import DeviceSilent, RtuSettings
from tests.wire_rig import NEW, TIMEOUT, WRITTEN, Script, guarded, sealed

ANSWERS = {b"\x01\x03": NEW, b"\x01\x10": WRITTEN}


def echoing(data: bytes) -> bytes:
    return data + ANSWERS[data[:2]]


def test_the_gap_is_the_standards_or_the_longer_turnaround() -> None:
    assert RtuSettings("", 9600).gap == pytest.approx(3.5 * 10 / 9600)
    assert RtuSettings("", 9600, parity="even").gap == pytest.approx(3.5 * 11 / 9600)
    assert RtuSettings("", 115200).gap == 0.00175
    assert RtuSettings("", 115200, turnaround=0.02).gap == 0.02
    assert RtuSettings("", 9600, turnaround=0.001).gap > 0.003


async def test_requests_keep_the_turnaround() -> None:
    script = Script(*[NEW] * 4)
    async with guarded(script, turnaround=0.05) as bus:
        await asyncio.gather(*(bus.read(1, 9, 1) for _ in range(4)))
    times = [time for time, _ in script.requests]
    assert all(later - earlier >= 0.05 for earlier, later in itertools.pairwise(times))


async def test_an_answer_may_take_its_time_on_a_slow_line() -> None:
    async with guarded(Script((1.2 * TIMEOUT, NEW)), baudrate=1200) as bus:
        assert await bus.read(1, 9, 1) == (0x600D,)


async def test_the_echo_is_cut_off_before_the_answer() -> None:
    async with guarded(echoing, echo=True) as bus:
        assert await bus.read(1, 9, 1) == (0x600D,)
        await bus.write(1, 0x100, [1, 2])


async def test_an_echo_that_comes_apart_from_its_answer_is_waited_for() -> None:
    class Late(Script):
        def __call__(self, data: bytes) -> bytes:
            assert self.peer is not None
            asyncio.get_running_loop().call_later(0.05, self.peer.send, data[3:] + NEW)
            return data[:3]

    async with guarded(Late(), echo=True) as bus:
        assert await bus.read(1, 9, 1) == (0x600D,)


async def test_an_echo_alone_is_silence_of_the_unit_only_where_echoes_are_expected() -> None:
    for echo, counted in ((True, (1, 0)), (False, (0, 1))):
        async with guarded(lambda data: data, echo=echo) as bus:
            with pytest.raises(DeviceSilent):
                await bus.read(1, 9, 1)
            statistics = bus.statistics(1)
            assert (statistics.timeouts, statistics.misfits) == counted
            assert bus.line_statistics().lost_echoes == 0


async def test_an_answer_without_the_echo_is_not_taken_and_the_line_is_blamed() -> None:
    async with guarded(Script(NEW), echo=True) as bus:
        with pytest.raises(DeviceSilent, match="did not echo"):
            await bus.read(1, 9, 1)
        assert bus.line_statistics().lost_echoes == 1


async def test_what_stands_before_the_echo_is_no_answer_where_echoes_are_expected() -> None:
    stale = sealed("01 03 02 0BAD")
    async with guarded(lambda data: stale + data + NEW) as bus:
        assert await bus.read(1, 9, 1) == (0x0BAD,)
    async with guarded(lambda data: stale + data + NEW, echo=True) as bus:
        assert await bus.read(1, 9, 1) == (0x600D,)
