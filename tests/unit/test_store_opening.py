"""Which files the owner of the database refuses to open, in which words, and how a schema of before is brought up to date."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from lockerd.store import codes, opening
from lockerd.store.database import Transaction
from tests.store_support import opened, put, refused


@pytest.mark.parametrize("content", [b"this is not a database" * 100, b"\0" * 8192])
async def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lockerd.db"
    path.write_bytes(content)
    assert "damaged" in await refused(path)
    assert path.read_bytes() == content


async def test_a_damaged_page_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    async with opened(path) as db:

        async def fill(tx: Transaction) -> None:
            for number in range(500):
                await put(tx, f"{number:0100}")

        await db.transaction(fill)
    content = bytearray(path.read_bytes())
    for offset in range(4096 * 2, len(content), 4096):
        content[offset : offset + 64] = random.Random(offset).randbytes(64)
    path.write_bytes(content)
    assert "keep the damaged copy with its -wal" in await refused(path)
    assert path.read_bytes() == content


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    async with opened(path):
        pass
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 9999")
    other.close()
    assert "9999" in await refused(path)


async def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (a)")
    other.close()
    assert "another program" in await refused(path)


async def test_a_log_without_its_database_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "lockerd.db-wal").write_bytes(b"acknowledged commits")
    assert "missing" in await refused(tmp_path / "lockerd.db")
    assert (tmp_path / "lockerd.db-wal").read_bytes() == b"acknowledged commits"


async def test_an_emptied_file_is_no_reason_to_begin_a_fresh_one(tmp_path: Path) -> None:
    path, log = tmp_path / "lockerd.db", tmp_path / "lockerd.db-wal"
    async with opened(path) as db:
        await db.transaction(lambda tx: put(tx, "a"))
        acknowledged = log.read_bytes()
    path.write_bytes(b"")
    log.write_bytes(acknowledged)
    assert "is empty but its log" in await refused(path)
    assert log.read_bytes() == acknowledged
    log.unlink()
    (tmp_path / "lockerd.db.corrupt-20260101T000000.000000Z").write_bytes(b"")
    assert "is set aside" in await refused(path)


@pytest.mark.parametrize("empty", [False, True])
async def test_no_fresh_one_is_begun_beside_backups(tmp_path: Path, empty: bool) -> None:
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "lockerd-20260101T000000Z.db").write_bytes(b"")
    if empty:
        (tmp_path / "lockerd.db").write_bytes(b"")
    assert "restore the newest" in await refused(tmp_path / "lockerd.db")


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert "state directory" in await refused(tmp_path / "none" / "lockerd.db")


async def test_a_failing_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lockerd.db"
    async with opened(path):
        pass
    scripts = [*opening._migrations(), "CREATE TABLE halfway (a INTEGER) STRICT; SELECT no_such_function();"]
    with monkeypatch.context() as patched:
        patched.setattr("lockerd.store.opening._migrations", lambda: scripts)
        assert "no_such_function" in await refused(path)
    async with opened(path) as db:

        async def tables(tx: Transaction) -> set[str]:
            return {row["name"] for row in await tx.all("SELECT name FROM sqlite_schema")}

        assert "halfway" not in await db.transaction(tables)


async def test_codes_of_the_first_schema_become_pickup_codes_that_are_to_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lockerd.db"
    first = opening._migrations()[:1]
    with monkeypatch.context() as patched:
        patched.setattr("lockerd.store.opening._migrations", lambda: first)
        async with opened(path) as db:

            async def before(tx: Transaction) -> None:
                await tx.execute(
                    "INSERT INTO claim (claim_id, kind, state, since) VALUES ('C1', 'renewal', 'stocked', 0)"
                )
                await tx.execute("INSERT INTO code VALUES ('C1', 'a', x'01', x'02', 9.0, NULL)")

            await db.transaction(before)
    async with opened(path) as db:
        row = await db.transaction(lambda tx: tx.one("SELECT * FROM code"))
        assert row is not None
        assert tuple(row) == ("C1", "pickup", "a", 9.0, None, 0)
        assert await db.transaction(lambda tx: tx.all("SELECT * FROM code_hash")) == []
        assert await db.transaction(codes.outdated) == [("C1", codes.CodeKind.PICKUP)]
        assert await db.transaction(codes.outdated) == []


async def test_every_table_is_strict(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:

        async def loose(tx: Transaction) -> list[str]:
            rows = await tx.all("SELECT name FROM pragma_table_list WHERE strict = 0 AND name NOT LIKE 'sqlite_%'")
            return [row["name"] for row in rows]

        assert await db.transaction(loose) == []
