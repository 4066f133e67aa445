"""Stocking: cards of a tray, each read by its chip, matched against the office's manifest, given a slot, journalled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from lockerd.journey.reading import Readers, look_at_chip
from lockerd.journey.records import EVENTS
from lockerd.model.cards import Chip, Claim, ClaimState
from lockerd.model.custody import Motion, Order, Outcome, Place, Result, Sensor, Unit
from lockerd.model.staffing import LoadLine, LoadReport, RejectReason
from lockerd.motions import Motions
from lockerd.pickup.chips import LOOKS
from lockerd.pickup.state import ChipRead
from lockerd.referencing import References
from lockerd.stocking import STOCKED, Stocking
from lockerd.store import claims, journal, ledger
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

log = structlog.get_logger(__name__)

CATCH_UP_SECONDS = 60.0  # a face worker loads its models in half of it, and no photo is read without one
LOOK_SECONDS = 0.2
ASK_AGAIN_SECONDS = 2.0  # before the next look at a card whose reader was silent

_STUCK = (
    "the dispenser did not bring the card to its place; look at the overview, clear what is stuck, then press 'settle'"
)
_SILENT = "the exit reader does not answer; load the tray again once it does"


def decide(read: ChipRead, claim: Claim | None, slot: int | None) -> RejectReason | None:
    """Whether a card that was looked at may be stored: None, or why not."""
    if read.chip is None:
        return RejectReason.READER_SILENT if read.silent else RejectReason.UNREADABLE
    if claim is None:
        return RejectReason.NOT_ANNOUNCED
    if slot is None:
        return RejectReason.MACHINE_FULL
    return None


async def _wanted(tx: Transaction, claim: Claim) -> bool:
    """Whether a card of the claim may come from the feeder: it is awaited, or was in doubt and staff found it."""
    if claim.state is not ClaimState.STOCKED:
        return claim.state is ClaimState.EXPECTED
    place, _slot = await ledger.place_of(tx, claim.claim_id)
    return place is Place.IN_DOUBT


@dataclass(slots=True)
class Loading:
    """Loads a tray for one staff member; the caller holds the floor.

    `catching_up` says that what the office announced is still being read: a card would look as if nobody had announced it.
    """

    db: Database
    vault: Vault
    motions: Motions
    readers: Readers
    stamp: Callable[[], Stamp]
    stocking: Stocking
    references: References
    catching_up: Callable[[], bool]
    report: LoadReport = field(default_factory=LoadReport)

    async def tray(self, staff: str) -> None:
        """Load until the feeder is empty, a motion fails or nobody reads the cards; `report` is live. Raises DeviceError."""
        self.report = LoadReport(running=True)
        fault: str | None = "loading was broken off; look at the overview, then load the tray again"
        try:
            await self._manifest_read()
            seen = await self.motions.observe(Unit.DISPENSER)
            while Sensor.LOAD in seen.sensors:
                line = await self._card(len(self.report.lines) + 1, staff)
                if line is None:
                    fault = _STUCK
                    return
                self.report = LoadReport(True, (*self.report.lines, line))
                if line.reason is RejectReason.READER_SILENT:
                    fault = _SILENT
                    return
                seen = await self.motions.lately(Unit.DISPENSER)
            fault = None
        finally:
            self.report = LoadReport(False, self.report.lines, fault)

    async def _manifest_read(self) -> None:
        """Wait a moment after a start; the tray is loaded anyway, with what is known, when it takes too long."""
        if not self.catching_up():
            return
        self.report = LoadReport(running=True, waiting=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_SECONDS):
                while self.catching_up():  # noqa: ASYNC110  only the link tells
                    await asyncio.sleep(LOOK_SECONDS)
        self.report = LoadReport(running=True)

    async def _card(self, n: int, staff: str) -> LoadLine | None:
        loaded = await self._make(Motion.LOAD, staff)
        if loaded.result is not Result.DONE:
            return None
        read = await self._look()
        chip = read.chip
        claim, slot, enrolled = await self.db.read(lambda tx: self._match(tx, chip))
        reason = decide(read, claim, slot)
        if reason is not None or claim is None:
            rejected = await self._make(Motion.REJECT, staff)
            await self._journal("lockerd.load.rejected", {"reason": str(reason), "staff": staff})
            return LoadLine(n, reason=reason) if rejected.result is Result.DONE else None
        if chip is not None and not enrolled:
            await self._refer(claim, chip)
        stored = await self._store(claim, slot, staff)
        return LoadLine(n, slot=slot) if stored else None

    async def _look(self) -> ChipRead:
        """The chip before the exit reader; one that is silent is asked again for a while, as in a journey."""
        for _ in range(LOOKS - 1):
            read = await look_at_chip(self.readers.exit)
            if not read.silent:
                return read
            await asyncio.sleep(ASK_AGAIN_SECONDS)
        return await look_at_chip(self.readers.exit)

    async def _refer(self, claim: Claim, chip: Chip) -> None:
        """A claim that came without a usable photo is compared with the one on its new card's chip."""
        template = await self.references.of_chip(chip.photo)
        if template is not None:
            await self.db.transaction(lambda tx: claims.supply_template(tx, self.vault, claim.claim_id, template))

    async def _match(self, tx: Transaction, chip: Chip | None) -> tuple[Claim | None, int | None, bool]:
        """The claim of a card that may come from the feeder, a slot for it, and whether it has a template."""
        if chip is None:
            return None, None, False
        claim = await claims.for_chip(tx, self.vault, chip.id_number, chip.valid_from)
        if claim is None or not await _wanted(tx, claim):
            return None, None, False
        return claim, await ledger.free_slot(tx), await claims.is_enrolled(tx, claim.claim_id)

    async def _store(self, claim: Claim, slot: int | None, staff: str) -> bool:
        claim_id = claim.claim_id
        new = claim.state is ClaimState.EXPECTED

        async def before(tx: Transaction) -> None:
            await ledger.move(tx, claim_id, Place.TRANSPORT, self.stamp(), reason="chip read while loading")

        async def after(tx: Transaction, _outcome: Outcome, place: Place | None) -> None:
            if place is Place.SLOT and slot is not None:
                await self.stocking.announce(tx, claim_id, slot)

        made = await self.motions.make(
            Order(Unit.DISPENSER, Motion.STORE, slot),
            card_id=claim_id,
            journey_id=f"staff:{staff}" if new else "",
            event=STOCKED if new else EVENTS[Motion.STORE],
            before=before,
            after=after,
        )
        return made.place is Place.SLOT

    async def _make(self, motion: Motion, staff: str) -> Outcome:
        return (await self.motions.make(Order(Unit.DISPENSER, motion), journey_id=f"staff:{staff}")).outcome

    async def _journal(self, event: str, data: dict[str, str]) -> None:
        await self.db.transaction(lambda tx: journal.append(tx, event, data, stamp=self.stamp()))
