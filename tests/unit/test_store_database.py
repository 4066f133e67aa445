from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from lockerd.errors import DiskFull, StoreError
from lockerd.store import database, journal
from lockerd.store.database import Database, News, Transaction
from tests.store_support import keys, opened, put, refused


async def test_settings_that_make_commits_durable(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    async with opened(path) as db:

        async def read(tx: Transaction) -> dict[str, object]:
            names = (
                "journal_mode",
                "synchronous",
                "foreign_keys",
                "secure_delete",
                "wal_autocheckpoint",
                "busy_timeout",
            )
            return {name: (await tx.all(f"PRAGMA {name}"))[0][0] for name in names}

        assert await db.transaction(read) == {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "secure_delete": 1,
            "wal_autocheckpoint": 1000,
            "busy_timeout": 5000,
        }
        for name in ("lockerd.db", "lockerd.db-wal"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


async def test_epoch_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    async with opened(path) as db:
        first = await db.transaction(journal.epoch)
    async with opened(path) as db:
        assert await db.transaction(journal.epoch) == first
    assert first == random.Random(7).randbytes(8).hex()


async def test_closing_leaves_no_log(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(lambda tx: put(tx, "a"))
    assert not (tmp_path / "lockerd.db-wal").exists()
    with pytest.raises(StoreError, match="closed"):
        await db.transaction(lambda tx: put(tx, "b"))


async def test_closing_writes_back_although_somebody_reads(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    async with opened(path) as db:
        await db.transaction(lambda tx: put(tx, "a"))
        reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        reader.execute("SELECT count(*) FROM meta").fetchall()
    assert (tmp_path / "lockerd.db-wal").stat().st_size == 0
    reader.close()


async def test_an_exception_rolls_back_its_own_transaction_only(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:

        async def fails(tx: Transaction) -> None:
            await put(tx, "bad")
            raise KeyError("reason")

        results = await asyncio.gather(
            db.transaction(lambda tx: put(tx, "before")),
            db.transaction(fails),
            db.transaction(lambda tx: put(tx, "after")),
            return_exceptions=True,
        )
        assert isinstance(results[1], KeyError)
        assert await keys(db) == {"before", "after"}


async def test_what_goes_along_is_part_of_the_next_transaction_that_succeeds(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:

        async def fails(tx: Transaction) -> None:
            assert await tx.one("SELECT 1 FROM meta WHERE key = 'along'") is not None, "it goes first"
            raise KeyError

        db.along(lambda tx: put(tx, "along"))
        with pytest.raises(KeyError):
            await db.transaction(fails)
        assert "along" not in {row["key"] for row in await db.read(lambda tx: tx.all("SELECT key FROM meta"))}
        await db.transaction(lambda tx: put(tx, "with it"))
        assert await keys(db) == {"along", "with it"}


async def test_what_goes_along_goes_alone_in_time_and_before_a_clean_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        db.along(lambda tx: put(tx, "at the end"))
    monkeypatch.setattr(database, "ALONG_SECONDS", 0.0)
    async with opened(tmp_path / "lockerd.db") as db, asyncio.timeout(10):

        async def alone(tx: Transaction) -> None:
            await put(tx, "alone")
            tx.announce(News.EVENT)

        assert await keys(db) == {"at the end"}
        db.along(alone)
        await db.more(News.EVENT, 0)
        assert await keys(db) == {"at the end", "alone"}


async def test_what_cannot_go_along_fails_one_transaction_only(tmp_path: Path) -> None:
    async def cannot(tx: Transaction) -> None:
        await tx.execute("INSERT INTO nowhere VALUES (1)")

    async with opened(tmp_path / "lockerd.db") as db:
        db.along(cannot)
        db.along(lambda tx: put(tx, "along"))
        with pytest.raises(StoreError, match="nowhere"):
            await db.transaction(lambda tx: put(tx, "a"))
        await db.transaction(lambda tx: put(tx, "b"))
        assert await keys(db) == {"along", "b"}


async def test_what_comes_while_the_same_goes_along_goes_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        value = 1

        async def keep(tx: Transaction) -> None:
            await tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('kept', ?)", (value,))

        async def meanwhile(_tx: Transaction) -> None:
            nonlocal value
            value = 2
            db.along(keep)

        db.along(keep)
        db.along(keep)
        await db.transaction(meanwhile)
        await db.transaction(lambda tx: put(tx, "a"))
        row = await db.read(lambda tx: tx.one("SELECT value FROM meta WHERE key = 'kept'"))
        assert row is not None
        assert row["value"] == 2


async def test_what_the_disk_failed_goes_along_with_the_next(tmp_path: Path) -> None:
    failed = sqlite3.OperationalError("disk I/O error")
    failed.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
    failures = [failed]

    async def outcome(tx: Transaction) -> None:
        if failures:
            raise StoreError("the disk failed") from failures.pop()
        await put(tx, "outcome")

    async with opened(tmp_path / "lockerd.db") as db:
        db.along(outcome)
        with pytest.raises(StoreError, match="the disk failed"):
            await db.transaction(lambda tx: put(tx, "a"))
        await db.transaction(lambda tx: put(tx, "b"))
        assert await keys(db) == {"outcome", "b"}


async def test_a_clean_end_writes_all_but_what_cannot_be_written(tmp_path: Path) -> None:
    async def cannot(tx: Transaction) -> None:
        await tx.execute("INSERT INTO nowhere VALUES (1)")

    async with opened(tmp_path / "lockerd.db") as db:
        db.along(lambda tx: put(tx, "before"))
        db.along(cannot)
        db.along(lambda tx: put(tx, "after"))
    async with opened(tmp_path / "lockerd.db") as db:
        assert await keys(db) == {"before", "after"}


async def test_what_goes_alone_is_tried_again_without_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "ALONG_SECONDS", 0.0)

    async def cannot(tx: Transaction) -> None:
        await tx.execute("INSERT INTO nowhere VALUES (1)")

    async def can(tx: Transaction) -> None:
        await put(tx, "alone")
        tx.announce(News.EVENT)

    async with opened(tmp_path / "lockerd.db") as db, asyncio.timeout(10):
        db.along(cannot)
        db.along(can)
        await db.more(News.EVENT, 0)
        assert await keys(db) == {"alone"}


async def test_where_there_is_no_room_to_go_alone_the_owner_ends_and_nothing_gathers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "ALONG_SECONDS", 0.0)
    db = Database(tmp_path / "lockerd.db", entropy=random.Random(7).randbytes)
    owner = asyncio.create_task(db.run())
    await db.ready()
    db.along(too_much)
    with pytest.raises(DiskFull):
        async with asyncio.timeout(10):
            await owner
    with pytest.raises(DiskFull):
        await db.transaction(lambda tx: put(tx, "more"))


async def test_a_cancelled_caller_leaves_a_whole_transaction(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def halfway(tx: Transaction) -> None:
            await put(tx, "first")
            reached.set()
            await go_on.wait()
            await put(tx, "second")

        caller = asyncio.create_task(db.transaction(halfway))
        await reached.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        go_on.set()
        await db.transaction(lambda tx: put(tx, "next"))
        assert await keys(db) == {"first", "second", "next"}


async def test_an_exception_nobody_waits_for_is_not_left_over(tmp_path: Path) -> None:
    seen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: seen.append(context))
    async with opened(tmp_path / "lockerd.db") as db:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def fails(_tx: Transaction) -> None:
            reached.set()
            await go_on.wait()
            raise KeyError("reason")

        caller = asyncio.create_task(db.transaction(fails))
        await reached.wait()
        caller.cancel()
        go_on.set()
        with suppress(asyncio.CancelledError):
            await caller
        assert await keys(db) == set()
    del caller
    assert seen == []


async def test_cancellation_inside_the_work_rolls_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:

        async def cancelled(tx: Transaction) -> None:
            await put(tx, "bad")
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await db.transaction(cancelled)
        assert await keys(db) == set()


async def test_a_cancelled_owner_finishes_what_is_in_hand_and_refuses_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    db = Database(path, entropy=os.urandom)
    owner = asyncio.create_task(db.run())
    await db.ready()
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def halfway(tx: Transaction) -> str:
        await put(tx, "first")
        reached.set()
        await go_on.wait()
        await put(tx, "second")
        return "committed"

    in_hand = asyncio.create_task(db.transaction(halfway))
    await reached.wait()
    queued = asyncio.create_task(db.transaction(lambda tx: put(tx, "queued")))
    owner.cancel()
    await asyncio.sleep(0)
    owner.cancel()  # an impatient parent
    go_on.set()
    assert await in_hand == "committed"
    with pytest.raises(StoreError, match="closed"):
        await queued
    with pytest.raises(asyncio.CancelledError):
        await owner
    async with opened(path) as again:
        assert await keys(again) == {"first", "second"}


async def test_a_transaction_within_a_transaction_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:

        async def nested(_tx: Transaction) -> None:
            await db.transaction(lambda tx: put(tx, "a"))

        with pytest.raises(StoreError, match="within a transaction"):
            await db.transaction(nested)


async def test_a_transaction_is_of_no_use_after_its_end(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:

        async def leak(tx: Transaction) -> Transaction:
            return tx

        tx = await db.transaction(leak)
        with pytest.raises(StoreError, match="after the end"):
            await put(tx, "a")


async def test_a_swallowed_database_error_spoils_the_transaction(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:

        async def swallows(tx: Transaction) -> None:
            await put(tx, "a")
            with suppress(StoreError):
                await put(tx, "a")

        with pytest.raises(StoreError, match="already failed"):
            await db.transaction(swallows)
        assert await keys(db) == set()


async def too_much(tx: Transaction) -> None:
    """Fill the disk."""
    pages = (await tx.all("PRAGMA page_count"))[0][0]
    await tx.execute(f"PRAGMA max_page_count = {pages + 2}")
    await put(tx, "small")
    await tx.execute("INSERT INTO meta (key, value) VALUES ('big', zeroblob(100000))")


async def test_a_full_disk_is_named_and_leaves_the_owner_alive(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        with pytest.raises(StoreError, match="disk is full"):
            await db.transaction(too_much)
        assert await keys(db) == set()
        await db.transaction(lambda tx: put(tx, "small"))
        assert await keys(db) == {"small"}


async def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    async with opened(path) as db:
        assert "in use" in await refused(path)
        await db.transaction(lambda tx: put(tx, "a"))
        assert await keys(db) == {"a"}


async def test_a_lock_of_another_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lockerd.db"
    monkeypatch.setattr("lockerd.store.opening._SETTINGS", ("PRAGMA busy_timeout = 1",))
    async with opened(path) as db:
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked by another program"):
                await db.transaction(lambda tx: put(tx, "a"))
        finally:
            other.close()
        await db.transaction(lambda tx: put(tx, "b"))
        assert await keys(db) == {"b"}


async def test_a_read_that_changes_something_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(lambda tx: put(tx, "a"))

        async def look(tx: Transaction) -> int:
            return len(await tx.all("SELECT * FROM meta WHERE key = 'a'"))

        assert await db.read(look) == 1
        with pytest.raises(StoreError, match="only to read"):
            await db.read(lambda tx: put(tx, "b"))


async def test_only_a_durable_transaction_wakes_who_waits_for_its_news(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        waiting = asyncio.create_task(db.more(News.MESSAGE, db.heard(News.MESSAGE)))

        async def announces(tx: Transaction, key: str, *, fails: bool) -> None:
            tx.announce(News.MESSAGE)
            await put(tx, key)
            if fails:
                raise StoreError("on purpose")

        with pytest.raises(StoreError, match="on purpose"):
            await db.transaction(lambda tx: announces(tx, "a", fails=True))
        await db.transaction(lambda tx: put(tx, "b"))
        assert not waiting.done()
        await db.transaction(lambda tx: announces(tx, "c", fails=False))
        async with asyncio.timeout(60):
            await waiting
        assert (db.heard(News.MESSAGE), db.heard(News.EVENT)) == (1, 0)
