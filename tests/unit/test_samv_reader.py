"""The reader's driver over a line in memory: what the module may say, scripted to the byte."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from itertools import pairwise

import pytest

from firmware_protocol import cardtext, samv
from firmware_protocol.idnumber import check_digit
from firmware_protocol.samv import CardBlocks, Command, Reply, Status
from lockerd.devices.id_reader import SamvReader, Timing
from lockerd.errors import DeviceError, UnreadableCard
from lockerd.model.cards import Chip
from sim.id_reader import ChipData, SamvDevice, resident_chip

NUMBER = "99010119900101001" + check_digit("99010119900101001")
CARD = resident_chip("测试甲", NUMBER, "20200101", "长期")
CHIP = Chip("测试甲", NUMBER, "20200101", "长期", "counter")
BLOCK = cardtext.encode(CARD.text)
SHORT = Timing(answer=0.02, card=0.02, first_pause=0.02, longest_pause=0.04)
LONG = Timing(answer=5, card=5)
SELECTED = Reply(Status.OK, bytes(8)).to_bytes()
FOUND = Reply(Status.FOUND, bytes(4)).to_bytes()


class MemoryLine:
    """A `Line` whose other end is a function from request bytes to answer bytes; None hangs up."""

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self.answer = answer
        self.waiting = bytearray()
        self.written: list[int] = []
        self.asked = asyncio.Event()
        self.closed = False
        self.gone = False

    async def read(self, limit: int, timeout: float) -> bytes:
        if self.gone:
            raise DeviceError("counter", "the line is gone")
        if not self.waiting and timeout > 0:
            await asyncio.sleep(timeout)
        data = bytes(self.waiting[:limit])
        del self.waiting[:limit]
        return data

    async def write(self, data: bytes, timeout: float) -> None:
        self.written.append(samv.decode_request(data).command)
        self.asked.set()
        answer = self.answer(data)
        if answer is None:
            self.gone = True
        else:
            self.waiting += answer

    def close(self) -> None:
        self.closed = True


def scripted(*answers: bytes | None) -> MemoryLine:
    """One answer for each request, silence when they are used up."""
    rest = list(answers)
    return MemoryLine(lambda data: rest.pop(0) if rest else b"")


def reader_on(*lines: MemoryLine | None, timing: Timing = SHORT) -> SamvReader:
    rest = list(lines)

    async def open_line() -> MemoryLine:
        line = rest.pop(0) if rest else None
        if line is None:
            raise DeviceError("counter", "cannot open")
        return line

    return SamvReader("counter", open_line, timing)


def device_line(card: ChipData | None) -> MemoryLine:
    return MemoryLine(SamvDevice(lambda: card).feed)


async def test_reads_a_card_and_counts() -> None:
    reader = reader_on(device_line(CARD))
    assert not reader.last_answer_ok
    assert await reader.read() == CHIP
    assert reader.last_answer_ok
    counters = reader.counters
    assert (counters.frames, counters.bad_frames, counters.dropped_bytes, counters.stale_frames) == (3, 0, 0, 0)
    assert (counters.time_outs, counters.connections) == (0, 1)


@pytest.mark.parametrize("length", [0, 512, 1024])
async def test_reads_the_fingerprint_where_it_is_asked_for(length: int) -> None:
    block = bytes(range(256)) * 4
    line = device_line(dataclasses.replace(CARD, fingerprint=block[:length]))

    async def open_line() -> MemoryLine:
        return line

    chip = await SamvReader("counter", open_line, SHORT, fingerprint=True).read()
    assert chip == dataclasses.replace(CHIP, fingerprint=block[:length])
    assert "fingerprint" not in repr(chip)


async def test_no_card() -> None:
    assert await reader_on(device_line(None)).read() is None


async def test_probe() -> None:
    reader = reader_on(device_line(None), timing=SHORT)
    await reader.probe()
    assert reader.last_answer_ok
    with pytest.raises(DeviceError, match="SELF_TEST_FAILED"):
        await reader_on(scripted(Reply(Status.SELF_TEST_FAILED).to_bytes())).probe()


async def test_a_failed_find_is_not_the_last_word() -> None:
    read = Reply(Status.OK, CardBlocks(BLOCK, bytes(1024)).to_data()).to_bytes()
    line = scripted(Reply(Status.FIND_FAILED).to_bytes(), SELECTED, read)
    assert await reader_on(line).read() == CHIP


async def test_card_moved_away_before_the_read() -> None:
    line = scripted(
        FOUND,
        SELECTED,
        Reply(Status.READ_FAILED).to_bytes(),
        Reply(Status.FIND_FAILED).to_bytes(),
        Reply(Status.SELECT_FAILED).to_bytes(),
    )
    reader = reader_on(line)
    assert await reader.read() is None
    assert reader.last_answer_ok


async def test_a_card_that_stays_and_cannot_be_read_is_unreadable() -> None:
    failed = Reply(Status.READ_FAILED, card_status=0x6A82).to_bytes()
    reader = reader_on(scripted(FOUND, SELECTED, failed, FOUND, SELECTED, failed))
    with pytest.raises(UnreadableCard):
        await reader.read()
    assert reader.last_answer_ok  # the card is at fault, not the reader


@pytest.mark.parametrize("status", [Status.CARD_TO_SAM_FAILED, Status.UNKNOWN_CARD, Status.NO_CONTENT])
async def test_a_refused_card_is_unreadable(status: Status) -> None:
    with pytest.raises(UnreadableCard, match=status.name):
        await reader_on(scripted(FOUND, SELECTED, Reply(status).to_bytes())).read()


@pytest.mark.parametrize(
    ("card", "field"),
    [
        (
            resident_chip("测试甲", NUMBER[:17] + ("0" if NUMBER[17] != "0" else "1"), "20200101", "20400101"),
            "id_number",
        ),
        (resident_chip("测试甲", NUMBER, "20200230", "20400101"), "valid_from"),
        (resident_chip("测试甲", NUMBER, "20200101", "20190101"), "valid_to"),
        (resident_chip("", NUMBER, "20200101", "20190101"), "name"),
    ],
)
async def test_a_text_that_cannot_be_true_is_unreadable_and_stays_private(card: ChipData, field: str) -> None:
    with pytest.raises(UnreadableCard, match=field) as caught:
        await reader_on(device_line(card)).read()
    message = str(caught.value)
    assert card.text.id_number not in message
    assert "测试" not in message


async def test_a_text_of_no_known_layout_is_unreadable() -> None:
    block = BLOCK[:248] + b"Q\0" + bytes(6)
    read = Reply(Status.OK, CardBlocks(block, bytes(1024)).to_data()).to_bytes()
    with pytest.raises(UnreadableCard):
        await reader_on(scripted(FOUND, SELECTED, read)).read()


async def test_wrong_length_or_meaning_is_no_answer() -> None:
    """Each could be the late answer of another request; none is taken for this one's."""
    for wrong in (SELECTED, Reply(Status.FOUND).to_bytes(), Reply(Status.SELECT_FAILED).to_bytes()):
        reader = reader_on(scripted(wrong))
        with pytest.raises(DeviceError, match="FIND"):
            await reader.read()
        assert reader.counters.stale_frames == 1


