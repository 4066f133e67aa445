"""Journeys: which session is under way, for whom, and the ticket with which the counter goes on."""

from __future__ import annotations

from lockerd.errors import StoreError
from lockerd.model.policy import Collector, Relation
from lockerd.store import journal
from lockerd.store.database import Transaction
from lockerd.store.journal import Stamp

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # without I and O, which read as digits
_NUMBERS = 10_000


async def begin(tx: Transaction, journey_id: str, stamp: Stamp) -> None:
    """Write down that a journey begins. Raises StoreError for an id that was used before."""
    await tx.execute(
        "INSERT INTO journey (journey_id, began, boot_id) VALUES (?, ?, ?)", (journey_id, stamp.wall, stamp.boot_id)
    )


async def attach(tx: Transaction, journey_id: str, claim_id: str, collector: Collector | None = None) -> None:
    """Bind an unfinished journey to the claim it is about, and to who is there to collect it, None where nobody knows.

    Raises StoreError when there is no such journey.
    """
    await _update(
        tx,
        journey_id,
        "UPDATE journey SET claim_id = ?2, relation = ?3, collector_id = ?4 WHERE journey_id = ?1 AND ended IS NULL",
        claim_id,
        None if collector is None else collector.relation,
        None if collector is None else collector.collector_id or None,
    )


async def collector_of(tx: Transaction, claim_id: str) -> Collector | None:
    """Who was last there to collect a claim's card; None where nobody was, or nobody knows."""
    row = await tx.one(
        "SELECT relation, collector_id FROM journey WHERE claim_id = ? AND relation IS NOT NULL"
        " ORDER BY began DESC, rowid DESC LIMIT 1",
        (claim_id,),
    )
    return None if row is None else Collector(Relation(row["relation"]), row["collector_id"] or "")


async def end(tx: Transaction, journey_id: str, outcome: str, stamp: Stamp) -> None:
    """Write down how a journey ended. Raises StoreError when it is unknown or has ended."""
    await _update(
        tx,
        journey_id,
        "UPDATE journey SET outcome = ?2, ended = ?3 WHERE journey_id = ?1 AND ended IS NULL",
        outcome,
        stamp.wall,
    )


async def issue_ticket(tx: Transaction, journey_id: str, reason: str, stamp: Stamp, step: str | None = None) -> str:
    """The journey's ticket ("A-0427"), not personal; made once, and told to the office (lockerd.ticket.issued).

    `step` is where the journey stopped, so that the counter goes on from there. Asked for again, it is the same ticket.
    Raises StoreError for an unknown journey.
    """
    known = await tx.one("SELECT ticket FROM journey WHERE journey_id = ?", (journey_id,))
    if known is None:
        raise StoreError(f"there is no journey {journey_id}")
    if known["ticket"] is not None:
        return str(known["ticket"])
    row = await tx.one(
        "INSERT INTO meta (key, value) VALUES ('last_ticket', 1)"
        " ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value"
    )
    assert row is not None
    ticket = ticket_name(row["value"])
    # The names come round after 240,000 tickets; the counter knows a ticket by its day.
    await tx.execute("UPDATE journey SET ticket = NULL WHERE ticket = ?", (ticket,))
    await tx.execute("UPDATE journey SET ticket = ? WHERE journey_id = ?", (ticket, journey_id))
    data: dict[str, journal.JSON] = {"ticket": ticket, "journey_id": journey_id, "reason": reason}
    if step is not None:
        data["step"] = step
    await journal.append(tx, "lockerd.ticket.issued", data, stamp=stamp)
    return ticket


def ticket_name(number: int) -> str:
    """The name of the `number`-th ticket: letter and four digits, A-0001 first."""
    return f"{_LETTERS[number // _NUMBERS % len(_LETTERS)]}-{number % _NUMBERS:04}"


async def unfinished(tx: Transaction) -> list[str]:
    """Journeys that a stop left without an end, oldest first."""
    rows = await tx.all("SELECT journey_id FROM journey WHERE ended IS NULL ORDER BY began, journey_id")
    return [row["journey_id"] for row in rows]


async def _update(tx: Transaction, journey_id: str, sql: str, *values: str | float | None) -> None:
    row = await tx.one(sql + " RETURNING journey_id", (journey_id, *values))
    if row is None:
        raise StoreError(f"there is no unfinished journey {journey_id}")
