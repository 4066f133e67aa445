"""The ledger's rows: cards, slots and the chain, changed together. Only `lockerd.store.ledger` writes through this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lockerd.errors import StoreError
from lockerd.model.custody import Intent, Place, SlotState
from lockerd.store import journal
from lockerd.store.custody_rules import IN_DOUBT
from lockerd.store.database import Row, Transaction
from lockerd.store.journal import Stamp

CARDS = (
    "SELECT card.card_id, place, role, claim_id, lost_report, slot.slot, slot.state, slot.reason"
    " FROM card LEFT JOIN slot USING (card_id)"
)
"""Cards, each with the slot that names it."""

MOVED = "lockerd.card.moved"
"""The office's event for each link of a chain: where the card is now, and who is responsible."""


class CardAt(NamedTuple):
    """One card as the ledger has it.

    `slot` is the slot that names it, `state` that slot's, `frozen` whether it is blocked for more than its card's doubt: only
    staff end that. `role` is "new" or "old"; `claim_id` may be None for an old card only.
    """

    card_id: str
    place: Place
    slot: int | None
    role: str
    claim_id: str | None
    state: SlotState | None = None
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class CardMove:
    """One link of a card's chain of custody. `origin` is None where the chain begins; `wall` is UTC seconds.

    `responsible` is "staff:NAME", "session:JOURNEY", "machine:BOOT" or "office", until the next link.
    """

    origin: Place | None
    target: Place
    slot: int | None
    reason: str
    intent_id: int | None
    journey_id: str | None
    wall: float
    responsible: str


def responsible(journey_id: str | None, stamp: Stamp) -> str:
    """Who answers for what a journey's motion does: the staff member or the session, without one the machine since its start."""
    if not journey_id:
        return f"machine:{stamp.boot_id}"
    return journey_id if journey_id.startswith("staff:") else f"session:{journey_id}"


async def card(tx: Transaction, card_id: str) -> CardAt:
    """One card with the slot that names it. Raises StoreError for an unknown card."""
    row = await tx.one(f"{CARDS} WHERE card_id = ?", (card_id,))
    if row is None:
        raise StoreError(f"the ledger has no card {card_id}")
    return record(row)


def record(row: Row) -> CardAt:
    """The value of a row of CARDS."""
    state = None if row["state"] is None else SlotState(row["state"])
    return CardAt(row["card_id"], Place(row["place"]), row["slot"], row["role"], row["claim_id"], state, _frozen(row))


async def slot(tx: Transaction, number: int | None) -> Row:
    """The row of one slot. Raises StoreError when there is no such slot."""
    row = await tx.one("SELECT * FROM slot WHERE slot = ?", (number,))
    if row is None:
        raise StoreError(f"there is no slot {number}")
    return row


async def set_slot(
    tx: Transaction, number: int, state: SlotState, card_id: str | None, stamp: Stamp, reason: str | None = None
) -> None:
    """Write the state of one slot."""
    await tx.execute(
        "UPDATE slot SET state = ?, card_id = ?, reason = ?, since = ? WHERE slot = ?",
        (state, card_id, reason, stamp.wall, number),
    )


async def relocate(
    tx: Transaction,
    moved: CardAt,
    place: Place,
    number: int | None,
    reason: str,
    stamp: Stamp,
    *,
    intent: Intent | None = None,
    journey_id: str | None = None,
) -> None:
    """Write a card's new place, let the slots follow, and add a link to its chain; `moved` is the card as it is now.

    `number` is the slot the card came from, is in, or may be in. Raises StoreError when that slot names another card.
    """
    card_id = moved.card_id
    await _leave_slot(tx, moved, place, number, stamp)
    if number is not None and place in (Place.SLOT, Place.IN_DOUBT):
        await _enter_slot(tx, card_id, place, number, stamp, IN_DOUBT if intent is not None else "not_as_recorded")
    await tx.execute("UPDATE card SET place = ?, since = ? WHERE card_id = ?", (place, stamp.wall, card_id))
    named = number if place in (Place.SLOT, Place.IN_DOUBT) else None
    intent_id = None if intent is None else intent.intent_id
    whose = journey_id if intent is None else intent.journey_id
    step = CardMove(moved.place, place, named, reason, intent_id, whose, stamp.wall, responsible(whose, stamp))
    await link(tx, card_id, step)
    await tell(tx, card_id, moved.claim_id, step, stamp)


async def tell(tx: Transaction, card_id: str, claim_id: str | None, step: CardMove, stamp: Stamp) -> None:
    """Tell the office of a link (lockerd.card.moved), so that its ledger is this one."""
    data: dict[str, journal.JSON] = {
        "card_id": card_id,
        "claim_id": claim_id,
        "place": step.target,
        "slot": step.slot,
        "reason": step.reason,
        "responsible": step.responsible,
    }
    await journal.append(tx, MOVED, {key: value for key, value in data.items() if value is not None}, stamp=stamp)


async def _leave_slot(tx: Transaction, moved: CardAt, place: Place, number: int | None, stamp: Stamp) -> None:
    if moved.slot is None or (place in (Place.SLOT, Place.IN_DOUBT) and moved.slot == number):
        return
    if moved.frozen:
        await tx.execute("UPDATE slot SET card_id = NULL WHERE slot = ?", (moved.slot,))
    else:
        await set_slot(tx, moved.slot, SlotState.FREE, None, stamp)


async def _enter_slot(tx: Transaction, card_id: str, place: Place, number: int, stamp: Stamp, reason: str) -> None:
    entered = await slot(tx, number)
    if entered["card_id"] not in (None, card_id):
        raise StoreError(f"card {card_id}: slot {number} holds another card")
    if _frozen(entered):
        await tx.execute("UPDATE slot SET card_id = ? WHERE slot = ?", (card_id, number))
    elif place is Place.SLOT:
        await set_slot(tx, number, SlotState.STOCKED, card_id, stamp)
    else:
        await set_slot(tx, number, SlotState.BLOCKED, card_id, stamp, reason)


def _frozen(row: Row) -> bool:
    """Blocked for more than its card's doubt: only staff end that."""
    return bool(row["state"] == SlotState.BLOCKED and row["reason"] != IN_DOUBT)


async def link(tx: Transaction, card_id: str, step: CardMove) -> None:
    """Add one link to a card's chain."""
    await tx.execute(
        "INSERT INTO card_move (move_id, card_id, origin, target, slot, reason, intent_id, journey_id, wall, responsible, hash)"
        " SELECT last + 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,"
        " chained(before, last + 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        " FROM (SELECT coalesce((SELECT max(move_id) FROM card_move), upto) AS last,"
        " coalesce((SELECT hash FROM card_move ORDER BY move_id DESC LIMIT 1), hash) AS before"
        " FROM audit_anchor WHERE chain = 'card_move')",
        (
            card_id,
            step.origin,
            step.target,
            step.slot,
            step.reason,
            step.intent_id,
            step.journey_id,
            float(step.wall),  # hashed as it will be read
            step.responsible,
        ),
    )
