"""A serial line on the event loop: the small transport that drivers see. No threads; a real tty and a pty are the same."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Awaitable, Callable
from typing import Protocol

import serial

from lockerd.errors import DeviceError


class Line(Protocol):
    """Bytes both ways. One caller at a time; serial port, TCP and memory differ only in the composition root."""

    async def read(self, limit: int, timeout: float) -> bytes:
        """At most `limit` bytes, as soon as any are there; b"" when none came within `timeout` seconds (0: do not wait).

        Raises DeviceError when the line is gone.
        """

    async def write(self, data: bytes, timeout: float) -> None:
        """Write all of `data` within `timeout` seconds. Raises DeviceError; then nothing is known of what was written."""

    def close(self) -> None:
        """Release the line; may be called twice."""


OpenLine = Callable[[], Awaitable[Line]]
"""Opens a driver's line anew; raises DeviceError."""


class Reopened:
    """A driver's line: opened when it is first needed, and again after it was lost.

    The first try after a loss comes at once, the next after pauses (seconds) that double until an answer came.
    """

    def __init__(self, device: str, open_line: OpenLine, *, first_pause: float, longest_pause: float) -> None:
        self._device = device
        self._open_line = open_line
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._line: Line | None = None
        self._open_after = 0.0  # loop time
        self._pause = 0.0
        self.connections = 0

    async def line(self) -> Line:
        """The open line. Raises DeviceError where it cannot be opened, or not yet again."""
        if self._line is None:
            if asyncio.get_running_loop().time() < self._open_after:
                raise DeviceError(self._device, "is not connected")
            try:
                self._line = await self._open_line()
            except DeviceError:
                self.lose()
                raise
            self.connections += 1
        return self._line

    def answered(self) -> None:
        """The part behind the line lives: after the next loss it is opened at once."""
        self._pause = 0.0

    def lose(self) -> None:
        """Close the line because it or what is behind it failed."""
        self.close()
        self._open_after = asyncio.get_running_loop().time() + self._pause
        self._pause = min(max(2 * self._pause, self._first_pause), self._longest_pause)

    def close(self) -> None:
        """Release the line; the next call opens it again."""
        if self._line is not None:
            self._line.close()
            self._line = None


async def open_serial(port: str, baudrate: int, *, device: str) -> SerialLine:
    """Open `port` for this process alone, 8N1 without flow control; `device` names the part in errors.

    Raises DeviceError when the port is absent, is no terminal, is in use, or does not know the baud rate.
    """
    try:
        tty = serial.Serial(port, baudrate, timeout=0, write_timeout=0, exclusive=True)
    except (OSError, ValueError, termios.error) as error:
        raise DeviceError(device, f"cannot open {port}: {error}") from error
    try:
        # With pyserial's VMIN of 0 an empty line reads like a lost one: both give b"". With 1 an empty one is EAGAIN.
        attributes = termios.tcgetattr(tty.fileno())
        attributes[6][termios.VMIN] = 1
        termios.tcsetattr(tty.fileno(), termios.TCSANOW, attributes)
    except termios.error as error:
        tty.close()
        raise DeviceError(device, f"cannot set {port}: {error}") from error
    return SerialLine(tty, device)


class SerialLine:
    """A `Line` over an open pyserial port with VMIN 1; made by `open_serial`."""

    def __init__(self, tty: serial.Serial, device: str) -> None:
        self._tty = tty
        self._fd: int = tty.fileno()
        self._device = device
        self._closed = False

    async def read(self, limit: int, timeout: float) -> bytes:
        """See `Line.read`."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            self._check_open()
            try:
                data = os.read(self._fd, limit)
            except BlockingIOError:
                if timeout <= 0 or not await self._wait_until(deadline, writing=False):
                    return b""
                continue
            except OSError as error:
                raise DeviceError(self._device, f"the line is gone: {error.strerror}") from error
            if not data:
                raise DeviceError(self._device, "the line is gone: hung up")
            return data

    async def write(self, data: bytes, timeout: float) -> None:
        """See `Line.write`."""
        deadline = asyncio.get_running_loop().time() + timeout
        rest = memoryview(data)
        while rest:
            self._check_open()
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                if not await self._wait_until(deadline, writing=True):
                    raise DeviceError(self._device, f"the line takes no bytes within {timeout:g} s") from None
            except OSError as error:
                raise DeviceError(self._device, f"the line is gone: {error.strerror}") from error

    def close(self) -> None:
        """See `Line.close`."""
        if not self._closed:
            self._closed = True
            self._tty.close()

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceError(self._device, "the line is closed")

    async def _wait_until(self, deadline: float, *, writing: bool) -> bool:
        """Wait until the line can be read or written, or is gone; False at the deadline (loop time)."""
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
        add(self._fd, lambda: None if ready.done() else ready.set_result(None))
        try:
            async with asyncio.timeout_at(deadline):
                await ready
        except TimeoutError:
            return False
        finally:
            remove(self._fd)
        return True
