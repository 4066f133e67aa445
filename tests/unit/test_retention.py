"""History that is deleted in time: the rest is sound and provable, and the file stops growing. Real files."""

from __future__ import annotations

import json
import sqlite3
from importlib import resources
from pathlib import Path

import pytest

from lockerd.model.custody import Motion, Outcome, Place, Result
from lockerd.model.staffing import Finding, Grounds, Ruling
from lockerd.store import attempts, claims, emptying, findings, journal, journeys, ledger, lookups, messages
from lockerd.store.audit import heads
from lockerd.store.database import Database, Transaction
from lockerd.store.hashing import chained
from lockerd.store.housekeeping import Housekeeping, tidy
from lockerd.store.journal import Stamp
from lockerd.store.retention import DAY, Retention, prune
from lockerd.store.verify import verify
from tests.store_support import DONE, NOW, STAMP, carry, item, opened, plan, stamp, vault

KEPT = Retention(*(10 * DAY,) * 4)
LEFT = "N000001"  # announced and never brought


async def _prepare(tx: Transaction) -> None:
    await ledger.configure_slots(tx, 4)
    await claims.put_item(tx, vault(), item(LEFT), None, STAMP)
    await claims.put_item(tx, vault(), item("N000002"), None, STAMP)
    await ledger.move(tx, "N000002", Place.TRANSPORT, STAMP, "read")
    await carry(tx, Motion.STORE, "N000002", 3)  # and never collected
    await claims.stocked(tx, "N000002", 3, STAMP)


async def _renewal(tx: Transaction, number: int) -> None:
    """One card through the machine, with everything that it writes; the bin is emptied every seventh time."""
    now = stamp(NOW + number * DAY)
    claim, journey = f"N1{number:05}", f"j{number}"
    await claims.put_item(tx, vault(number), item(claim), None, now)
    await ledger.move(tx, claim, Place.TRANSPORT, now, "read")
    await journeys.begin(tx, journey, now)
    await journeys.attach(tx, journey, claim)
    await messages.queue(tx, vault(number), f"{claim}-1", "+8619900000001", "text")
    await messages.sent(tx, f"{claim}-1", now.wall)

    async def made(motion: Motion, card: str | None, slot: int | None = None, outcome: Outcome = DONE) -> None:
        intent = await ledger.open_intent(tx, plan(motion, slot), card, journey, now)
        await ledger.settle_intent(tx, intent, outcome, now)

    await made(Motion.STORE, claim, 0)
    await claims.stocked(tx, claim, 0, now)
    await made(Motion.ALIGN, None, 0)
    await made(Motion.PICK, claim, 0, Outcome(Result.NOT_MOVED))
    await made(Motion.PICK, claim, 0)
    await made(Motion.PRESENT, claim)
    old = await ledger.add_old_card(tx, claim, journey, now)
    await made(Motion.ACCEPT, old)
    await ledger.move(tx, claim, Place.TAKEN, now, "exit sensor")
    await claims.collected(tx, claim, now)
    await made(Motion.RETAIN, old)
    await journeys.end(tx, journey, "done", now)
    if number % 7 == 0:
        await emptying.empty_bin(tx, "li", 7, now)
    last = await journal.append(tx, "lockerd.card.taken", {"claim_id": claim}, stamp=now)
    await tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('acked_seq', ?)", (last,))


async def _live(db: Database, days: range) -> list[int]:
    """A renewal a day and a night's housekeeping after it; gives the file's pages in use, day by day."""
    pages = []
    for number in days:
        await db.transaction(lambda tx, number=number: _renewal(tx, number))  # type: ignore[misc]
        now = NOW + number * DAY
        await tidy(db, now)
        await prune(db, KEPT, now)
        row = await db.transaction(lambda tx: tx.one("SELECT * FROM pragma_page_count()"))
        assert row is not None
        pages.append(int(row[0]))
    return pages


async def test_a_file_stops_growing_and_what_is_left_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    async with opened(path) as db:
        await db.transaction(_prepare)
        pages = await _live(db, range(1, 80))
        assert max(pages[40:]) <= 1.05 * pages[40]

        async def counted(tx: Transaction) -> dict[str, int]:
            tables = ("card", "card_move", "intent", "claim", "journey", "message", "journal")
            rows = [await tx.one(f"SELECT count(*) AS n FROM {table}") for table in tables]
            return dict(zip(tables, (int(row["n"]) for row in rows if row is not None), strict=True))

        left = await db.transaction(counted)
        assert left["journey"] == left["message"] == 11
        assert left["claim"] < 30
        assert left["card"] < 60
        assert left["card_move"] + left["intent"] + left["journal"] < 400
        chain = await db.transaction(lambda tx: lookups.chain(tx, "N000002"))
        assert [(step.origin, step.target, step.slot, step.reason, step.responsible) for step in chain] == [
            (Place.SLOT, Place.SLOT, 3, "still_there", "session:journey-1")
        ]
        assert await db.transaction(lambda tx: ledger.place_of(tx, LEFT)) == (Place.TRAY, None)
    assert verify(path).wrong == ()
    _alter(path, "DELETE FROM card_move WHERE move_id = (SELECT max(move_id) - 9 FROM card_move)")
    assert any("the audit chain of card_move breaks: link" in words for words in verify(path).wrong)


