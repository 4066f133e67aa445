"""Questions to the ledger that change nothing; all work within the caller's transaction."""

from __future__ import annotations

import msgspec

from lockerd.errors import StoreError
from lockerd.model.custody import MOVES, Fault, Motion, Place, Result, SlotState, Unit
from lockerd.model.staffing import CardFile, ChainLink
from lockerd.store import ledger_rows as rows
from lockerd.store.database import Transaction
from lockerd.store.ledger_rows import CardMove

_COUNTS = ", ".join(f"sum(state = '{state}') AS {state}" for state in SlotState)
"""One look at all slots; to group them would sort them first."""


async def card_in(tx: Transaction, slot: int) -> str | None:
    """The card that the ledger has in a slot; None for an empty one and for a slot that there is not."""
    row = await tx.one("SELECT card_id FROM slot WHERE slot = ?", (slot,))
    return None if row is None else row["card_id"]


async def slot_counts(tx: Transaction) -> dict[SlotState, int]:
    """How many slots are in each state; a state of none is not named."""
    row = await tx.one(f"SELECT {_COUNTS} FROM slot")  # noqa: S608 a constant
    return {} if row is None else {state: row[state] for state in SlotState if row[state]}


async def last_carried(tx: Transaction, unit: Unit) -> Motion | None:
    """The latest motion of a unit that was to carry a card, however it ended; None before the first."""
    row = await tx.one(
        "SELECT motion FROM intent WHERE unit = ? AND motion IN (SELECT value FROM json_each(?))"
        " ORDER BY intent_id DESC LIMIT 1",
        (unit, msgspec.json.encode(list(MOVES)).decode()),
    )
    return None if row is None else Motion(row["motion"])


async def last_presented(tx: Transaction) -> str | None:
    """The card that the dispenser was last ordered to present; None before the first."""
    row = await tx.one(
        "SELECT card_id FROM intent WHERE unit = 'dispenser' AND motion = 'present' ORDER BY intent_id DESC LIMIT 1"
    )
    return None if row is None else row["card_id"]


async def lost_at_the_gate(tx: Transaction, card_id: str) -> bool:
    """Whether a card in doubt was last on its way to the gate, or back: a hand may have it, whatever was presented since."""
    row = await tx.one(
        "SELECT motion IN ('present', 'retract') AS gate FROM intent JOIN card USING (card_id)"
        " WHERE card_id = ? AND place = 'in_doubt' AND result IS NOT 'not_moved' ORDER BY intent_id DESC LIMIT 1",
        (card_id,),
    )
    return row is not None and bool(row["gate"])


async def counted_card(tx: Transaction) -> str | None:
    """Whom a further card that left the exit has to be; None where nothing tells.

    The unit counts that one left, not which one. So it is known only where the card presented last is the only one since
    the exit took one in that may be there, and the unit did not give its way up: what is stuck there, the hands of staff pull out.
    """
    found = await tx.all(
        "SELECT card_id, motion, result, fault FROM intent JOIN card USING (card_id)"
        " WHERE unit = 'dispenser' AND motion IN ('present', 'retract') AND result IS NOT 'not_moved'"
        " AND place IN ('transport', 'exit', 'in_doubt') AND intent_id >= ifnull((SELECT intent_id FROM intent"
        "  WHERE unit = 'dispenser' AND motion = 'present' AND result = 'done' ORDER BY intent_id DESC LIMIT 1), 0)"
        " ORDER BY intent_id"
    )
    if {row["card_id"] for row in found} != {await last_presented(tx)}:
        return None
    last = found[-1]
    too_late = last["motion"] == Motion.RETRACT and last["fault"] == Fault.NO_CARD
    return last["card_id"] if last["fault"] in (None, Fault.SILENT) or too_late else None


async def last_in_recycler(tx: Transaction) -> str | None:
    """The old card that the recycler was last ordered to move; None before the first, and where it was opened since."""
    row = await tx.one(
        "SELECT card_id FROM intent WHERE unit = 'recycler' AND motion IN ('open', 'accept', 'return', 'retain')"
        " AND result IS NOT 'not_moved' ORDER BY intent_id DESC LIMIT 1"
    )
    return None if row is None else row["card_id"]


