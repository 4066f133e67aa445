"""Parts of the office tests: the real office process, an outbox in memory, and what a link needs around it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from lockerd.office.events import cloud_event
from lockerd.office.link import LinkSettings, LockerIdentity, OfficeLink
from lockerd.office.manifest import DownItem

ROOT = Path(__file__).resolve().parent.parent
EPOCH = "e1"
LOCKER = "locker-1"
TRUE_NUMBER = "990101200001010014"
JPEG = "/9j/2wA="  # the first bytes of one, base64


async def until(look: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Poll `look` (a function, or one that answers an awaitable) until it is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {look}"
        await asyncio.sleep(0.005)


def claim(claim_id: str, **changes: object) -> dict[str, Any]:
    """A manifest item as the office announces it."""
    item: dict[str, Any] = {
        "claim_id": claim_id,
        "kind": "renewal",
        "name": "李小明",
        "id_number": TRUE_NUMBER,
        "valid_from": "20260101",
        "valid_to": "长期",
        "phone": "+8619900000001",
        "photo": JPEG,
    }
    return {**item, **changes}


def event(seq: int, kind: str = "slot.blocked", epoch: str = EPOCH, **data: object) -> bytes:
    """An event as the journal offers it."""
    return cloud_event(
        locker_id=LOCKER,
        epoch=epoch,
        seq=seq,
        kind=f"lockerd.{kind}",
        at=1_700_000_000.0 + seq,
        boot_id="b1",
        monotime=float(seq),
        data=json.dumps(data or {"slot": seq % 300}).encode(),
    )


@dataclass
class OfficeProcess:
    """`python -m sim.office` on a state folder; keeps its port over restarts."""

    state: Path
    people: int = 0
    port: int = 0
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        arguments = ["--state", str(self.state), "--listen", f"127.0.0.1:{self.port}", "--seed", "7"]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sim.office",
            *arguments,
            "--people",
            str(self.people),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self.process.stdout is not None
        ready = json.loads(await asyncio.wait_for(self.process.stdout.readline(), 30))
        assert ready["ready"] == "office"
        self.port = int(ready["listen"].rpartition(":")[2])

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """End it; its exit status must say that it ended by itself."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
            assert await asyncio.wait_for(self.process.wait(), 10) == 0


@contextlib.asynccontextmanager
async def office(state: Path, people: int = 0) -> AsyncIterator[OfficeProcess]:
    process = OfficeProcess(state, people)
    await process.start()
    try:
        yield process
    finally:
        await process.stop()


async def call(method: str, url: str, body: Any = None, **more: Any) -> tuple[int, Any]:
    """One request; status and decoded answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, **({"json": body} if body is not None else {}), **more) as answer,
    ):
        return answer.status, json.loads(await answer.read())


async def ledger(url: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await call("GET", f"{url}/sim/ledger"))[1]
    return answer


@dataclass(frozen=True)
class Position:
    """Where a journal stands."""

    oldest_retained: int
    last_seq: int
    acked: int


@dataclass
class MemoryOutbox:
    """Events in memory; `forgotten` of them, from the first, are no longer kept."""

    events: list[bytes] = field(default_factory=list)
    acked: int = 0
    forgotten: int = 0

    async def pending(self, limit: int) -> Sequence[tuple[int, bytes]]:
        return [(n + 1, e) for n, e in enumerate(self.events[self.acked : self.acked + limit], self.acked)]

    async def acknowledge(self, seq: int) -> None:
        assert self.acked <= seq <= len(self.events)
        self.acked = seq

    async def rewind(self, seq: int) -> None:
        assert self.forgotten <= seq < self.acked
        self.acked = seq

    async def position(self) -> Position:
        return Position(self.forgotten + 1, len(self.events), self.acked)

    def add(self, n: int = 1) -> None:
        self.events += [event(len(self.events) + 1 + i) for i in range(n)]


@dataclass
class Wall:
    """A wall clock that is `ahead` of the real one."""

    ahead: float = 0.0

    def now(self) -> float:
        return time.time() + self.ahead


@dataclass
class Bench:
    """A link with all it needs; `failing` makes the item handler fail that many times."""

    outbox: MemoryOutbox = field(default_factory=MemoryOutbox)
    items: list[DownItem] = field(default_factory=list)
    cursor: int = 0
    failing: int = 0
    error: Exception | None = None
    clock: Wall = field(default_factory=Wall)

    async def on_items(self, items: Sequence[tuple[DownItem, int]], cursor: int) -> None:
        for item, at in items:
            if self.failing:
                self.failing -= 1
                assert self.error is not None
                raise self.error
            assert at > self.cursor, "the cursor never goes back"
            self.items.append(item)
            self.cursor = at
        assert cursor >= self.cursor, "the cursor never goes back"
        self.cursor = cursor

    async def load(self) -> int:
        return self.cursor

    @contextlib.asynccontextmanager
    async def running(self, url: str, *, batch: int = 100, idle: float = 60.0) -> AsyncIterator[OfficeLink]:
        settings = LinkSettings(url, batch=batch, idle=idle, backoff_first=0.001, backoff_limit=0.01)
        link = OfficeLink(
            settings,
            LockerIdentity(LOCKER, EPOCH, "b1", {"lockerd": "0"}),
            self.outbox,
            on_items=self.on_items,
            load_cursor=self.load,
            status=lambda: {"slots": 3},
            clock=self.clock,
            random=Random(1),
        )
        task = asyncio.create_task(link.run())
        try:
            yield link
            assert not task.done(), "the link ended by itself"
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
