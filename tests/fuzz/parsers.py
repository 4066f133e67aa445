"""One entry a parser: any bytes, in any split, must give frames or the declared error, quickly and without growth.

An entry takes one input and raises for a finding. The first two bytes of the input choose the direction, how the rest is
split, and whether it is sealed with a true checksum first, so that a fuzzer gets behind the checksum too. One input tries one
direction, one block, one split: the fuzzer has millions of inputs, and what it needs of each is that it be quick.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import date
from typing import Any, NamedTuple

from firmware_protocol import blocks, cardtext, crt, idnumber, samv
from firmware_protocol.crc import crc16, crc16_of_registers, xor_of
from firmware_protocol.framing import Parser
from firmware_protocol.line import rtu_frame
from firmware_protocol.mailbox import ExceptionCode, conclude, judge
from firmware_protocol.units import State, UnitKind
from sim.modbus_slave import RtuSlave, TcpSlave, answer

Entry = Callable[[bytes], None]

SLOWEST = 0.05
"""CPU seconds that one input may cost."""
_PIECES = 4
_RTU_BUFFER = 255
_TCP_BUFFER = 259
_DAY = date(2026, 1, 1)
_BLOCKS = (blocks.IdentityBlock, blocks.CommandBlock, blocks.StatusBlock)
_COUNTS = dict(zip(_BLOCKS, (blocks.IDENTITY_COUNT, blocks.COMMAND_COUNT, blocks.STATUS_COUNT), strict=True))


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


class Chosen(NamedTuple):
    """What the first two bytes of an input choose."""

    seal: int  # 0 not at all; else which way, see each entry
    second: bool  # the other direction
    step: int
    lead: int


def _chosen(data: bytes) -> Chosen:
    return Chosen(data[0] >> 6, bool(data[0] & 0x20), 1 + (data[0] & 0x1F), data[1])


def _pieces(stream: bytes, chosen: Chosen) -> Iterator[bytes]:
    """The stream in a piece of up to 255 bytes, four of up to 32, and the rest."""
    yield stream[: chosen.lead]
    end = chosen.lead + _PIECES * chosen.step
    for start in range(chosen.lead, min(end, len(stream)), chosen.step):
        yield stream[start : start + chosen.step]
    if end < len(stream):
        yield stream[end:]


def _stretched(stream: bytes, longest: int) -> bytes:
    """The stream with zeros behind it, as many as its first two bytes say: a long frame out of a short input."""
    return stream + bytes(int.from_bytes(stream[:2], "big") % longest)


def _registers(stream: bytes) -> list[int]:
    return [int.from_bytes(stream[i : i + 2], "big") for i in range(0, len(stream) - 1, 2)]


def _any_split(make: Callable[[], Parser[Any]], stream: bytes, pieces: Iterable[bytes]) -> None:
    """No split may change the frames of the stream, and every byte is part of one or dropped."""
    whole, split = make(), make()
    at_once = whole.feed(stream) + whole.flush()
    found = []
    for piece in pieces:
        found += split.feed(piece)
        promise(split.waiting <= split.bound, "the buffer grows")
    found += split.flush()
    promise(found == at_once, "the split decides the frames")
    promise(whole.waiting == split.waiting == 0, "bytes wait after the end")
    promise(whole.dropped_bytes == split.dropped_bytes, "the split decides what is dropped")
    told = sum(1 if isinstance(frame, crt.Control) else len(frame.to_bytes()) for frame in at_once)
    promise(told + whole.dropped_bytes == len(stream), "bytes are lost, or counted twice")


def samv_stream(data: bytes) -> None:
    """The ID-card reader's serial line; sealed, a frame ends it: behind the stream, of the stream, or of it and more."""
    if len(data) < 2:
        return
    chosen, stream = _chosen(data), data[2:]
    if chosen.seal:
        text = _stretched(stream, samv.REPLY_LENGTHS[1]) if chosen.seal == 3 else stream
        body = (len(text) + 1).to_bytes(4, "big")[2:] + text
        stream = (stream if chosen.seal == 1 else b"") + samv.HEADER + body + bytes([xor_of(body)])
    make = samv.request_parser if chosen.second else samv.reply_parser
    _any_split(make, stream, _pieces(stream, chosen))


def crt_stream(data: bytes) -> None:
    """The bought dispenser's serial line; sealed as for `samv_stream`."""
    if len(data) < 2:
        return
    chosen, stream = _chosen(data), data[2:]
    if chosen.seal:
        text = _stretched(stream, crt.REPLY_LENGTHS[1]) if chosen.seal == 3 else stream
        body = b"\xf2\0" + len(text).to_bytes(4, "big")[2:] + text + b"\3"
        stream = (stream if chosen.seal == 1 else b"") + body + bytes([xor_of(body)])
    make = crt.request_parser if chosen.second else crt.reply_parser
    _any_split(make, stream, _pieces(stream, chosen))


