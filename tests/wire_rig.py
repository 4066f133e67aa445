"""A scripted far end of a serial line, and the two masters that are compared on it: bare pymodbus and the bus owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient

from firmware_protocol.crc import crc16
from lockerd.devices.bus import ModbusBus, RtuSettings, TcpSettings
from tests.modbus_rig import PtyPeer

TIMEOUT = 0.3  # long enough for an answer on a busy machine
LATENCY = 0.6


def sealed(text: str) -> bytes:
    frame = bytes.fromhex(text)
    return frame + crc16(frame).to_bytes(2, "little")


OLD = sealed("01 03 02 0BAD")
NEW = sealed("01 03 02 600D")
WRITTEN = sealed("01 10 0100 0002")


class Script:
    """Answers the n-th request with the n-th entry: bytes, or seconds to wait and bytes."""

    def __init__(self, *answers: bytes | tuple[float, bytes]) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[float, bytes]] = []
        self.peer: PtyPeer | None = None

    def __call__(self, data: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        self.requests.append((loop.time(), data))
        answer = self.answers.pop(0) if self.answers else b""
        if isinstance(answer, bytes):
            return answer
        assert self.peer is not None
        loop.call_later(answer[0], self.peer.send, answer[1])
        return b""


@asynccontextmanager
async def line(script: Script | Callable[[bytes], bytes]) -> AsyncIterator[PtyPeer]:
    with PtyPeer(script) as peer:
        if isinstance(script, Script):
            script.peer = peer
        yield peer


@asynccontextmanager
async def bare(script: Script, **options: Any) -> AsyncIterator[AsyncModbusSerialClient]:
    async with line(script) as peer:
        client = AsyncModbusSerialClient(
            peer.port, framer=FramerType.RTU, timeout=TIMEOUT, retries=0, reconnect_delay=0, **options
        )
        assert await client.connect()
        yield client
        client.close()


@asynccontextmanager
async def guarded(script: Script | Callable[[bytes], bytes], **options: Any) -> AsyncIterator[ModbusBus]:
    async with line(script) as peer, owned(RtuSettings(peer.port, **options)) as bus:
        yield bus


@asynccontextmanager
async def owned(settings: RtuSettings | TcpSettings) -> AsyncIterator[ModbusBus]:
    bus = ModbusBus(settings, timeout=TIMEOUT, latency=LATENCY)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bus.run())
        yield bus
        task.cancel()
