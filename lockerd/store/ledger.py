"""The ledger of custody: where each card is, which motion is under way, and how every card came to its place.

Places follow from committed intents and their outcomes, and from observed changes that no motion made. All functions work
within the caller's transaction; those that tell the office say so. Slots count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from lockerd.errors import StoreError
from lockerd.model.custody import (
    MOVES,
    Fault,
    Intent,
    Motion,
    Observation,
    Order,
    Outcome,
    Place,
    Plan,
    SlotRecord,
    SlotState,
    Unit,
    place_after,
)
from lockerd.store import journal
from lockerd.store import ledger_rows as rows
from lockerd.store.custody_rules import IN_DOUBT, SINGLE, refusal_of_move
from lockerd.store.database import Transaction
from lockerd.store.journal import Stamp
from lockerd.store.ledger_rows import CardAt as CardAt  # noqa: PLC0414 -- mypy's mark of a name meant for others
from lockerd.store.ledger_rows import CardMove as CardMove  # noqa: PLC0414 -- the same


@dataclass(frozen=True, slots=True)
class Totals:
    """A unit's non-volatile totals: cards taken by a hand, cards kept."""

    dispensed: int
    retained: int


# --- slots


async def configure_slots(tx: Transaction, capacity: int) -> None:
    """Have slots 0 to `capacity` - 1. Raises StoreError when a slot beyond that is not free."""
    gone = await tx.one("SELECT slot FROM slot WHERE slot >= ? AND state <> 'free'", (capacity,))
    if gone is not None:
        raise StoreError(
            f"the carousel reports {capacity} slots, but slot {gone['slot']} is in use; check the dispenser"
        )
    await tx.execute("DELETE FROM slot WHERE slot >= ?", (capacity,))
    await tx.execute(
        "INSERT OR IGNORE INTO slot (slot, state, since) SELECT value, 'free', 0 FROM json_each(?)",
        (msgspec.json.encode(list(range(capacity))).decode(),),
    )


async def slots(tx: Transaction) -> list[SlotRecord]:
    """All slots in order."""
    found = await tx.all("SELECT slot, state, card_id, since FROM slot ORDER BY slot")
    return [SlotRecord(row["slot"], SlotState(row["state"]), row["card_id"], row["since"]) for row in found]


async def free_slot(tx: Transaction) -> int | None:
    """The lowest free slot, None when there is none."""
    row = await tx.one("SELECT min(slot) AS slot FROM slot WHERE state = 'free'")
    return None if row is None or row["slot"] is None else int(row["slot"])


async def block_slot(tx: Transaction, slot: int, reason: str, stamp: Stamp) -> None:
    """Freeze a slot until staff decide, and tell the office (lockerd.slot.blocked). Blocked again, it keeps its reason.

    Raises StoreError for a slot that does not exist.
    """
    record = await rows.slot(tx, slot)
    if record["state"] == SlotState.BLOCKED and record["reason"] != IN_DOUBT:
        return
    await tx.execute(
        "UPDATE slot SET state = 'blocked', reason = ?, since = ? WHERE slot = ?", (reason, stamp.wall, slot)
    )
    data = {"slot": slot, "reason": reason, "card_id": record["card_id"]}
    await journal.append(tx, "lockerd.slot.blocked", data, stamp=stamp)


async def unblock_slot(tx: Transaction, slot: int, reason: str, stamp: Stamp) -> None:
    """End a block by evidence or by a decision of staff, and tell the office (lockerd.slot.unblocked).

    The slot is stocked again if the ledger has a card in it, stays blocked while its card is in doubt (until `move`
    resolves that), else is free. Nothing happens to a slot that is not blocked. Raises StoreError for an unknown slot.
    """
    record = await rows.slot(tx, slot)
    if record["state"] != SlotState.BLOCKED:
        return
    card_id = record["card_id"]
    if card_id is None:
        await rows.set_slot(tx, slot, SlotState.FREE, None, stamp)
    elif (await place_of(tx, card_id))[0] is Place.SLOT:
        await rows.set_slot(tx, slot, SlotState.STOCKED, card_id, stamp)
    else:
        await rows.set_slot(tx, slot, SlotState.BLOCKED, card_id, stamp, IN_DOUBT)
    data: dict[str, journal.JSON] = {"slot": slot, "reason": reason, "card_id": card_id}
    await journal.append(tx, "lockerd.slot.unblocked", data, stamp=stamp)


