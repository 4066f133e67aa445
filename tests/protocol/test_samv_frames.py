"""SAM-V frames: one list of vectors for both directions, and a parser that nothing can upset.

Invariant of the parser, whatever is fed in whatever split: it raises nothing, holds at most `bound` bytes, and every byte
is in a frame, counted as dropped, or waiting.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from firmware_protocol import samv
from firmware_protocol.framing import Parser
from firmware_protocol.samv import CardBlocks, Command, Reply, Request, SamvError, Status

Frame = Request | Reply

TEXT = bytes(range(256))
PHOTO = b"\x5a" * 1024


def head(frame: bytes) -> str:
    return frame.hex(" ").upper()


def blocks_reply(fingerprint: bytes | None) -> Reply:
    return Reply(Status.OK, CardBlocks(TEXT, PHOTO, fingerprint).to_data())


SHORT: list[tuple[Frame, str]] = [
    (Request(Command.RESET_SAM), "AA AA AA 96 69 00 03 10 FF EC"),
    (Request(Command.SAM_STATUS), "AA AA AA 96 69 00 03 11 FF ED"),
    (Request(Command.SAM_ID), "AA AA AA 96 69 00 03 12 FF EE"),
    (Request(Command.FIND), "AA AA AA 96 69 00 03 20 01 22"),
    (Request(Command.SELECT), "AA AA AA 96 69 00 03 20 02 21"),
    (Request(Command.READ_TEXT_PHOTO), "AA AA AA 96 69 00 03 30 01 32"),
    (Request(Command.READ_TEXT_PHOTO_FINGERPRINT), "AA AA AA 96 69 00 03 30 10 23"),
    (Request(Command.READ_ADDED_ADDRESS), "AA AA AA 96 69 00 03 30 03 30"),
    (Request(Command.SET_MAX_RF_BYTES, b"\x50"), "AA AA AA 96 69 00 04 61 FF 50 CA"),
    (Request(0x7777), "AA AA AA 96 69 00 03 77 77 03"),
    (Reply(Status.FOUND, bytes(4)), "AA AA AA 96 69 00 08 00 00 9F 00 00 00 00 97"),
    (Reply(Status.FIND_FAILED), "AA AA AA 96 69 00 04 00 00 80 84"),
    (Reply(Status.OK, bytes(8)), "AA AA AA 96 69 00 0C 00 00 90 00 00 00 00 00 00 00 00 9C"),
    (Reply(Status.SELECT_FAILED), "AA AA AA 96 69 00 04 00 00 81 85"),
    (Reply(0x77, card_status=0x6A82), "AA AA AA 96 69 00 04 6A 82 77 9B"),
]
VECTORS = [(frame, bytes.fromhex(text)) for frame, text in SHORT] + [
    (frame, frame.to_bytes())
    for frame in (blocks_reply(None), blocks_reply(b""), blocks_reply(bytes(512)), blocks_reply(bytes(1024)))
]
IDS = [head(wire[:12]) + f" ({len(wire)})" for _, wire in VECTORS]


def parser_for(frame: Frame) -> Parser[Any]:
    return samv.request_parser() if isinstance(frame, Request) else samv.reply_parser()


def decode(frame: Frame, wire: bytes) -> Frame:
    return samv.decode_request(wire) if isinstance(frame, Request) else samv.decode_reply(wire)


@pytest.mark.parametrize(("frame", "wire"), VECTORS, ids=IDS)
def test_vector_both_ways(frame: Frame, wire: bytes) -> None:
    assert frame.to_bytes() == wire
    assert decode(frame, wire) == frame
    assert parser_for(frame).feed(wire) == [frame]


@pytest.mark.parametrize(("frame", "wire"), VECTORS, ids=IDS)
def test_vector_byte_by_byte(frame: Frame, wire: bytes) -> None:
    parser = parser_for(frame)
    assert [parser.feed(wire[i : i + 1]) for i in range(len(wire))] == [[]] * (len(wire) - 1) + [[frame]]
    assert (parser.frames, parser.bad_frames, parser.dropped_bytes, parser.waiting) == (1, 0, 0, 0)


@pytest.mark.parametrize(("frame", "wire"), VECTORS, ids=IDS)
def test_vector_with_trailing_bytes(frame: Frame, wire: bytes) -> None:
    parser = parser_for(frame)
    assert parser.feed(wire + b"\xaa\xaa\x00\xaa") == [frame]
    assert (parser.dropped_bytes, parser.waiting) == (3, 1)
    with pytest.raises(SamvError):
        decode(frame, wire + b"\x00")


@pytest.mark.parametrize(("frame", "wire"), VECTORS, ids=IDS)
def test_every_cut_and_every_flipped_bit_is_refused(frame: Frame, wire: bytes) -> None:
    for i in range(min(len(wire), 40)):
        with pytest.raises(SamvError):
            decode(frame, wire[:i])
        with pytest.raises(SamvError):
            decode(frame, wire[:i] + bytes([wire[i] ^ 0x04]) + wire[i + 1 :])


def test_sizes_on_the_wire() -> None:
    """Lengths and offsets of the reference: 1295; 2321, 1809, 1297; text at 14 and 16."""
    wires = [wire for _, wire in VECTORS[-4:]]
    assert [len(wire) for wire in wires] == [1295, 1297, 1809, 2321]
    assert wires[0][7:14] == bytes.fromhex("000090 0100 0400")
    assert wires[0][14:270] == TEXT
    assert wires[3][7:16] == bytes.fromhex("000090 0100 0400 0400")
    assert wires[3][16:272] == TEXT


@pytest.mark.parametrize("fingerprint", [None, b"", b"f" * 512, b"f" * 1024])
def test_card_blocks_both_ways(fingerprint: bytes | None) -> None:
    blocks = CardBlocks(TEXT, PHOTO, fingerprint)
    command = Command.READ_TEXT_PHOTO if fingerprint is None else Command.READ_TEXT_PHOTO_FINGERPRINT
    assert samv.decode_card_blocks(command, blocks.to_data()) == blocks


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        bytes.fromhex("0100 0400"),
        CardBlocks(TEXT, PHOTO).to_data()[:-1],
        CardBlocks(TEXT, PHOTO).to_data() + b"\x00",
        CardBlocks(TEXT + b"\x00", PHOTO[:-1]).to_data(),
        CardBlocks(TEXT, PHOTO, b"f" * 7).to_data(),
    ],
    ids=len,
)
def test_card_blocks_refused(data: bytes) -> None:
    for command in Command:
        with pytest.raises(SamvError):
            samv.decode_card_blocks(command, data)


def test_frames_out_of_range_are_not_made() -> None:
    for frame in (Request(-1), Request(0x10000), Reply(0x100), Reply(0, bytes(2311)), Request(0, bytes(14))):
        with pytest.raises(SamvError):
            frame.to_bytes()


GOOD = Reply(Status.FOUND, bytes(4))
OTHER = Reply(Status.SELECT_FAILED)


@pytest.mark.parametrize(
    ("garbage", "bad_frames"),
    [
        (b"noise", 0),
        (b"\xaa" * 50, 0),
        (samv.HEADER, 0),  # header twice: the first one has the length AAAA
        (samv.HEADER[:4], 0),
        (samv.HEADER + b"\xff\xff", 0),
        (samv.HEADER + b"\x00\x00", 0),
        (samv.HEADER + b"\x00\x03", 0),
        (samv.HEADER + b"\x00\x04\x00\x00\x80\x85", 1),
        (samv.HEADER + b"\x00\x06", 1),  # a false frame that ends in the middle of the good one's header
    ],
    ids=lambda value: head(value) if isinstance(value, bytes) else str(value),
)
def test_good_frame_behind_garbage(garbage: bytes, bad_frames: int) -> None:
    for size in (1, 3, 10_000):
        parser = samv.reply_parser()
        stream = garbage + GOOD.to_bytes() + OTHER.to_bytes()
        assert [f for i in range(0, len(stream), size) for f in parser.feed(stream[i : i + size])] == [GOOD, OTHER]
        assert (parser.bad_frames, parser.dropped_bytes) == (bad_frames, len(garbage))


def test_frame_swallowed_by_a_false_length_is_found_when_the_line_falls_silent() -> None:
    parser = samv.reply_parser()
    garbage = samv.HEADER + b"\x09\x00"
    assert parser.feed(garbage + GOOD.to_bytes()) == []
    assert parser.flush() == [GOOD]
    assert (parser.dropped_bytes, parser.waiting) == (len(garbage), 0)


PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            samv.HEADER,
            samv.HEADER[:3],
            samv.HEADER + b"\x09\x00",
            samv.HEADER + b"\x00\x0c",
            b"\xaa",
            GOOD.to_bytes()[:-1],
        ]
    ),
)
STREAMS = st.lists(st.one_of(PIECES, st.sampled_from([wire for _, wire in VECTORS])), max_size=12).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 3000), max_size=8), st.booleans())
def test_any_bytes_in_any_split(stream: bytes, cuts: list[int], replies: bool) -> None:
    whole = samv.reply_parser() if replies else samv.request_parser()
    split = samv.reply_parser() if replies else samv.request_parser()
    expected = whole.feed(stream)
    found: list[Frame] = []
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in pairwise(edges):
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
    assert sum(len(frame.to_bytes()) for frame in found) + split.dropped_bytes == len(stream)
    assert split.frames == len(found)


def straddling(frame: Frame, garbage: bytes, wire: bytes) -> bool:
    """Whether garbage and the good frame's start happen to make a frame with a right checksum: nobody could tell."""
    stream = garbage + wire
    for start in range(len(garbage)):
        length = int.from_bytes(stream[start + 5 : start + 7], "big")
        end = start + 7 + length
        if len(garbage) < end <= len(stream):
            with suppress(SamvError):
                decode(frame, stream[start:end])
                return True
    return False