def crt_frame(data: bytes) -> None:
    """One whole frame of the bought dispenser, and what its data may mean."""
    for decode in (crt.decode_request, crt.decode_reply, crt.decode_status, crt.decode_sensors, crt.decode_count):
        try:
            decode(data)
        except crt.CrtError:
            continue


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
    chosen = _chosen(data)
    registers = _registers(data[2:])
    block = _BLOCKS[chosen.lead % 3]
    if chosen.seal:
        count = _COUNTS[block]
        version = [blocks.MAGIC, blocks.VERSION.major << 8 | blocks.VERSION.minor] if chosen.seal > 1 else []
        body = [*version, *registers, *[0] * count][: count - 1]
        registers = [*body, crc16_of_registers(body)]
    decoded = None
    with suppress(blocks.BlockError):
        decoded = block.from_registers(registers)
    if decoded is not None:
        again = block.from_registers(decoded.to_registers())
        promise(again == decoded, "a block changes when it is written again")
    if isinstance(decoded, blocks.StatusBlock):
        seq = (0, 1, 0xFFFFFFFF, decoded.accepted_seq)[chosen.step & 3]
        conclude(blocks.CommandBlock(decoded.boot_id, seq, decoded.done_opcode), decoded)
    if block is blocks.CommandBlock:
        kind = UnitKind(1 + chosen.step % 3)
        judge(registers, kind=kind, capacity=8, boot_id=0, accepted_seq=0xFFFFFFFF, state=State.READY)


def modbus_rtu(data: bytes) -> None:
    """Requests on a serial line, as a unit hears them."""
    if len(data) < 2:
        return
    chosen, stream = _chosen(data), data[2:]
    if chosen.seal:
        request = (b"\3" + stream[:4]).ljust(5, b"\0") if chosen.seal == 2 else stream[:253]
        frame = rtu_frame(1, request)
        stream = {1: stream + frame, 2: frame + frame, 3: frame}[chosen.seal]
    slave = RtuSlave({1: _Memory()})
    sent = b""
    for piece in [stream] if chosen.seal == 3 else _pieces(stream, chosen):
        sent += slave.feed(piece)
        promise(len(slave._buffer) <= _RTU_BUFFER, "the buffer grows")
    promise(len(sent) <= 256 * len(stream), "more answers than requests")
    promise(chosen.seal != 2 or sent == 2 * rtu_frame(1, answer(_Memory(), request)), "a request is not answered once")
    slave.gap()
    promise(not slave._buffer, "bytes wait after the silence")


def modbus_tcp(data: bytes) -> None:
    """Requests on a TCP connection, as a gateway hears them."""
    if len(data) < 2:
        return
    chosen, stream = _chosen(data), data[2:]
    if chosen.seal:
        pdu = stream[:253] or b"\3"
        request = bytes(4) + (len(pdu) + 1).to_bytes(2, "big") + b"\1" + pdu
        stream = request + (request if chosen.seal == 2 else stream)
    whole, split = TcpSlave({1: _Memory()}), TcpSlave({1: _Memory()})
    at_once = whole.feed(stream)
    sent = b""
    for piece in _pieces(stream, chosen):
        sent += split.feed(piece)
        promise(len(split._buffer) <= _TCP_BUFFER, "the buffer grows")
    promise(sent == at_once, "the split decides the answers")
    promise(chosen.seal != 2 or at_once[: len(at_once) // 2] * 2 == at_once != b"", "a request is not answered once")


LONGEST = {
    "samv-frame": 2400,
    "crt-stream": 200,
    "crt-frame": 600,
    "card-text": 260,
    "id-number": 64,
    "register-blocks": 140,
}
"""Bytes of one input, by parser. What is not named here has 300, more than a Modbus frame; a stream is stretched to more."""

PARSERS: dict[str, Entry] = {
    "samv-stream": samv_stream,
    "samv-frame": samv_frame,
    "crt-stream": crt_stream,
    "crt-frame": crt_frame,
    "card-text": card_text,
    "id-number": id_number,
    "register-blocks": register_blocks,
    "modbus-rtu": modbus_rtu,
    "modbus-tcp": modbus_tcp,
}


def longest(name: str) -> int:
    """Bytes of one input to a parser."""
    return LONGEST.get(name, 300)


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
    yield b"\0\x10" + request + reply[:200]
    yield b"\x20\x10" + request + reply[:200]
    yield b"\xc0\x10" + b"\x05\x04\x90\x01\x00\x04\x00"
    if name.startswith("crt"):
        yield bytes.fromhex("F200000343303003B1")
        yield b"\x20\x04" + bytes.fromhex("F200000343303003B1 05")
        yield b"\0\x04" + bytes.fromhex("06 F2 00 00 06 50 31 30 30 32 30 03 90 05")
    yield reply
    yield b"\0" + "测试".encode("utf-16-le").ljust(256, b" ")
    yield b"110101199003070000"
    yield b"\0\x07" + read + crc16(read).to_bytes(2, "little")
    yield b"\x40\x07" + read[1:]
    if name == "register-blocks":
        for number in range(3):
            yield bytes([0x80, number]) + bytes(64)
