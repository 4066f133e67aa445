"""The kit's own Modbus master: one request and its answer, blocking, over a serial line (RTU, 8N1) or TCP.

Sources: MODBUS over Serial Line V1.02, MODBUS Messaging on TCP/IP V1.0b. It sends what it is told to send, wrong frames
too, and repeats nothing.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import termios
import time
from dataclasses import dataclass
from typing import Protocol

from firmware_protocol.crc import crc16

_CHARACTER_BITS = 11
_LEAST_GAP = 0.00175  # seconds; the specification's constant above 19200 baud
_PAUSE = 0.05  # seconds of silence that end an answer whose length is not known


class LineError(Exception):
    """The line itself cannot be used: no such port, no connection, hung up."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response PDU, or bytes that are none (`broken` says why), and the seconds until its first byte."""

    pdu: bytes
    seconds: float
    broken: str = ""


class Line(Protocol):
    """One way to the unit."""

    @property
    def serial(self) -> bool:
        """Whether it is a serial line, with frames that the kit can spoil."""

    def ask(self, unit: int, pdu: bytes, wait: float) -> Answer | None:
        """Send one request and wait `wait` seconds for the answer to begin; None for silence. Raises LineError."""

    def raw(self, data: bytes, wait: float) -> bytes:
        """Send bytes as they are and give what comes within `wait` seconds. Raises LineError."""

    def close(self) -> None:
        """Give the line back."""


class SerialLine:
    """A serial port, 8N1, no flow control; opened by `open_serial`."""

    serial = True

    def __init__(self, descriptor: int, baudrate: int) -> None:
        self._descriptor = descriptor
        self._gap = max(3.5 * _CHARACTER_BITS / baudrate, _LEAST_GAP)

    def ask(self, unit: int, pdu: bytes, wait: float) -> Answer | None:
        """See `Line.ask`."""
        body = bytes((unit,)) + pdu
        sent = self._send(body + crc16(body).to_bytes(2, "little"))
        first = self._some(wait)
        if not first:
            return None
        seconds = time.monotonic() - sent
        frame = bytearray(first)
        while (rest := self._missing(frame)) > 0 and (more := self._some(_PAUSE if rest > 255 else wait)):
            frame += more
        if len(frame) < 4 or crc16(bytes(frame[:-2])) != int.from_bytes(frame[-2:], "little"):
            return Answer(bytes(frame), seconds, f"no frame with a good CRC: {bytes(frame[:40]).hex(' ')}")
        if frame[0] != unit:
            return Answer(bytes(frame), seconds, f"unit {frame[0]} answers for unit {unit}")
        return Answer(bytes(frame[1:-2]), seconds)

    def raw(self, data: bytes, wait: float) -> bytes:
        """See `Line.raw`."""
        self._send(data)
        answer = self._some(wait)
        while answer and (more := self._some(_PAUSE)):
            answer += more
        return answer

    def close(self) -> None:
        """See `Line.close`."""
        os.close(self._descriptor)

    def _send(self, data: bytes) -> float:
        """Drop what is unread, keep the gap, send; gives the moment at which the last byte left."""
        while self._some(self._gap):
            pass
        try:
            while data:
                select.select((), (self._descriptor,), (), 5.0)
                data = data[os.write(self._descriptor, data) :]
            termios.tcdrain(self._descriptor)
        except (OSError, termios.error) as error:
            raise LineError(f"the serial line is gone: {error}") from error
        return time.monotonic()

    def _some(self, wait: float) -> bytes:
        try:
            ready, _, _ = select.select((self._descriptor,), (), (), wait)
            data = os.read(self._descriptor, 4096) if ready else b""
        except OSError as error:
            raise LineError(f"the serial line is gone: {error}") from error
        if ready and not data:
            raise LineError("the serial line hung up")
        return data

    @staticmethod
    def _missing(frame: bytearray) -> int:
        """Bytes still to come; above 255 when that cannot be told."""
        if len(frame) < 3:
            return 1
        if frame[1] & 0x80:
            return 5 - len(frame)
        match frame[1]:
            case 3:
                return 5 + frame[2] - len(frame)
            case 6 | 16:
                return 8 - len(frame)
        return 256


def open_serial(port: str, baudrate: int) -> SerialLine:
    """Open `port` raw at `baudrate`, 8N1. Raises LineError."""
    speed = getattr(termios, f"B{baudrate}", None)
    if speed is None:
        raise LineError(f"{baudrate} baud is not a speed of serial lines here")
    try:
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise LineError(f"cannot open {port}: {error.strerror}") from error
    try:
        attributes = termios.tcgetattr(descriptor)
        attributes[0] = attributes[1] = attributes[3] = 0
        attributes[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
        attributes[4] = attributes[5] = speed
        attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
        termios.tcflush(descriptor, termios.TCIOFLUSH)
    except termios.error as error:
        os.close(descriptor)
        raise LineError(f"{port} is no serial line: {error}") from error
    return SerialLine(descriptor, baudrate)


class TcpLine:
    """A Modbus TCP server or gateway; connects at the first request, and again when the peer has closed."""

    serial = False

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None
        self._transaction = 0

    def ask(self, unit: int, pdu: bytes, wait: float) -> Answer | None:
        """See `Line.ask`."""
        self._transaction = self._transaction % 0xFFFF + 1
        try:
            connection = self._connected()
            connection.sendall(struct.pack(">HHHB", self._transaction, 0, len(pdu) + 1, unit) + pdu)
            return self._answer(connection, unit, time.monotonic(), wait)
        except TimeoutError:
            self.close()  # an answer that is still to come goes with its connection
            return None
        except OSError as error:
            self.close()
            raise LineError(f"{self._address[0]}:{self._address[1]}: {error}") from error

    def raw(self, data: bytes, wait: float) -> bytes:
        """See `Line.raw`."""
        try:
            connection = self._connected()
            connection.sendall(data)
            connection.settimeout(wait)
            return connection.recv(4096)
        except (TimeoutError, ConnectionError):
            return b""  # closed by a peer who did not like it
        except OSError as error:
            raise LineError(f"{self._address[0]}:{self._address[1]}: {error}") from error
        finally:
            self.close()

    def close(self) -> None:
        """See `Line.close`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=5.0)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _answer(self, connection: socket.socket, unit: int, sent: float, wait: float) -> Answer:
        """The answer of this transaction; late ones of earlier transactions are dropped. Raises OSError, TimeoutError."""
        while True:
            connection.settimeout(max(sent + wait - time.monotonic(), 0.001))
            head = _exactly(connection, 7)
            seconds = time.monotonic() - sent
            transaction, protocol, length, answering = struct.unpack(">HHHB", head)
            if protocol != 0 or not 2 <= length <= 254:
                self.close()
                return Answer(head, seconds, f"no MBAP header: {head.hex(' ')}")
            pdu = _exactly(connection, length - 1)
            if transaction == self._transaction:
                broken = "" if answering == unit else f"unit {answering} answers for unit {unit}"
                return Answer(pdu, seconds, broken)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionResetError("the peer closed the connection")
        data += more
    return data
