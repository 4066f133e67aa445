"""The moment from which a card can be collected: claim, code and message, in the transaction that puts it into its slot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lockerd.model.cards import ClaimState
from lockerd.office.sms import pickup_text
from lockerd.store import claims, codes, messages
from lockerd.store.database import Transaction
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

STOCKED = "lockerd.card.stocked"
"""The office's event for a card that staff loaded."""


@dataclass(frozen=True, slots=True)
class Stocking:
    """Makes an announced claim collectable, whether loading or a recovery saw its card come to rest in a slot."""

    vault: Vault
    stamp: Callable[[], Stamp]
    new_code: Callable[[], str]

    async def announce(self, tx: Transaction, claim_id: str, slot: int) -> None:
        """The claim's card lies in `slot`: an EXPECTED claim becomes STOCKED, gets its code, and its message is queued.

        Nothing happens for a claim in another state. Raises StoreError when the ledger has the card elsewhere.
        """
        claim = await claims.by_id(tx, self.vault, claim_id)
        if claim is None or claim.state is not ClaimState.EXPECTED:
            return
        stamp = self.stamp()
        await claims.stocked(tx, claim_id, slot, stamp)
        code = self.new_code()
        expires = await codes.issue(tx, self.vault, claim_id, code, stamp)
        text = pickup_text(code, expires, claim.kind)
        await messages.queue(tx, self.vault, f"{claim_id}-{expires:.0f}", claim.person.phone, text)