@given(st.lists(PIECES, max_size=6).map(b"".join), st.sampled_from(VECTORS))
def test_good_frame_is_found_after_any_garbage(garbage: bytes, vector: tuple[Frame, bytes]) -> None:
    frame, wire = vector
    parser = parser_for(frame)
    assume(not straddling(frame, garbage, wire))
    assert (parser.feed(garbage + wire) + parser.flush())[-1] == frame


@given(st.binary(max_size=64))
def test_decoders_raise_only_the_declared_error(data: bytes) -> None:
    for wire in (data, samv.HEADER + data):
        for decoder in (samv.decode_request, samv.decode_reply):
            try:
                frame = decoder(wire)
            except SamvError:
                continue
            assert frame.to_bytes() == wire


def test_worst_garbage_is_accounted_for() -> None:
    """Each header opens a longest frame: hundreds of candidates overlap, and no byte of them is lost or kept."""
    parser = samv.reply_parser()
    garbage = b"".join(samv.HEADER + b"\x09\x00" + bytes([i % 251]) for i in range(600))
    found = parser.feed(garbage)
    assert parser.bad_frames > 200
    assert parser.waiting <= parser.bound
    found += parser.flush()
    assert sum(len(frame.to_bytes()) for frame in found) + parser.dropped_bytes == len(garbage)