# --- intents


async def open_intent(tx: Transaction, plan: Plan, card_id: str | None, journey_id: str, stamp: Stamp) -> Intent:
    """Write down a plan before its motion.

    `card_id` may be None only where nobody knows the card (not for STORE, PICK, PRESENT). Raises StoreError when an intent
    of the unit is still open, the card is not recorded where the motion begins, the place it leads to is taken, the slot
    to store into is not free, or the slot to pick from is not stocked with this card.
    """
    order = plan.order
    if card_id is not None:
        await _check_motion(tx, order, card_id)
    elif order.motion in (Motion.STORE, Motion.PICK, Motion.PRESENT):
        raise StoreError(f"{order.motion} needs a known card")
    row = await tx.one(
        "INSERT INTO intent (unit, motion, slot, token, card_id, journey_id, opened, boot_id) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8"
        " WHERE NOT EXISTS (SELECT 1 FROM intent WHERE unit = ?1 AND result IS NULL) RETURNING intent_id",
        (order.unit, order.motion, order.slot, plan.token, card_id, journey_id, stamp.wall, stamp.boot_id),
    )
    if row is None:
        raise StoreError(f"an intent of the {order.unit} is still open; settle it first")
    return Intent(row["intent_id"], plan, card_id, journey_id)


async def settle_intent(
    tx: Transaction, intent: Intent, outcome: Outcome, stamp: Stamp, *, slot: int | None = None
) -> Place | None:
    """Write down how an intent ended, move its card's recorded place, and give that place (None without a card).

    `slot` is the slot in which evidence saw the card, where it is not the order's. A card in doubt blocks its slot and is
    told to the office (lockerd.intent.in_doubt). Raises StoreError when the intent is not open.
    """
    order = intent.plan.order
    row = await tx.one(
        "UPDATE intent SET result = ?, fault = ?, settled = ? WHERE intent_id = ? AND result IS NULL RETURNING card_id",
        (outcome.result, outcome.fault, stamp.wall, intent.intent_id),
    )
    if row is None:
        raise StoreError(f"intent {intent.intent_id} is not open")
    if order.motion not in MOVES:
        return None
    place = place_after(order, outcome)
    if intent.card_id is not None and (card := await rows.card(tx, intent.card_id)).place is not place:
        where = order.slot if slot is None else slot
        await rows.relocate(tx, card, place, where, str(order.motion), stamp, intent=intent)
    if place is Place.IN_DOUBT:
        data: dict[str, journal.JSON] = {
            "intent_id": intent.intent_id,
            "unit": order.unit,
            "motion": order.motion,
            "slot": order.slot,
            "card_id": intent.card_id,
            "journey_id": intent.journey_id,
            "fault": outcome.fault,
        }
        await journal.append(tx, "lockerd.intent.in_doubt", data, stamp=stamp)
    if order.motion is Motion.STORE and order.slot is not None and outcome.fault is Fault.TARGET_OCCUPIED:
        await block_slot(tx, order.slot, "occupied_unrecorded", stamp)
    return place if intent.card_id is not None else None


async def open_intents(tx: Transaction) -> list[Intent]:
    """Intents whose outcome is not written down, oldest first."""
    found = await tx.all("SELECT * FROM intent WHERE result IS NULL ORDER BY +intent_id")
    return [
        Intent(
            row["intent_id"],
            Plan(Order(Unit(row["unit"]), Motion(row["motion"]), row["slot"]), row["token"]),
            row["card_id"],
            row["journey_id"],
        )
        for row in found
    ]


# --- cards


async def add_new_card(tx: Transaction, claim_id: str, stamp: Stamp) -> None:
    """Begin the chain of a claim's new card at TRAY; its card id is the claim id. A known card changes nothing.

    Raises StoreError for an unknown claim. `claims.put_item` calls this.
    """
    added = await tx.one(
        "INSERT INTO card (card_id, role, claim_id, place, since) VALUES (?, 'new', ?, 'tray', ?)"
        " ON CONFLICT (card_id) DO NOTHING RETURNING card_id",
        (claim_id, claim_id, stamp.wall),
    )
    if added is not None:
        await _begin(
            tx,
            claim_id,
            claim_id,
            CardMove(None, Place.TRAY, None, "announced", None, None, stamp.wall, "office"),
            stamp,
        )


