"""Cards that were reported lost: what the office reported, and which card in the machine is one of them.

A replacement reports its predecessors lost by itself, as long as its claim is known; for others, and for longer, the office
sends reports. All functions work within the caller's transaction.
"""

from __future__ import annotations

from lockerd.model.cards import Chip, ClaimKind, LostReport
from lockerd.store import claims, journal
from lockerd.store.database import Transaction
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault


async def report(tx: Transaction, vault: Vault, report_id: str, id_number: str, valid_from: str, stamp: Stamp) -> None:
    """Keep the office's report of one card, and tell it (lockerd.lost.reported); sent again, it replaces the earlier one."""
    await tx.execute(
        "INSERT INTO lost_card (report_id, card_index, since) VALUES (?, ?, ?)"
        " ON CONFLICT (report_id) DO UPDATE SET card_index = excluded.card_index, since = excluded.since",
        (report_id, _index(vault, id_number, valid_from), stamp.wall),
    )
    await journal.append(tx, "lockerd.lost.reported", {"report_id": report_id}, stamp=stamp)


async def withdraw(tx: Transaction, report_id: str, stamp: Stamp) -> None:
    """Forget a report, and tell the office (lockerd.lost.withdrawn); an unknown one changes nothing."""
    gone = await tx.one("DELETE FROM lost_card WHERE report_id = ? RETURNING 1", (report_id,))
    if gone is not None:
        await journal.append(tx, "lockerd.lost.withdrawn", {"report_id": report_id}, stamp=stamp)


async def report_of(tx: Transaction, vault: Vault, chip: Chip | None) -> LostReport | None:
    """What says that the card with this chip is lost; None for another card and for one that cannot be read."""
    return (await whose(tx, vault, chip))[0]


async def whose(tx: Transaction, vault: Vault, chip: Chip | None) -> tuple[LostReport | None, str | None]:
    """As `report_of`, with the claim whose new card takes its place where the machine knows it."""
    if chip is None:
        return None, None
    claim = await claims.replacing(tx, vault, chip.id_number, chip.valid_from)
    claim_id = claim.claim_id if claim else None
    row = await tx.one(
        "SELECT report_id FROM lost_card WHERE card_index = ? ORDER BY report_id LIMIT 1",
        (_index(vault, chip.id_number, chip.valid_from),),
    )
    if row is not None:
        return LostReport(row["report_id"], claim_id), claim_id
    if claim is None or claim.kind is not ClaimKind.REPLACEMENT:
        return None, claim_id
    return LostReport(claim.claim_id, claim_id), claim_id


async def flagged(tx: Transaction, card_id: str) -> LostReport | None:
    """What said that an old card of the ledger is lost, when its chip was read; None for another card."""
    row = await tx.one("SELECT lost_report, claim_id FROM card WHERE card_id = ?", (card_id,))
    return None if row is None or row["lost_report"] is None else LostReport(row["lost_report"], row["claim_id"])


async def in_doubt(tx: Transaction) -> bool:
    """Whether an old card that was reported lost is in doubt: one that nothing names may be it."""
    row = await tx.one("SELECT 1 FROM card WHERE role = 'old' AND place = 'in_doubt' AND lost_report IS NOT NULL")
    return row is not None


async def flag(tx: Transaction, card_id: str, lost: LostReport, journey_id: str, stamp: Stamp) -> None:
    """Mark an old card of the ledger as one that was reported lost, and tell the office once (lockerd.old.reported_lost)."""
    flagged = await tx.one(
        "UPDATE card SET lost_report = ? WHERE card_id = ? AND lost_report IS NULL RETURNING 1",
        (lost.report_id, card_id),
    )
    if flagged is None:
        return
    data = {
        "card_id": card_id,
        "claim_id": lost.claim_id,
        "report_id": lost.report_id,
        "journey_id": journey_id or None,
    }
    told = {key: value for key, value in data.items() if value is not None}
    await journal.append(tx, "lockerd.old.reported_lost", told, stamp=stamp)


def _index(vault: Vault, id_number: str, valid_from: str) -> bytes:
    return vault.blind(f"lost|{id_number}|{valid_from}")
