"""What is thrown away in time, so that the file stays small and no personal data outlives its purpose."""

from __future__ import annotations

from lockerd.store import attempts, claims, codes, journal
from lockerd.store.database import Database, Transaction

PERSONAL_DATA_KEPT = 86400.0 / 2
"""Seconds after collection; run at least twice a day, nothing personal is left a day after it."""


async def tidy(db: Database, now: float) -> int:
    """Erase what is due and empty the write-ahead log; gives the number of claims erased. `now` is UTC seconds.

    Raises StoreError.
    """

    async def work(tx: Transaction) -> int:
        await journal.prune(tx, now)
        await attempts.prune(tx, now - codes.WINDOW)
        return await claims.erase_collected(tx, now - PERSONAL_DATA_KEPT)

    erased = await db.transaction(work)
    await db.truncate_wal()
    return erased
