from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lockerd.errors import StoreError
from lockerd.store import journal, journeys
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import JournalOutbox, JournalPosition, JournalRow, Stamper
from lockerd.store.retention import Retention, prune
from tests.store_support import NOW, STAMP, opened, stamp

KEPT = 90 * 86400.0


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path / "lockerd.db") as database:
        yield database


def envelope(row: JournalRow) -> bytes:
    return f"{row.seq} {row.type} {row.data.decode()} {row.stamp.wall} {row.stamp.boot_id}".encode()


async def write(db: Database, count: int, wall: float = NOW) -> None:
    async def work(tx: Transaction) -> None:
        for _ in range(count):
            await journal.append(tx, "lockerd.card.taken", {"card": "N000001"}, stamp=stamp(wall))

    await db.transaction(work)


async def seqs(outbox: JournalOutbox, limit: int = 100) -> list[int]:
    return [seq for seq, _ in await outbox.pending(limit)]


async def test_events_are_numbered_without_gaps(db: Database) -> None:
    await write(db, 2)

    async def fails(tx: Transaction) -> None:
        assert await journal.append(tx, "lockerd.card.taken", {}, stamp=STAMP) == 3
        raise KeyError

    with pytest.raises(KeyError):
        await db.transaction(fails)
    await write(db, 1)
    outbox = JournalOutbox(db, envelope)
    assert await seqs(outbox) == [1, 2, 3]
    assert (await outbox.pending(1))[0] == (1, b'1 lockerd.card.taken {"card":"N000001"} %r boot-1' % NOW)


async def test_acknowledged_events_are_not_sent_again(db: Database) -> None:
    outbox = JournalOutbox(db, envelope)
    await write(db, 5)
    assert await seqs(outbox, 2) == [1, 2]
    await outbox.acknowledge(3)
    await outbox.acknowledge(2)
    assert await seqs(outbox) == [4, 5]
    with pytest.raises(StoreError, match="event 6, which this machine never wrote"):
        await outbox.acknowledge(6)


async def pruned(db: Database, now: float) -> None:
    await prune(db, Retention(events=KEPT), now)


async def test_old_acknowledged_events_are_thrown_away_only(db: Database) -> None:
    outbox = JournalOutbox(db, envelope)
    await write(db, 3)
    await write(db, 2, NOW + 10)
    await outbox.acknowledge(2)
    await pruned(db, NOW + KEPT)
    assert (await outbox.position()).oldest_retained == 1
    await pruned(db, NOW + KEPT + 1)
    assert await outbox.position() == JournalPosition((await outbox.position()).epoch, 5, 3, 2)
    await outbox.acknowledge(5)
    await pruned(db, NOW + 2 * KEPT)
    assert (await outbox.position()).oldest_retained == 6
    await write(db, 1)
    assert await seqs(outbox) == [6]


async def test_an_office_restored_from_a_backup_gets_events_again(db: Database) -> None:
    outbox = JournalOutbox(db, envelope)
    await write(db, 5)
    await outbox.acknowledge(5)
    await outbox.rewind(2)
    assert await seqs(outbox) == [3, 4, 5]
    await outbox.rewind(4)
    assert await seqs(outbox) == [3, 4, 5]
    await outbox.acknowledge(4)
    await pruned(db, NOW + 2 * KEPT)
    for seq in (3, 6):
        with pytest.raises(StoreError, match="held are 5 to 5"):
            await outbox.rewind(seq)


async def test_the_down_cursor_is_kept(db: Database) -> None:
    assert await db.transaction(journal.load_down_cursor) == 0
    await db.transaction(lambda tx: journal.save_down_cursor(tx, 17))
    await db.transaction(lambda tx: journal.save_down_cursor(tx, 18))
    assert await db.transaction(journal.load_down_cursor) == 18


def test_a_stamper_takes_its_clocks() -> None:
    class Clock:
        def now(self) -> float:
            return NOW

    assert Stamper(Clock(), lambda: 12.5, "boot-1").now() == STAMP


# --- journeys


async def test_a_journey_and_its_ticket(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await journeys.begin(tx, "j1", STAMP)
        await journeys.begin(tx, "j2", stamp(NOW + 1))
        assert await journeys.unfinished(tx) == ["j1", "j2"]
        assert await journeys.issue_ticket(tx, "j1", "jam", STAMP) == "A-0001"
        assert await journeys.issue_ticket(tx, "j1", "jam", STAMP) == "A-0001"
        assert await journeys.issue_ticket(tx, "j2", "jam", STAMP) == "A-0002"
        await journeys.end(tx, "j1", "jam", STAMP)
        assert await journeys.unfinished(tx) == ["j2"]
        rows = await tx.all("SELECT data FROM journal WHERE type = 'lockerd.ticket.issued'")
        assert [json.loads(row["data"])["ticket"] for row in rows] == ["A-0001", "A-0002"]

    await db.transaction(work)
    for refused in (
        lambda tx: journeys.end(tx, "j1", "again", STAMP),
        lambda tx: journeys.attach(tx, "j9", "N000001"),
        lambda tx: journeys.issue_ticket(tx, "j9", "jam", STAMP),
        lambda tx: journeys.begin(tx, "j1", STAMP),
    ):
        with pytest.raises(StoreError):
            await db.transaction(refused)


@pytest.mark.parametrize(
    ("number", "name"), [(1, "A-0001"), (9999, "A-9999"), (10_000, "B-0000"), (80_000, "J-0000"), (240_001, "A-0001")]
)
def test_ticket_names(number: int, name: str) -> None:
    assert journeys.ticket_name(number) == name
