"""Driver of a fingerprint sensor with its matcher: a program of its own behind a Unix socket, asked line by line.

The chip's fingerprint block is a vendor's business (GA 1011, GA 1012): it goes to the matcher as it is, and no finger comes
back. Request and answer are one line of JSON each, UTF-8, on a connection of their own:

    {"block": "BASE64", "seconds": 20}       compare the chip's block with a finger, waiting so long for one
    {"result": "match"}                      or "no_match", "no_finger", "no_template" (the block says nothing usable)

A connection that closes without an answer, or another answer, is a sensor that is gone. An empty block asks for no finger: a
matcher whose sensor works answers it at once, with "no_template".
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path

import msgspec
import structlog

from lockerd.errors import DeviceError
from lockerd.model.identity import FingerResult

log = structlog.get_logger(__name__)

NAME = "fingerprint"
ANSWER_BYTES = 256
GRACE = 2.0  # seconds beyond those that the matcher may wait for a finger


class _Request(msgspec.Struct, frozen=True):
    block: str
    seconds: float


class _Answer(msgspec.Struct, frozen=True):
    result: FingerResult


class SocketMatcher:
    """A `lockerd.ports.FingerVerifier` over the socket at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._well = False

    @property
    def last_answer_ok(self) -> bool:
        """See `FingerVerifier.last_answer_ok`."""
        return self._well

    async def verify(self, block: bytes, *, timeout: float) -> FingerResult:
        """See `FingerVerifier.verify`; cancelling closes the connection, which ends the comparison."""
        if not block:
            return FingerResult.NO_TEMPLATE
        try:
            return await self._asked(block, timeout)
        except DeviceError as error:
            log.warning("fingerprint sensor down", error=str(error))
            return FingerResult.UNAVAILABLE

    async def probe(self) -> None:
        """Ask with an empty block, which needs no finger. Raises DeviceError unless the matcher answers as it has to."""
        if await self._asked(b"", 0.0) is not FingerResult.NO_TEMPLATE:
            self._well = False
            raise DeviceError(NAME, "compares a finger with nothing")

    async def _asked(self, block: bytes, seconds: float) -> FingerResult:
        """The matcher's answer. Raises DeviceError where there is none, or one that it may not give."""
        try:
            async with asyncio.timeout(seconds + GRACE):
                result = await self._exchanged(block, seconds)
        except (OSError, TimeoutError, ValueError, msgspec.DecodeError) as error:
            self._well = False
            raise DeviceError(NAME, f"does not answer ({type(error).__name__})") from error
        self._well = result is not FingerResult.UNAVAILABLE
        return result

    async def _exchanged(self, block: bytes, seconds: float) -> FingerResult:
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=ANSWER_BYTES)
        try:
            writer.write(msgspec.json.encode(_Request(b64encode(block).decode("ascii"), seconds)) + b"\n")
            await writer.drain()
            return msgspec.json.decode(await reader.readline(), type=_Answer).result
        finally:
            writer.close()
