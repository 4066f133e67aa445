"""Modbus slave without I/O, for serial lines (RTU) and TCP: bytes in, bytes out.

Function codes 3 and 16, all else is answered with exception 1. Source: MODBUS Application Protocol V1.1b3, MODBUS over
Serial Line V1.02, MODBUS Messaging on TCP/IP V1.0b.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from firmware_protocol.crc import crc16
from firmware_protocol.mailbox import ExceptionCode

READ_HOLDING_REGISTERS = 3
WRITE_MULTIPLE_REGISTERS = 16
MAX_READ = 125
MAX_WRITE = 123
GATEWAY_TARGET_FAILED = 0x0B
_MAX_RTU = 256
_MAX_MBAP_LENGTH = 254

# Whole length of a request frame on a serial line by function code: fixed, or (index of the byte count, bytes around it).
_FIXED = {1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 7: 4, 8: 8, 11: 4, 12: 4, 17: 4, 22: 10, 24: 6, 43: 7}
_COUNTED = {15: (6, 9), 16: (6, 9), 20: (2, 5), 21: (2, 5), 23: (10, 13)}

_CANDIDATE = re.compile(b"(?s:.)[" + re.escape(bytes((*_FIXED, *_COUNTED))) + b"]")
"""Any unit address and a function code of known length: where a frame can begin."""


class RegisterDevice(Protocol):
    """What stands behind one unit address."""

    @property
    def silent(self) -> bool:
        """Whether the device answers nothing at all now."""

    def read(self, address: int, count: int) -> list[int] | ExceptionCode:
        """Exactly `count` holding registers from the 0-based `address`, or an exception."""

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        """Write registers from the 0-based `address`; None is a normal answer."""


def answer(device: RegisterDevice, pdu: bytes) -> bytes:
    """The response PDU to a request PDU of at least one byte."""
    function = pdu[0]
    result: bytes | ExceptionCode
    match function:
        case 3:
            result = _read(device, pdu)
        case 16:
            result = _write(device, pdu)
        case _:
            result = ExceptionCode.ILLEGAL_FUNCTION
    if isinstance(result, ExceptionCode):
        return bytes((function | 0x80, result))
    return result


Answer = Callable[[RegisterDevice, bytes], bytes]
"""How a slave makes a response PDU; `answer` is the right way."""


def _read(device: RegisterDevice, pdu: bytes) -> bytes | ExceptionCode:
    if len(pdu) != 5:
        return ExceptionCode.ILLEGAL_DATA_VALUE
    address, count = struct.unpack(">HH", pdu[1:])
    if not 1 <= count <= MAX_READ:
        return ExceptionCode.ILLEGAL_DATA_VALUE
    if address + count > 0x10000:
        return ExceptionCode.ILLEGAL_DATA_ADDRESS
    values = device.read(address, count)
    if isinstance(values, ExceptionCode):
        return values
    return struct.pack(f">BB{count}H", READ_HOLDING_REGISTERS, 2 * count, *values)


def _write(device: RegisterDevice, pdu: bytes) -> bytes | ExceptionCode:
    if len(pdu) < 6:
        return ExceptionCode.ILLEGAL_DATA_VALUE
    address, count, size = struct.unpack(">HHB", pdu[1:6])
    if not 1 <= count <= MAX_WRITE or size != 2 * count or len(pdu) != 6 + size:
        return ExceptionCode.ILLEGAL_DATA_VALUE
    if address + count > 0x10000:
        return ExceptionCode.ILLEGAL_DATA_ADDRESS
    refused = device.write(address, struct.unpack(f">{count}H", pdu[6:]))
    return struct.pack(">BHH", WRITE_MULTIPLE_REGISTERS, address, count) if refused is None else refused


class RtuSlave:
    """All units of one serial line. Frames are found by their length and CRC; what is no frame is dropped byte by byte.

    At most 255 bytes are kept between calls, because no frame is longer than 256. `garbage` counts dropped bytes. `respond` is
    another than `answer` only where a slave is wrong on purpose.
    """

    def __init__(self, units: Mapping[int, RegisterDevice], respond: Answer = answer) -> None:
        self._units = units
        self._answer = respond
        self._buffer = bytearray()
        self.garbage = 0

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the line in any split; give the bytes to send, often none. Foreign and silent units are not answered."""
        unmeasured = len(data) >= 4 and data[1] not in _FIXED and data[1] not in _COUNTED
        if unmeasured and not self._buffer and len(data) <= _MAX_RTU and _good(data):
            return self._respond(
                data
            )  # a function code of unknown length is recognised when its frame comes as one burst
        self._buffer += data
        sent = bytearray()
        start = framed = 0
        while (candidate := _CANDIDATE.search(self._buffer, start)) is not None:
            start = candidate.start()
            length = _frame_length(self._buffer, start)
            if length is None:
                break
            if length == 0 or not _good(frame := bytes(self._buffer[start : start + length])):
                start += 1
            else:
                sent += self._respond(frame)
                start += length
                framed += length
        else:
            start = max(start, len(self._buffer) - 1)
        del self._buffer[:start]
        self.garbage += start - framed
        return bytes(sent)

    def gap(self) -> None:
        """The line was silent for longer than a frame may pause (t1.5): an unfinished frame is dropped."""
        self.garbage += len(self._buffer)
        self._buffer.clear()

    def _respond(self, frame: bytes) -> bytes:
        device = self._units.get(frame[0])
        if device is None or device.silent:
            return b""
        body = frame[:1] + self._answer(device, frame[1:-2])
        return body + crc16(body).to_bytes(2, "little")


