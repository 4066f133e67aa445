"""A jam in the middle of a journey: one try to bring the unit's path to rest, on record, and what the ledger says then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lockerd.journey.recovery import Recovery
from lockerd.model.custody import Unit
from lockerd.pickup.state import Cleared, Journey
from lockerd.store import claims, journal, ledger
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import JSON, Stamp
from lockerd.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Clearing:
    """Tries to clear what is stuck."""

    db: Database
    vault: Vault
    recovery: Recovery
    stamp: Callable[[], Stamp]

    async def clear(self, unit: Unit, journey: Journey) -> Cleared:
        """Make one try, journal it and tell the office (lockerd.jam.tried). Raises StoreError."""
        claim_id, old_card_id = journey.claim.claim_id if journey.claim else None, journey.old_card_id
        at_rest = await self.recovery.clear(unit, journey.journey_id, old_card_id)
        tried: dict[str, JSON] = {
            "journey_id": journey.journey_id,
            "unit": unit.value,
            "step": journey.jam.stage.value if journey.jam else None,
            "cleared": at_rest,
        }

        async def look(tx: Transaction) -> Cleared:
            await journal.append(tx, "lockerd.jam.tried", tried, stamp=self.stamp())
            claim = await claims.by_id(tx, self.vault, claim_id) if claim_id else None
            old = (await ledger.place_of(tx, old_card_id))[0] if old_card_id else None
            new = (await ledger.place_of(tx, claim_id))[0] if claim_id else None
            return Cleared(at_rest, claim, old, new)

        return await self.db.transaction(look)
