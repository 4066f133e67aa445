"""The five beats of every motion: decided, intent durable, moved, evidence read, outcome durable with its event.

Nothing else in lockerd makes a card move. One motion a unit at a time; a motion that has begun is seen to its end even
when the caller is cancelled, because its outcome must become durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from lockerd.errors import DeviceError, StoreError
from lockerd.model.custody import (
    MOVES,
    Fault,
    Intent,
    Motion,
    Observation,
    Order,
    Outcome,
    Place,
    Result,
    Unit,
    told_by_totals,
)
from lockerd.model.polling import LATELY_SECONDS
from lockerd.ports import Mover
from lockerd.store import codes, journal, ledger, lookups
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp

log = structlog.get_logger(__name__)

Before = Callable[[Transaction], Awaitable[None]]
After = Callable[[Transaction, Outcome, Place | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Made:
    """What a motion came to. `place` is the recorded place of the card it was to carry, None if it carried none."""

    outcome: Outcome
    place: Place | None


class Motions:
    """The one way to move a card. `stamp` gives time and boot identity for the journal."""

    def __init__(self, db: Database, units: Mapping[Unit, Mover], stamp: Callable[[], Stamp]) -> None:
        self._db = db
        self._units = units
        self._stamp = stamp
        self._locks = {unit: asyncio.Lock() for unit in units}
        self._last: dict[Unit, Observation | None] = {}
        self._heard_at: dict[Unit, float] = {}  # when it said so, by the loop's time
        self._ended = False

    async def end(self) -> None:
        """See the motions in hand to their end; none begins after that."""
        self._ended = True
        for lock in self._locks.values():
            async with lock:
                pass

    def last(self, unit: Unit) -> Observation | None:
        """What the unit said when it was last asked, or at the end of its last motion; None when it was silent."""
        return self._last.get(unit)

    async def observe(self, unit: Unit) -> Observation:
        """Read a unit's sensors and counters. Raises DeviceError."""
        async with self._locks[unit]:
            return await self._look(unit)

    async def lately(self, unit: Unit) -> Observation:
        """What a unit said within LATELY_SECONDS, at the end of its last motion or when it was looked at; else `observe`.

        For what nothing can have changed since. Raises DeviceError.
        """
        async with self._locks[unit]:
            seen = self._last.get(unit)
            if seen is None or asyncio.get_running_loop().time() - self._heard_at[unit] > LATELY_SECONDS:
                seen = await self._look(unit)
            return seen

    async def _look(self, unit: Unit) -> Observation:
        try:
            seen = await self._units[unit].observe()
        except DeviceError:
            self._last[unit] = None
            raise
        self._last[unit] = seen
        self._heard_at[unit] = asyncio.get_running_loop().time()
        return seen

    async def make(
        self,
        order: Order,
        *,
        card_id: str | None = None,
        journey_id: str = "",
        event: str | None = None,
        before: Before | None = None,
        after: After | None = None,
    ) -> Made:
        """Make one motion. `before` runs in the intent's transaction, `after` in the outcome's.

        Without `after`, the outcome of a motion that carries no card, or is done with one that nobody knows yet, goes along with
        what is written next: until then its intent is open, as it was while it moved.
        `event` names the office's event for a motion that was DONE. Never raises for what the unit did; StoreError only
        when the outcome could not be made durable, which the restart settles.
        """
        beats = asyncio.ensure_future(self._beats(order, card_id, journey_id, event, before, after))
        try:
            return await asyncio.shield(beats)
        except asyncio.CancelledError:
            await asyncio.wait([beats])
            raise

    async def _beats(
        self,
        order: Order,
        card_id: str | None,
        journey_id: str,
        event: str | None,
        before: Before | None,
        after: After | None,
    ) -> Made:
        async with self._locks[order.unit]:
            if self._ended:
                return Made(Outcome(Result.NOT_MOVED), await self._place(card_id))
            mover = self._units[order.unit]
            try:
                plan = await mover.plan(order)
            except DeviceError as error:
                log.warning("motion not planned", unit=order.unit, motion=order.motion, error=str(error))
                with suppress(DeviceError):  # silent, or only not able to move: the condition has to tell them apart
                    await self._look(order.unit)
                return Made(Outcome(Result.NOT_MOVED, Fault.SILENT), await self._place(card_id))

            async def intend(tx: Transaction) -> Intent:
                if before is not None:
                    await before(tx)
                return await ledger.open_intent(tx, plan, card_id, journey_id, self._stamp())

            try:
                intent = await self._db.transaction(intend)
            except StoreError as error:
                log.warning("intent refused", unit=order.unit, motion=order.motion, error=str(error))
                return Made(Outcome(Result.NOT_MOVED), await self._place(card_id))
            outcome = await mover.carry_out(plan)
            self._last[order.unit] = outcome.observation
            self._heard_at[order.unit] = asyncio.get_running_loop().time()
            log.info(
                "motion ended",
                unit=order.unit,
                motion=order.motion,
                slot=order.slot,
                result=outcome.result,
                fault=outcome.fault,
            )

            async def conclude(tx: Transaction) -> Place | None:
                return await settle(tx, intent, outcome, self._stamp(), event=event, after=after)

            nameless = order.motion not in MOVES or (card_id is None and outcome.result is Result.DONE)
            if nameless and after is None and event is None:  # where each card is does not hang on it
                self._db.along(conclude)
                return Made(outcome, None)
            return Made(outcome, await self._db.transaction(conclude))

    async def _place(self, card_id: str | None) -> Place | None:
        if card_id is None:
            return None
        place, _slot = await self._db.read(lambda tx: ledger.place_of(tx, card_id))
        return place


