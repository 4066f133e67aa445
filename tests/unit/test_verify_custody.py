"""`lockerd verify` as an auditor: who is responsible, lost cards, totals, codes, and chains that were cut off at their end."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sqlite3
from pathlib import Path

import pytest

from lockerd.model.cards import LostReport
from lockerd.model.custody import Motion, Observation, Order, Place, Plan, Unit
from lockerd.store import claims, codes, journal, ledger, lost
from lockerd.store.database import Transaction
from lockerd.store.journal import Stamp
from lockerd.store.verify import verify
from tests.store_support import DONE, RECYCLER, STAMP, item, opened, vault

OFFERED, FLAGGED, KEPT, GONE = "N000001", "old-000001", "old-000002", "N000002"


async def _carried(tx: Transaction, seq: int, motion: Motion, card_id: str, slot: int | None = None) -> None:
    unit = Unit.RECYCLER if motion in RECYCLER else Unit.DISPENSER
    plan = Plan(Order(unit, motion, slot), f"77:{seq}:1:0")
    intent = await ledger.open_intent(tx, plan, card_id, "journey-1", STAMP)
    await ledger.settle_intent(tx, intent, DONE, STAMP)


def _counted(unit: Unit, dispensed: int, retained: int) -> Observation:
    return Observation(unit, 77, False, False, None, None, frozenset(), None, dispensed, retained, 0)


async def _history(tx: Transaction) -> None:
    """One card was collected, one is offered at the exit; of two old cards in the bin one was reported lost."""
    numbers = itertools.count(1)
    await ledger.configure_slots(tx, 3)
    for slot, claim_id in enumerate((OFFERED, GONE)):
        await claims.put_item(tx, vault(), item(claim_id), None, STAMP)
        await ledger.move(tx, claim_id, Place.TRANSPORT, STAMP, "read")
        await _carried(tx, next(numbers), Motion.STORE, claim_id, slot)
        await claims.stocked(tx, claim_id, slot, STAMP)
        await codes.issue(tx, vault(), claim_id, "12345678", STAMP.wall + 1)
    await codes.consume(tx, GONE, STAMP)
    await _carried(tx, next(numbers), Motion.PICK, GONE, 1)
    await _carried(tx, next(numbers), Motion.PRESENT, GONE)
    await ledger.move(tx, GONE, Place.TAKEN, STAMP, "exit sensor and total", journey_id="journey-1")
    await claims.collected(tx, GONE, STAMP)
    await journal.append(tx, "lockerd.card.taken", {"claim_id": GONE, "card_id": GONE}, stamp=STAMP)
    for number, card_id in enumerate((FLAGGED, KEPT)):
        assert await ledger.add_old_card(tx, None, "journey-1", STAMP) == card_id
        await _carried(tx, 2 * number + 1, Motion.ACCEPT, card_id)
        if card_id == FLAGGED:
            await lost.flag(tx, card_id, LostReport("L-7", None), "journey-1", STAMP)
        await _carried(tx, 2 * number + 2, Motion.RETAIN, card_id)
    await codes.consume(tx, OFFERED, STAMP)
    await _carried(tx, next(numbers), Motion.PICK, OFFERED, 0)
    await _carried(tx, next(numbers), Motion.PRESENT, OFFERED)
    await ledger.note_totals(tx, _counted(Unit.DISPENSER, 1, 0))
    await ledger.note_totals(tx, _counted(Unit.RECYCLER, 0, 2))
    await journal.append(tx, "lockerd.machine.started", {}, stamp=STAMP)


async def _made(path: Path) -> None:
    async with opened(path) as db:
        await db.transaction(_history)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audited") / "lockerd.db"
    asyncio.run(_made(path))
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "lockerd.db"))


def altered(path: Path, script: str) -> tuple[str, ...]:
    raw = sqlite3.connect(path, isolation_level=None)
    raw.executescript(script)
    raw.close()
    return verify(path).wrong


def test_it_is_sound_and_says_who_holds_the_lost_card(path: Path) -> None:
    report = verify(path)
    assert report.wrong == report.remedies == ()
    assert (
        f"card {FLAGGED} was reported lost (L-7): it is held at bin, and session:journey-1 is responsible"
        in report.unsettled
    )


LAST = "(SELECT max(move_id) FROM card_move)"
MOVED = "(SELECT max(seq) FROM journal WHERE type = 'lockerd.card.moved')"
FLAG = "(SELECT seq FROM journal WHERE type = 'lockerd.old.reported_lost')"
LINK = "INSERT INTO card_move (card_id, origin, target, reason, wall, responsible, journey_id) VALUES"
BROKEN = {
    # who is responsible, and changes of place that nothing explains
    f"UPDATE card_move SET responsible = '' WHERE move_id = {LAST}": "is on nobody, and of journey journey-1",
    f"UPDATE card_move SET responsible = 'staff:li' WHERE move_id = {LAST}": "is on staff:li, and of journey journey-1",
    f"UPDATE intent SET journey_id = 'other' WHERE card_id = '{OFFERED}'": "but its motion was ordered by other",
    f"{LINK} ('{KEPT}', 'bin', 'removed', '', 0, 'session:1', '1')": "was removed by session:1, and only staff can",
    f"{LINK} ('{GONE}', 'taken', 'in_doubt', '', 0, 'machine:1', NULL)": "came into doubt at taken, outside the machine",
    f"{LINK} ('{OFFERED}', 'exit', 'retract', '', 0, 'machine:1', NULL)": "came from exit to retract without a motion",
    f"{LINK} ('{KEPT}', 'in_doubt', 'taken', 'found by two people', 0, 'staff:li', 'staff:li')": (
        "its doubt was ended by staff:li, and it takes two people"
    ),
    # lost cards
    f"UPDATE card SET place = 'taken' WHERE card_id = '{FLAGGED}'": "recorded as given back after that: at taken",
    f"UPDATE intent SET motion = 'return' WHERE card_id = '{FLAGGED}' AND motion = 'retain';"
    f" UPDATE intent SET motion = 'retain' WHERE card_id = '{FLAGGED}' AND motion = 'accept'": "was to give it back",
    f'UPDATE journal SET data = \'{{"card_id":"{FLAGGED}","place":"throat","reason":"return"}}\''
    f" WHERE seq = (SELECT min(seq) FROM journal WHERE type = 'lockerd.card.moved' AND seq > {FLAG})": (
        "recorded as given back after that: at throat"
    ),
    f"UPDATE journal SET type = 'lockerd.lost.reported' WHERE seq = {FLAG}": "but the office was never told",
    f"UPDATE card SET lost_report = NULL WHERE card_id = '{FLAGGED}'": "reported lost (L-7), but it is not flagged",
    f"UPDATE card SET lost_report = 'L-8' WHERE card_id = '{FLAGGED}'": "but the office was told of report L-7",
    f"UPDATE card SET lost_report = 'L-8' WHERE card_id = '{OFFERED}'": "but is a new card",
    f"INSERT INTO journal (seq, type, data, wall, mono, boot_id) SELECT 99, type, data, 0, 0, '' FROM journal WHERE seq = {FLAG}": (
        f"told twice that card {FLAGGED} was reported lost"
    ),
    # totals
    "UPDATE unit_total SET dispensed = 0": "the dispenser has counted 0 cards as taken, but 1 are recorded",
    "UPDATE unit_total SET retained = 1": "the recycler has counted 1 cards as kept, but 2 are recorded",
    # codes
    "UPDATE code SET consumed = NULL": f"card {OFFERED} is offered (recorded at exit), but its code still opens",
    "INSERT INTO journal (seq, type, data, wall, mono, boot_id)"
    " SELECT 99, type, data, 0, 0, '' FROM journal WHERE type = 'lockerd.card.taken'": f"2 times that the card of claim {GONE}",
    # ends that were cut off, with all that would tell
    f"UPDATE card SET place = 'transport' WHERE card_id = '{OFFERED}'; DELETE FROM card_move WHERE move_id = {LAST}": (
        f"tells of card {OFFERED} at exit: one of them was changed, or is missing"
    ),
    f"DELETE FROM journal WHERE seq >= {MOVED}; UPDATE meta SET value = (SELECT max(seq) FROM journal) WHERE key = 'last_seq'": (
        f"has card {OFFERED} at exit, and its event"
    ),
    "DELETE FROM card_move": "and no link of custody does",
    "DELETE FROM journal WHERE type = 'lockerd.card.moved'": "was never told to the office",
}


@pytest.mark.parametrize(("script", "words"), BROKEN.items(), ids=lambda value: value[-60:])
def test_a_broken_invariant_is_named(path: Path, script: str, words: str) -> None:
    found = altered(path, script)
    assert any(words in line for line in found), found


def test_another_board_counts_and_numbers_anew_and_that_is_not_wrong(path: Path) -> None:
    script = "UPDATE unit_total SET dispensed = 0, retained = 0;"
    script += " UPDATE intent SET token = '78:1:1:0' WHERE motion IN ('present', 'retain')"
    assert altered(path, script) == ()


async def test_a_code_that_was_made_anew_while_its_card_is_offered_is_not_wrong(path: Path) -> None:
    async with opened(path) as db:

        async def again(tx: Transaction) -> None:
            await codes.issue(tx, vault(), OFFERED, "87654321", STAMP.wall + 1)
            stamp = Stamp(STAMP.wall + 1, 1.0, "boot-1")
            await journal.append(tx, "lockerd.code.reissued", {"claim_id": OFFERED}, stamp=stamp)

        await db.transaction(again)
    assert verify(path).wrong == ()


async def test_what_two_people_decide_of_a_lost_card_and_what_hands_do_is_not_wrong(path: Path) -> None:
    async with opened(path) as db:

        async def decided(tx: Transaction) -> None:
            await ledger.move(tx, FLAGGED, Place.IN_DOUBT, STAMP, "not seen")
            both = "staff:li+wang"
            await ledger.move(tx, FLAGGED, Place.TAKEN, STAMP, "found by two people", journey_id=both)
            await ledger.move(tx, OFFERED, Place.REMOVED, STAMP, "taken out", journey_id="staff:li")

        await db.transaction(decided)
    report = verify(path)
    assert report.wrong == ()
    assert not any("was reported lost" in words for words in report.unsettled)


async def test_a_lost_card_is_not_given_back_by_a_sensor_of_the_throat(path: Path) -> None:
    """It may be stuck; a hand that takes the card is another matter."""
    async with opened(path) as db:

        async def seen(tx: Transaction) -> None:
            await ledger.move(tx, FLAGGED, Place.IN_DOUBT, STAMP, "retain")
            await ledger.move(tx, FLAGGED, Place.THROAT, STAMP, "sensor after an interruption")

        await db.transaction(seen)
    assert verify(path).wrong == ()
    async with opened(path) as db:
        await db.transaction(lambda tx: ledger.move(tx, FLAGGED, Place.TAKEN, STAMP, "throat sensor clear"))
    assert any("recorded as given back after that: at taken" in words for words in verify(path).wrong)
