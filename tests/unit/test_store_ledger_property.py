"""Whatever is asked of the ledger, in whatever order: one place for each card, slots and cards agree, chains have no gap."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lockerd.errors import StoreError
from lockerd.model.custody import MOVES, Fault, Motion, Observation, Outcome, Place, Result, Sensor, SlotState, Unit
from lockerd.store import claims, emptying, ledger, lookups
from lockerd.store.custody_rules import SINGLE
from lockerd.store.database import Transaction
from tests.store_support import STAMP, item, opened, plan, vault

CARDS = ("N000001", "N000002", "N000003", "old-000001", "old-000002")
SLOTS = 3
cards = st.sampled_from(CARDS)
slots = st.integers(0, SLOTS - 1)


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.context = opened(Path(self.folder.name) / "lockerd.db")
        self.db = self.runner.run(self.context.__aenter__())

        async def prepare(tx: Transaction) -> None:
            await ledger.configure_slots(tx, SLOTS)
            for card in CARDS[:3]:
                await claims.put_item(tx, vault(), item(card), None, STAMP)

        self.run(prepare)

    def run(self, work: Any) -> Any:
        return self.runner.run(self.db.transaction(work))

    def try_to(self, work: Any) -> None:
        before = self.run(everything)
        try:
            self.run(work)
        except StoreError:
            assert self.run(everything) == before

    @rule()
    def insert(self) -> None:
        self.try_to(lambda tx: ledger.add_old_card(tx, None, "j", STAMP))

    @rule(card=cards, motion=st.sampled_from(sorted(MOVES)), slot=slots)
    def open(self, card: str, motion: Motion, slot: int) -> None:
        number = slot if motion in (Motion.STORE, Motion.PICK) else None
        self.try_to(lambda tx: ledger.open_intent(tx, plan(motion, number), card, "j", STAMP))

    @rule(card=cards, slot=slots)
    def open_what_fits(self, card: str, slot: int) -> None:
        async def work(tx: Transaction) -> None:
            place, own = await ledger.place_of(tx, card)
            motion = next(motion for motion in sorted(MOVES, reverse=slot > 0) if MOVES[motion][0] is place)
            number = {Motion.STORE: slot, Motion.PICK: own}.get(motion)
            await ledger.open_intent(tx, plan(motion, number), card, "j", STAMP)

        try:
            self.try_to(work)
        except (StopIteration, RuntimeError):
            return

    @rule(
        result=st.sampled_from(Result),
        place=st.sampled_from([None, *SINGLE]),
        sensed=st.booleans(),
        fault=st.sampled_from([Fault.JAM, Fault.TARGET_OCCUPIED, Fault.SLOT_EMPTY]),
    )
    def settle(self, result: Result, place: Place | None, sensed: bool, fault: Fault) -> None:
        sensors = frozenset({Sensor.SLOT}) if sensed else frozenset()
        observation = Observation(Unit.DISPENSER, 1, False, False, place, None, sensors, None, 0, 0, 0)
        outcome = Outcome(result, fault if result is Result.FAILED else None, observation)

        async def work(tx: Transaction) -> None:
            for intent in await ledger.open_intents(tx):
                await ledger.settle_intent(tx, intent, outcome, STAMP)

        self.run(work)  # an open intent can always be settled

    @rule(card=cards, place=st.sampled_from(Place), slot=st.none() | slots)
    def move(self, card: str, place: Place, slot: int | None) -> None:
        self.try_to(lambda tx: ledger.move(tx, card, place, STAMP, "seen", slot=slot))

    @rule(slot=slots)
    def block(self, slot: int) -> None:
        self.run(lambda tx: ledger.block_slot(tx, slot, "odd", STAMP))

    @rule(slot=slots)
    def unblock(self, slot: int) -> None:
        self.run(lambda tx: ledger.unblock_slot(tx, slot, "looked", STAMP))

    @rule()
    def empty_bin(self) -> None:
        self.run(lambda tx: emptying.empty_bin(tx, "li", 0, STAMP))

    @invariant()
    def slots_and_cards_agree(self) -> None:
        found, records, chains = self.run(everything)
        named = {record.card_id: record for record in records if record.card_id is not None}
        for card in found:
            if card.place is Place.SLOT:
                assert named[card.card_id].state in (SlotState.STOCKED, SlotState.BLOCKED)
            elif card.card_id in named:
                assert card.place is Place.IN_DOUBT
                assert named[card.card_id].state is SlotState.BLOCKED
            chain = chains[card.card_id]
            assert chain[0].origin is None
            assert [step.origin for step in chain[1:]] == [step.target for step in chain[:-1]]
            assert chain[-1].target is card.place
        for place in SINGLE:
            assert sum(card.place is place for card in found) <= 1

    def teardown(self) -> None:
        self.runner.run(self.context.__aexit__(None, None, None))
        self.runner.close()
        self.folder.cleanup()


async def everything(tx: Transaction) -> Any:
    found = await ledger.cards_at(tx, *Place)
    return found, await ledger.slots(tx), {card.card_id: await lookups.chain(tx, card.card_id) for card in found}


LedgerMachine.TestCase.settings = settings(
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLedger = LedgerMachine.TestCase