async def settle(
    tx: Transaction,
    intent: Intent,
    outcome: Outcome,
    stamp: Stamp,
    *,
    event: str | None = None,
    after: After | None = None,
) -> Place | None:
    """Make an outcome durable with all that follows from it; returns the card's place. A doubt may be ended by the totals.

    A claim whose card lies in a slot again is collectable again: its code is reinstated here, whatever the way back was.
    """
    order = intent.plan.order
    known = await ledger.totals(tx, order.unit)
    if known is not None and outcome.result is Result.IN_DOUBT:
        told = told_by_totals(order, outcome, known.dispensed, known.retained)
        if order.motion not in (Motion.PRESENT, Motion.RETRACT) or await lookups.counted_card(tx) == intent.card_id:
            outcome = told
    place = await ledger.settle_intent(tx, intent, outcome, stamp)
    if outcome.observation is not None:
        await _account(tx, order.unit, outcome.observation, known)
    if event is not None and outcome.result is Result.DONE:
        data = {
            "claim_id": await _claim_of(tx, intent),
            "card_id": intent.card_id,
            "slot": order.slot,
            "journey_id": intent.journey_id or None,
        }
        await journal.append(tx, event, {k: v for k, v in data.items() if v is not None}, stamp=stamp)
    if place is Place.SLOT and order.motion in MOVES and intent.card_id is not None:
        await codes.reinstate(tx, intent.card_id)
    if after is not None:
        await after(tx, outcome, place)
    return place


async def _claim_of(tx: Transaction, intent: Intent) -> str | None:
    if intent.card_id is None or intent.plan.order.unit is Unit.DISPENSER:
        return intent.card_id  # a new card bears its claim's name
    return await ledger.claim_of(tx, intent.card_id)


async def _account(tx: Transaction, unit: Unit, seen: Observation, known: ledger.Totals | None) -> None:
    """Account for the totals of an outcome, but never for a new card that a hand took: that counts with `record_taken`.

    A hand may be quicker than the record of the motion that offered the card, and the total is what tells after a restart.
    """
    if unit is Unit.DISPENSER and known is not None:
        seen = replace(seen, dispensed=known.dispensed)
    if known is None or (known.dispensed, known.retained) != (seen.dispensed, seen.retained):
        await ledger.note_totals(tx, seen)
