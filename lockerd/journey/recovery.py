"""After a restart or a fault: settle what was in doubt by evidence, quarantine what stays so, go on serving.

Evidence is the unit's own account of a plan, its sensors and totals, and the chip of a card that stands before a reader.
Nothing is moved that is not needed to bring the one card in a path to rest, and nothing is guessed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from lockerd.errors import DeviceError, StoreError
from lockerd.journey.reading import Readers, look_at_chip
from lockerd.journey.records import EVENTS, record_taken
from lockerd.journey.resting import State, gate_left_open, restless, state_of, wants_rest
from lockerd.journey.resuming import Resume, Resuming
from lockerd.model.cards import Chip, Claim, ClaimState
from lockerd.model.custody import Intent, Motion, Observation, Order, Outcome, Place, Result, Sensor, Unit
from lockerd.motions import Motions, settle
from lockerd.ports import Mover
from lockerd.stocking import STOCKED, Stocking
from lockerd.store import claims, codes, journeys, ledger, lookups, lost
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

log = structlog.get_logger(__name__)

ASK_AGAIN_SECONDS = 0.5  # while a unit is silent after a restart: it may still be booting
BOOT_SECONDS = 10.0  # that a silent unit is waited for
CLEAR_SECONDS = 120.0  # for one try to clear a jam: a reset, a motion or two, chip reads
BUSY_SECONDS = 60.0  # that it may take to end a motion, longer than any takes


async def _nothing_goes_out(tx: Transaction) -> bool:
    """Whether no new card may be on its way to a hand, as far as the ledger knows while the dispenser is silent."""
    under_way = any(intent.plan.order.unit is Unit.DISPENSER for intent in await ledger.open_intents(tx))
    return not under_way and not await ledger.cards_at(tx, Place.TRANSPORT, Place.EXIT)


async def _may_be_in_a_hand(tx: Transaction) -> bool:
    """Whether the new card that was last presented may be, or come, into a hand: nothing tells yet what became of it."""
    presented = await lookups.last_presented(tx)
    return presented is not None and (await ledger.place_of(tx, presented))[0] in (Place.EXIT, Place.IN_DOUBT)


class Recovery:
    """Brings the two card paths to rest.

    `fit` tells whether the dispenser's path is clear and its unit without fault; `unsettled` are the units that fell silent
    before they could tell what became of their cards; `waiting_for` names the unit whose silence it waits out, `waited_until`
    is the loop's time when it was last found silent.
    """

    def __init__(
        self,
        *,
        db: Database,
        vault: Vault,
        motions: Motions,
        units: dict[Unit, Mover],
        readers: Readers,
        stamp: Callable[[], Stamp],
        resuming: Resuming,
        stocking: Stocking,
    ) -> None:
        self._db = db
        self._vault = vault
        self._motions = motions
        self._units = units
        self._readers = readers
        self._stamp = stamp
        self._resuming = resuming
        self._stocking = stocking
        self.fit = False
        self.unsettled: frozenset[Unit] = frozenset()
        self.waiting_for: Unit | None = None
        self.waited_until = 0.0
        self._left: dict[Unit, State] = {}
        self._awaiting: set[Unit] = set()  # their card stands before a silent reader: tried again, without staff
        self._offered: str | None = None  # the old card that was offered back last

    def disturbed(self) -> bool:
        """Whether a unit answers that is not settled, or in a state that wants rest and that the last try did not leave it in.

        So a unit that was switched off and on is brought to rest by itself, and a jam waits for staff.
        """
        seen = ((unit, self._motions.last(unit)) for unit in Unit)
        return any(one is not None and self._wants_rest(unit, one) for unit, one in seen)

    async def disturbed_now(self) -> bool:
        """`disturbed`, after a look at both units."""
        for unit in Unit:
            with suppress(DeviceError):
                await self._motions.lately(unit)
        return self.disturbed()

    def _wants_rest(self, unit: Unit, seen: Observation) -> bool:
        return unit in self.unsettled or wants_rest(seen, self._left.get(unit))

    async def after_restart(self) -> Resume | None:
        """Settle every open intent and bring both paths to rest, as `bring_to_rest` does."""
        self.unsettled = frozenset(Unit)
        for journey_id in await self._db.read(journeys.unfinished):
            await self._end_interrupted(journey_id)
        return await self.bring_to_rest()

    async def bring_to_rest(self) -> Resume | None:
        """Settle, clear faults, identify and store a card in the dispenser's path; say what the recycler's card wants.

        A unit that stays silent is left as it is, `unsettled`: without the recycler cards can be handed out, without a fit
        dispenser an old card can go back to its owner, if no new one may be in their hand or on its way there.
        """
        self.fit = False
        resume = None
        try:
            if Unit.DISPENSER in self.unsettled:
                await self._answering(Unit.DISPENSER)
                capacity = self._units[Unit.DISPENSER].capacity
                await self._db.transaction(lambda tx: ledger.configure_slots(tx, capacity))
                await self._settle_open(Unit.DISPENSER)
            self.unsettled |= {Unit.DISPENSER}
            self.fit = await self._rest_dispenser()
            self.unsettled -= {Unit.DISPENSER}
        except DeviceError as error:
            log.warning("dispenser not settled", error=str(error))
        try:
            if Unit.RECYCLER in self.unsettled:
                await self._answering(Unit.RECYCLER)
                await self._settle_open(Unit.RECYCLER)
            self.unsettled |= {Unit.RECYCLER}
            if not await self._may_go_out():
                resume = await self._rest_recycler()
                self.unsettled -= {Unit.RECYCLER}
        except DeviceError as error:
            log.warning("recycler not settled", error=str(error))
        self._left = {unit: state_of(seen) for unit in Unit if (seen := self._motions.last(unit)) is not None}
        for unit in self._awaiting:
            self._left.pop(unit, None)
        return resume

    async def _may_go_out(self) -> bool:
        """Whether whoever got their old card back might hold the new one, too, now or soon."""
        if self.fit:
            return False
        silent = Unit.DISPENSER in self.unsettled
        if silent and not await self._db.transaction(_nothing_goes_out):
            return True
        return await self._db.transaction(_may_be_in_a_hand)

    async def clear(self, unit: Unit, journey_id: str, old_card_id: str | None) -> bool:
        """In a journey: reset a unit that is stuck and bring its path to rest, an old card to where the journey goes on with it.

        True when the unit is without fault and the ledger has what its sensors, totals and readers say; an old card that is not
        the journey's has a journey of its own afterwards.
        """
        try:
            await self._motions.observe(unit)  # one that is silent is not waited for
            async with asyncio.timeout(CLEAR_SECONDS):
                if unit is Unit.DISPENSER:
                    self.fit = at_rest = await self._rest_dispenser()
                else:
                    at_rest = await self._clear_recycler(journey_id, old_card_id)
        except (DeviceError, StoreError, TimeoutError) as error:
            log.warning("jam not cleared", unit=unit, error=str(error))
            return False
        seen = self._motions.last(unit)
        if seen is not None and at_rest:
            self._left[unit] = state_of(seen)
        return at_rest

    async def _clear_recycler(self, journey_id: str, old_card_id: str | None) -> bool:
        seen = await self._reset_if_needed(Unit.RECYCLER)
        if seen.fault is not None or seen.interrupted or seen.place is Place.IN_DOUBT:
            return False
        if seen.place is not None:
            return await self._resuming.record(seen.place, journey_id) == old_card_id
        await self._db.transaction(lambda tx: self._settle_old_places(tx, seen))
        return True

    async def _end_interrupted(self, journey_id: str) -> None:
        await self._db.transaction(lambda tx: journeys.end(tx, journey_id, "interrupted", self._stamp()))

    async def _answering(self, unit: Unit) -> Observation:
        """What the unit sees once it answers and nothing moves. Raises DeviceError where it does not in time."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        told = False
        try:
            while True:
                waited = loop.time() - began
                try:
                    seen = await self._motions.observe(unit)
                except DeviceError as error:
                    if waited >= BOOT_SECONDS:
                        raise
                    if not told:
                        log.warning("waiting for unit", unit=unit, error=str(error))
                    told = True
                    self.waiting_for = unit
                    self.waited_until = loop.time()
                else:
                    self.waiting_for = None
                    if not seen.busy:
                        return seen
                    if waited >= BUSY_SECONDS:
                        raise DeviceError(unit, "does not end its motion")
                await asyncio.sleep(ASK_AGAIN_SECONDS)
        finally:
            self.waiting_for = None

    async def _settle_open(self, unit: Unit) -> None:
        for intent in await self._db.transaction(ledger.open_intents):
            if intent.plan.order.unit is unit:
                await self._settle(intent)

    async def _settle(self, intent: Intent) -> None:
        order = intent.plan.order
        outcome = await self._units[order.unit].settle(intent.plan)
        loading = order.motion is Motion.STORE and intent.journey_id.startswith("staff:")
        event = STOCKED if loading else EVENTS.get(order.motion)

        async def arrived(tx: Transaction, _outcome: Outcome, place: Place | None) -> None:
            if intent.card_id is None:
                return
            if place is Place.SLOT and order.slot is not None:
                await self._stocking.announce(tx, intent.card_id, order.slot)
            claim_id = await ledger.claim_of(tx, intent.card_id)
            if place is Place.BIN and claim_id is not None:
                await claims.old_card_kept(tx, claim_id)

        await self._db.transaction(lambda tx: settle(tx, intent, outcome, self._stamp(), event=event, after=arrived))
        log.info("intent settled", unit=order.unit, motion=order.motion, result=outcome.result, fault=outcome.fault)

    async def _reset_if_needed(self, unit: Unit) -> Observation:
        seen = await self._answering(unit)
        if restless(replace(seen, place=None)) or seen.place is Place.IN_DOUBT:
            await self._motions.make(Order(unit, Motion.RESET))
            seen = await self._answering(unit)
        return seen

    # --- dispenser ---------------------------------------------------------------------------------------------------

    async def _rest_dispenser(self) -> bool:
        self._awaiting.discard(Unit.DISPENSER)
        seen = await self._reset_if_needed(Unit.DISPENSER)
        if seen.fault is not None or seen.interrupted:
            log.warning("dispenser not fit", fault=seen.fault)
            return False
        if seen.place is Place.EXIT:
            at_exit = await self._db.read(lambda tx: ledger.cards_at(tx, Place.EXIT))
            card_id = at_exit[0].card_id if at_exit else None
            await self._motions.make(
                Order(Unit.DISPENSER, Motion.RETRACT), card_id=card_id, event=EVENTS[Motion.RETRACT]
            )
            seen = await self._answering(Unit.DISPENSER)
        if seen.place is Place.TRANSPORT:
            read = await look_at_chip(self._readers.exit)
            if read.silent:
                log.warning("card waits for the exit reader")
                self._awaiting.add(Unit.DISPENSER)
                return False
            await self._stow_by_chip(read.chip)
            seen = await self._answering(Unit.DISPENSER)
        if seen.place is None:
            await self._settle_places(seen)
            seen = await self._answering(Unit.DISPENSER)
        if gate_left_open(seen):
            await self._motions.make(Order(Unit.DISPENSER, Motion.RESET))
            seen = await self._answering(Unit.DISPENSER)
        if gate_left_open(seen):
            log.warning("gate does not shut")
            return False
        return seen.place is None and seen.fault is None

    async def _stow_by_chip(self, chip: Chip | None) -> None:
        """A card stands before the exit reader: its chip says whose it is, and so where it goes; None of one that is unreadable."""

        async def whose(tx: Transaction) -> tuple[Claim | None, bool]:
            claim = None
            if chip is not None:
                claim = await claims.for_chip(tx, self._vault, chip.id_number, chip.valid_from)
            await self._only_in_transport(tx, claim.claim_id if claim else None)
            unstocked = claim is None or claim.state is ClaimState.EXPECTED
            loading = await lookups.last_carried(tx, Unit.DISPENSER) in (Motion.LOAD, Motion.REJECT)
            return claim, unstocked and (loading or claim is not None)

        claim, of_tray = await self._db.transaction(whose)
        card_id = claim.claim_id if claim else None
        slot = None
        if claim is not None and claim.state is ClaimState.STOCKED:
            slot = claim.slot if claim.slot is not None else await self._db.read(ledger.free_slot)
        if of_tray:
            # Power went while staff loaded it: back to them, to be loaded and announced as any other.
            order, event = Order(Unit.DISPENSER, Motion.REJECT), None
        elif slot is not None:
            order, event = Order(Unit.DISPENSER, Motion.STORE, slot), EVENTS[Motion.STORE]
        else:
            order, event = Order(Unit.DISPENSER, Motion.CAPTURE), EVENTS[Motion.CAPTURE]
        await self._motions.make(order, card_id=card_id, event=event)

    async def _only_in_transport(self, tx: Transaction, card_id: str | None) -> None:
        """The chip is evidence: this card, and no other, stands before the exit reader."""
        reason = "another card stands before the exit reader"
        for card in await ledger.cards_at(tx, Place.TRANSPORT, Place.EXIT):
            if card.card_id != card_id:
                await ledger.move(tx, card.card_id, Place.IN_DOUBT, self._stamp(), reason)
        if card_id is None:
            return
        recorded, _slot = await ledger.place_of(tx, card_id)
        reason = "chip read before the exit gate"
        if recorded not in (Place.TRANSPORT, Place.TRAY, Place.IN_DOUBT):
            await ledger.move(tx, card_id, Place.IN_DOUBT, self._stamp(), reason)
        if recorded is not Place.TRANSPORT:
            await ledger.move(tx, card_id, Place.TRANSPORT, self._stamp(), reason)

    async def _settle_places(self, seen: Observation) -> None:
        """Cards of an empty path, and those in doubt: the one that the unit counted as taken, or looked for in their slots."""

        async def look(tx: Transaction) -> list[ledger.CardAt]:
            known = await ledger.totals(tx, Unit.DISPENSER)
            counted = known is not None and seen.dispensed > known.dispensed
            taken = await lookups.counted_card(tx) if counted else None
            for card in await ledger.cards_at(tx, Place.TRANSPORT, Place.EXIT, Place.IN_DOUBT):
                if card.card_id == taken and card.place is not Place.TRANSPORT and card.claim_id is not None:
                    await record_taken(tx, card.claim_id, "", self._stamp(), "the unit counted a taken card")
                elif card.place is not Place.IN_DOUBT:
                    await ledger.move(tx, card.card_id, Place.IN_DOUBT, self._stamp(), "the path is empty")
            await ledger.note_totals(tx, seen)
            return [card for card in await ledger.cards_at(tx, Place.IN_DOUBT) if card.role == "new"]

        for card in await self._db.transaction(look):
            await self._look_in_slot(card)

    async def _look_in_slot(self, card: ledger.CardAt) -> None:
        """The slot sensor decides whether a card in doubt lies where it was picked from or was to be stored."""
        slot = card.slot
        if slot is None:
            return
        made = await self._motions.make(Order(Unit.DISPENSER, Motion.ALIGN, slot))
        seen = made.outcome.observation
        if made.outcome.result is not Result.DONE or seen is None or Sensor.SLOT not in seen.sensors:
            log.warning("card stays in doubt", card=card.card_id, slot=slot)
            return

        async def found(tx: Transaction) -> None:
            await ledger.move(tx, card.card_id, Place.SLOT, self._stamp(), "slot sensor", slot=slot)
            await codes.reinstate(tx, card.card_id)
            await self._stocking.announce(tx, card.card_id, slot)

        await self._db.transaction(found)

    # --- recycler ----------------------------------------------------------------------------------------------------

    async def _rest_recycler(self) -> Resume | None:
        self._awaiting.discard(Unit.RECYCLER)
        seen = await self._reset_if_needed(Unit.RECYCLER)
        if seen.place is Place.ESCROW and await self._to_be_read():
            log.warning("card waits for the throat reader")
            self._awaiting.add(Unit.RECYCLER)
            return None
        if seen.place in (Place.ESCROW, Place.THROAT):
            resume = await self._resuming.of_card_at(seen.place)
            self._offered = resume.journey.old_card_id
            return resume
        await self._db.transaction(lambda tx: self._settle_old_places(tx, seen))
        if Sensor.SHUTTER_OPEN in seen.sensors:
            await self._motions.make(Order(Unit.RECYCLER, Motion.CLOSE))
        return None

    async def _to_be_read(self) -> bool:
        """Whether the card in escrow was offered back in vain or may be a lost one, and its reader is silent: nothing names it."""
        inside = await self._db.read(lambda tx: ledger.cards_at(tx, Place.ESCROW))
        again = bool(inside) and inside[0].card_id == self._offered
        nameless = not inside or inside[0].claim_id is None
        asks = again or (nameless and await self._db.read(lost.in_doubt))
        return asks and (await look_at_chip(self._readers.throat)).silent

    async def _settle_old_places(self, tx: Transaction, seen: Observation) -> None:
        """Old cards recorded in a path where none is seen: kept or taken, as the unit's totals say, else in doubt.

        A unit that cannot tell its place (it sees two cards, or misses one) has no empty path; and no hand was offered a lost card.
        """
        known = await ledger.totals(tx, Unit.RECYCLER)
        for card in await ledger.cards_at(tx, Place.THROAT, Place.ESCROW):
            offered = await lost.flagged(tx, card.card_id) is None
            if known is not None and seen.retained > known.retained:
                target = Place.BIN
            elif offered and known is not None and seen.dispensed > known.dispensed:
                target = Place.TAKEN
            else:
                target = (
                    Place.TAKEN if offered and card.place is Place.THROAT and seen.place is None else Place.IN_DOUBT
                )
            if target is Place.BIN:
                await ledger.move(tx, card.card_id, Place.IN_DOUBT, self._stamp(), "the path is empty")
            await ledger.move(tx, card.card_id, target, self._stamp(), "totals after an interruption")
        await ledger.note_totals(tx, seen)
