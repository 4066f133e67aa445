"""`lockerd restore`: a backup in the place of a damaged database, or nothing changed. Real files."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from lockerd.errors import StoreError
from lockerd.model.custody import Motion, Place
from lockerd.store import claims, journal, ledger
from lockerd.store.backup import back_up
from lockerd.store.database import Transaction
from lockerd.store.restore import restore
from lockerd.store.verify import verify
from tests.store_support import NOW, STAMP, carry, item, opened, vault


async def _stock(tx: Transaction) -> None:
    await ledger.configure_slots(tx, 4)
    await claims.put_item(tx, vault(), item("N000001"), None, STAMP)
    await ledger.move(tx, "N000001", Place.TRANSPORT, STAMP, "read")
    await carry(tx, Motion.STORE, "N000001", 2)
    await claims.stocked(tx, "N000001", 2, STAMP)


def _epoch(path: Path) -> str:
    raw = sqlite3.connect(path)
    epoch = raw.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0]
    raw.close()
    return str(epoch)


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(_stock)
        return await back_up(db, tmp_path / "backup", NOW)


async def test_a_backup_takes_the_place_of_a_damaged_database(tmp_path: Path, backup: Path) -> None:
    path = tmp_path / "lockerd.db"
    former = _epoch(path)
    path.write_bytes(b"damaged" * 1000)
    path.with_name("lockerd.db-wal").write_bytes(b"log")
    done = restore(backup, path, NOW)
    assert done.count == ("a card in each of these slots, and in no other: 2",)
    assert done.aside is not None
    assert done.aside.read_bytes() == b"damaged" * 1000
    assert done.aside.with_name(done.aside.name + "-wal").read_bytes() == b"log"
    assert path.stat().st_mode & 0o777 == 0o600
    async with opened(path, seed=99) as db:
        assert await db.transaction(journal.epoch) != former
        assert await db.transaction(lambda tx: ledger.place_of(tx, "N000001")) == (Place.SLOT, 2)
    assert verify(path).wrong == ()


async def test_nothing_changes_while_a_lockerd_runs(tmp_path: Path, backup: Path) -> None:
    path = tmp_path / "lockerd.db"
    async with opened(path) as db:
        with pytest.raises(StoreError, match="in use by another lockerd"):
            restore(backup, path, NOW)
        assert await db.transaction(lambda tx: ledger.place_of(tx, "N000001")) == (Place.SLOT, 2)
    assert not path.with_name("lockerd.db.restored").exists()


async def test_a_backup_that_is_not_sound_or_bears_an_epoch_is_refused(tmp_path: Path, backup: Path) -> None:
    path = tmp_path / "lockerd.db"
    before = path.read_bytes()
    plain = tmp_path / "plain.db"
    shutil.copyfile(path, plain)
    with pytest.raises(StoreError, match="plain copy"):
        restore(plain, path, NOW)
    raw = sqlite3.connect(backup, isolation_level=None)
    raw.execute("UPDATE card_move SET wall = 0 WHERE move_id = 2")
    raw.close()
    with pytest.raises(StoreError, match="the audit chain of card_move breaks at link 2"):
        restore(backup, path, NOW)
    assert path.read_bytes() == before
