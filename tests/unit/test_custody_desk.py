"""What staff decide, on a real database: doubts ended in twos, slots unblocked by their sensor, the retract position emptied."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from lockerd.custody_desk import CustodyDesk
from lockerd.errors import StaffWorkFailed
from lockerd.model.custody import Motion, Observation, Order, Outcome, Place, Result, Sensor, SlotState, Unit
from lockerd.model.staffing import BinReport, Finding, Grounds, Ruling
from lockerd.motions import Made
from lockerd.stocking import Stocking
from lockerd.store import claims, codes, ledger
from lockerd.store.database import Database, Transaction
from lockerd.store.verify import verify
from tests.store_support import NOW, STAMP, carry, issuing, item, opened, plan, stamp, vault

CARD, OTHER = "N000001", "N000002"
LI, WANG = "li.wei", "wang.min"


class Floor:
    @asynccontextmanager
    async def staff_at_work(self) -> AsyncIterator[None]:
        yield


class Carousel:
    """Turns to a slot and sees a card there or not."""

    def __init__(self) -> None:
        self.holds = False
        self.turns = True

    async def make(self, order: Order, *, journey_id: str) -> Made:
        assert order.motion is Motion.ALIGN
        sensors = frozenset({Sensor.SLOT} if self.holds else ())
        seen = Observation(Unit.DISPENSER, 1, False, False, None, order.slot, sensors, None, 0, 0, 0)
        return Made(Outcome(Result.DONE if self.turns else Result.NOT_MOVED, None, seen), None)


class Desk:
    """The desk over a database with a card in doubt in slot 0 and one in slot 1."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.carousel = Carousel()
        stocking = Stocking(issuing(db, "12345678"))
        parts: dict[str, Any] = {"session": Floor(), "motions": self.carousel}
        self.desk = CustodyDesk(db=db, stocking=stocking, stamp=lambda: stamp(NOW + 60), **cast(Any, parts))

    async def find(self, who: str, place: Place = Place.SLOT, slot: int | None = 0, card: str = CARD) -> Ruling:
        return await self.desk.find(who, Finding(card, place, slot, Grounds.SEEN))

    async def place(self, card: str = CARD) -> tuple[Place, int | None]:
        return await self.db.transaction(lambda tx: ledger.place_of(tx, card))

    async def told(self, kind: str) -> list[dict[str, object]]:
        rows = await self.db.transaction(
            lambda tx: tx.all("SELECT data FROM journal WHERE type = ? ORDER BY seq", (kind,))
        )
        return [json.loads(row["data"]) for row in rows]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    path = tmp_path / "lockerd.db"
    async with opened(path) as db:

        async def prepare(tx: Transaction) -> None:
            await ledger.configure_slots(tx, 4)
            for slot, card in enumerate((CARD, OTHER)):
                await claims.put_item(tx, vault(), item(card), None, STAMP)
                await ledger.move(tx, card, Place.TRANSPORT, STAMP, "read")
                await carry(tx, Motion.STORE, card, slot)
                await claims.stocked(tx, card, slot, STAMP)
                await codes.issue(tx, vault(), card, "12345678", NOW + 86400.0)
            await codes.consume(tx, CARD, STAMP)
            intent = await ledger.open_intent(tx, plan(Motion.PICK, 0), CARD, "j1", STAMP)
            await ledger.settle_intent(tx, intent, Outcome(Result.IN_DOUBT), STAMP)

        await db.transaction(prepare)
        yield Desk(db)
    assert verify(path).wrong == ()


async def test_two_people_who_find_the_same_end_the_doubt(desk: Desk) -> None:
    assert await desk.find(LI) is Ruling.AWAITS
    assert await desk.place() == (Place.IN_DOUBT, 0)
    assert (await desk.desk.open_matters()).doubtful[0].found_by == LI
    assert await desk.find(LI) is Ruling.AWAITS, "one person is never two"
    assert await desk.find(WANG) is Ruling.DECIDED
    assert await desk.place() == (Place.SLOT, 0)
    assert (await desk.db.read(ledger.slots))[0].state is SlotState.STOCKED
    row = await desk.db.transaction(lambda tx: tx.one("SELECT consumed FROM code WHERE claim_id = ?", (CARD,)))
    assert row is not None
    assert row["consumed"] is None, "the code opens it again"
    assert await desk.told("lockerd.doubt.decided") == [
        {"card_id": CARD, "claim_id": CARD, "staff": [LI, WANG], "found": "slot", "slot": 0}
    ]
    assert [found["staff"] for found in await desk.told("lockerd.doubt.found")] == [LI, LI, WANG]
    file = await desk.desk.card("0")
    assert file is not None
    assert (file.card_id, file.responsible) == (CARD, f"staff:{LI}+{WANG}")
    with pytest.raises(StaffWorkFailed, match="is not in doubt"):
        await desk.find(LI)