async def add_old_card(
    tx: Transaction, claim_id: str | None, journey_id: str, stamp: Stamp, place: Place = Place.THROAT
) -> str:
    """Begin the chain of a card that appeared in the throat and give its id ("old-000001"); it tells nothing about a person.

    `place` is ESCROW for a card that was found there and that nothing names. A card that the ledger still had at the place
    comes into doubt. Raises StoreError while that one's motion is under way.
    """
    await _displace(tx, place, None, await open_intents(tx), stamp)
    number = await tx.one(
        "INSERT INTO meta (key, value) VALUES ('last_old_card', 1)"
        " ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value"
    )
    assert number is not None
    card_id = f"old-{number['value']:06}"
    await tx.execute(
        "INSERT INTO card (card_id, role, claim_id, place, since) VALUES (?, 'old', ?, ?, ?)",
        (card_id, claim_id, place, stamp.wall),
    )
    whose = rows.responsible(journey_id, stamp)
    reason = "inserted" if place is Place.THROAT else "found"
    step = CardMove(None, place, None, reason, None, journey_id, stamp.wall, whose)
    await _begin(tx, card_id, claim_id, step, stamp)
    return card_id


async def place_of(tx: Transaction, card_id: str) -> tuple[Place, int | None]:
    """The recorded place of a card and the slot that names it (for a card in doubt: where it may be).

    Raises StoreError for an unknown card.
    """
    card = await rows.card(tx, card_id)
    return card.place, card.slot


async def claim_of(tx: Transaction, card_id: str) -> str | None:
    """The claim that a card belongs to; None for an old card that nobody claims. Raises StoreError for an unknown card."""
    return (await rows.card(tx, card_id)).claim_id


async def name_owner(tx: Transaction, card_id: str, claim_id: str | None) -> None:
    """An old card's chip told which claim it makes way for, None for nobody's that is known; until then it is the visitor's."""
    await tx.execute("UPDATE card SET claim_id = ? WHERE card_id = ? AND role = 'old'", (claim_id, card_id))


async def cards_at(tx: Transaction, *places: Place) -> list[CardAt]:
    """The cards recorded at any of `places`, by card id."""
    found = await tx.all(f"{rows.CARDS} WHERE place IN ({', '.join('?' * len(places))}) ORDER BY card.card_id", places)
    return [rows.record(row) for row in found]


async def move(
    tx: Transaction,
    card_id: str,
    target: Place,
    stamp: Stamp,
    reason: str,
    *,
    slot: int | None = None,
    journey_id: str | None = None,
) -> None:
    """Record a change of place that was observed and that no motion made.

    `slot` is needed to resolve a doubt to SLOT where the ledger has no guess. Where one card is seen at a place that holds
    one card, another that was recorded there comes into doubt. Doubt is told to the office (lockerd.intent.in_doubt without
    an intent id). Raises StoreError for a change that cannot happen by itself, a slot that holds another card, or a card
    whose motion is under way.
    """
    card = await rows.card(tx, card_id)
    under_way = await open_intents(tx)
    for intent in under_way:
        if intent.card_id == card_id:
            raise StoreError(f"card {card_id} is being moved by intent {intent.intent_id}; settle that first")
    refused = refusal_of_move(card.role, card.place, target)
    if refused is not None:
        raise StoreError(f"card {card_id}: {refused}")
    await _displace(tx, target, card_id, under_way, stamp)
    where = card.slot if slot is None else slot
    if target is Place.SLOT:
        if where is None:
            raise StoreError(f"card {card_id}: in which slot?")
        record = await rows.slot(tx, where)
        if record["card_id"] not in (None, card_id) or record["state"] == SlotState.STOCKED:
            raise StoreError(f"card {card_id}: slot {where} holds another card")
    await rows.relocate(tx, card, target, where, reason, stamp, journey_id=journey_id)
    if target is Place.IN_DOUBT:
        await _tell_doubt(tx, card, reason, stamp, journey_id)


