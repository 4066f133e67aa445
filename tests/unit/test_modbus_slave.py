"""The Modbus slave against frames of the specification, in any split and with any garbage."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_protocol.crc import crc16
from firmware_protocol.mailbox import ExceptionCode
from sim.modbus_slave import RtuSlave, TcpSlave


class Memory:
    """Registers 0-9."""

    def __init__(self) -> None:
        self.values = [0] * 10
        self.silent = False
        self.writes = 0

    def read(self, address: int, count: int) -> list[int] | ExceptionCode:
        if address + count > 10:
            return ExceptionCode.ILLEGAL_DATA_ADDRESS
        return self.values[address : address + count]

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        if address + len(values) > 10:
            return ExceptionCode.ILLEGAL_DATA_ADDRESS
        self.writes += 1
        self.values[address : address + len(values)] = values
        return None


def sealed(text: str) -> bytes:
    frame = bytes.fromhex(text)
    return frame + crc16(frame).to_bytes(2, "little")


READ = sealed("01 03 0000 0002")
READ_ANSWER = sealed("01 03 04 0007 0008")
WRITE = sealed("01 10 0001 0002 04 000A 0102")

RTU_CASES = [
    ("read", READ, READ_ANSWER),
    ("write (example of the specification, clause 6.12)", WRITE, sealed("01 10 0001 0002")),
    ("foreign unit", sealed("09 03 0000 0002"), b""),
    ("broadcast is not answered", sealed("00 10 0001 0001 02 0000"), b""),
    ("unknown function", sealed("01 06 0000 0001"), sealed("01 86 01")),
    ("function of unknown length, in one burst", sealed("01 64 0102"), sealed("01 E4 01")),
    ("read of nothing", sealed("01 03 0000 0000"), sealed("01 83 03")),
    ("read of 126", sealed("01 03 0000 007E"), sealed("01 83 03")),
    ("read beyond the device", sealed("01 03 0009 0002"), sealed("01 83 02")),
    ("read beyond the address space", sealed("01 03 FFFF 0002"), sealed("01 83 02")),
    ("write beyond the device", sealed("01 10 0009 0002 04 0000 0000"), sealed("01 90 02")),
    ("byte count that disagrees", sealed("01 10 0001 0002 02 000A"), sealed("01 90 03")),
    ("wrong CRC", READ[:-1] + bytes((READ[-1] ^ 1,)), b""),
]


@pytest.mark.parametrize(("request_", "answer"), [c[1:] for c in RTU_CASES], ids=[c[0] for c in RTU_CASES])
def test_rtu_answers(request_: bytes, answer: bytes) -> None:
    device = Memory()
    device.values[:2] = [7, 8]
    assert RtuSlave({1: device}).feed(request_) == answer


def test_rtu_answers_whatever_the_split() -> None:
    device = Memory()
    device.values[:2] = [7, 8]
    slave = RtuSlave({1: device})
    assert b"".join(slave.feed(bytes((byte,))) for byte in READ + WRITE + READ) == (
        READ_ANSWER + sealed("01 10 0001 0002") + sealed("01 03 04 0007 000A")
    )
    assert device.writes == 1


def test_rtu_silent_unit_neither_answers_nor_acts() -> None:
    device = Memory()
    device.silent = True
    assert RtuSlave({1: device}).feed(WRITE) == b""
    assert device.writes == 0


def test_rtu_gap_ends_an_unfinished_frame() -> None:
    device = Memory()
    slave = RtuSlave({1: device})
    assert slave.feed(WRITE[:9]) == b""
    slave.gap()
    assert slave.garbage == 9
    assert slave.feed(READ) == sealed("01 03 04 0000 0000")


@given(st.binary(max_size=600), st.lists(st.integers(0, 600), max_size=4))
def test_rtu_takes_any_garbage_and_answers_again_after_a_gap(garbage: bytes, cuts: list[int]) -> None:
    device = Memory()
    slave = RtuSlave({1: device})
    bounds = [0, *sorted(min(cut, len(garbage)) for cut in cuts), len(garbage)]
    for start, end in itertools.pairwise(bounds):
        slave.feed(garbage[start:end])
    assert len(slave._buffer) <= 260
    slave.gap()
    assert slave.feed(READ).startswith(b"\x01\x03\x04")


@given(st.binary(max_size=20).filter(lambda some: 1 not in some))
def test_rtu_finds_the_frame_behind_garbage_without_a_gap(garbage: bytes) -> None:
    slave = RtuSlave({1: Memory()})
    answer = slave.feed(garbage) + b"".join(slave.feed(READ) for _ in range(33))  # garbage may claim 260 bytes
    assert answer.endswith(sealed("01 03 04 0000 0000"))


def test_tcp_answers_several_requests_in_any_split() -> None:
    slave = TcpSlave({1: Memory()})
    stream = bytes.fromhex("0001 0000 0006 01 03 0000 0001 0002 0000 0006 05 03 0000 0001 0003 0000 0002 01 07")
    answers = b"".join(slave.feed(bytes((byte,))) for byte in stream)
    assert answers == bytes.fromhex("0001 0000 0005 01 03 02 0000 0002 0000 0003 05 83 0B 0003 0000 0003 01 87 01")


@pytest.mark.parametrize("header", ["0001 0001 0006 01 03", "0001 0000 0001 01 03", "0001 0000 00FF 01 03"])
def test_tcp_stream_that_is_no_modbus_is_broken(header: str) -> None:
    slave = TcpSlave({1: Memory()})
    assert slave.feed(bytes.fromhex(header)) == b""
    assert slave.broken
    assert slave.feed(bytes.fromhex("0001 0000 0006 01 03 0000 0001")) == b""


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_tcp_takes_anything(parts: list[bytes]) -> None:
    slave = TcpSlave({1: Memory()})
    for part in parts:
        slave.feed(part)
    assert len(slave._buffer) < 260