async def test_block_lengths_that_do_not_agree_are_refused() -> None:
    data = bytearray(CardBlocks(BLOCK, bytes(1024)).to_data())
    data[1] = 1
    with pytest.raises(DeviceError, match="may not"):
        await reader_on(scripted(FOUND, SELECTED, Reply(Status.OK, bytes(data)).to_bytes())).read()


async def test_stale_bytes_are_drained_before_a_request() -> None:
    line = device_line(None)
    line.waiting += FOUND + b"noise" + SELECTED[:6]
    reader = reader_on(line)
    assert await reader.read() is None
    assert (reader.counters.stale_frames, reader.counters.dropped_bytes) == (1, 11)


async def test_a_garbled_answer_is_asked_for_again_and_silence_is_not() -> None:
    line = scripted(FOUND[:-1] + b"\x00", FOUND, Reply(Status.BAD_CHECKSUM).to_bytes(), SELECTED)
    reader = reader_on(line)
    with pytest.raises(DeviceError, match="READ_TEXT_PHOTO"):
        await reader.read()
    assert line.written == [Command.FIND] * 2 + [Command.SELECT] * 2 + [Command.READ_TEXT_PHOTO]
    assert not reader.last_answer_ok
    assert (reader.counters.bad_frames, reader.counters.time_outs) == (1, 2)


async def test_an_answer_behind_a_false_header_is_found_at_the_time_out() -> None:
    line = scripted(samv.HEADER + b"\x09\x00" + FOUND, SELECTED)
    with pytest.raises(DeviceError, match="READ_TEXT_PHOTO"):
        await reader_on(line).read()
    assert line.written == [Command.FIND, Command.SELECT, Command.READ_TEXT_PHOTO]


async def test_a_lost_line_is_opened_again_by_the_next_call() -> None:
    lost = scripted(FOUND, None)
    reader = reader_on(lost, device_line(CARD), timing=LONG)
    with pytest.raises(DeviceError):
        await reader.read()
    assert lost.closed
    assert not reader.last_answer_ok
    assert await reader.read() == CHIP
    assert reader.counters.connections == 2


async def test_pauses_between_tries_double_up_to_a_bound() -> None:
    opened = []

    async def open_line() -> MemoryLine:
        opened.append(asyncio.get_running_loop().time())
        raise DeviceError("counter", "cannot open")

    reader = SamvReader("counter", open_line, SHORT)
    async with asyncio.timeout(5):
        while len(opened) < 6:
            with pytest.raises(DeviceError):
                await reader.read()
            await asyncio.sleep(0.001)
    pauses = [later - earlier for earlier, later in pairwise(opened)]
    assert pauses[1] >= 0.02
    assert all(pause >= 0.04 for pause in pauses[2:])


async def test_a_cancelled_read_leaves_the_reader_usable() -> None:
    line = device_line(CARD)
    answer = line.answer
    line.answer = lambda data: b""
    reader = reader_on(line, timing=LONG)
    task = asyncio.create_task(reader.read())
    await asyncio.wait_for(line.asked.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    late = answer(samv.Request(Command.FIND).to_bytes())
    assert late is not None
    line.waiting += late
    line.answer = answer
    assert await reader.read() == CHIP
    assert reader.counters.stale_frames == 1


async def test_calls_at_once_take_turns() -> None:
    reader = reader_on(device_line(CARD), timing=LONG)
    results = await asyncio.gather(reader.read(), reader.probe(), reader.read())
    assert list(results) == [CHIP, None, CHIP]
