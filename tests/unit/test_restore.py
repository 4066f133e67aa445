"""`lockerd restore`: a backup in the place of a damaged database, or nothing changed. Real files."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from lockerd.errors import StoreError
from lockerd.model.custody import Motion, Place
from lockerd.model.identity import FaceTemplate
from lockerd.model.policy import Relation
from lockerd.store import claims, codes, housekeeping, journal, ledger, messages
from lockerd.store.backup import back_up, erase_in_backups
from lockerd.store.collectors import Named
from lockerd.store.database import Transaction
from lockerd.store.restore import restore
from lockerd.store.verify import verify
from tests.store_support import NOW, STAMP, carry, item, opened, vault

DAY = 86400.0
TEMPLATE = FaceTemplate("model", bytes(16))


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


async def test_what_was_erased_since_the_backup_stays_erased(tmp_path: Path) -> None:
    """One card collected and erased since, one message sent since, one card that still waits."""
    path, number, waiting = tmp_path / "lockerd.db", "990101199001010018", "990101199001010026"

    async def before(tx: Transaction) -> None:
        await ledger.configure_slots(tx, 4)
        guardian = Named(Relation.GUARDIAN, "99010119850101002X", TEMPLATE)
        for slot, (claim_id, owner) in enumerate((("N000001", number), ("N000002", waiting))):
            announced = item(claim_id, id_number=owner)
            await claims.put_item(tx, vault(slot), announced, TEMPLATE, STAMP, [guardian])
            await ledger.move(tx, claim_id, Place.TRANSPORT, STAMP, "read")
            await carry(tx, Motion.STORE, claim_id, slot)
            await claims.stocked(tx, claim_id, slot, STAMP)
            await codes.issue(tx, vault(), claim_id, "12345678", NOW + DAY)
            await messages.queue(tx, vault(), f"{claim_id}-1", "+8619900000001", "text")

    async def collected(tx: Transaction) -> None:
        await messages.sent(tx, "N000001-1", NOW)
        await carry(tx, Motion.PICK, "N000001", 0)
        await carry(tx, Motion.PRESENT, "N000001")
        await ledger.move(tx, "N000001", Place.TAKEN, STAMP, "exit sensor")
        await claims.collected(tx, "N000001", STAMP)

    async with opened(path) as db:
        await db.transaction(before)
        await codes.check(db, vault(), number, "00000000", STAMP)
        backup = await back_up(db, tmp_path / "backup", NOW)
        await db.transaction(collected)
        assert await housekeeping.tidy(db, NOW + DAY) == 1
        await erase_in_backups(db, tmp_path / "backup", NOW + DAY)
    assert verify(backup).wrong == ()

    done = restore(backup, path, NOW + DAY)
    assert done.count == (
        "a card in each of these slots, and in no other: 1",
        "slot 0: claim N000001 is over and erased since the backup was made; the slot is empty, or take the card out",
    )
    assert verify(path).wrong == ()
    async with opened(path, seed=99) as db:

        async def look(tx: Transaction) -> None:
            assert await claims.for_id(tx, vault(), number) is None
            assert await claims.for_id(tx, vault(), waiting) is not None
            message = await messages.next_due(tx, vault(), NOW + DAY)
            assert message is not None
            assert message.message_id == "N000002-1", "what was sent is not sent again"
            assert await tx.all("SELECT 1 FROM attempt UNION ALL SELECT 1 FROM wrong_in_a_row") == []
            hashes = await tx.all("SELECT DISTINCT claim_id FROM code_hash")
            assert [row["claim_id"] for row in hashes] == ["N000002"]

        await db.transaction(look)
        assert vault().blind(number) not in path.read_bytes()
    assert verify(path).wrong == (), "also as a database with an epoch"


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


def _cut_off(backup: Path, copy: Path) -> None:
    """A copy of the backup as a stop leaves it in the middle of a change."""
    raw = sqlite3.connect(backup, isolation_level=None)
    raw.executescript(
        "PRAGMA cache_size = 1; BEGIN; UPDATE journal SET data = json_object('x', hex(randomblob(9000)));"
    )
    for suffix in ("", "-journal"):
        shutil.copyfile(backup.with_name(backup.name + suffix), copy.with_name(copy.name + suffix))
    raw.execute("ROLLBACK")
    raw.close()
    assert copy.read_bytes() != backup.read_bytes()


async def test_a_backup_in_which_a_stop_cut_the_erasing_off_is_put_back(tmp_path: Path, backup: Path) -> None:
    copy, path = tmp_path / "copy.db", tmp_path / "lockerd.db"
    _cut_off(backup, copy)
    assert verify(copy).wrong == ()
    restore(copy, path, NOW)
    assert verify(path).wrong == ()
    assert not path.with_name("lockerd.db.restored-journal").exists()