def _good(frame: bytes) -> bool:
    return crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")


def _frame_length(buffer: bytearray, start: int) -> int | None:
    """Length of the frame of the candidate at `start`; 0 if there is none; None if more bytes are needed to tell."""
    available = len(buffer) - start
    function = buffer[start + 1]
    if function in _FIXED:
        length = _FIXED[function]
    else:
        index, around = _COUNTED[function]
        if available <= index:
            return None
        size = buffer[start + index]
        if function == WRITE_MULTIPLE_REGISTERS:
            count = int.from_bytes(buffer[start + 4 : start + 6], "big")
            if size != 2 * count or not 1 <= count <= MAX_WRITE:
                # Counts that disagree deserve exception 3 when the frame is whole and good; waiting for it could stall the line.
                whole = available >= size + around and _good(bytes(buffer[start : start + size + around]))
                return size + around if whole else 0
        length = size + around
    if length > _MAX_RTU:
        return 0
    return length if available >= length else None


class TcpSlave:
    """One TCP connection to a gateway with all units behind it. `broken` means that the stream is no Modbus: close it.

    `respond` is as for `RtuSlave`.
    """

    def __init__(self, units: Mapping[int, RegisterDevice], respond: Answer = answer) -> None:
        self._units = units
        self._answer = respond
        self._buffer = bytearray()
        self.broken = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the connection in any split; give the bytes to send, often none.

        An unknown unit is answered with exception 0x0B, a silent one not at all. After `broken` everything is dropped.
        """
        if self.broken:
            return b""
        self._buffer += data
        sent = bytearray()
        start = 0
        while len(self._buffer) - start >= 7:
            transaction, protocol, length, unit = struct.unpack_from(">HHHB", self._buffer, start)
            if protocol != 0 or not 2 <= length <= _MAX_MBAP_LENGTH:
                self.broken = True
                self._buffer.clear()
                return bytes(sent)
            if len(self._buffer) - start < 6 + length:
                break
            pdu = self._respond(unit, bytes(self._buffer[start + 7 : start + 6 + length]))
            if pdu:
                sent += struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu
            start += 6 + length
        del self._buffer[:start]
        return bytes(sent)

    def _respond(self, unit: int, pdu: bytes) -> bytes:
        device = self._units.get(unit)
        if device is None:
            return bytes((pdu[0] | 0x80, GATEWAY_TARGET_FAILED))
        return b"" if device.silent else self._answer(device, pdu)
