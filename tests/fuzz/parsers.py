"""One entry a parser: any bytes, in any split, must give frames or the declared error, quickly and without growth.

An entry takes one input and raises for a finding. The first bytes of the input choose how the rest is split and whether it
is sealed with a true checksum first, so that a fuzzer gets behind the checksum too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date

from firmware_protocol import blocks, cardtext, idnumber, samv
from firmware_protocol.crc import crc16
from firmware_protocol.mailbox import ExceptionCode, conclude, judge
from firmware_protocol.units import State, UnitKind
from sim.modbus_slave import RtuSlave, TcpSlave

Entry = Callable[[bytes], None]

SLOWEST = 0.05
"""CPU seconds that one input may cost."""
_PIECES = 16
_RTU_BUFFER = 255
_TCP_BUFFER = 259
_DAY = date(2026, 1, 1)


class Finding(AssertionError):
    """A parser broke its promise."""


def promise(holds: bool, what: str) -> None:
    """Raise Finding unless the promise holds."""
    if not holds:
        raise Finding(what)


class _Memory:
    """A device behind the Modbus slave whose registers can all be read and written."""

    silent = False

    def read(self, address: int, count: int) -> list[int] | ExceptionCode:
        return [address] * count

    def write(self, address: int, values: object) -> ExceptionCode | None:
        return ExceptionCode.SERVER_DEVICE_BUSY if address & 1 else None


def _parted(data: bytes) -> tuple[int, bytes, list[bytes]]:
    """Flags, the stream, and the stream in pieces: 16 of two alternating sizes that the first two bytes choose, and the rest."""
    stream = data[2:]
    sizes = (1 + data[0] % 61, 1 + data[1])
    pieces = []
    start = 0
    for n in range(_PIECES):
        pieces.append(stream[start : start + sizes[n % 2]])
        start += sizes[n % 2]
        if start >= len(stream):
            break
    pieces.append(stream[start:])
    return data[0] >> 6, stream, pieces


def _registers(stream: bytes) -> list[int]:
    return [int.from_bytes(stream[i : i + 2], "big") for i in range(0, len(stream) - 1, 2)]


def samv_stream(data: bytes) -> None:
    """Both directions of the ID-card reader's serial line."""
    if len(data) < 2:
        return
    flags, stream, pieces = _parted(data)
    if flags:
        body = (len(stream) + 1).to_bytes(4, "big")[2:] + stream
        frame = samv.HEADER + body + bytes([_xor(body)])
        stream, pieces = (stream + frame, [stream, frame]) if flags == 1 else (frame, [frame[:9], frame[9:]])
    for make in (samv.request_parser, samv.reply_parser):
        whole, split = make(), make()
        at_once = whole.feed(stream) + whole.flush()
        found = []
        for piece in pieces:
            found += split.feed(piece)
            promise(split.waiting <= split.bound, "the buffer grows")
        found += split.flush()
        promise(found == at_once, "the split decides the frames")
        promise(whole.waiting == split.waiting == 0, "bytes wait after the end")
        for frame in at_once:
            frame.to_bytes()


def samv_frame(data: bytes) -> None:
    """One whole frame of the ID-card reader, and the blocks in its data."""
    for decode in (samv.decode_request, samv.decode_reply):
        try:
            decode(data)
        except samv.SamvError:
            continue
    for command in samv.Command:
        try:
            samv.decode_card_blocks(command, data)
        except samv.SamvError:
            continue


def card_text(data: bytes) -> None:
    """The 256 bytes of text of a card; the first byte may choose the layout."""
    if not data:
        return
    block = bytearray(data[1:].ljust(cardtext.TEXT_LENGTH, b"\0"))
    if data[0] & 7 < 4:
        del block[cardtext.TEXT_LENGTH :]
        block[cardtext.TYPE_OFFSET : cardtext.TYPE_OFFSET + 2] = (b" \0", b"J\0", b"I\0", b"Y\0")[data[0] & 3]
    try:
        text = cardtext.decode(bytes(block))
    except cardtext.CardTextError:
        return
    cardtext.wrong_fields(text)
    cardtext.is_valid_on(text, _DAY)
    cardtext.display_name(text)
    try:
        cardtext.encode(text)
    except cardtext.CardTextError as error:
        raise Finding("what was read cannot be written") from error


def id_number(data: bytes) -> None:
    """The number on a card, as characters of any kind."""
    idnumber.is_valid(data.decode("utf-8", "replace"))
    idnumber.is_date(data.decode("latin-1"))


