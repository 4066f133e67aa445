"""Faces that were not recognised in a row, for each claim and collector, and the wait that follows many of them.

Source: NIST SP 800-63B-4, 3.2.3: after five biometric tries that failed in a row at least 30 seconds before each next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lockerd.model.identity import FaceReason, FaceResult, FaceVerdict
from lockerd.pickup.state import Journey
from lockerd.store import attempts
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

MOST = 5
WAIT = 30.0
"""Seconds after a failed verification before the next, once there were MOST in a row."""

_FAILED = frozenset({FaceReason.NO_MATCH, FaceReason.NOT_LIVE})
"""Verifications that compared a face, or saw that it was none; nobody is kept waiting for poor light."""


@dataclass(frozen=True, slots=True)
class FaceTries:
    """Counts them in the database, so that neither a new journey nor a restart sets them back."""

    db: Database
    vault: Vault
    stamp: Callable[[], Stamp]

    async def seconds_to_wait(self, journey: Journey) -> float:
        """For how long the next verification of this journey has to wait, usually 0. Raises StoreError."""

        row = await self.db.read(lambda tx: attempts.row(tx, self._subject(journey)))
        if row is None or row[0] < MOST:
            return 0.0
        now = await self.db.transaction(lambda tx: attempts.effective_now(tx, self.stamp()))
        return min(max(row[1] + WAIT - now, 0.0), WAIT)

    async def count(self, journey: Journey, result: FaceResult) -> None:
        """Take note of what a verification decided: a match ends the row, along with what is written next. Raises StoreError."""
        subject = self._subject(journey)
        if result.verdict is FaceVerdict.VERIFIED:
            self.db.along(lambda tx: attempts.end_row(tx, subject))
        elif result.reason in _FAILED:

            async def failed(tx: Transaction) -> None:
                await attempts.in_a_row(tx, subject, await attempts.effective_now(tx, self.stamp()))

            await self.db.transaction(failed)

    def _subject(self, journey: Journey) -> bytes:
        claim_id = journey.claim.claim_id if journey.claim is not None else ""
        return self.vault.blind(f"face|{claim_id}|{journey.collector.collector_id}")
