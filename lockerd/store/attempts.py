"""Counted tries of a secret, and the clock that never goes back.

A try is made durable in a transaction of its own before anything is compared, so that cutting the power after a wrong
answer gains nothing (NIST SP 800-63B-4, 3.2.2).
"""

from __future__ import annotations

from dataclasses import replace

from lockerd.store.database import Transaction
from lockerd.store.journal import Stamp

KEPT = 90 * 86400.0
"""Seconds for which wrong tries in a row are remembered after the latest of them."""


AHEAD_SECONDS = 3600.0
"""A clock that was ahead for more than this has left times that people were told."""

_WAS_AHEAD = "clock_was_ahead"


async def effective_now(tx: Transaction, stamp: Stamp) -> float:
    """The later of the wall time and the latest ever seen here (UTC seconds); kept, so a clock set back gains nothing.

    To the latest is added what has passed since by the boot clock, if that was in this boot.
    """
    now = await latest(tx, stamp)
    await _keep(tx, replace(stamp, wall=now))
    return now


async def latest(tx: Transaction, stamp: Stamp) -> float:
    """As `effective_now`, and nothing is kept: for what only looks."""
    rows = await tx.all("SELECT key, value FROM meta WHERE key IN ('latest_wall', 'latest_mono', 'latest_boot')")
    seen = {row["key"]: row["value"] for row in rows}
    here = seen.get("latest_boot") == stamp.boot_id
    passed = max(stamp.mono - seen["latest_mono"], 0.0) if here else 0.0
    return max(stamp.wall, float(seen.get("latest_wall", stamp.wall)) + passed)


async def _keep(tx: Transaction, latest: Stamp) -> None:
    await tx.execute(
        "INSERT INTO meta (key, value) VALUES ('latest_wall', ?), ('latest_mono', ?), ('latest_boot', ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (float(latest.wall), float(latest.mono), latest.boot_id),
    )


async def set_right(tx: Transaction, stamp: Stamp) -> None:
    """Forget wall times after `stamp`, which a clock that had jumped ahead left; its own is known to be right.

    Without this, codes would end early and tries be counted wrongly until the time was reached. See `was_ahead`.
    """
    now = stamp.wall
    if await latest(tx, stamp) > now + AHEAD_SECONDS:
        await tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, 1)", (_WAS_AHEAD,))
    await _keep(tx, stamp)
    await tx.execute("UPDATE attempt SET at = ? WHERE at > ?", (now, now))
    await tx.execute("UPDATE wrong_in_a_row SET latest = ?1, told = min(told, ?1) WHERE latest > ?1", (now,))


async def was_ahead(tx: Transaction) -> bool:
    """Whether the clock was set right since this was last asked, and had been ahead for more than AHEAD_SECONDS."""
    return await tx.one("DELETE FROM meta WHERE key = ? RETURNING 1", (_WAS_AHEAD,)) is not None


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


async def in_a_row(tx: Transaction, subject: bytes, now: float) -> int:
    """Count one more try as wrong until it is forgiven, whatever window it lies in: how many are in a row with it."""
    row = await tx.one(
        "INSERT INTO wrong_in_a_row (subject, tries, latest) VALUES (?, 1, ?)"
        " ON CONFLICT (subject) DO UPDATE SET tries = tries + 1, latest = excluded.latest RETURNING tries",
        (subject, now),
    )
    assert row is not None
    return int(row["tries"])


async def row(tx: Transaction, subject: bytes) -> tuple[int, float] | None:
    """Wrong tries in a row of a subject, and the time of the latest (effective UTC seconds); None where there is none."""
    found = await tx.one("SELECT tries, latest FROM wrong_in_a_row WHERE subject = ?", (subject,))
    return None if found is None else (int(found["tries"]), float(found["latest"]))


async def newly_closed(tx: Transaction, now: float, *, limit: int, window: float, most: int) -> list[bytes]:
    """Subjects whose tries are used up at `now` (an effective time), each once for the wrong try that did it.

    Used up are `limit` tries within `window` seconds, or more than `most` in a row.
    """
    rows = await tx.all(
        "UPDATE wrong_in_a_row SET told = latest WHERE (told IS NULL OR told < latest) AND (tries > ?4 OR ?1 <="
        " (SELECT count(*) FROM attempt WHERE attempt.subject = wrong_in_a_row.subject AND at > ?2 - ?3))"
        " RETURNING subject",
        (limit, now, window, most),
    )
    return sorted(row["subject"] for row in rows)


async def forgive(tx: Transaction, attempt_id: int, subject: bytes) -> None:
    """Take one try back: it was right, and the row of wrong ones ends. Those of the window stay counted."""
    await tx.execute("DELETE FROM attempt WHERE attempt_id = ?", (attempt_id,))
    await end_row(tx, subject)


async def end_row(tx: Transaction, subject: bytes) -> None:
    """A subject's row of wrong tries ends."""
    await tx.execute("DELETE FROM wrong_in_a_row WHERE subject = ?", (subject,))


async def erase(tx: Transaction, subject: bytes) -> None:
    """Keep nothing of a subject."""
    await tx.execute("DELETE FROM attempt WHERE subject = ?", (subject,))
    await end_row(tx, subject)


async def prune(tx: Transaction, now: float, window: float) -> None:
    """Delete what counts no more at `now` (UTC seconds): tries older than the longest `window`, rows older than KEPT."""
    await tx.execute("DELETE FROM attempt WHERE at < ?", (now - window,))
    await tx.execute("DELETE FROM wrong_in_a_row WHERE latest < ?", (now - KEPT,))
