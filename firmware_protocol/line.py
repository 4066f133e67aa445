"""The line between host and units: Modbus RTU on RS-485, or Modbus TCP. Timing that both sides keep.

Sources: MODBUS Application Protocol V1.1b3, MODBUS over Serial Line V1.02, MODBUS Messaging on TCP/IP V1.0b.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from firmware_protocol.crc import crc16

BAUD_RATES = (115200, 57600, 38400, 19200)
"""Rates that a board must offer, the one it leaves the factory with first; 8 data bits, no parity, 1 stop bit."""

READ_HOLDING_REGISTERS = 3
WRITE_MULTIPLE_REGISTERS = 16
EXCEPTION = 0x80
MAX_RTU_FRAME = 256
MOTION_MS = 30_000
"""Longest time from the acceptance of a command to its end, a whole turn of the carousel and the retries included."""


class ExceptionCode(IntEnum):
    """Modbus exception codes that a unit answers with (MODBUS Application Protocol V1.1b3, clause 7)."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_DATA_ADDRESS = 2
    ILLEGAL_DATA_VALUE = 3
    SERVER_DEVICE_FAILURE = 4
    SERVER_DEVICE_BUSY = 6


def gap_us(baudrate: int) -> int:
    """Least silence between two frames in microseconds: 3.5 characters of 11 bits, above 19200 baud 1750 (clause 2.5.1.1)."""
    return 1750 if baudrate > 19200 else -(-35 * 11 * 100_000 // baudrate)


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """The frame on a serial line: unit address, PDU, CRC with its low byte first."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def read_request(address: int, count: int) -> bytes:
    """PDU that reads `count` holding registers from the 0-based `address`."""
    return bytes((READ_HOLDING_REGISTERS,)) + address.to_bytes(2, "big") + count.to_bytes(2, "big")


def read_response(registers: Sequence[int]) -> bytes:
    """PDU that answers a read."""
    return bytes((READ_HOLDING_REGISTERS, 2 * len(registers))) + _words(registers)


def write_request(address: int, registers: Sequence[int]) -> bytes:
    """PDU that writes registers from the 0-based `address`."""
    head = address.to_bytes(2, "big") + len(registers).to_bytes(2, "big") + bytes((2 * len(registers),))
    return bytes((WRITE_MULTIPLE_REGISTERS,)) + head + _words(registers)


def write_response(address: int, count: int) -> bytes:
    """PDU that acknowledges a write."""
    return bytes((WRITE_MULTIPLE_REGISTERS,)) + address.to_bytes(2, "big") + count.to_bytes(2, "big")


def exception_response(function: int, code: ExceptionCode) -> bytes:
    """PDU that refuses."""
    return bytes((function | EXCEPTION, code))


def _words(registers: Sequence[int]) -> bytes:
    return b"".join(register.to_bytes(2, "big") for register in registers)
