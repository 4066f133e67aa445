"""The simulated fingerprint sensor with its matcher: a program behind a Unix socket, asked line by line.

A chip's fingerprint block is opaque to everybody but the matcher; here it is made of the number on the card, and a finger
"matches" when it is that person's.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from firmware_protocol.samv import FINGERPRINT_LENGTHS

LOOK_SECONDS = 0.05
LONGEST_SECONDS = 120.0


def block_of(id_number: str) -> bytes:
    """What a chip carries of its holder's fingers."""
    return Random(f"finger:{id_number}").randbytes(FINGERPRINT_LENGTHS[-1])


@asynccontextmanager
async def matcher(path: Path, finger: Callable[[], bytes | None], working: Callable[[], bool]) -> AsyncIterator[None]:
    """Serve the socket at `path` meanwhile. `finger` is the block of the finger on the sensor, None where there is none."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if working() and (result := await _compared(json.loads(line), finger)) and working():
                writer.write(json.dumps({"result": result}).encode() + b"\n")
                await writer.drain()
        except (ValueError, KeyError, ConnectionError):
            pass  # who asks otherwise gets no answer
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    try:
        yield
    finally:
        server.close()


async def _compared(request: dict[str, object], finger: Callable[[], bytes | None]) -> str:
    block = base64.b64decode(str(request["block"]))
    if len(block) not in FINGERPRINT_LENGTHS[1:]:
        return "no_template"
    loop = asyncio.get_running_loop()
    until = loop.time() + min(float(str(request["seconds"])), LONGEST_SECONDS)
    while (seen := finger()) is None:
        if loop.time() > until:
            return "no_finger"
        await asyncio.sleep(LOOK_SECONDS)
    return "match" if seen == block else "no_match"