# --- totals


async def note_totals(tx: Transaction, seen: Observation) -> None:
    """Keep a unit's non-volatile totals as the latest that the ledger has accounted for."""
    await tx.execute(
        "INSERT INTO unit_total (unit, dispensed, retained) VALUES (?, ?, ?) ON CONFLICT (unit)"
        " DO UPDATE SET dispensed = excluded.dispensed, retained = excluded.retained",
        (seen.unit, seen.dispensed, seen.retained),
    )


async def account_dispensed(tx: Transaction, dispensed: int) -> None:
    """All cards that the dispenser counted as taken until now are accounted for; whatever it counts next is the next card."""
    await tx.execute("UPDATE unit_total SET dispensed = ? WHERE unit = 'dispenser'", (dispensed,))


async def count_taken(tx: Transaction) -> None:
    """Account for one new card that a hand took out of the dispenser."""
    await tx.execute("UPDATE unit_total SET dispensed = dispensed + 1 WHERE unit = 'dispenser'")


async def totals(tx: Transaction, unit: Unit) -> Totals | None:
    """The totals last kept for a unit; None before the first."""
    row = await tx.one("SELECT dispensed, retained FROM unit_total WHERE unit = ?", (unit,))
    return None if row is None else Totals(row["dispensed"], row["retained"])


# --- within


async def _begin(tx: Transaction, card_id: str, claim_id: str | None, step: CardMove, stamp: Stamp) -> None:
    await rows.link(tx, card_id, step)
    await rows.tell(tx, card_id, claim_id, step, stamp)


async def _check_motion(tx: Transaction, order: Order, card_id: str) -> None:
    if order.motion not in MOVES:
        raise StoreError(f"{order.motion} carries no card")
    origin, target = MOVES[order.motion]
    single = target if target in SINGLE else None
    found = [
        rows.record(row) for row in await tx.all(f"{rows.CARDS} WHERE card_id = ? OR place = ?", (card_id, single))
    ]
    card = next((one for one in found if one.card_id == card_id), None)
    if card is None:
        raise StoreError(f"the ledger has no card {card_id}")
    if card.place is not origin:
        raise StoreError(f"card {card_id} is recorded at {card.place}, {order.motion} begins at {origin}")
    for other in found:
        if other is not card:
            raise StoreError(f"card {other.card_id} is recorded at {target} already")
    if single is not None:
        _check_nothing_coming(await open_intents(tx), target, card_id)
    if order.motion is Motion.STORE:
        record = await rows.slot(tx, order.slot)
        if record["state"] != SlotState.FREE:
            raise StoreError(f"slot {order.slot} is {record['state']}, not free")
    if order.motion is Motion.PICK and (card.slot != order.slot or card.state is not SlotState.STOCKED):
        raise StoreError(f"slot {order.slot} is not stocked with card {card_id}")


async def _displace(
    tx: Transaction, target: Place, card_id: str | None, under_way: Sequence[Intent], stamp: Stamp
) -> None:
    """A card was seen at a place that holds one: where another is that was recorded there, nobody knows."""
    if target not in SINGLE:
        return
    _check_nothing_coming(under_way, target, card_id)
    for other in await cards_at(tx, target):
        await rows.relocate(tx, other, Place.IN_DOUBT, None, "displaced", stamp)
        await _tell_doubt(tx, other, f"another card was seen at {target}", stamp, None)


def _check_nothing_coming(under_way: Sequence[Intent], target: Place, card_id: str | None) -> None:
    for intent in under_way:
        ends = MOVES.get(intent.plan.order.motion)
        if ends is not None and target in ends and intent.card_id not in (None, card_id):
            raise StoreError(f"card {intent.card_id} is on its way from {ends[0]} to {ends[1]}")


async def _tell_doubt(tx: Transaction, card: CardAt, reason: str, stamp: Stamp, journey_id: str | None) -> None:
    data: dict[str, journal.JSON] = {
        "card_id": card.card_id,
        "slot": card.slot,
        "place": card.place,
        "reason": reason,
        "journey_id": journey_id,
    }
    await journal.append(tx, "lockerd.intent.in_doubt", data, stamp=stamp)
