"""Doubt that people end: two of them, each with what they found; and what only staff can end, as they see it.

All functions work within the caller's transaction and tell the office.
"""

from __future__ import annotations

from lockerd.errors import StaffWorkFailed
from lockerd.model.custody import Place
from lockerd.model.staffing import WHERE_FOUND, BlockedSlot, DoubtfulCard, Finding, LostCard, OpenMatters, Ruling
from lockerd.store import claims, codes, journal, ledger
from lockerd.store.database import Row, Transaction
from lockerd.store.journal import Stamp


async def find(tx: Transaction, finding: Finding, staff: str, stamp: Stamp) -> Ruling:
    """Take the finding of one person. Two people who say the same end the doubt; the second does not see the first's.

    The same person's next finding replaces the first; two that differ are both thrown away, and told. Raises StaffWorkFailed.
    """
    card_id = finding.card_id
    card = await tx.one(
        "SELECT card.*, slot.slot, (SELECT max(move_id) FROM card_move WHERE card_move.card_id = card.card_id) AS link"
        " FROM card LEFT JOIN slot USING (card_id) WHERE card_id = ?",
        (card_id,),
    )
    if card is None or card["place"] != Place.IN_DOUBT:
        raise StaffWorkFailed("this card is not in doubt; look it up again")
    if finding.place not in WHERE_FOUND[card["role"]]:
        raise StaffWorkFailed("a card of this kind cannot be there; choose again")
    if finding.slot is None and finding.place is Place.SLOT:
        raise StaffWorkFailed("in which slot is it? type its number")
    if finding.slot is not None and finding.place is not Place.SLOT:
        raise StaffWorkFailed("only a card in a slot has the number of one; choose again, or empty that field")
    await _check_possible(tx, finding, card["claim_id"])
    first = await tx.one("SELECT * FROM finding WHERE card_id = ? AND move_id = ?", (card_id, card["link"]))
    await tx.execute("DELETE FROM finding WHERE card_id = ?", (card_id,))
    data: dict[str, journal.JSON] = {
        "card_id": card_id,
        "staff": staff,
        "found": finding.place,
        "slot": finding.slot,
        "grounds": finding.grounds,
    }
    await journal.append(tx, "lockerd.doubt.found", data, stamp=stamp)
    if first is None or first["staff"] == staff:
        await tx.execute(
            "INSERT INTO finding (card_id, move_id, staff, place, slot, grounds, wall) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (card_id, card["link"], staff, finding.place, finding.slot, finding.grounds, stamp.wall),
        )
        return Ruling.AWAITS
    both = [first["staff"], staff]
    if (first["place"], first["slot"]) != (finding.place, finding.slot):
        await journal.append(tx, "lockerd.doubt.disputed", {"card_id": card_id, "staff": both}, stamp=stamp)
        return Ruling.DIFFERS
    await _decide(tx, card, finding, both, stamp)
    return Ruling.DECIDED


async def _check_possible(tx: Transaction, finding: Finding, claim_id: str | None) -> None:
    if finding.slot is not None:
        slot = await tx.one("SELECT state, card_id FROM slot WHERE slot = ?", (finding.slot,))
        if slot is None or slot["card_id"] not in (None, finding.card_id):
            raise StaffWorkFailed("there is no such slot, or another card is recorded in it; choose again")
    if finding.place is Place.TAKEN and claim_id == finding.card_id:
        claim = await tx.one("SELECT state FROM claim WHERE claim_id = ?", (claim_id,))
        if claim is not None and claim["state"] == "expected":
            raise StaffWorkFailed("this card was never stored; nobody can have collected it")


async def _decide(tx: Transaction, card: Row, finding: Finding, both: list[str], stamp: Stamp) -> None:
    card_id, place = finding.card_id, finding.place
    new = card["role"] == "new"
    journey_id = f"staff:{'+'.join(both)}"
    await ledger.move(tx, card_id, place, stamp, "found by two people", slot=finding.slot, journey_id=journey_id)
    data: dict[str, journal.JSON] = {
        "card_id": card_id,
        "claim_id": card["claim_id"],
        "staff": both,
        "found": place,
        "slot": finding.slot,
    }
    await journal.append(tx, "lockerd.doubt.decided", data, stamp=stamp)
    if new and place is Place.TAKEN:
        await claims.collected(tx, card_id, stamp)
        await journal.append(tx, "lockerd.card.taken", {"claim_id": card_id, "card_id": card_id}, stamp=stamp)
    if new and place is Place.SLOT:
        await codes.reinstate(tx, card_id)


async def open_matters(tx: Transaction) -> OpenMatters:
    """Cards in doubt, blocked slots, and cards inside that were reported lost."""
    doubtful = await tx.all(
        "SELECT card.card_id, card.role, card.since, slot.slot, finding.staff FROM card LEFT JOIN slot USING (card_id)"
        " LEFT JOIN finding ON finding.card_id = card.card_id AND finding.move_id ="
        " (SELECT max(move_id) FROM card_move WHERE card_move.card_id = card.card_id)"
        " WHERE card.place = 'in_doubt' ORDER BY card.card_id"
    )
    blocked = await tx.all("SELECT slot, reason, card_id, since FROM slot WHERE state = 'blocked' ORDER BY slot")
    lost = await tx.all(
        "SELECT card_id, place, since, lost_report FROM card"
        " WHERE place IN ('throat', 'escrow', 'bin', 'in_doubt') AND lost_report IS NOT NULL ORDER BY card_id"
    )
    return OpenMatters(
        tuple(DoubtfulCard(row["card_id"], row["role"], row["slot"], row["since"], row["staff"]) for row in doubtful),
        tuple(BlockedSlot(row["slot"], row["reason"], row["card_id"], row["since"]) for row in blocked),
        tuple(LostCard(row["card_id"], Place(row["place"]), row["since"], row["lost_report"]) for row in lost),
    )
