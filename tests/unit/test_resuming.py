"""Which old card stands in the recycler after an interruption: told by chip, record or motion, and never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from lockerd.journey.resuming import Resume, Resuming, step_of, which_card
from lockerd.model.cards import Chip, LostReport
from lockerd.model.custody import Motion, Outcome, Place, Result
from lockerd.pickup.state import Move, Record, Stage
from lockerd.store import claims, journeys, ledger, lookups, lost
from lockerd.store.database import Database, Transaction
from lockerd.store.ledger import CardAt
from tests.store_support import STAMP, carry, item, opened, plan, vault

ADA, BEN = "990101199001010018", "990101199001010026"
OLD_1, OLD_2, NEW_NAME = "old-000001", "old-000002", "old-000003"


def card(number: int, place: Place) -> CardAt:
    return CardAt(f"old-{number:06}", place, None, "old", f"N{number:06}")


DOUBT_1, DOUBT_2 = card(1, Place.IN_DOUBT), card(2, Place.IN_DOUBT)
ESCROW_2, THROAT_1 = card(2, Place.ESCROW), card(1, Place.THROAT)

EVIDENCE = {
    "chip fits one of two in doubt": ([DOUBT_1, DOUBT_2], {OLD_1}, OLD_2, OLD_1),
    "chip is stronger than the record": ([DOUBT_1, ESCROW_2], {OLD_1}, OLD_2, OLD_1),
    "chip fits two, one of them recorded there": ([DOUBT_1, ESCROW_2], {OLD_1, OLD_2}, OLD_1, OLD_2),
    "chip fits two in doubt": ([DOUBT_1, DOUBT_2], {OLD_1, OLD_2}, OLD_2, None),
    "recorded there": ([DOUBT_1, ESCROW_2], set(), OLD_1, OLD_2),
    "recorded there and in the throat": ([THROAT_1, ESCROW_2], set(), OLD_1, OLD_2),
    "recorded in the throat": ([THROAT_1, DOUBT_2], set(), OLD_2, OLD_1),
    "two in doubt, no chip": ([DOUBT_1, DOUBT_2], set(), OLD_2, None),
    "one in doubt that was moved last": ([DOUBT_2], set(), OLD_2, OLD_2),
    "one in doubt, and another card was let in since": ([DOUBT_2], set(), None, None),
    "nothing known": ([], set(), None, None),
}


@pytest.mark.parametrize("name", EVIDENCE)
def test_which_card(name: str) -> None:
    cards, by_chip, moved_last, wanted = EVIDENCE[name]
    assert which_card(cards, Place.ESCROW, by_chip, moved_last) == wanted


STEPS = {
    (Motion.ACCEPT, Result.DONE): Stage.READING_OLD,
    (Motion.ACCEPT, Result.IN_DOUBT): Stage.DRAWING_OLD,
    (Motion.PRESENT, None): Stage.PRESENTING,
    (Motion.PRESENT, Result.DONE): Stage.AWAIT_TAKEN,
    (Motion.RESET, Result.DONE): None,
}


@pytest.mark.parametrize("last", STEPS)
def test_the_step_at_which_a_journey_stopped(last: tuple[Motion, Result | None]) -> None:
    assert step_of(last) is STEPS[last]


@dataclass
class ThroatReader:
    """Reads what lies in escrow; nothing where the reader fails."""

    id_number: str | None

    async def read(self) -> Chip | None:
        return None if self.id_number is None else Chip("测试甲", self.id_number, "20060101", "20260101", "throat")


async def doubt(tx: Transaction, person: str, claim_id: str) -> str:
    """An old card whose way into escrow ended in doubt."""
    await claims.put_item(tx, vault(), item(claim_id, id_number=person), None, STAMP)
    card_id = await ledger.add_old_card(tx, claim_id, "journey-1", STAMP)
    intent = await ledger.open_intent(tx, plan(Motion.ACCEPT), card_id, "journey-1", STAMP)
    await ledger.settle_intent(tx, intent, Outcome(Result.IN_DOUBT), STAMP)
    return card_id


async def resumed(db: Database, chip: str | None, journey: str = "journey-9") -> Resume:
    readers = cast(Any, type("Readers", (), {"throat": ThroatReader(chip)}))
    return await Resuming(db, vault(), readers, lambda: STAMP, lambda: journey).of_card_at(Place.ESCROW)


CHIPS = {
    "the first one's": (ADA, OLD_1, "N000001", True),
    "the second one's": (BEN, OLD_2, "N000002", True),
    "nobody's": ("990101199001010034", NEW_NAME, None, False),
    "unreadable": (None, NEW_NAME, None, False),
}


@pytest.mark.parametrize("chip", CHIPS)
async def test_of_two_cards_in_doubt_the_chip_names_the_one_in_escrow(tmp_path: Path, chip: str) -> None:
    id_number, named, claim_id, accepted = CHIPS[chip]
    async with opened(tmp_path / "lockerd.db") as db:
        assert await db.transaction(lambda tx: doubt(tx, ADA, "N000001")) == OLD_1
        assert await db.transaction(lambda tx: doubt(tx, BEN, "N000002")) == OLD_2
        journey = (await resumed(db, id_number)).journey
        assert (journey.old_card_id, journey.old_accepted) == (named, accepted)
        assert (journey.claim.claim_id if journey.claim else None) == claim_id
        assert journey.stage is Stage.GIVING_BACK
        places = {one: (await db.transaction(partial(ledger.place_of, card_id=one)))[0] for one in (OLD_1, OLD_2)}
        assert places == {one: Place.ESCROW if one == named else Place.IN_DOUBT for one in (OLD_1, OLD_2)}
        (link, *more) = await db.transaction(lambda tx: lookups.chain(tx, named))
        assert more or (link.origin, link.target, link.reason) == (None, Place.ESCROW, "found")


@pytest.mark.parametrize("reported", [False, True])
async def test_an_unreadable_card_that_may_be_a_lost_one_is_kept_after_a_second_interruption_too(
    tmp_path: Path, *, reported: bool
) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(lambda tx: doubt(tx, ADA, "N000001"))
        second = await db.transaction(lambda tx: doubt(tx, BEN, "N000002"))
        if reported:
            await db.transaction(lambda tx: lost.flag(tx, second, LostReport("L-7", None), "journey-1", STAMP))
        for journey in ("journey-8", "journey-9"):
            resume = await resumed(db, None, journey)
            assert resume.journey.old_card_id == NEW_NAME
            assert resume.effects[-1] == (Move(Motion.RETAIN, (Record.OLD_KEPT,)) if reported else Move(Motion.RETURN))


async def test_a_card_that_no_entry_fits_is_named_by_the_claim_that_replaces_it(tmp_path: Path) -> None:
    """Two visits of one person left two cards in doubt: which of them came back nobody knows, whose it is the chip says."""
    async with opened(tmp_path / "lockerd.db") as db:
        for _ in range(2):
            await db.transaction(lambda tx: doubt(tx, ADA, "N000001"))
        journey = (await resumed(db, ADA)).journey
        assert journey.old_card_id == NEW_NAME
        assert journey.claim is not None
        assert (journey.claim.claim_id, journey.old_accepted) == ("N000001", True)


async def test_another_card_recorded_in_the_path_comes_into_doubt(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(lambda tx: doubt(tx, ADA, "N000001"))
        other = await db.transaction(lambda tx: ledger.add_old_card(tx, None, "journey-2", STAMP))
        assert (await resumed(db, ADA)).journey.old_card_id == OLD_1
        assert await db.transaction(lambda tx: ledger.place_of(tx, other)) == (Place.IN_DOUBT, None)


async def test_a_card_let_in_after_the_last_doubt_is_not_taken_for_it(tmp_path: Path) -> None:
    async def open_shutter(tx: Transaction, result: Result) -> None:
        intent = await ledger.open_intent(tx, plan(Motion.OPEN), None, "journey-2", STAMP)
        await ledger.settle_intent(tx, intent, Outcome(result), STAMP)

    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(lambda tx: doubt(tx, ADA, "N000001"))
        for result, last in ((Result.NOT_MOVED, OLD_1), (Result.DONE, None)):
            await db.transaction(partial(open_shutter, result=result))
            assert await db.transaction(lookups.last_in_recycler) == last


@pytest.mark.parametrize("since", [(), (Motion.RETURN,)])
async def test_an_unread_card_counts_as_accepted_by_the_record_until_it_was_offered_back(
    tmp_path: Path, since: tuple[Motion, ...]
) -> None:
    async def accepted(tx: Transaction) -> None:
        await claims.put_item(tx, vault(), item("N000001", id_number=ADA), None, STAMP)
        await ledger.configure_slots(tx, 1)
        await carry(tx, Motion.LOAD, "N000001")
        await carry(tx, Motion.STORE, "N000001", 0)
        await journeys.begin(tx, "journey-1", STAMP)
        old = await ledger.add_old_card(tx, "N000001", "journey-1", STAMP)
        await carry(tx, Motion.ACCEPT, old)
        await carry(tx, Motion.PICK, "N000001", 0)
        for motion in since:
            await carry(tx, motion, old)

    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(accepted)
        journey = (await resumed(db, None)).journey
        assert (journey.old_accepted, journey.stopped) == (
            (False, Stage.AWAIT_GIVEN_BACK) if since else (True, Stage.CHECKING_NEW)
        )
