"""What staff take out of the machine and count blind; all work within the caller's transaction and tell the office."""

from __future__ import annotations

from lockerd.model.custody import Place
from lockerd.store import journal, ledger
from lockerd.store import ledger_rows as rows
from lockerd.store.database import Transaction
from lockerd.store.journal import Stamp

NAMELESS_IN_BOX = (
    "SELECT intent_id FROM intent WHERE motion = 'capture' AND result = 'done'"
    " AND card_id IS NULL AND intent_id > coalesce((SELECT value FROM meta WHERE key = 'retract_emptied'), 0)"
)
"""The intents that captured a card which nobody could name, since the retract box was last emptied."""


async def empty_bin(tx: Transaction, staff: str, counted: int, stamp: Stamp) -> int:
    """Record that staff took out the bin's cards and counted them; gives the number that the ledger expected.

    Tells the office both numbers (lockerd.bin.emptied).
    """
    cards = await ledger.cards_at(tx, Place.BIN)
    for card in cards:
        await rows.relocate(tx, card, Place.REMOVED, None, "bin_emptied", stamp, journey_id=f"staff:{staff}")
    data: dict[str, journal.JSON] = {
        "staff": staff,
        "counted": counted,
        "expected": len(cards),
        "agreed": counted == len(cards),
    }
    await journal.append(tx, "lockerd.bin.emptied", data, stamp=stamp)
    return len(cards)


async def empty_retract(tx: Transaction, staff: str, counted: int, stamp: Stamp) -> int:
    """Record that staff took out what was retracted, and counted it; gives the number that the ledger expected.

    Cards that nobody could name when they were captured count, too. Tells the office both numbers (lockerd.retract.emptied).
    """
    cards = await ledger.cards_at(tx, Place.RETRACT)
    for card in cards:
        await rows.relocate(tx, card, Place.REMOVED, None, "retract_emptied", stamp, journey_id=f"staff:{staff}")
    row = await tx.one(
        f"SELECT count(*) AS n, coalesce(max(intent_id), 0) AS last FROM ({NAMELESS_IN_BOX})"  # noqa: S608 a constant
    )
    assert row is not None
    if row["n"]:
        await tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('retract_emptied', ?)", (row["last"],))
    expected = len(cards) + int(row["n"])
    data: dict[str, journal.JSON] = {
        "staff": staff,
        "counted": counted,
        "expected": expected,
        "agreed": counted == expected,
    }
    await journal.append(tx, "lockerd.retract.emptied", data, stamp=stamp)
    return expected
