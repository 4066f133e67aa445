"""The dispenser of tests/c/board.c as a process: its hands, what its world tells, its power; and the cable to it."""

from __future__ import annotations

import asyncio
import os
import socket
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.modbus_rig import until

SLOTS = 8


@dataclass
class CBoard:
    """One board; `cards` is where each card physically is, by the words of board.c; a slot has its number: "slot5"."""

    program: Path
    folder: Path
    wire: tuple[str, str]
    motion_ms: int = 20
    slots: int = SLOTS
    dispensed: int = 0
    cards: dict[str, str] = field(default_factory=dict)
    motions: list[dict[str, str]] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None
    _listener: asyncio.Task[None] | None = None

    async def power_on(self) -> None:
        """Boot; returns when it answers its line."""
        self._process = await asyncio.create_subprocess_exec(
            self.program,
            *self.wire,
            self.folder,
            str(self.slots),
            str(self.motion_ms),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(10):
            assert await self._process.stdout.readline() == b"ready\n"
        self._listener = asyncio.get_running_loop().create_task(self._listen(self._process.stdout))

    async def cut_power(self) -> None:
        """End it as a power cut would."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        assert self._listener is not None
        await self._listener
        self._process = None

    async def hand(self, act: str) -> None:
        """What a hand does: "feed CARD", "take", "jam"; returns when the board's world has it, power or not."""
        if self._process is None:
            process = await asyncio.create_subprocess_exec(
                self.program, "hand", self.folder, act, stdout=asyncio.subprocess.DEVNULL
            )
            assert await process.wait() == 0
            return
        assert self._process.stdin is not None
        seen = len(self.motions)
        self._process.stdin.write(act.encode() + b"\n")
        await self._process.stdin.drain()
        await until(lambda: len(self.motions) > seen)

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            told = dict(word.split("=") for word in line.decode().split())
            self.dispensed = int(told.pop("dispensed"))
            self.cards = told
            self.motions.append(self.cards)


@asynccontextmanager
async def powered(board: CBoard) -> AsyncIterator[CBoard]:
    """The board with power, as long as the context lasts."""
    await board.power_on()
    try:
        yield board
    finally:
        await board.cut_power()


def free_port() -> int:
    """A TCP port of this computer that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Cable:
    """A line with two ends, each a serial port to open."""

    host: str
    device: str


@asynccontextmanager
async def cable() -> AsyncIterator[Cable]:
    """Two pseudo-terminals, what goes into one comes out of the other."""
    loop = asyncio.get_running_loop()
    ends = [os.openpty() for _ in range(2)]
    for master, slave in ends:
        tty.setraw(slave)
        os.set_blocking(master, False)
    masters = [master for master, _ in ends]

    def carry(source: int, target: int) -> None:
        with suppress(BlockingIOError):
            os.write(target, os.read(source, 4096))

    loop.add_reader(masters[0], carry, masters[0], masters[1])
    loop.add_reader(masters[1], carry, masters[1], masters[0])
    try:
        yield Cable(os.ttyname(ends[0][1]), os.ttyname(ends[1][1]))
    finally:
        for master, slave in ends:
            loop.remove_reader(master)
            os.close(master)
            os.close(slave)
