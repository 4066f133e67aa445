"""What is thrown away in time, so that the file stays small and no personal data outlives its purpose; and the nightly care."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from lockerd.errors import StoreError
from lockerd.store import attempts, claims, codes, journal
from lockerd.store.backup import back_up, erase_in_backups, findings
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp

log = structlog.get_logger(__name__)

PERSONAL_DATA_KEPT = 86400.0 / 2
"""Seconds after collection; run at least twice a day, nothing personal is left a day after it."""

TIDY_EVERY_SECONDS = 3600.0
NIGHT = 19 * 3600.0
"""When a night's care is due, in seconds of the UTC day: three in the morning in China."""

_LAST_NIGHT = "last_night"


class Housekeeping:
    """Tidies every hour; every night checks the file and writes a backup into `backups`.

    `damage` says what the last check found wrong with the file, `no_backup` why the last backup could not be made; both are
    empty while all is well.
    """

    def __init__(self, db: Database, backups: Path, stamp: Callable[[], Stamp]) -> None:
        self.damage = ""
        self.no_backup = ""
        self._db = db
        self._backups = backups
        self._stamp = stamp

    async def run(self) -> None:
        """Keep house until cancelled. Raises StoreError."""
        while True:
            await tidy(self._db, self._stamp().wall)
            await erase_in_backups(self._db, self._backups)
            await self.care()
            await asyncio.sleep(TIDY_EVERY_SECONDS)

    async def care(self) -> None:
        """Check the file and back it up, once a night; the night before the first start is taken as done. Raises StoreError."""
        now = self._stamp().wall
        if not await self._db.transaction(lambda tx: _a_new_night(tx, now)):
            return
        self.damage = "; ".join(await findings(self._db))
        if self.damage:
            log.error("database damaged", error=self.damage)
            return  # an older backup is better than one of this
        try:
            await back_up(self._db, self._backups, now)
        except StoreError as error:
            self.no_backup = str(error)
            log.warning("no backup", error=self.no_backup)
        else:
            self.no_backup = ""


async def tidy(db: Database, now: float) -> int:
    """Erase what is due and empty the write-ahead log; gives the number of claims erased. `now` is UTC seconds.

    Raises StoreError.
    """

    async def work(tx: Transaction) -> int:
        await journal.prune(tx, now)
        await attempts.prune(tx, now, codes.WINDOW)
        return await claims.erase_collected(tx, now - PERSONAL_DATA_KEPT)

    erased = await db.transaction(work)
    await db.truncate_wal()
    return erased


async def _a_new_night(tx: Transaction, now: float) -> bool:
    """Whether another night than at the last call has begun; kept, so that restarts cost no check each."""
    night = int((now - NIGHT) // 86400)
    row = await tx.one("SELECT value FROM meta WHERE key = ?", (_LAST_NIGHT,))
    if row is None or row["value"] != night:
        await tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_LAST_NIGHT, night))
    return row is not None and bool(row["value"] != night)
