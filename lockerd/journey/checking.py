"""Whether what was shown fits a claim: codes and numbers compared with the store, and what a face is compared with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from lockerd.errors import StoreError
from lockerd.model.cards import Chip, Claim
from lockerd.model.identity import FaceTemplate
from lockerd.model.policy import THE_OWNER, Collector, Policy
from lockerd.pickup.state import CheckCode, ClaimChecked, FindClaim, Journey
from lockerd.ports import FingerVerifier
from lockerd.store import claims, codes, collectors, journeys, lost
from lockerd.store.database import Database
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

log = structlog.get_logger(__name__)

LOCK_TOLD_AFTER = 5.0
"""Seconds after a try that was the last: what is told of a claim may not make its answer later than that of an unknown number."""


@dataclass(frozen=True, slots=True)
class Checking:
    """Compares evidence; `chip_template` makes a template of an ID card's photo, `policy` says what opens a claim."""

    db: Database
    vault: Vault
    stamp: Callable[[], Stamp]
    policy: Policy
    chip_template: Callable[[bytes], Awaitable[FaceTemplate | None]]
    send_codes: Callable[[str], Awaitable[None]]
    tell_locked: Callable[[], Awaitable[None]]
    finger: FingerVerifier | None = None

    async def template_of(self, journey: Journey) -> FaceTemplate | None:
        """What whoever collects is compared with: the stored template, else the photo of the ID card that was shown."""
        if journey.claim is None:
            return None
        claim_id, collector_id = journey.claim.claim_id, journey.collector.collector_id
        if collector_id:
            stored = await self.db.read(lambda tx: collectors.template(tx, self.vault, collector_id))
        else:
            stored = await self.db.read(lambda tx: claims.template(tx, self.vault, claim_id))
        return stored or await self.chip_template(journey.chip_photo)

    async def reported_lost(self, chip: Chip) -> bool:
        """Whether an ID card was reported lost: whoever holds it shows nothing by it. Raises StoreError."""
        return await self.db.read(lambda tx: lost.report_of(tx, self.vault, chip)) is not None

    async def check_code(self, effect: CheckCode, journey: Journey, group: asyncio.TaskGroup) -> ClaimChecked:
        """Compare code and number with the store; a try that was the last is told a while later, in `group`."""
        try:
            check = await codes.check(self.db, self.vault, effect.id_number, effect.code, self.stamp())
        except StoreError as error:
            log.warning("code not checked", error=str(error))
            return ClaimChecked(None, failed=True)
        log.info("code checked", journey=journey.journey_id, result=check.result, attempts_left=check.attempts_left)
        if check.attempts_left == 0:
            group.create_task(self._lock_told(), name="tell of the lock")
        if check.result is codes.CodeResult.LOCKED:
            return ClaimChecked(None, locked=True)
        return self._answer(check.claim, journey, check.attempts_left, check.collector)

    async def _lock_told(self) -> None:
        await asyncio.sleep(LOCK_TOLD_AFTER)
        try:
            await self.tell_locked()
        except StoreError as error:
            log.warning("lock not told", error=str(error))

    async def find_claim(self, effect: FindClaim, journey: Journey) -> ClaimChecked:
        """Look for the claim of an ID card's holder. Raises StoreError."""
        claim = await self.db.read(lambda tx: claims.for_id(tx, self.vault, effect.id_number))
        return self._answer(claim, journey, None, THE_OWNER)

    async def send_code(self, id_number: str) -> None:
        """Have a code sent; a store that cannot is logged, nobody at the machine learns of it."""
        try:
            await self.send_codes(id_number)
        except StoreError as error:
            log.warning("code not sent", error=str(error))

    def _answer(
        self, claim: Claim | None, journey: Journey, attempts_left: int | None, collector: Collector
    ) -> ClaimChecked:
        """A match whose card is not certainly in its slot is no match to act on: the counter has to help."""
        if claim is None:
            return ClaimChecked(None, attempts_left=attempts_left)
        claim_id = claim.claim_id
        self.db.along(lambda tx: journeys.attach(tx, journey.journey_id, claim_id, collector))
        if claim.slot is None or claim.slot_blocked:
            log.warning("claim not collectable", journey=journey.journey_id, claim=claim_id)
            return ClaimChecked(None, failed=True)
        opens = self.policy.opens(collector.relation, claim.kind)
        no_finger = self.finger is None or not self.finger.last_answer_ok
        return ClaimChecked(claim, collector, opens, no_finger=no_finger)
