"""Which bytes of the line answer the request in flight: one whole frame of the right unit, function and size, or nothing.

Stands between the line and pymodbus, as its trace hook. Source: MODBUS Application Protocol V1.1b3, clauses 6.3, 6.12 and 7;
MODBUS over Serial Line V1.02, clause 2.5.1; MODBUS Messaging on TCP/IP V1.0b, clause 3.1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from firmware_protocol.crc import crc16

READ = 3
WRITE = 16
_EXCEPTION = 0x80


@dataclass(frozen=True, slots=True)
class Request:
    """A read (`values` is None) or a write of `count` registers."""

    unit: int
    address: int
    count: int
    values: tuple[int, ...] | None

    @property
    def function(self) -> int:
        """The Modbus function code."""
        return READ if self.values is None else WRITE

    def shapes(self) -> tuple[tuple[bytes, int], ...]:
        """How the PDU of an answer may begin, and how long it then is: the result, or an exception."""
        if self.values is None:
            good = (bytes((READ, 2 * self.count)), 2 + 2 * self.count)
        else:
            good = (struct.pack(">BHH", WRITE, self.address, self.count), 5)
        return good, (bytes((self.function | _EXCEPTION,)), 2)


class Miss(Enum):
    """Why there is no answer; the value is for messages."""

    SILENCE = "no answer"
    NO_ECHO = "no answer, and the line did not echo the request"
    CRC_ERROR = "no fitting answer: what came has no good CRC"
    MISFIT = "no fitting answer: what came answers something else"


class AnswerFilter:
    """Shows pymodbus nothing but the one whole frame that answers the request in flight.

    With `echo` the line repeats what is sent, and the request is cut off before anything is judged. `clock` is in seconds;
    `last_byte` is when bytes came last, `stale` counts receptions while nothing was asked, which are dropped.
    """

    def __init__(self, clock: Callable[[], float], *, rtu: bool, echo: bool = False) -> None:
        self._clock = clock
        self._rtu = rtu
        self._echo = echo
        self._request: Request | None = None
        self._shapes: tuple[tuple[bytes, int], ...] = ()
        self._sent = b""
        self._heard = b""
        self.last_byte = float("-inf")
        self.stale = 0

    def expect(self, request: Request) -> None:
        """A request is about to be sent."""
        self._request = request
        self._shapes = request.shapes()
        self._sent = self._heard = b""

    def rest(self) -> None:
        """The exchange is over: what comes now is stale."""
        self._request = None

    def missed(self) -> Miss:
        """Why the request of the last `expect` has no answer."""
        heard = self._heard
        if self._echo:
            if self._sent not in heard:
                return Miss.NO_ECHO
            heard = _behind(heard, self._sent)
        if not heard:
            return Miss.SILENCE
        return Miss.MISFIT if not self._rtu or (len(heard) >= 4 and _is_sealed(heard)) else Miss.CRC_ERROR

    def on_packet(self, sending: bool, data: bytes) -> bytes:
        """pymodbus' trace hook: `data` is the frame sent, or all that was received since; the return value replaces it."""
        if sending:
            self._sent = data
            return data
        self.last_byte = self._clock()
        if self._request is None:
            self.stale += 1
            return b""
        self._heard = data
        if not self._rtu:
            return self._in_tcp(data, self._request)
        if self._echo:
            data = _behind(data, self._sent)
        return self._in_rtu(data, self._request)

    def _in_rtu(self, data: bytes, request: Request) -> bytes:
        for begin, length in self._shapes:
            start = -1
            while (start := data.find(bytes((request.unit, *begin)), start + 1)) >= 0:
                frame = data[start : start + length + 3]
                if len(frame) == length + 3 and _is_sealed(frame):
                    return frame
        return b""

    def _in_tcp(self, data: bytes, request: Request) -> bytes:
        start = 0
        while len(data) >= start + 7:
            protocol, length, unit = struct.unpack_from(">HHB", data, start + 2)
            frame = data[start : start + 6 + length]
            if protocol != 0 or len(frame) < 6 + length:
                return b""
            fits = any(frame[7:].startswith(begin) and length - 1 == size for begin, size in self._shapes)
            if frame[:2] == self._sent[:2] and unit == request.unit and fits:
                return frame
            start += 6 + length
        return b""


def _is_sealed(frame: bytes) -> bool:
    return crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")


def _behind(data: bytes, sent: bytes) -> bytes:
    """What follows the echo of `sent`; nothing before it is whole."""
    return data.partition(sent)[2]
