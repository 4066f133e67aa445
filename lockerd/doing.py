"""Doing what the table asks: each effect becomes transactions, motions and reads, and answers with one event."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from lockerd.errors import DeviceError, StoreError, UnreadableCard
from lockerd.model.cards import Chip, Claim, LostReport
from lockerd.model.custody import Fault, Motion, Order, Outcome, Place, Result, SlotState, Unit
from lockerd.model.identity import FaceTemplate
from lockerd.model.policy import THE_OWNER, Collector, Evidence, Policy
from lockerd.motions import Motions
from lockerd.pickup.guards import RECYCLER_MOTIONS, passes_for_predecessor
from lockerd.pickup.state import (
    CheckCode,
    ChipRead,
    ClaimChecked,
    Clear,
    Cleared,
    CodeSent,
    Effect,
    EndJourney,
    Event,
    FindClaim,
    IssueTicket,
    Journey,
    MotionEnded,
    Move,
    Prepare,
    ReadNew,
    ReadOld,
    Record,
    RecordOldTaken,
    RecordTaken,
    SendCode,
    TicketIssued,
)
from lockerd.ports import FingerVerifier, IdReader
from lockerd.store import claims, codes, collectors, journal, journeys, ledger, lookups, lost
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import JSON, Stamp
from lockerd.store.vault import Vault

log = structlog.get_logger(__name__)

LOCK_TOLD_AFTER = 5.0
"""Seconds after a try that was the last: what is told of a claim may not make its answer later than that of an unknown number."""

CHIP_READS = 3  # tries before a chip counts as unreadable

EVENTS: Mapping[Motion, str] = {
    Motion.PRESENT: "lockerd.card.presented",
    Motion.RETRACT: "lockerd.card.retracted",
    Motion.STORE: "lockerd.card.restowed",
    Motion.CAPTURE: "lockerd.card.captured",
    Motion.ACCEPT: "lockerd.old.inserted",
    Motion.RETURN: "lockerd.old.returned",
    Motion.RETAIN: "lockerd.old.retained",
}
"""The office's event for each motion that is DONE in a journey."""


async def look_at_chip(reader: IdReader) -> ChipRead:
    """Read a chip that should be there, CHIP_READS tries; `silent` where the reader answered none of them."""
    silent = True
    for _ in range(CHIP_READS):
        try:
            chip = await reader.read()
        except DeviceError as error:
            log.warning("chip not read", error=str(error))
            silent = silent and not isinstance(error, UnreadableCard)
            continue
        if chip is not None:
            return ChipRead(chip)
        silent = False
    return ChipRead(None, silent=silent)


async def read_chip(reader: IdReader) -> Chip | None:
    """Read a chip that should be there, CHIP_READS tries; None when it cannot be read."""
    return (await look_at_chip(reader)).chip


@dataclass(frozen=True, slots=True)
class Readers:
    """The three readers by where they stand."""

    counter: IdReader
    throat: IdReader
    exit: IdReader


