"""A process that works on a database until it is killed: `python store_child.py MODE PATH`."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lockerd.store import codes, journal
from lockerd.store.database import Database, Transaction
from tests.store_support import STAMP, opened, vault


async def transfer(path: Path) -> None:
    """Move units between two accounts, one event for each; print the seq of every acknowledged commit."""
    async with opened(path) as db:
        while True:

            async def work(tx: Transaction) -> int:
                await tx.execute("UPDATE meta SET value = value - 1 WHERE key = 'left'")
                seq = await journal.append(tx, "lockerd.test", {}, stamp=STAMP)
                await tx.execute("UPDATE meta SET value = value + 1 WHERE key = 'right'")
                return seq

            os.write(1, b"%d\n" % await db.transaction(work))


class DiesBeforeItCompares(Database):
    """Kills its process when it is to look again after the try is recorded."""

    recorded = False

    async def transaction(self, work: Callable[[Transaction], Awaitable[Any]]) -> Any:
        self._die_if_recorded()
        result = await super().transaction(work)
        self.recorded = True
        return result

    async def read(self, work: Callable[[Transaction], Awaitable[Any]]) -> Any:
        self._die_if_recorded()
        return await super().read(work)

    def _die_if_recorded(self) -> None:
        if self.recorded:
            os.kill(os.getpid(), signal.SIGKILL)


async def at_once(_seconds: float) -> None:
    """No wait before a comparison."""


async def guess(path: Path) -> None:
    """Try a code and die between its record and the comparison."""
    db = DiesBeforeItCompares(path, entropy=random.Random(1).randbytes)
    owner = asyncio.create_task(db.run())
    await db.ready()
    await codes.check(db, vault(), "990101199001010018", "00000000", STAMP, at_once)
    owner.cancel()  # never gets so far, or the process would live on


async def stop(path: Path) -> None:
    """Stop the owner in the middle of a stream of transactions; the process has to end by itself."""
    async with opened(path) as db:
        callers = [asyncio.create_task(db.transaction(journal.epoch)) for _ in range(20)]
        await callers[3]
    await asyncio.gather(*callers, return_exceptions=True)


async def broken_disk(path: Path) -> None:
    """Commit once, let every further write fail, and print what the caller and the owner say."""
    db = Database(path, entropy=random.Random(1).randbytes)
    owner = asyncio.create_task(db.run())
    await db.ready()
    await db.transaction(lambda tx: journal.append(tx, "lockerd.test", {}, stamp=STAMP))
    _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    second = db.transaction(lambda tx: journal.append(tx, "lockerd.test", {}, stamp=STAMP))
    for said in await asyncio.gather(second, owner, return_exceptions=True):
        os.write(1, f"{type(said).__name__} {said}\n".encode())


asyncio.run(
    {"transfer": transfer, "guess": guess, "stop": stop, "broken_disk": broken_disk}[sys.argv[1]](Path(sys.argv[2]))
)