async def last_at_recycler(tx: Transaction) -> tuple[Motion, Result | None] | None:
    """The last motion of the journey that last used the recycler, and how it ended; None before the first.

    Turning the carousel ahead of a pick does not count.
    """
    row = await tx.one(
        "SELECT motion, result FROM intent WHERE motion <> 'align' AND journey_id ="
        " (SELECT journey_id FROM intent JOIN journey USING (journey_id) WHERE unit = 'recycler'"
        "  ORDER BY intent_id DESC LIMIT 1) ORDER BY intent_id DESC LIMIT 1"
    )
    return None if row is None else (Motion(row["motion"]), None if row["result"] is None else Result(row["result"]))


async def accepted(tx: Transaction, card_id: str) -> bool:
    """Whether the journey that drew an old card in accepted it, as it went on to fetch the new card; no hand came near it since."""
    row = await tx.one(
        "SELECT 1 FROM intent AS drawn JOIN intent AS fetched USING (journey_id)"
        " WHERE drawn.card_id = ?1 AND drawn.motion = 'accept' AND fetched.motion = 'pick'"
        " AND fetched.card_id = (SELECT claim_id FROM card WHERE card_id = ?1) AND fetched.intent_id > drawn.intent_id"
        " AND NOT EXISTS (SELECT 1 FROM intent WHERE card_id = ?1 AND motion = 'return' AND result IS NOT 'not_moved')",
        (card_id,),
    )
    return row is not None


async def last_drawn_in(tx: Transaction, card_id: str) -> float:
    """When an old card was last drawn in, or came to its place where that is forgotten or was never ordered (UTC seconds).

    Raises StoreError for an unknown card.
    """
    row = await tx.one(
        "SELECT coalesce((SELECT opened FROM intent WHERE card_id = ?1 AND motion = 'accept'"
        " ORDER BY intent_id DESC LIMIT 1), since) AS at FROM card WHERE card_id = ?1",
        (card_id,),
    )
    if row is None:
        raise StoreError(f"the ledger has no card {card_id}")
    return float(row["at"])


async def card_counts(tx: Transaction) -> dict[Place, int]:
    """How many cards wait for staff: recorded in the recycling bin, in the retract box, and in doubt."""
    found = await tx.all(
        "SELECT place, count(*) AS n FROM card WHERE place IN ('bin', 'retract', 'in_doubt') GROUP BY place"
    )
    return dict.fromkeys((Place.BIN, Place.RETRACT, Place.IN_DOUBT), 0) | {
        Place(row["place"]): row["n"] for row in found
    }


async def chain(tx: Transaction, card_id: str) -> list[CardMove]:
    """The chain of custody of a card, oldest first; empty for an unknown card."""
    found = await tx.all("SELECT * FROM card_move WHERE card_id = ? ORDER BY move_id", (card_id,))
    return [
        CardMove(
            None if row["origin"] is None else Place(row["origin"]),
            Place(row["target"]),
            row["slot"],
            row["reason"],
            row["intent_id"],
            row["journey_id"],
            row["wall"],
            row["responsible"],
        )
        for row in found
    ]


async def card_file(tx: Transaction, wanted: str) -> CardFile | None:
    """All about one card: by its id, or by the number of the slot that names it. None when there is none."""
    found = await tx.one(
        f"{rows.CARDS} WHERE card_id = ?1 OR slot.slot = CAST(?2 AS INTEGER) ORDER BY card_id = ?1 DESC LIMIT 1",
        (wanted, wanted if wanted.isdecimal() and len(wanted) < 6 else None),
    )
    if found is None:
        return None
    links = await chain(tx, found["card_id"])
    return CardFile(
        found["card_id"],
        found["role"],
        Place(found["place"]),
        found["slot"],
        links[-1].responsible,
        tuple(
            ChainLink(link.wall, link.origin, link.target, link.slot, link.reason, link.responsible) for link in links
        ),
        found["lost_report"],
    )
