from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from lockerd.errors import StoreError
from lockerd.model.custody import (
    Fault,
    Intent,
    Motion,
    Observation,
    Outcome,
    Place,
    Plan,
    Result,
    Sensor,
    SlotState,
    Unit,
)
from lockerd.store import claims, emptying, ledger, lookups
from lockerd.store.database import Database, Transaction
from lockerd.store.ledger import CardAt, Totals
from tests.store_support import DONE, NOW, STAMP, carry, item, opened, plan, vault

CARD, OTHER = "N000001", "N000002"


async def open_intent(tx: Transaction, ordered: Plan, card: str | None) -> None:
    await ledger.open_intent(tx, ordered, card, "j", STAMP)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    """Four slots, two announced cards, the first of them in slot 0."""
    async with opened(tmp_path / "lockerd.db") as database:

        async def prepare(tx: Transaction) -> None:
            await ledger.configure_slots(tx, 4)
            for card in (CARD, OTHER):
                await claims.put_item(tx, vault(), item(card), None, STAMP)
            await ledger.move(tx, CARD, Place.TRANSPORT, STAMP, "read")
            await carry(tx, Motion.STORE, CARD, 0)

        await database.transaction(prepare)
        yield database


def seen(place: Place | None, *sensors: Sensor, dispensed: int = 0) -> Observation:
    return Observation(
        Unit.DISPENSER, 1, False, False, place, None, frozenset(sensors), None, dispensed, retained=0, bin_count=0
    )


async def events(tx: Transaction, kind: str) -> list[dict[str, object]]:
    rows = await tx.all("SELECT data FROM journal WHERE type = ? ORDER BY seq", (kind,))
    return [json.loads(row["data"]) for row in rows]


async def settle(tx: Transaction, motion: Motion, outcome: Outcome, slot: int | None = None) -> Place | None:
    intent = await ledger.open_intent(tx, plan(motion, slot), CARD, "journey-1", STAMP)
    return await ledger.settle_intent(tx, intent, outcome, STAMP)


async def state(tx: Transaction, slot: int) -> tuple[SlotState, str | None]:
    record = (await ledger.slots(tx))[slot]
    return record.state, record.card_id


