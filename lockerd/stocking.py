"""The moment from which a card can be collected: claim, code and message, in the transaction that puts it into its slot."""

from __future__ import annotations

from dataclasses import dataclass

from lockerd.issuing import Issuing
from lockerd.model.cards import ClaimState
from lockerd.store import claims
from lockerd.store.database import Transaction

STOCKED = "lockerd.card.stocked"
"""The office's event for a card that staff loaded."""


@dataclass(frozen=True, slots=True)
class Stocking:
    """Makes an announced claim collectable, whether loading or a recovery saw its card come to rest in a slot."""

    issuing: Issuing

    async def announce(self, tx: Transaction, claim_id: str, slot: int) -> None:
        """The claim's card lies in `slot`: an EXPECTED claim becomes STOCKED, gets its code, and its message is queued.

        Nothing happens for a claim in another state. Raises StoreError when the ledger has the card elsewhere.
        """
        claim = await claims.by_id(tx, self.issuing.vault, claim_id)
        if claim is None or claim.state is not ClaimState.EXPECTED:
            return
        await claims.stocked(tx, claim_id, slot, self.issuing.stamp())
        await self.issuing.first(tx, claim)
