"""Doing what the table asks: each effect becomes transactions, motions and reads, and answers with one event."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from lockerd.journey.checking import Checking
from lockerd.journey.moving import Moving
from lockerd.journey.reading import Readers, look_at_chip
from lockerd.journey.records import record_taken
from lockerd.model.custody import Place, Unit
from lockerd.pickup.state import (
    CheckCode,
    Clear,
    Cleared,
    CodeSent,
    Effect,
    EndJourney,
    Event,
    FindClaim,
    IssueTicket,
    Journey,
    Move,
    Prepare,
    ReadNew,
    ReadOld,
    RecordOldTaken,
    RecordTaken,
    SendCode,
    TicketIssued,
)
from lockerd.store import journeys, ledger, lost
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

ASK_AGAIN_SECONDS = 2.0  # before the next look at a card whose reader was silent


@dataclass(frozen=True, slots=True)
class Doing:
    """Performs effects for the session."""

    db: Database
    vault: Vault
    stamp: Callable[[], Stamp]
    readers: Readers
    checking: Checking
    moving: Moving
    clear: Callable[[Unit, Journey], Awaitable[Cleared]]

    def begin(self, journey_id: str) -> None:
        """Write down that a journey begins, before anything else of it."""
        stamp = self.stamp()
        self.db.along(lambda tx: journeys.begin(tx, journey_id, stamp))

    async def perform(self, effect: Effect, journey: Journey, group: asyncio.TaskGroup) -> Event | None:
        """Perform one effect; the event that answers it, or None. `group` is the parent of what is not waited for."""
        match effect:
            case CheckCode():
                return await self.checking.check_code(effect, journey, group)
            case FindClaim():
                return await self.checking.find_claim(effect, journey)
            case SendCode():
                group.create_task(self.checking.send_code(effect.id_number), name="send code")
                return CodeSent()
            case Prepare():
                group.create_task(self.moving.prepare(journey), name="prepare")
                return None
            case Move():
                return await self.moving.move(effect, journey)
            case Clear():
                return await self.clear(effect.unit, journey)
            case ReadOld():
                await self._pause(journey)
                read = await look_at_chip(self.readers.throat)
                return replace(read, lost=await self.db.read(lambda tx: lost.report_of(tx, self.vault, read.chip)))
            case ReadNew():
                await self._pause(journey)
                return await self.moving.read_new()
            case RecordTaken():
                await self._record_taken(journey)
                return None
            case RecordOldTaken():
                await self._record_old_taken(effect.card_id)
                return None
            case IssueTicket():
                return await self._issue_ticket(journey)
            case EndJourney():
                self.moving.forget_chip()
                stamp = self.stamp()
                self.db.along(lambda tx: journeys.end(tx, effect.journey_id, effect.outcome, stamp))
                return None

    async def _pause(self, journey: Journey) -> None:
        if journey.silences:
            await asyncio.sleep(ASK_AGAIN_SECONDS)

    async def _record_taken(self, journey: Journey) -> None:
        claim = journey.claim
        if claim is None:
            return
        await self.db.transaction(
            lambda tx: record_taken(tx, claim.claim_id, journey.journey_id, self.stamp(), "exit sensor and total")
        )

    async def _record_old_taken(self, card_id: str | None) -> None:
        if card_id is None:
            return

        async def taken(tx: Transaction) -> None:
            place, _slot = await ledger.place_of(tx, card_id)
            offered = await lost.flagged(tx, card_id) is None  # a lost one is not: its throat's sensor is wrong, or was
            target = Place.TAKEN if offered else Place.IN_DOUBT
            if place not in (Place.TAKEN, target):
                await ledger.move(tx, card_id, target, self.stamp(), reason="throat sensor clear")

        await self.db.transaction(taken)

    async def _issue_ticket(self, journey: Journey) -> TicketIssued:
        reason = journey.fault.value if journey.fault else "unknown"
        step = journey.stopped.value if journey.stopped else None
        ticket = await self.db.transaction(
            lambda tx: journeys.issue_ticket(tx, journey.journey_id, reason, self.stamp(), step)
        )
        return TicketIssued(ticket)