async def test_a_card_through_the_dispenser(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        assert await ledger.place_of(tx, CARD) == (Place.SLOT, 0)
        assert await state(tx, 0) == (SlotState.STOCKED, CARD)
        assert await ledger.free_slot(tx) == 1
        await carry(tx, Motion.PICK, CARD, 0)
        assert await state(tx, 0) == (SlotState.FREE, None)
        assert await ledger.free_slot(tx) == 0
        await carry(tx, Motion.PRESENT, CARD)
        await ledger.move(tx, CARD, Place.TAKEN, STAMP, "exit sensor")
        assert await ledger.place_of(tx, CARD) == (Place.TAKEN, None)
        chain = await lookups.chain(tx, CARD)
        assert [step.target for step in chain] == [
            Place.TRAY,
            Place.TRANSPORT,
            Place.SLOT,
            Place.TRANSPORT,
            Place.EXIT,
            Place.TAKEN,
        ]
        assert [step.origin for step in chain[1:]] == [step.target for step in chain[:-1]]
        assert [step.slot for step in chain] == [None, None, 0, None, None, None]
        assert chain[2].intent_id is not None
        assert chain[2].journey_id == "journey-1"

    await db.transaction(work)


async def test_an_old_card_through_the_recycler(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        card_id = await ledger.add_old_card(tx, CARD, "journey-1", STAMP)
        assert card_id == "old-000001"
        await carry(tx, Motion.ACCEPT, card_id)
        await carry(tx, Motion.RETAIN, card_id)
        assert (await lookups.card_counts(tx))[Place.BIN] == 1
        assert await ledger.cards_at(tx, Place.BIN, Place.ESCROW) == [CardAt(card_id, Place.BIN, None, "old", CARD)]
        assert await emptying.empty_bin(tx, "li", 2, STAMP) == 1
        assert (await lookups.card_counts(tx))[Place.BIN] == 0
        assert await ledger.place_of(tx, card_id) == (Place.REMOVED, None)
        assert await events(tx, "lockerd.bin.emptied") == [
            {"staff": "li", "counted": 2, "expected": 1, "agreed": False}
        ]
        assert await ledger.add_old_card(tx, None, "journey-2", STAMP) == "old-000002"

    await db.transaction(work)


@pytest.mark.parametrize(
    ("motion", "card", "slot", "words"),
    [
        (Motion.PICK, CARD, 1, "not stocked with"),
        (Motion.PICK, CARD, 99, "slot 99 is not stocked with"),
        (Motion.PICK, CARD, None, "slot None is not stocked with"),
        (Motion.PRESENT, CARD, None, "recorded at slot, present begins at transport"),
        (Motion.STORE, OTHER, 1, "recorded at tray"),
        (Motion.PICK, "N000009", 0, "no card N000009"),
        (Motion.PICK, None, 0, "needs a known card"),
        (Motion.STORE, None, 1, "needs a known card"),
        (Motion.PRESENT, None, None, "needs a known card"),
        (Motion.ALIGN, CARD, 0, "carries no card"),
    ],
)
async def test_intents_that_are_refused(
    db: Database, motion: Motion, card: str | None, slot: int | None, words: str
) -> None:
    with pytest.raises(StoreError, match=words):
        await db.transaction(lambda tx: ledger.open_intent(tx, plan(motion, slot), card, "j", STAMP))
    assert await db.transaction(ledger.open_intents) == []


async def test_one_open_intent_for_each_unit(db: Database) -> None:
    async def first(tx: Transaction) -> None:
        await ledger.open_intent(tx, plan(Motion.PICK, 0), CARD, "j", STAMP)
        await ledger.open_intent(tx, plan(Motion.OPEN), None, "j", STAMP)

    await db.transaction(first)
    for motion in (Motion.ALIGN, Motion.CLOSE):
        with pytest.raises(StoreError, match="still open"):
            await db.transaction(partial(open_intent, ordered=plan(motion, 0), card=None))
    intents = await db.transaction(ledger.open_intents)
    assert [intent.plan for intent in intents] == [plan(Motion.PICK, 0), plan(Motion.OPEN)]
    assert [intent.card_id for intent in intents] == [CARD, None]


async def test_store_needs_a_free_slot_and_a_free_path(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await ledger.move(tx, OTHER, Place.TRANSPORT, STAMP, "read")
        await ledger.block_slot(tx, 2, "broken", STAMP)

    await db.transaction(work)
    for slot, words in ((0, "stocked, not free"), (2, "blocked, not free")):
        with pytest.raises(StoreError, match=words):
            await db.transaction(partial(open_intent, ordered=plan(Motion.STORE, slot), card=OTHER))
    with pytest.raises(StoreError, match=f"card {OTHER} is recorded at transport already"):
        await db.transaction(lambda tx: ledger.open_intent(tx, plan(Motion.PICK, 0), CARD, "j", STAMP))


async def test_an_intent_is_settled_once(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        intent = await ledger.open_intent(tx, plan(Motion.ALIGN, 0), None, "j", STAMP)
        assert await ledger.settle_intent(tx, intent, DONE, STAMP) is None
        await ledger.settle_intent(tx, intent, DONE, STAMP)

    with pytest.raises(StoreError, match="is not open"):
        await db.transaction(work)


async def test_a_card_under_way_is_not_moved_otherwise(db: Database) -> None:
    async def begin(tx: Transaction) -> None:
        await ledger.open_intent(tx, plan(Motion.PICK, 0), CARD, "j", STAMP)

    await db.transaction(begin)
    with pytest.raises(StoreError, match="being moved by intent"):
        await db.transaction(lambda tx: ledger.move(tx, CARD, Place.REMOVED, STAMP, "staff"))
    with pytest.raises(StoreError, match="on its way"):
        await db.transaction(lambda tx: ledger.move(tx, OTHER, Place.TRANSPORT, STAMP, "read"))


@pytest.mark.parametrize(
    ("outcome", "place", "slot_after"),
    [
        (Outcome(Result.NOT_MOVED), Place.SLOT, (SlotState.STOCKED, CARD)),
        (Outcome(Result.IN_DOUBT), Place.IN_DOUBT, (SlotState.BLOCKED, CARD)),
        (Outcome(Result.FAILED, Fault.SLOT_EMPTY, seen(None)), Place.IN_DOUBT, (SlotState.BLOCKED, CARD)),
        (Outcome(Result.FAILED, Fault.JAM, seen(None, Sensor.SLOT)), Place.SLOT, (SlotState.STOCKED, CARD)),
        (Outcome(Result.FAILED, Fault.JAM, seen(Place.TRANSPORT)), Place.TRANSPORT, (SlotState.FREE, None)),
    ],
)
async def test_how_a_pick_may_end(
    db: Database, outcome: Outcome, place: Place, slot_after: tuple[SlotState, str | None]
) -> None:
    async def work(tx: Transaction) -> None:
        assert await settle(tx, Motion.PICK, outcome, 0) is place
        assert (await ledger.place_of(tx, CARD))[0] is place
        assert await state(tx, 0) == slot_after
        told = await events(tx, "lockerd.intent.in_doubt")
        assert [event["card_id"] for event in told] == ([CARD] if place is Place.IN_DOUBT else [])

    await db.transaction(work)


async def test_a_store_into_an_occupied_slot_blocks_it(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await carry(tx, Motion.PICK, CARD, 0)
        outcome = Outcome(Result.FAILED, Fault.TARGET_OCCUPIED, seen(Place.TRANSPORT))
        assert await settle(tx, Motion.STORE, outcome, 0) is Place.TRANSPORT
        assert await state(tx, 0) == (SlotState.BLOCKED, None)
        assert await ledger.free_slot(tx) == 1

    await db.transaction(work)


async def test_evidence_of_another_slot_settles_a_store(db: Database) -> None:
    async def begin(tx: Transaction) -> Intent:
        await ledger.move(tx, OTHER, Place.TRANSPORT, STAMP, "read")
        return await ledger.open_intent(tx, plan(Motion.STORE, 1), OTHER, "j", STAMP)

    intent = await db.transaction(begin)
    with pytest.raises(StoreError, match="slot 0 holds another card"):
        await db.transaction(lambda tx: ledger.settle_intent(tx, intent, DONE, STAMP, slot=0))
    await db.transaction(lambda tx: ledger.settle_intent(tx, intent, DONE, STAMP, slot=2))
    records = await db.transaction(ledger.slots)
    assert [record.card_id for record in records] == [CARD, None, OTHER, None]


async def test_evidence_resolves_a_doubt_into_the_slot(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await settle(tx, Motion.PICK, Outcome(Result.IN_DOUBT), 0)
        await ledger.move(tx, CARD, Place.SLOT, STAMP, "slot sensor")
        assert await state(tx, 0) == (SlotState.STOCKED, CARD)

    await db.transaction(work)


async def test_evidence_elsewhere_frees_the_slot(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await settle(tx, Motion.PICK, Outcome(Result.IN_DOUBT), 0)
        await ledger.move(tx, CARD, Place.TRANSPORT, STAMP, "chip read")
        assert await state(tx, 0) == (SlotState.FREE, None)
        assert await ledger.place_of(tx, CARD) == (Place.TRANSPORT, None)

    await db.transaction(work)


async def test_a_block_for_another_reason_outlives_the_doubt(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await settle(tx, Motion.PICK, Outcome(Result.IN_DOUBT), 0)
        await ledger.block_slot(tx, 0, "mismatch", STAMP)
        await ledger.block_slot(tx, 0, "again", STAMP)
        await ledger.move(tx, CARD, Place.SLOT, STAMP, "slot sensor")
        assert await state(tx, 0) == (SlotState.BLOCKED, CARD)
        assert await events(tx, "lockerd.slot.blocked") == [{"slot": 0, "reason": "mismatch", "card_id": CARD}]
        await ledger.unblock_slot(tx, 0, "counted", STAMP)
        assert await state(tx, 0) == (SlotState.STOCKED, CARD)

    await db.transaction(work)


async def test_unblocking_before_the_doubt_is_resolved_keeps_the_doubt(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await ledger.move(tx, CARD, Place.IN_DOUBT, STAMP, "slot sensor sees nothing")
        await ledger.unblock_slot(tx, 0, "looked", STAMP)
        assert await state(tx, 0) == (SlotState.BLOCKED, CARD)
        await ledger.move(tx, CARD, Place.SLOT, STAMP, "slot sensor", slot=0)
        assert await state(tx, 0) == (SlotState.STOCKED, CARD)

    await db.transaction(work)


async def test_a_card_seen_where_another_was_recorded_displaces_it(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await carry(tx, Motion.PICK, CARD, 0)
        await ledger.move(tx, OTHER, Place.TRANSPORT, STAMP, "chip read")
        assert (await ledger.place_of(tx, CARD))[0] is Place.IN_DOUBT
        assert (await ledger.place_of(tx, OTHER))[0] is Place.TRANSPORT
        assert [event["card_id"] for event in await events(tx, "lockerd.intent.in_doubt")] == [CARD]

    await db.transaction(work)


@pytest.mark.parametrize(
    ("origin", "target", "words"),
    [
        (None, Place.SLOT, "is at slot already"),
        (None, Place.TAKEN, "cannot get from slot to taken"),
        (None, Place.EXIT, "cannot get from slot to exit"),
        (None, Place.TRAY, "cannot get from slot to tray"),
        (None, Place.BIN, "never at bin"),
        (None, Place.THROAT, "never at throat"),
        (Place.REMOVED, Place.IN_DOUBT, "cannot get from removed to in_doubt"),
        (Place.REMOVED, Place.SLOT, "cannot get from removed to slot"),
    ],
)
async def test_moves_that_are_refused(db: Database, origin: Place | None, target: Place, words: str) -> None:
    if origin is not None:
        await db.transaction(lambda tx: ledger.move(tx, CARD, origin, STAMP, "staff"))
    with pytest.raises(StoreError, match=words):
        await db.transaction(lambda tx: ledger.move(tx, CARD, target, STAMP, "?"))


async def test_a_doubt_is_not_resolved_into_another_cards_slot(db: Database) -> None:
    async def prepare(tx: Transaction) -> None:
        await ledger.move(tx, OTHER, Place.TRANSPORT, STAMP, "read")
        await ledger.move(tx, OTHER, Place.IN_DOUBT, STAMP, "gone")

    await db.transaction(prepare)
    with pytest.raises(StoreError, match="slot 0 holds another card"):
        await db.transaction(lambda tx: ledger.move(tx, OTHER, Place.SLOT, STAMP, "sensor", slot=0))
    with pytest.raises(StoreError, match="in which slot"):
        await db.transaction(lambda tx: ledger.move(tx, OTHER, Place.SLOT, STAMP, "sensor"))


async def test_a_smaller_carousel_is_refused_while_its_slots_are_used(db: Database) -> None:
    with pytest.raises(StoreError, match="slot 0 is in use"):
        await db.transaction(lambda tx: ledger.configure_slots(tx, 0))
    await db.transaction(lambda tx: ledger.configure_slots(tx, 2))
    assert len(await db.transaction(ledger.slots)) == 2
    await db.transaction(lambda tx: ledger.configure_slots(tx, 3))
    records = await db.transaction(ledger.slots)
    assert [record.state for record in records] == [SlotState.STOCKED, SlotState.FREE, SlotState.FREE]
    assert records[0].since == NOW


async def test_totals_are_kept_for_each_unit(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        assert await ledger.totals(tx, Unit.DISPENSER) is None
        await ledger.note_totals(tx, seen(None, dispensed=4))
        await ledger.note_totals(tx, seen(None, dispensed=5))
        assert await ledger.totals(tx, Unit.DISPENSER) == Totals(5, 0)
        assert await ledger.totals(tx, Unit.RECYCLER) is None

    await db.transaction(work)


async def test_the_file_itself_refuses_two_cards_at_one_place(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute("UPDATE card SET place = 'transport'")

    with pytest.raises(StoreError, match="rule of the database"):
        await db.transaction(work)
