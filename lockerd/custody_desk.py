"""What staff decide about cards and slots: end a doubt in twos, unblock a slot that was looked into, empty the retract position.

A doubt ends by evidence, which the machine looks for by itself, or by two people; a block ends when the slot's sensor says what
the ledger says.
"""

from __future__ import annotations

from collections.abc import Callable

from lockerd.errors import StaffWorkFailed
from lockerd.journey.session import Session
from lockerd.model.custody import Motion, Order, Place, Result, Sensor, Unit
from lockerd.model.staffing import BinReport, CardFile, Finding, OpenMatters, Ruling
from lockerd.motions import Motions
from lockerd.stocking import Stocking
from lockerd.store import emptying, findings, ledger, lookups
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp


class CustodyDesk:
    """Staff decisions; every method that changes something names who asked, and is journalled and told to the office."""

    def __init__(
        self, *, db: Database, session: Session, motions: Motions, stocking: Stocking, stamp: Callable[[], Stamp]
    ) -> None:
        self._db = db
        self._session = session
        self._motions = motions
        self._stocking = stocking
        self._stamp = stamp

    async def open_matters(self) -> OpenMatters:
        """Cards in doubt, blocked slots, and cards inside that were reported lost."""
        return await self._db.read(findings.open_matters)

    async def card(self, wanted: str) -> CardFile | None:
        """The file of a card by its production number, an old card's name, or the number of the slot that it is in."""
        return await self._db.read(lambda tx: lookups.card_file(tx, wanted))

    async def find(self, name: str, finding: Finding) -> Ruling:
        """Take one person's finding about a card in doubt. Raises FloorTaken, StaffWorkFailed."""

        async def found(tx: Transaction) -> Ruling:
            ruling = await findings.find(tx, finding, name, self._stamp())
            if ruling is Ruling.DECIDED and finding.slot is not None:
                await self._stocking.announce(tx, finding.card_id, finding.slot)
            return ruling

        async with self._session.staff_at_work():
            return await self._db.transaction(found)

    async def unblock(self, name: str, slot: int) -> None:
        """Use a blocked slot again after somebody looked into it. Raises FloorTaken, StaffWorkFailed."""
        async with self._session.staff_at_work():
            journey_id = f"staff:{name}"
            made = await self._motions.make(Order(Unit.DISPENSER, Motion.ALIGN, slot), journey_id=journey_id)
            seen = made.outcome.observation
            if made.outcome.result is not Result.DONE or seen is None:
                raise StaffWorkFailed("the dispenser cannot turn to the slot; clear it, then settle")

            refused = await self._db.transaction(
                lambda tx: self._unblock(tx, slot, journey_id, holds=Sensor.SLOT in seen.sensors)
            )
        if refused:
            raise StaffWorkFailed(refused)

    async def _unblock(self, tx: Transaction, slot: int, journey_id: str, *, holds: bool) -> str:
        """Unblock the slot if its sensor, which sees a card or does not (`holds`), agrees with the ledger; else say why not."""
        stamp = self._stamp()
        blocked = {one.slot: one for one in (await findings.open_matters(tx)).blocked}
        if slot not in blocked:
            return "this slot is not blocked; open the page again"
        card_id = blocked[slot].card_id
        if card_id is None and holds:
            return "a card lies in the slot, and none is recorded in it; take it out first"
        if card_id is not None and not holds and (await ledger.place_of(tx, card_id))[0] is Place.SLOT:
            await ledger.move(tx, card_id, Place.IN_DOUBT, stamp, "slot sensor sees nothing", journey_id=journey_id)
        if card_id is not None and (await ledger.place_of(tx, card_id))[0] is Place.IN_DOUBT:
            return "its card is in doubt; two of you have to say where it is"
        await ledger.unblock_slot(tx, slot, journey_id, stamp)
        return ""

    async def empty_retract(self, name: str, counted: int) -> BinReport:
        """Record that the retract position was emptied and how many cards were counted, blind. Raises FloorTaken."""
        async with self._session.staff_at_work():
            expected = await self._db.transaction(lambda tx: emptying.empty_retract(tx, name, counted, self._stamp()))
        return BinReport(counted, expected)