async def test_two_people_who_differ_decide_nothing_and_are_both_told(desk: Desk) -> None:
    await desk.find(LI)
    assert await desk.find(WANG, Place.RETRACT, None) is Ruling.DIFFERS
    assert await desk.place() == (Place.IN_DOUBT, 0)
    assert await desk.told("lockerd.doubt.disputed") == [{"card_id": CARD, "staff": [LI, WANG]}]
    assert await desk.find(LI) is Ruling.AWAITS, "both begin again"


async def test_a_finding_from_before_the_card_moved_is_void(desk: Desk) -> None:
    await desk.find(LI)

    async def seen_and_lost_again(tx: Transaction) -> None:
        await ledger.move(tx, CARD, Place.SLOT, STAMP, "slot sensor")
        await ledger.move(tx, CARD, Place.IN_DOUBT, STAMP, "slot sensor sees nothing")

    await desk.db.transaction(seen_and_lost_again)
    assert (await desk.desk.open_matters()).doubtful[0].found_by is None
    assert await desk.find(WANG) is Ruling.AWAITS


async def test_a_card_that_the_citizen_has_is_collected(desk: Desk) -> None:
    for who in (LI, WANG):
        await desk.find(who, Place.TAKEN, None)
    assert await desk.place() == (Place.TAKEN, None)
    assert [told["claim_id"] for told in await desk.told("lockerd.card.taken")] == [CARD]
    assert (await desk.db.read(ledger.slots))[0].state is SlotState.FREE


@pytest.mark.parametrize(
    ("place", "slot", "words"),
    [
        (Place.BIN, None, "cannot be there"),
        (Place.SLOT, None, "type its number"),
        (Place.RETRACT, 3, "empty that field"),
        (Place.TRANSPORT, None, "cannot be there"),
        (Place.SLOT, 1, "another card is recorded"),
        (Place.SLOT, 99, "no such slot"),
    ],
)
async def test_findings_that_cannot_be(desk: Desk, place: Place, slot: int | None, words: str) -> None:
    with pytest.raises(StaffWorkFailed, match=words):
        await desk.find(LI, place, slot)
    assert await desk.told("lockerd.doubt.found") == []


async def test_a_slot_is_unblocked_when_its_sensor_says_what_is_recorded(desk: Desk) -> None:
    async def block(tx: Transaction) -> None:
        await ledger.block_slot(tx, 1, "another card lay in it", STAMP)
        await ledger.block_slot(tx, 2, "occupied_unrecorded", STAMP)

    await desk.db.transaction(block)
    desk.carousel.holds = True
    with pytest.raises(StaffWorkFailed, match="none is recorded in it"):
        await desk.desk.unblock(LI, 2)
    with pytest.raises(StaffWorkFailed, match="its card is in doubt"):
        await desk.desk.unblock(LI, 0)
    await desk.desk.unblock(LI, 1)
    desk.carousel.holds = False
    await desk.desk.unblock(LI, 2)
    with pytest.raises(StaffWorkFailed, match="is not blocked"):
        await desk.desk.unblock(LI, 2)
    slots = await desk.db.transaction(ledger.slots)
    assert [slot.state for slot in slots[1:3]] == [SlotState.STOCKED, SlotState.FREE]
    assert [told["reason"] for told in await desk.told("lockerd.slot.unblocked")] == [f"staff:{LI}"] * 2
    desk.carousel.turns = False
    with pytest.raises(StaffWorkFailed, match="cannot turn"):
        await desk.desk.unblock(LI, 1)


async def test_a_slot_that_is_empty_against_the_record_puts_its_card_in_doubt(desk: Desk) -> None:
    await desk.db.transaction(lambda tx: ledger.block_slot(tx, 1, "another card lay in it", STAMP))
    with pytest.raises(StaffWorkFailed, match="its card is in doubt"):
        await desk.desk.unblock(LI, 1)
    assert await desk.place(OTHER) == (Place.IN_DOUBT, 1)
    for who in (LI, WANG):
        await desk.find(who, Place.REMOVED, None, OTHER)
    await desk.desk.unblock(LI, 1)
    assert (await desk.db.read(ledger.slots))[1].state is SlotState.FREE


async def test_the_retract_position_is_emptied_with_what_nobody_could_name(desk: Desk) -> None:
    async def capture(tx: Transaction) -> None:
        await carry(tx, Motion.PICK, OTHER, 1)
        await carry(tx, Motion.CAPTURE, OTHER)
        intent = await ledger.open_intent(tx, plan(Motion.CAPTURE), None, "j2", STAMP)
        await ledger.settle_intent(tx, intent, Outcome(Result.DONE), STAMP)

    await desk.db.transaction(capture)
    assert await desk.desk.empty_retract(LI, 2) == BinReport(2, 2)
    assert await desk.place(OTHER) == (Place.REMOVED, None)
    assert await desk.desk.empty_retract(LI, 1) == BinReport(1, 0)
    assert await desk.told("lockerd.retract.emptied") == [
        {"staff": LI, "counted": 2, "expected": 2, "agreed": True},
        {"staff": LI, "counted": 1, "expected": 0, "agreed": False},
    ]
    file = await desk.desk.card(OTHER)
    assert file is not None
    assert (file.place, file.responsible) == (Place.REMOVED, f"staff:{LI}")
