"""How long history is kept, and the small transactions that delete what is older; the audit chain still proves the rest.

History is deleted from its beginning: an event only once the office has it, a link of custody together with its intent, and
a card with its claim once its whole chain is old and it has left the machine. A card that is still inside keeps its place by
a link that says so. Nothing is deleted while the clock is not known to be right, and no round deletes more than
BATCHES * BATCH rows of a kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from lockerd.model.custody import Place
from lockerd.store import ledger_rows as rows
from lockerd.store.audit import Chain, anchor
from lockerd.store.database import Database, Row, Transaction
from lockerd.store.emptying import NAMELESS_IN_BOX
from lockerd.store.ledger_rows import CardMove

DAY = 86400.0
BATCH = 250
BATCHES = 8

CARRIED = "still_there"
"""Reason of a link that restates a card's place, because those before it are deleted."""

_FINDING_STANDS = (
    "UPDATE finding SET move_id = (SELECT max(move_id) FROM card_move WHERE card_id = ?1)"
    " WHERE card_id = ?1 AND move_id = ?2"
)
"""What one person found about a card whose place is only restated still holds."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Seconds for which history is kept."""

    events: float = 90 * DAY
    custody: float = 90 * DAY
    journeys: float = 90 * DAY
    messages: float = 30 * DAY


async def prune(db: Database, kept: Retention, now: float) -> int:
    """Delete what is older than `kept`, at most a round's worth; gives how many rows. Raises StoreError.

    `now` is UTC seconds of a clock that is known to be right.
    """

    async def work(tx: Transaction) -> tuple[int, ...]:
        return (
            await _events(tx, now - kept.events, now),
            await _custody(tx, now - kept.custody, now),
            await _intents(tx, now - kept.custody),
            await _journeys(tx, now - kept.journeys, now),
            await _messages(tx, now - kept.messages, now),
        )

    deleted = 0
    for _ in range(BATCHES):
        counts = await db.transaction(work)
        deleted += sum(counts)
        if max(counts) < BATCH:
            break
    return deleted


def _beginning(found: list[Row], older_than: float, now: float) -> list[Row]:
    """The rows before the first that has to be kept. One of the future was written by a wrong clock, and keeps nothing back."""
    for n, row in enumerate(found):
        if older_than <= row["wall"] <= now + DAY:
            return found[:n]
    return found


async def _events(tx: Transaction, older_than: float, now: float) -> int:
    found = await tx.all(
        "SELECT seq, wall FROM journal WHERE seq <= (SELECT value FROM meta WHERE key = 'acked_seq') ORDER BY seq LIMIT ?",
        (BATCH,),
    )
    old = _beginning(found, older_than, now)
    if old:
        await anchor(tx, Chain.JOURNAL, old[-1]["seq"], now)
        await tx.execute("DELETE FROM journal WHERE seq <= ?", (old[-1]["seq"],))
    return len(old)


async def _custody(tx: Transaction, older_than: float, now: float) -> int:
    old = _beginning(
        await tx.all("SELECT move_id, card_id, intent_id, wall FROM card_move ORDER BY move_id LIMIT ?", (BATCH,)),
        older_than,
        now,
    )
    if not old:
        return 0
    upto = old[-1]["move_id"]
    ended = await tx.all(
        "SELECT card.*, slot.slot, link.move_id AS last, link.journey_id, link.responsible,"
        " EXISTS (SELECT 1 FROM card AS other WHERE other.claim_id = card.card_id AND other.card_id <> card.card_id) AS leads,"
        " claim.state IN ('collected', 'withdrawn') AND claim.person IS NULL AS erased"
        " FROM card JOIN card_move AS link"
        " ON link.move_id = (SELECT max(move_id) FROM card_move WHERE card_id = card.card_id)"
        " LEFT JOIN slot USING (card_id) LEFT JOIN claim ON claim.claim_id = card.card_id"
        " WHERE card.card_id IN (SELECT value FROM json_each(?)) AND link.move_id <= ?",
        (_json({row["card_id"] for row in old}), upto),
    )
    gone = {row["card_id"] for row in ended if _gone(row)}
    for row in ended:
        if row["card_id"] not in gone:
            place = Place(row["place"])
            step = CardMove(place, place, row["slot"], CARRIED, None, row["journey_id"], now, row["responsible"])
            await rows.link(tx, row["card_id"], step)
            await tx.execute(_FINDING_STANDS, (row["card_id"], row["last"]))
    await anchor(tx, Chain.CARD_MOVE, upto, now)
    await tx.execute("DELETE FROM card_move WHERE move_id <= ?", (upto,))
    intents = {row["intent_id"] for row in old if row["intent_id"] is not None}
    await _delete(tx, "DELETE FROM intent WHERE intent_id IN (SELECT value FROM json_each(?))", intents)
    await _delete(tx, "DELETE FROM intent WHERE card_id IN (SELECT value FROM json_each(?))", gone)
    await _delete(tx, "DELETE FROM card WHERE card_id IN (SELECT value FROM json_each(?))", gone)
    await _delete(tx, "UPDATE journey SET claim_id = NULL WHERE claim_id IN (SELECT value FROM json_each(?))", gone)
    await _delete(tx, "DELETE FROM claim WHERE claim_id IN (SELECT value FROM json_each(?))", gone)
    return len(old)


def _gone(row: Row) -> bool:
    """Whether a card is outside for good: an old one, or a new one whose claim is over and erased.

    A claim goes with its new card, and so not before an old card of the claim.
    """
    if row["place"] not in (Place.TAKEN, Place.REMOVED, Place.TRAY):
        return False
    return row["role"] == "old" or bool(row["erased"] and not row["leads"])


async def _intents(tx: Transaction, older_than: float) -> int:
    """Intents that left no link, as far back as the links that are deleted.

    That a card was captured which nobody could name stays as long as it lies in the retract box: nothing else tells of it.
    """
    found = await tx.all(
        "DELETE FROM intent WHERE intent_id IN (SELECT intent_id FROM intent WHERE settled < ?"  # noqa: S608 a constant
        " AND intent_id < coalesce((SELECT min(intent_id) FROM card_move WHERE intent_id IS NOT NULL), 1 << 62)"
        f" AND intent_id NOT IN ({NAMELESS_IN_BOX})"
        " ORDER BY intent_id LIMIT ?) RETURNING 1",
        (older_than, BATCH),
    )
    return len(found)


async def _journeys(tx: Transaction, older_than: float, now: float) -> int:
    return await _oldest(tx, "journey", "ended NOTNULL", older_than, now)


async def _messages(tx: Transaction, older_than: float, now: float) -> int:
    return await _oldest(tx, "message", "sent = 1", older_than, now)


async def _oldest(tx: Transaction, table: str, over: str, older_than: float, now: float) -> int:
    """Delete those of the first rows that are `over` and ended too long ago, or in a future that a wrong clock wrote."""
    oldest = f"SELECT rowid AS number, ended FROM {table} ORDER BY rowid LIMIT {BATCH}"  # noqa: S608 constants
    return len(
        await tx.all(
            f"DELETE FROM {table} WHERE rowid IN"  # noqa: S608 constants
            f" (SELECT number FROM ({oldest}) WHERE ended NOT BETWEEN ? AND ?) AND {over} RETURNING 1",
            (older_than, now + DAY),
        )
    )


async def _delete(tx: Transaction, sql: str, keys: set[str] | set[int]) -> None:
    if keys:
        await tx.execute(sql, (_json(keys),))


def _json(keys: set[str] | set[int]) -> str:
    return msgspec.json.encode(sorted(keys)).decode()
