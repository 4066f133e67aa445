"""Frames of the bought dispensers: one list of vectors for both directions, and a parser that nothing can upset."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_protocol import crt
from firmware_protocol.crt import (
    Bin,
    Card,
    Command,
    Control,
    Counter,
    CrtError,
    Done,
    Entry,
    ErrorCode,
    Initialise,
    Inquiry,
    Move,
    Refusal,
    Request,
    Stacker,
    Status,
)
from firmware_protocol.framing import Parser

Frame = Request | Done | Refusal | Control

SHORT: list[tuple[Request | Done | Refusal, str]] = [
    # the documents' own frame, then one of a traced module: F2 00 00 03 43 31 30 03 B0
    (Request(Command.INITIALISE, Initialise.LEAVE), "F2 00 00 03 43 30 33 03 B2"),
    (Request(Command.STATUS, Inquiry.STATUS), "F2 00 00 03 43 31 30 03 B0"),
    (Request(Command.INITIALISE, Initialise.LEAVE_COUNTING), "F2 00 00 03 43 30 37 03 B6"),
    (Request(Command.STATUS, Inquiry.SENSORS), "F2 00 00 03 43 31 31 03 B1"),
    (Request(Command.MOVE, Move.HOLD_AT_GATE), "F2 00 00 03 43 32 30 03 B3"),
    (Request(Command.MOVE, Move.RF_POSITION), "F2 00 00 03 43 32 32 03 B1"),
    (Request(Command.MOVE, Move.ERROR_BIN), "F2 00 00 03 43 32 33 03 B0"),
    (Request(Command.MOVE, Move.EJECT, address=0x0F), "F2 0F 00 03 43 32 39 03 B5"),
    (Request(Command.ENTRY, Entry.FORBID), "F2 00 00 03 43 33 31 03 B3"),
    (Request(Command.BIN_COUNTER, Counter.READ), "F2 00 00 03 43 A5 30 03 24"),
    (Request(Command.BIN_COUNTER, Counter.SET, b"000"), "F2 00 00 06 43 A5 31 30 30 30 03 10"),
    (Request(0x77, 0x00), "F2 00 00 03 43 77 00 03 C6"),
    (Done(Command.MOVE, Move.HOLD_AT_GATE, b"120"), "F2 00 00 06 50 32 30 31 32 30 03 96"),
    (
        Done(Command.STATUS, Inquiry.SENSORS, b"200", b"00110000"),
        "F2 00 00 0E 50 31 31 32 30 30 30 30 31 31 30 30 30 30 03 9D",
    ),
    (Done(Command.BIN_COUNTER, Counter.READ, b"001", b"042"), "F2 00 00 09 50 A5 30 30 30 31 30 34 32 03 3A"),
    (Refusal(Command.MOVE, Move.RF_POSITION, "10"), "F2 00 00 05 4E 32 32 31 30 03 BB"),
    (Refusal(Command.MOVE, Move.RF_POSITION, "10", head=0x45), "F2 00 00 05 45 32 32 31 30 03 B0"),
    (Refusal(Command.STATUS, Inquiry.STATUS, "B0", b"\x00"), "F2 00 00 06 4E 31 30 42 30 00 03 CA"),
]
VECTORS = [(frame, bytes.fromhex(text)) for frame, text in SHORT] + [
    (frame, frame.to_bytes())
    for frame in (Done(Command.VERSION, 0x30, b"000", bytes(512)), Request(0x51, 0x33, bytes(range(256)) * 2))
]
IDS = [wire[:12].hex(" ") for _, wire in VECTORS]


def parser_for(frame: Request | Done | Refusal) -> Parser[Any]:
    return crt.request_parser() if isinstance(frame, Request) else crt.reply_parser()


def decode(frame: Request | Done | Refusal, wire: bytes) -> Frame:
    return crt.decode_request(wire) if isinstance(frame, Request) else crt.decode_reply(wire)


@pytest.mark.parametrize(("frame", "wire"), VECTORS, ids=IDS)
def test_vector_both_ways(frame: Request | Done | Refusal, wire: bytes) -> None:
    assert frame.to_bytes() == wire
    assert decode(frame, wire) == frame
    assert parser_for(frame).feed(wire) == [frame]


@pytest.mark.parametrize(("frame", "wire"), VECTORS, ids=IDS)
def test_vector_byte_by_byte(frame: Request | Done | Refusal, wire: bytes) -> None:
    parser = parser_for(frame)
    assert [parser.feed(wire[i : i + 1]) for i in range(len(wire))] == [[]] * (len(wire) - 1) + [[frame]]
    assert (parser.frames, parser.bad_frames, parser.dropped_bytes, parser.waiting) == (1, 0, 0, 0)


@pytest.mark.parametrize(("frame", "wire"), VECTORS, ids=IDS)
def test_every_cut_and_every_flipped_bit_is_refused(frame: Request | Done | Refusal, wire: bytes) -> None:
    for i in range(min(len(wire), 40)):
        with pytest.raises(CrtError):
            decode(frame, wire[:i])
        with pytest.raises(CrtError):
            decode(frame, wire[:i] + bytes([wire[i] ^ 0x04]) + wire[i + 1 :])
    with pytest.raises(CrtError):
        decode(frame, wire + b"\x00")


def test_the_two_directions_are_told_apart() -> None:
    for frame, wire in VECTORS:
        other = crt.reply_parser() if isinstance(frame, Request) else crt.request_parser()
        assert frame not in other.feed(wire) + other.flush()


def test_control_bytes_stand_between_frames() -> None:
    done, refused = Done(Command.MOVE, 0x32, b"200"), Refusal(Command.MOVE, 0x32, ErrorCode.JAM)
    stream = b"\x06" + done.to_bytes() + b"\x04\x15\xff" + refused.to_bytes() + b"\x06"
    for size in (1, 3, 100):
        parser = crt.reply_parser()
        found = [f for i in range(0, len(stream), size) for f in parser.feed(stream[i : i + size])]
        assert found == [Control.ACK, done, Control.EOT, Control.NAK, refused, Control.ACK]
        assert parser.dropped_bytes == 1


@pytest.mark.parametrize(
    "frame",
    [
        Request(0x100, 0x30),
        Request(0x30, -1),
        Request(0x30, 0x30, bytes(513)),
        Request(0x30, 0x30, address=256),
        Done(0x30, 0x30, b"00"),
        Done(0x30, 0x30, b"000", bytes(513)),
        Refusal(0x30, 0x30, "1"),
        Refusal(0x30, 0x30, "一二"),
        Refusal(0x30, 0x30, "10", head=0x50),
    ],
)
def test_frames_out_of_range_are_not_made(frame: Request | Done | Refusal) -> None:
    with pytest.raises(CrtError):
        frame.to_bytes()


def test_status_sensors_and_count() -> None:
    for card in Card:
        for stacker in Stacker:
            for full in Bin:
                status = Status(card, stacker, full)
                assert crt.decode_status(status.to_bytes()) == status
    for wrong in (b"", b"00", b"0000", b"300", b"030", b"002", b"\xff00"):
        with pytest.raises(CrtError):
            crt.decode_status(wrong)
    assert crt.decode_sensors(b"01000000") == (False, True, *[False] * 6)
    assert crt.decode_sensors(b"0000\xff0000000")[4]  # a reserved one never says that nothing is there
    for wrong in (b"", bytes(7), bytes(13)):
        with pytest.raises(CrtError):
            crt.decode_sensors(wrong)
    assert [crt.decode_count(crt.encode_count(n)) for n in (0, 42, 999)] == [0, 42, 999]
    for wrong in (b"", b"12", b"1234", b"1x3", "１２３".encode()):
        with pytest.raises(CrtError):
            crt.decode_count(wrong)
    for count in (-1, 1000):
        with pytest.raises(CrtError):
            crt.encode_count(count)


PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\xf2", b"\xf2\x00\x02\x00", b"\xf2\x00\x00\x05N22", b"\x06", b"\x04", b"\x15"]),
)
STREAMS = st.lists(st.one_of(PIECES, st.sampled_from([wire for _, wire in VECTORS])), max_size=12).map(b"".join)


def length_of(frame: Frame) -> int:
    return 1 if isinstance(frame, Control) else len(frame.to_bytes())


@given(STREAMS, st.lists(st.integers(0, 1200), max_size=8), st.booleans())
def test_any_bytes_in_any_split(stream: bytes, cuts: list[int], replies: bool) -> None:
    make = crt.reply_parser if replies else crt.request_parser
    whole, split = make(), make()
    expected = whole.feed(stream)
    found: list[Frame] = []
    for start, end in pairwise([0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]):
        found += split.feed(stream[start:end])
        assert split.waiting <= split.bound
    assert found == expected
    assert (split.bad_frames, split.dropped_bytes, split.waiting) == (
        whole.bad_frames,
        whole.dropped_bytes,
        whole.waiting,
    )
    found += split.flush()
    assert split.waiting == 0
    assert sum(map(length_of, found)) + split.dropped_bytes == len(stream)


@given(st.binary(max_size=64))
def test_decoders_raise_only_the_declared_error(data: bytes) -> None:
    for wire in (data, b"\xf2" + data, b"\xf2\x00\x00" + bytes([len(data) % 256]) + data):
        for decoder in (crt.decode_request, crt.decode_reply):
            try:
                frame = decoder(wire)
            except CrtError:
                continue
            assert frame.to_bytes() == wire
    for part in (crt.decode_status, crt.decode_sensors, crt.decode_count):
        with suppress(CrtError):
            part(data)


@given(st.builds(Request, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=512), st.integers(0, 15)))
def test_what_is_made_is_read(frame: Request) -> None:
    assert crt.decode_request(frame.to_bytes()) == frame
