"""Counted tries of a secret, and the clock that never goes back.

A try is made durable in a transaction of its own before anything is compared, so that cutting the power after a wrong
answer gains nothing (NIST SP 800-63B-4, 3.2.2).
"""

from __future__ import annotations

from lockerd.store.database import Transaction


async def effective_now(tx: Transaction, now: float) -> float:
    """The later of `now` and the latest wall time ever seen here (UTC seconds); kept, so a clock set back gains nothing."""
    row = await tx.one(
        "INSERT INTO meta (key, value) VALUES ('latest_wall', ?)"
        " ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value) RETURNING value",
        (float(now),),
    )
    assert row is not None
    return float(row["value"])


async def record(tx: Transaction, subject: bytes, now: float, *, limit: int, window: float) -> tuple[int, int] | None:
    """Record one try: (its id, tries that are left after it), or None, recording nothing, when there is none left.

    At most `limit` tries of a subject within `window` seconds; `now` is an effective time.
    """
    await tx.execute("DELETE FROM attempt WHERE subject = ? AND at <= ?", (subject, now - window))
    row = await tx.one("SELECT count(*) AS made FROM attempt WHERE subject = ?", (subject,))
    assert row is not None
    if row["made"] >= limit:
        return None
    added = await tx.one("INSERT INTO attempt (subject, at) VALUES (?, ?) RETURNING attempt_id", (subject, now))
    assert added is not None
    return int(added["attempt_id"]), limit - int(row["made"]) - 1


async def forgive(tx: Transaction, attempt_id: int) -> None:
    """Take one try back: it was right. Earlier wrong ones stay counted."""
    await tx.execute("DELETE FROM attempt WHERE attempt_id = ?", (attempt_id,))


async def prune(tx: Transaction, older_than: float) -> None:
    """Delete tries made before `older_than` (UTC seconds); keep at least the longest window that counts."""
    await tx.execute("DELETE FROM attempt WHERE at < ?", (older_than,))