def register_blocks(data: bytes) -> None:
    """The three blocks of the mailbox, and what unit and host conclude from them."""
    if len(data) < 2:
        return
    flags, stream, _pieces = _parted(data)
    registers = _registers(stream)
    if flags:
        count = (blocks.IDENTITY_COUNT, blocks.COMMAND_COUNT, blocks.STATUS_COUNT)[flags - 1]
        body = [blocks.MAGIC, blocks.VERSION.major << 8 | blocks.VERSION.minor, *registers, *[0] * count][: count - 1]
        registers = [*body, blocks.crc16_of_registers(body)]
    for block in (blocks.IdentityBlock, blocks.CommandBlock, blocks.StatusBlock):
        try:
            decoded = block.from_registers(registers)
        except blocks.BlockError:
            continue
        again = block.from_registers(decoded.to_registers())
        promise(again == decoded, "a block changes when it is written again")
        if isinstance(decoded, blocks.StatusBlock):
            _concluded(decoded)
    for kind in UnitKind:
        judge(registers, kind=kind, capacity=8, boot_id=0, accepted_seq=0xFFFFFFFF, state=State.READY)


def _concluded(status: blocks.StatusBlock) -> None:
    for seq in (0, 1, 0xFFFFFFFF):
        conclude(seq, status)


def modbus_rtu(data: bytes) -> None:
    """Requests on a serial line, as a unit hears them."""
    if len(data) < 2:
        return
    flags, stream, pieces = _parted(data)
    if flags:
        frame = b"\1" + stream[:253]
        pieces = [*pieces[: flags - 1], frame + crc16(frame).to_bytes(2, "little")]
    slave = RtuSlave({1: _Memory()})
    for piece in pieces:
        sent = slave.feed(piece)
        promise(len(sent) <= 256 * (1 + len(piece)), "more answers than requests")
        promise(len(slave._buffer) <= _RTU_BUFFER, "the buffer grows")
    slave.gap()
    promise(not slave._buffer, "bytes wait after the silence")


def modbus_tcp(data: bytes) -> None:
    """Requests on a TCP connection, as a gateway hears them."""
    if len(data) < 2:
        return
    flags, stream, pieces = _parted(data)
    if flags:
        pdu = stream[:253]
        adu = bytes(4) + (len(pdu) + 1).to_bytes(2, "big") + b"\1" + pdu
        stream, pieces = adu + stream, [adu[:7], adu[7:], stream]
    whole, split = TcpSlave({1: _Memory()}), TcpSlave({1: _Memory()})
    at_once = whole.feed(stream)
    sent = b""
    for piece in pieces:
        sent += split.feed(piece)
        promise(len(split._buffer) <= _TCP_BUFFER, "the buffer grows")
    promise(sent == at_once, "the split decides the answers")


def _xor(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
    return value


LONGEST = {"samv-stream": 3000, "samv-frame": 2400, "card-text": 260, "id-number": 64, "register-blocks": 140}
"""Bytes of one input, by parser: more than its longest frame. What is not named here has 600, two Modbus frames."""

PARSERS: dict[str, Entry] = {
    "samv-stream": samv_stream,
    "samv-frame": samv_frame,
    "card-text": card_text,
    "id-number": id_number,
    "register-blocks": register_blocks,
    "modbus-rtu": modbus_rtu,
    "modbus-tcp": modbus_tcp,
}


def longest(name: str) -> int:
    """Bytes of one input to a parser."""
    return LONGEST.get(name, 600)


def timed(entry: Entry) -> Entry:
    """The entry with a bound on its CPU time."""

    def run(data: bytes) -> None:
        began = time.thread_time()
        entry(data)
        spent = time.thread_time() - began
        promise(spent < SLOWEST, f"one input of {len(data)} bytes took {spent * 1000:.0f} ms")

    return run


def samples(name: str) -> Iterator[bytes]:
    """A few true inputs to begin from."""
    reply = samv.Reply(samv.Status.OK, b"\x01\x00\x04\x00" + bytes(1280)).to_bytes()
    request = samv.Request(samv.Command.FIND).to_bytes()
    read = bytes.fromhex("01 03 0200 0020")
    yield b"\0\x10" + request + reply
    yield reply
    yield b"\0" + "测试".encode("utf-16-le").ljust(256, b" ")
    yield b"110101199003070000"
    yield b"\0\x07" + read + crc16(read).to_bytes(2, "little")
    yield b"\x40\x07" + read[1:]
    if name == "register-blocks":
        for flag in (0x40, 0x80, 0xC0):
            yield bytes([flag, 0]) + bytes(64)
