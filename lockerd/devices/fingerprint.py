"""Driver of a fingerprint sensor with its matcher: a program of its own behind a Unix socket, asked line by line.

The chip's fingerprint block is a vendor's business (GA 1011, GA 1012): it goes to the matcher as it is, and no finger comes
back. Request and answer are one line of JSON each, UTF-8, on a connection of their own:

    {"block": "BASE64", "seconds": 20}       compare the chip's block with a finger, waiting so long for one
    {"result": "match"}                      or "no_match", "no_finger", "no_template" (the block says nothing usable)

A connection that closes without an answer, or another answer, is a sensor that is gone.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path

import msgspec
import structlog

from lockerd.model.identity import FingerResult

log = structlog.get_logger(__name__)

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

    async def verify(self, block: bytes, *, timeout: float) -> FingerResult:
        """See `FingerVerifier.verify`; cancelling closes the connection, which ends the comparison."""
        if not block:
            return FingerResult.NO_TEMPLATE
        try:
            async with asyncio.timeout(timeout + GRACE):
                return await self._asked(block, timeout)
        except (OSError, TimeoutError, ValueError, msgspec.DecodeError) as error:
            log.warning("fingerprint sensor down", error=type(error).__name__)
            return FingerResult.UNAVAILABLE

    async def _asked(self, block: bytes, seconds: float) -> FingerResult:
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=ANSWER_BYTES)
        try:
            writer.write(msgspec.json.encode(_Request(b64encode(block).decode("ascii"), seconds)) + b"\n")
            await writer.drain()
            return msgspec.json.decode(await reader.readline(), type=_Answer).result
        finally:
            writer.close()
