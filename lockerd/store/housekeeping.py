"""What is thrown away in time, so that the file stays small and no personal data outlives its purpose; and the nightly care."""

from __future__ import annotations

import asyncio
import ctypes
import math
from collections.abc import Callable
from pathlib import Path

import structlog

from lockerd.errors import StoreError
from lockerd.store import attempts, audit, claims, codes, journal, messages
from lockerd.store.backup import back_up, erase_in_backups, findings, made_between
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp
from lockerd.store.retention import DAY, Retention, prune

log = structlog.get_logger(__name__)

PERSONAL_DATA_KEPT = 86400.0 / 2
"""Seconds after collection; run at least twice a day, nothing personal is left a day after it."""

TIDY_EVERY_SECONDS = 3600.0
REST_SECONDS = 900
"""After a start, for which what is due to be erased waits for the cards in the paths."""
NIGHT = 19 * 3600.0
"""When a night's care is due, in seconds of the UTC day: three in the morning in China."""

CHECKPOINT = "lockerd.audit.checkpoint"
"""The office's event that says how far the audit chain reaches."""

_LAST_NIGHT = "last_night"


class Housekeeping:
    """Tidies every hour; every night checks the file, writes a backup into `backups` and gives memory back.

    `no_backup` says why the last backup could not be made, `unerased` what of the older ones could not be erased in; both are
    empty while all is well. `kept` says how long history is; nothing of it is deleted unless `clock_is_right`.
    Then, too, a time is forgotten to which the clock once jumped ahead.
    """

    def __init__(
        self,
        db: Database,
        backups: Path,
        stamp: Callable[[], Stamp],
        kept: Retention,
        clock_is_right: Callable[[], bool],
    ) -> None:
        self.no_backup = ""
        self.unerased = ""
        self._db = db
        self._backups = backups
        self._stamp = stamp
        self._kept = kept
        self._clock_is_right = clock_is_right
        self._cared = False  # since the start

    async def run(self, at_rest: Callable[[], bool]) -> None:
        """Keep house until cancelled, from when what a restart left open is `at_rest`, or does not come to rest. Raises StoreError.

        A machine that was dark for long has a lot to erase, and still needs it to tell whose the cards in its paths are.
        """
        for _ in range(REST_SECONDS):
            if at_rest():
                break
            await asyncio.sleep(1.0)
        while True:
            await self.tidy()
            await self.care()
            await asyncio.sleep(TIDY_EVERY_SECONDS)

    async def tidy(self) -> None:
        """Delete and erase what is due, in the backups too. Raises StoreError."""
        stamp = self._stamp()
        now = stamp.wall
        if self._clock_is_right():
            await self._db.transaction(lambda tx: _set_right(tx, stamp))
            await prune(self._db, self._kept, now)
        await tidy(self._db, now)
        self.unerased = "; ".join(await erase_in_backups(self._db, self._backups, now))
        if self.unerased:
            log.warning("backup not erased in", error=self.unerased)

    async def care(self) -> None:
        """Check the file and back it up, once a night; the night before the first start is taken as done.

        The first time after a start it is done once more where the newest backup is older than a day: a stop cut that night's off.
        Raises StoreError, also where the file is damaged: no older backup goes for one of it, and the next start, which looks
        again, sets it aside.
        """
        stamp = self._stamp()
        now = stamp.wall
        night = int((now - NIGHT) // DAY)
        cared, self._cared = self._cared, True
        if await self._db.read(_last_night) == night:
            if cared or made_between(self._backups, now - DAY, now) or await self._db.read(_began) > now - DAY:
                return
        elif not await self._db.transaction(lambda tx: _begin_night(tx, night, stamp)):
            return
        if damage := await findings(self._db):
            raise StoreError(f"the database is damaged ({'; '.join(damage)}); the next start sets it aside")
        try:
            await back_up(self._db, self._backups, now)
        except StoreError as error:
            self.no_backup = str(error)
            log.warning("no backup", error=self.no_backup)
        else:
            self.no_backup = ""
        give_memory_back()


def give_memory_back() -> None:
    """Give the system what the C library keeps of freed memory (malloc_trim(3)); another one than glibc keeps it.

    Its heap grows by a megabyte in a month otherwise, for small blocks that live long lie between large ones that are free.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


async def tidy(db: Database, now: float) -> int:
    """Erase what is due and empty the write-ahead log; gives the number of claims erased. `now` is UTC seconds.

    Raises StoreError.
    """

    async def work(tx: Transaction) -> int:
        await attempts.prune(tx, now, codes.WINDOW)
        return await claims.erase_collected(tx, now - PERSONAL_DATA_KEPT)

    erased = await db.transaction(work)
    await db.truncate_wal()
    return erased


async def _set_right(tx: Transaction, stamp: Stamp) -> None:
    """Forget times after `stamp`, of a clock that is right: what waits for them would wait until they come."""
    await attempts.set_right(tx, stamp)
    await messages.set_right(tx, stamp.wall)
    await claims.set_right(tx, stamp.wall)


async def _last_night(tx: Transaction) -> int | None:
    row = await tx.one("SELECT value FROM meta WHERE key = ?", (_LAST_NIGHT,))
    return None if row is None else int(row["value"])


async def _began(tx: Transaction) -> float:
    """When the journal begins (UTC seconds); no backup is missed of a database without one."""
    row = await tx.one("SELECT wall FROM journal ORDER BY seq LIMIT 1")
    return math.inf if row is None else float(row["wall"])


async def _begin_night(tx: Transaction, night: int, stamp: Stamp) -> bool:
    """Keep which night it is, so that restarts cost no check each; whether there was one before it.

    Then the office is told how far the audit chain reaches (lockerd.audit.checkpoint).
    """
    before = await _last_night(tx)
    await tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_LAST_NIGHT, night))
    if before is None:
        return False
    await journal.append(tx, CHECKPOINT, await audit.heads(tx), stamp=stamp)
    return True