def _alter(path: Path, script: str) -> None:
    raw = sqlite3.connect(path, isolation_level=None)
    raw.executescript(script)
    raw.close()


async def test_a_rewritten_anchor_is_found(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    async with opened(path) as db:
        await db.transaction(_prepare)
        await _live(db, range(1, 15))
    assert verify(path).wrong == ()
    _alter(path, "UPDATE audit_anchor SET upto = upto + 1 WHERE chain = 'card_move'")
    assert any("the audit chain of card_move breaks" in words for words in verify(path).wrong)


async def test_nothing_is_deleted_while_the_clock_may_be_wrong(tmp_path: Path) -> None:
    right = False
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(_prepare)
        await db.transaction(lambda tx: _renewal(tx, 1))
        house = Housekeeping(
            db, tmp_path / "backup", lambda: stamp(NOW + 400 * DAY), Retention(), clock_is_right=lambda: right
        )
        before = await db.transaction(heads)
        await house.tidy()
        row = await db.transaction(lambda tx: tx.one("SELECT count(*) AS n FROM journey"))
        assert row is not None
        assert row["n"] == 1
        right = True
        await house.tidy()
        row = await db.transaction(lambda tx: tx.one("SELECT count(*) AS n FROM journey"))
        assert row is not None
        assert row["n"] == 0
        after = await db.transaction(heads)
        assert after["card_move"]["upto"] > before["card_move"]["upto"]  # type: ignore[operator]
        assert after["journal"] == before["journal"]


@pytest.mark.parametrize(("boot", "gained"), [("boot-1", 0.0), ("boot-2", 3600.0)])
async def test_a_clock_that_is_set_back_makes_no_day_shorter(tmp_path: Path, boot: str, gained: float) -> None:
    """What passed since the latest time is known by the boot clock; after a restart the latest is all that is known."""
    at = [NOW]
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(lambda tx: attempts.effective_now(tx, Stamp(NOW, 12.5, "boot-1")))
        back = Stamp(NOW + 3600.0 - 7200.0, 12.5 + 3600.0, boot)
        at.append(await db.transaction(lambda tx: attempts.effective_now(tx, back)))
    assert at[1] - at[0] == 3600.0 - gained


async def test_a_time_that_the_clock_jumped_ahead_to_is_forgotten_once_the_clock_is_right(tmp_path: Path) -> None:
    right = False
    async with opened(tmp_path / "lockerd.db") as db:
        house = Housekeeping(db, tmp_path / "backup", lambda: STAMP, Retention(), clock_is_right=lambda: right)
        assert await db.transaction(lambda tx: attempts.effective_now(tx, stamp(NOW + 400 * DAY))) == NOW + 400 * DAY
        await house.tidy()
        assert await db.transaction(lambda tx: attempts.effective_now(tx, stamp(NOW))) == NOW + 400 * DAY
        right = True
        await house.tidy()
        assert await db.transaction(lambda tx: attempts.effective_now(tx, stamp(NOW))) == NOW


async def test_a_nameless_card_is_counted_in_the_retract_box_for_longer_than_history(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(_prepare)
        for number in (1, 21):
            now = stamp(NOW + number * DAY)

            async def captured(tx: Transaction, now: Stamp = now) -> None:
                intent = await ledger.open_intent(tx, plan(Motion.CAPTURE), None, "", now)
                await ledger.settle_intent(tx, intent, DONE, now)

            await db.transaction(captured)
            await _live(db, range(number, number + 20))
            assert await db.transaction(lambda tx, now=now: emptying.empty_retract(tx, "li", 1, now)) == 1  # type: ignore[misc]
        await _live(db, range(41, 53))
        row = await db.transaction(lambda tx: tx.one("SELECT count(*) AS n FROM intent WHERE card_id IS NULL"))
        assert row is not None
        assert row["n"] == 11, "only the turns of what is kept"


@pytest.mark.parametrize(("since", "ruling"), [(False, Ruling.DECIDED), (True, Ruling.AWAITS)])
async def test_what_one_person_found_outlives_a_place_that_is_only_restated(
    tmp_path: Path, ruling: Ruling, *, since: bool
) -> None:
    found = Finding("N000002", Place.SLOT, 3, Grounds.SEEN)
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(_prepare)
        await db.transaction(lambda tx: ledger.move(tx, "N000002", Place.IN_DOUBT, STAMP, "not seen"))
        assert await db.transaction(lambda tx: findings.find(tx, found, "li", STAMP)) is Ruling.AWAITS
        if since:
            await db.transaction(lambda tx: ledger.move(tx, "N000002", Place.SLOT, STAMP, "slot sensor", slot=3))
            await db.transaction(lambda tx: ledger.move(tx, "N000002", Place.IN_DOUBT, STAMP, "not seen"))
        await _live(db, range(1, 25))
        (link,) = await db.transaction(lambda tx: lookups.chain(tx, "N000002"))
        assert link.reason == "still_there"
        assert await db.transaction(lambda tx: findings.find(tx, found, "wang", stamp(NOW + 25 * DAY))) is ruling


async def test_what_was_written_by_a_clock_that_was_ahead_does_not_wait_for_its_time(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(_prepare)

        async def ahead(tx: Transaction) -> None:
            await claims.put_item(tx, vault(), item("N000777"), None, STAMP)
            await claims.withdraw(tx, "N000777", stamp(NOW + 400 * DAY))
            await messages.queue(tx, vault(), "N000777-1", "+8619900000001", "text")
            await messages.failed(tx, "N000777-1", NOW + 400 * DAY)

        await db.transaction(ahead)
        house = Housekeeping(
            db, tmp_path / "backup", lambda: stamp(NOW + DAY), Retention(), clock_is_right=lambda: True
        )
        assert await db.read(lambda tx: messages.next_due(tx, vault(), NOW + DAY)) is None
        await house.tidy()
        assert await db.read(lambda tx: messages.next_due(tx, vault(), NOW + DAY)) is not None
        assert await tidy(db, NOW + 2 * DAY) == 1, "its personal data is erased"


async def test_the_office_is_told_every_night_how_far_the_chain_reaches(tmp_path: Path) -> None:
    path, wall = tmp_path / "lockerd.db", [NOW]
    async with opened(path) as db:
        await db.transaction(_prepare)
        house = Housekeeping(db, tmp_path / "backup", lambda: stamp(wall[0]), Retention(), lambda: True)
        await house.care()
        wall[0] += DAY
        reached = await db.transaction(heads)
        await house.care()
        told = await db.transaction(
            lambda tx: tx.all("SELECT data FROM journal WHERE type = 'lockerd.audit.checkpoint'")
        )
        assert [json.loads(row["data"]) for row in told] == [reached]
    assert verify(path).wrong == ()
    forged = chained(bytes(32), 1, "N000001", None, "tray", None, "announced", None, None, NOW + 1, "office")
    _alter(path, f"UPDATE card_move SET wall = wall + 1, hash = x'{forged.hex()}' WHERE move_id = 1")
    assert any("the audit chain of card_move breaks at link 2" in words for words in verify(path).wrong)
    _alter(path, f"UPDATE card_move SET hash = x'{forged.hex()}' WHERE move_id = {reached['card_move']['upto']}")
    assert any("is not the one that checkpoint" in words for words in verify(path).wrong)


@pytest.mark.parametrize("emptied", [False, True])
async def test_a_database_of_the_first_schema_gets_its_chain(tmp_path: Path, emptied: bool) -> None:
    """What the first version wrote, and one whose events the office has all had and that were deleted."""
    path = tmp_path / "lockerd.db"
    first = (resources.files("lockerd.store") / "migrations" / "0001_first.sql").read_text()
    raw = sqlite3.connect(path, isolation_level=None)
    raw.executescript(
        first
        + """
        PRAGMA user_version = 1;
        INSERT INTO meta VALUES ('epoch', '00'), ('last_seq', 7), ('acked_seq', 5);
        INSERT INTO journal VALUES (6, 'lockerd.a', '{}', 1.5, 2.5, 'b'), (7, 'lockerd.b', '{"x":"é"}', 1e17, 2, 'b');
        INSERT INTO slot VALUES (0, 'free', NULL, NULL, 0);
        INSERT INTO card VALUES ('old-000001', 'old', NULL, 'taken', 0);
        INSERT INTO meta VALUES ('last_old_card', 1);
        INSERT INTO card_move VALUES (1, 'old-000001', NULL, 'throat', NULL, 'inserted', NULL, 'j1', 3),
            (2, 'old-000001', 'throat', 'taken', NULL, 'throat sensor clear', NULL, NULL, 4.25);
        """
    )
    if emptied:
        raw.executescript("DELETE FROM journal; UPDATE meta SET value = 7 WHERE key = 'acked_seq'")
    raw.close()
    async with opened(path) as db:
        assert await db.transaction(lambda tx: journal.append(tx, "lockerd.c", {}, stamp=STAMP)) == 8
        chain = await db.transaction(lambda tx: lookups.chain(tx, "old-000001"))
        assert [step.responsible for step in chain] == ["session:j1", "machine:"]
        assert await db.transaction(lambda tx: ledger.add_old_card(tx, None, "j2", STAMP)) == "old-000002"
    assert verify(path).wrong == ()