class Doing:
    """Performs effects for the session; keeps the exit total that tells a taken card, and the chip last read before the gate."""

    def __init__(
        self,
        *,
        db: Database,
        vault: Vault,
        motions: Motions,
        readers: Readers,
        stamp: Callable[[], Stamp],
        policy: Policy,
        chip_template: Callable[[bytes], Awaitable[FaceTemplate | None]],
        send_codes: Callable[[str], Awaitable[None]],
        tell_locked: Callable[[], Awaitable[None]],
        clear: Callable[[Unit, Journey], Awaitable[Cleared]],
        finger: FingerVerifier | None = None,
    ) -> None:
        self._db = db
        self._finger = finger
        self._policy = policy
        self._chip_template = chip_template
        self._send_codes = send_codes
        self._tell_locked = tell_locked
        self._clear = clear
        self._vault = vault
        self._motions = motions
        self._readers = readers
        self._stamp = stamp
        self.dispensed_before = 0
        self._before_gate: Chip | None = None

    def begin(self, journey_id: str) -> None:
        """Write down that a journey begins, before anything else of it."""
        stamp = self._stamp()
        self._db.along(lambda tx: journeys.begin(tx, journey_id, stamp))

    async def template_of(self, journey: Journey) -> FaceTemplate | None:
        """What whoever collects is compared with: the stored template, else the photo of the ID card that was shown."""
        if journey.claim is None:
            return None
        claim_id, collector_id = journey.claim.claim_id, journey.collector.collector_id
        if collector_id:
            stored = await self._db.read(lambda tx: collectors.template(tx, self._vault, collector_id))
        else:
            stored = await self._db.read(lambda tx: claims.template(tx, self._vault, claim_id))
        return stored or await self._chip_template(journey.chip_photo)

    async def perform(self, effect: Effect, journey: Journey, group: asyncio.TaskGroup) -> Event | None:
        """Perform one effect; the event that answers it, or None. `group` is the parent of what is not waited for."""
        match effect:
            case CheckCode():
                return await self._check_code(effect, journey, group)
            case FindClaim():
                return await self._find_claim(effect, journey)
            case SendCode():
                group.create_task(self._send_code(effect.id_number), name="send code")
                return CodeSent()
            case Prepare():
                group.create_task(self._prepare(journey), name="prepare")
                return None
            case Move():
                return await self._move(effect, journey)
            case Clear():
                return await self._clear(effect.unit, journey)
            case ReadOld():
                read = await look_at_chip(self._readers.throat)
                return replace(read, lost=await self._db.read(lambda tx: lost.report_of(tx, self._vault, read.chip)))
            case ReadNew():
                self._before_gate = await read_chip(self._readers.exit)
                return ChipRead(self._before_gate)
            case RecordTaken():
                await self._record_taken(journey)
                return None
            case RecordOldTaken():
                await self._record_old_taken(effect.card_id)
                return None
            case IssueTicket():
                return await self._issue_ticket(journey)
            case EndJourney():
                self._before_gate = None
                await self._db.transaction(
                    lambda tx: journeys.end(tx, effect.journey_id, effect.outcome, self._stamp())
                )
                return None

    # --- evidence ----------------------------------------------------------------------------------------------------

    async def _check_code(self, effect: CheckCode, journey: Journey, group: asyncio.TaskGroup) -> ClaimChecked:
        try:
            check = await codes.check(self._db, self._vault, effect.id_number, effect.code, self._stamp())
        except StoreError as error:
            log.warning("code not checked", error=str(error))
            return ClaimChecked(None, failed=True)
        log.info("code checked", journey=journey.journey_id, result=check.result, attempts_left=check.attempts_left)
        if check.attempts_left == 0:
            group.create_task(self._lock_told(), name="tell of the lock")
        if check.result is codes.CodeResult.LOCKED:
            return ClaimChecked(None, locked=True)
        return await self._answer(check.claim, journey, check.attempts_left, check.collector)

    async def _lock_told(self) -> None:
        await asyncio.sleep(LOCK_TOLD_AFTER)
        try:
            await self._tell_locked()
        except StoreError as error:
            log.warning("lock not told", error=str(error))

    async def _find_claim(self, effect: FindClaim, journey: Journey) -> ClaimChecked:
        claim = await self._db.read(lambda tx: claims.for_id(tx, self._vault, effect.id_number))
        return await self._answer(claim, journey, None, THE_OWNER)

    async def _send_code(self, id_number: str) -> None:
        try:
            await self._send_codes(id_number)
        except StoreError as error:
            log.warning("code not sent", error=str(error))

    async def _answer(
        self, claim: Claim | None, journey: Journey, attempts_left: int | None, collector: Collector
    ) -> ClaimChecked:
        """A match whose card is not certainly in its slot is no match to act on: the counter has to help."""
        if claim is None:
            return ClaimChecked(None, attempts_left=attempts_left)

        async def look(tx: Transaction) -> bool:
            place, slot = await ledger.place_of(tx, claim.claim_id)
            if place is not Place.SLOT or slot is None:
                return False
            return await lookups.slot_state(tx, slot) is SlotState.STOCKED

        self._db.along(lambda tx: journeys.attach(tx, journey.journey_id, claim.claim_id, collector))
        if not await self._db.read(look):
            log.warning("claim not collectable", journey=journey.journey_id, claim=claim.claim_id)
            return ClaimChecked(None, failed=True)
        opens = self._policy.opens(collector.relation, claim.kind)
        no_finger = self._finger is None or not self._finger.last_answer_ok
        return ClaimChecked(claim, collector, opens, no_finger=no_finger)

    # --- motions -----------------------------------------------------------------------------------------------------

    async def _prepare(self, journey: Journey) -> None:
        if journey.claim is not None:
            await self._motions.make(
                Order(Unit.DISPENSER, Motion.ALIGN, journey.claim.slot), journey_id=journey.journey_id
            )

    async def _move(self, effect: Move, journey: Journey) -> MotionEnded:
        motion = effect.motion
        if motion is Motion.OPEN and not await self._room_for_old():
            return MotionEnded(motion, Outcome(Result.NOT_MOVED, Fault.TARGET_OCCUPIED), None, None)
        unit = Unit.RECYCLER if motion in RECYCLER_MOTIONS else Unit.DISPENSER
        claim_id = journey.claim.claim_id if journey.claim else None
        carries_old = motion in (Motion.ACCEPT, Motion.RETURN, Motion.RETAIN)
        card_id = journey.old_card_id if carries_old else claim_id if unit is Unit.DISPENSER else None
        if Record.REGISTER_OLD in effect.records:
            card_id = await self._register_old(journey)
        if Record.FREEZE_SLOT in effect.records and claim_id is not None:
            card_id = await self._identify_stranger(journey, claim_id)
        needs_slot = motion in (Motion.PICK, Motion.STORE, Motion.ALIGN)
        slot = journey.claim.slot if needs_slot and journey.claim else None
        if motion is Motion.PRESENT:
            self.dispensed_before = await self._dispensed()

        reported, kept_for = journey.lost, claim_id if journey.old_accepted else None
        if Record.OLD_KEPT in effect.records and kept_for is None:
            reported, kept_for = await self._kept(journey)

        async def before(tx: Transaction) -> None:
            if Record.CONSUME_CODE in effect.records and claim_id is not None:
                await codes.consume(tx, claim_id, self._stamp())
                await journal.append(tx, "lockerd.claim.opened", opened_by(journey), stamp=self._stamp())
            if Record.OLD_KEPT in effect.records and reported is not None and card_id is not None:
                await lost.flag(tx, card_id, reported, journey.journey_id, self._stamp())
            if motion is Motion.PRESENT:
                await ledger.account_dispensed(tx, self.dispensed_before)
            if Record.OLD_KEPT in effect.records and card_id is not None:
                await ledger.name_owner(tx, card_id, kept_for)  # a restart in the middle reads no chip in the bin

        async def after(tx: Transaction, _outcome: Outcome, place: Place | None) -> None:
            if kept_for is not None and place is Place.BIN:
                await claims.old_card_kept(tx, kept_for)

        made = await self._motions.make(
            Order(unit, motion, slot),
            card_id=card_id,
            journey_id=journey.journey_id,
            event=EVENTS.get(motion),
            before=before,
            after=after if kept_for is not None else None,
        )
        stranger = Record.FREEZE_SLOT in effect.records
        return MotionEnded(motion, made.outcome, Place.IN_DOUBT if stranger else made.place, card_id)

    async def _room_for_old(self) -> bool:
        """Whether no card stands in the recycler's path, as far as it tells: what a hand put in then would not be the only one."""
        with suppress(DeviceError):
            return (await self._motions.observe(Unit.RECYCLER)).place is None
        return True

    async def _identify_stranger(self, journey: Journey, claim_id: str) -> str | None:
        """Another card than the claim's stands before the gate: freeze the slot it came from, and let the chip name the card.

        Gives the card that stands there, None for one that nobody knows. Where the claim's own card is, is in doubt.
        """
        chip = self._before_gate

        async def known(tx: Transaction) -> str | None:
            stamp = self._stamp()
            if journey.claim is not None and journey.claim.slot is not None:
                await ledger.block_slot(tx, journey.claim.slot, "another card lay in it", stamp)
            if (await ledger.place_of(tx, claim_id))[0] is Place.TRANSPORT:
                await ledger.move(tx, claim_id, Place.IN_DOUBT, stamp, "another card stands before the exit reader")
            found = chip and await claims.for_chip(tx, self._vault, chip.id_number, chip.valid_from)
            if not found or found.claim_id == claim_id:
                return None
            place, slot = await ledger.place_of(tx, found.claim_id)
            if slot is not None:
                await ledger.block_slot(tx, slot, "its card lay in another slot", stamp)
            if place not in (Place.IN_DOUBT, Place.TRAY):
                await ledger.move(tx, found.claim_id, Place.IN_DOUBT, stamp, "chip read before the exit gate")
            await ledger.move(tx, found.claim_id, Place.TRANSPORT, stamp, "chip read before the exit gate")
            return found.claim_id

        return await self._db.transaction(known)

    async def _kept(self, journey: Journey) -> tuple[LostReport | None, str | None]:
        """Of a card in escrow that is kept though nobody wanted it: what says that it is lost, and whose new card replaces it."""
        if journey.lost is not None:
            return journey.lost, journey.lost.claim_id
        read = await look_at_chip(self._readers.throat)
        reported, owner = await self._db.read(lambda tx: lost.whose(tx, self._vault, read.chip))
        claim = journey.claim
        return reported, claim.claim_id if claim is not None and passes_for_predecessor(read, claim) else owner

    async def _register_old(self, journey: Journey) -> str:
        """The ledger learns of the card in the throat before anything moves it."""
        if journey.old_card_id is not None:
            return journey.old_card_id
        claim_id = journey.claim.claim_id if journey.claim else None
        return await self._db.transaction(
            lambda tx: ledger.add_old_card(tx, claim_id, journey.journey_id, self._stamp())
        )

    async def _dispensed(self) -> int:
        try:
            return (await self._motions.observe(Unit.DISPENSER)).dispensed
        except DeviceError:
            return self.dispensed_before

    # --- records -----------------------------------------------------------------------------------------------------

    async def _record_taken(self, journey: Journey) -> None:
        claim = journey.claim
        if claim is None:
            return
        await self._db.transaction(
            lambda tx: record_taken(tx, claim.claim_id, journey.journey_id, self._stamp(), "exit sensor and total")
        )

    async def _record_old_taken(self, card_id: str | None) -> None:
        if card_id is None:
            return

        async def taken(tx: Transaction) -> None:
            place, _slot = await ledger.place_of(tx, card_id)
            if place is not Place.TAKEN:
                await ledger.move(tx, card_id, Place.TAKEN, self._stamp(), reason="throat sensor clear")

        await self._db.transaction(taken)

    async def _issue_ticket(self, journey: Journey) -> TicketIssued:
        reason = journey.fault.value if journey.fault else "unknown"
        step = journey.stopped.value if journey.stopped else None
        ticket = await self._db.transaction(
            lambda tx: journeys.issue_ticket(tx, journey.journey_id, reason, self._stamp(), step)
        )
        return TicketIssued(ticket)


def opened_by(journey: Journey) -> dict[str, JSON]:
    """What the journal says of evidence: who collects which card, and what was shown."""
    return {
        "claim_id": journey.claim.claim_id if journey.claim else None,
        "journey_id": journey.journey_id,
        "relation": journey.collector.relation,
        "collector_id": journey.collector.collector_id or None,
        "evidence": sorted(journey.shown | ({Evidence.OLD_CARD} if journey.old_accepted else set())),
    }


async def record_taken(tx: Transaction, claim_id: str, journey_id: str, stamp: Stamp, reason: str) -> None:
    """The new card is in the citizen's hand: place, total, claim and the office's event in one transaction."""
    await ledger.move(tx, claim_id, Place.TAKEN, stamp, reason=reason)
    await ledger.count_taken(tx)
    await claims.collected(tx, claim_id, stamp)
    data = {"claim_id": claim_id, "card_id": claim_id, "journey_id": journey_id}
    collector = await journeys.collector_of(tx, claim_id)
    if collector is not None:
        data["relation"] = collector.relation
        if collector.collector_id:
            data["collector_id"] = collector.collector_id
    await journal.append(tx, "lockerd.card.taken", data, stamp=stamp)
