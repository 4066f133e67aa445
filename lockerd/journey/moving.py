"""The motions of a journey: which card each carries, what becomes durable with it, and the chip before the gate."""

from __future__ import annotations

from collections.abc import Callable

from lockerd.errors import DeviceError
from lockerd.journey.reading import Readers, look_at_chip
from lockerd.journey.records import EVENTS, opened_by
from lockerd.model.cards import Chip, LostReport
from lockerd.model.custody import Fault, Motion, Order, Outcome, Place, Result, Unit
from lockerd.motions import Motions
from lockerd.pickup.chips import passes_for_predecessor
from lockerd.pickup.guards import RECYCLER_MOTIONS
from lockerd.pickup.state import ChipRead, Journey, MotionEnded, Move, Record
from lockerd.store import claims, codes, journal, ledger, lost
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault


class Moving:
    """Makes the motions; keeps the exit total that tells a taken card, and the chip last read before the gate."""

    def __init__(
        self, *, db: Database, vault: Vault, motions: Motions, readers: Readers, stamp: Callable[[], Stamp]
    ) -> None:
        self._db = db
        self._vault = vault
        self._motions = motions
        self._readers = readers
        self._stamp = stamp
        self.dispensed_before = 0
        self._before_gate: Chip | None = None

    async def read_new(self) -> ChipRead:
        """Read the chip before the exit gate; where it is a stranger's, the next motion names the card by it."""
        read = await look_at_chip(self._readers.exit)
        self._before_gate = read.chip
        return read

    def forget_chip(self) -> None:
        """The journey is over: drop the chip that was read in it."""
        self._before_gate = None

    async def prepare(self, journey: Journey) -> None:
        """Turn the carousel to the claim's slot."""
        if journey.claim is not None:
            await self._motions.make(
                Order(Unit.DISPENSER, Motion.ALIGN, journey.claim.slot), journey_id=journey.journey_id
            )

    async def move(self, effect: Move, journey: Journey) -> MotionEnded:
        """Make one motion through intent, motion, outcome, with what the effect wants recorded. Raises StoreError."""
        motion = effect.motion
        if motion is Motion.OPEN and (fault := await self._no_room_for_old()):
            return MotionEnded(motion, Outcome(Result.NOT_MOVED, fault), None, None)
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
            try:
                self.dispensed_before = (await self._motions.lately(Unit.DISPENSER)).dispensed
            except DeviceError:  # an earlier total in the ledger would later count a card as taken that is not
                return MotionEnded(motion, Outcome(Result.NOT_MOVED, Fault.SILENT), None, None)

        reported, kept_for = journey.lost, claim_id if journey.old_accepted else None
        if Record.OLD_KEPT in effect.records and kept_for is None:
            kept = await self._kept(journey)
            if kept is None:  # in the bin nobody can read it any more
                return MotionEnded(motion, Outcome(Result.NOT_MOVED, Fault.SILENT), Place.ESCROW, card_id)
            reported, kept_for = kept

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

    async def _no_room_for_old(self) -> Fault | None:
        """Why the shutter stays shut: what a hand put in beside a card in the path would not be the only one.

        A unit that does not answer may do so in the next moment, and open; its path is not known to be clear.
        """
        try:
            seen = await self._motions.observe(Unit.RECYCLER)
        except DeviceError:
            return Fault.SILENT
        return None if seen.place is None else Fault.TARGET_OCCUPIED

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

    async def _kept(self, journey: Journey) -> tuple[LostReport | None, str | None] | None:
        """Of a card in escrow that is kept though nobody wanted it: what says that it is lost, and whose new card replaces it.

        None while its reader is silent.
        """
        if journey.lost is not None:
            return journey.lost, journey.lost.claim_id
        card_id = journey.old_card_id
        if journey.old_accepted and card_id is not None:  # its claim's person is erased, which the record goes without
            return None, await self._db.read(lambda tx: ledger.claim_of(tx, card_id))
        read = await look_at_chip(self._readers.throat)
        if read.silent:
            return None
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
