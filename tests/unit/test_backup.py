"""Backups of a running database, the nightly check, and a damaged file that is set aside; all with real files."""

from __future__ import annotations

import asyncio
import ctypes
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from lockerd.errors import DatabaseDamaged, DiskFull, StoreError
from lockerd.model.custody import Motion, Place
from lockerd.model.identity import FaceTemplate
from lockerd.store import claims, housekeeping, journal, ledger
from lockerd.store.backup import ERASED_EVERY, KEPT, UNERASED_AT_MOST, back_up, backups, erase_in_backups, findings
from lockerd.store.database import Database, Run, Transaction
from lockerd.store.housekeeping import PERSONAL_DATA_KEPT, TIDY_EVERY_SECONDS, Housekeeping, give_memory_back
from lockerd.store.opening import set_aside, set_aside_before
from lockerd.store.retention import Retention
from lockerd.store.verify import verify
from tests.store_support import NOW, STAMP, carry, item, opened, stamp, vault

DAY = 86400.0
CLAIM, OTHER = "N000001", "N000002"


async def _history(tx: Transaction) -> None:
    await ledger.configure_slots(tx, 4)
    for number, claim_id in enumerate((CLAIM, OTHER)):
        await claims.put_item(tx, vault(number), item(claim_id), FaceTemplate("model", bytes(16)), STAMP)
        await ledger.move(tx, claim_id, Place.TRANSPORT, STAMP, "read")
        await carry(tx, Motion.STORE, claim_id, number)
        await claims.stocked(tx, claim_id, number, STAMP)
        await journal.append(tx, "lockerd.card.stocked", {"claim_id": claim_id}, stamp=STAMP)
    await tx.execute("INSERT INTO meta (key, value) VALUES ('acked_seq', 1)")


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path / "lockerd.db") as database:
        await database.transaction(_history)
        yield database


def content(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    raw = sqlite3.connect(path)
    tables = [row[0] for row in raw.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    found = {name: sorted(raw.execute(f"SELECT * FROM {name}"), key=repr) for name in tables}
    raw.close()
    return found


async def test_a_backup_holds_all_but_the_epoch_and_what_the_office_has(db: Database, tmp_path: Path) -> None:
    made = await back_up(db, tmp_path / "backup", NOW)
    assert made.name == "lockerd-20270115T080000Z.db"
    assert made.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in made.parent.iterdir()] == [made.name]
    live, copy = content(tmp_path / "lockerd.db"), content(made)
    assert {row[0] for row in live["journal"]} - {row[0] for row in copy["journal"]} == {1}
    assert {row[0] for row in live["meta"]} - {row[0] for row in copy["meta"]} == {"epoch"}
    for name in live.keys() - {"journal", "meta", "audit_anchor"}:
        assert copy[name] == live[name], name
    report = verify(made)
    assert report.wrong == ()
    assert report.unsettled == ("the database has no epoch: it is a backup",)


async def test_a_backup_that_is_put_back_is_another_database_to_the_office(db: Database, tmp_path: Path) -> None:
    made = await back_up(db, tmp_path / "backup", NOW)
    before = await db.transaction(journal.position)
    restored = tmp_path / "restored" / "lockerd.db"
    restored.parent.mkdir()
    made.rename(restored)
    async with opened(restored, seed=8) as again:
        after = await again.transaction(journal.position)
        assert after.epoch != before.epoch
        assert (after.last_seq, after.acked, after.oldest_retained) == (before.last_seq, 1, 2)
        found = await again.transaction(lambda tx: claims.by_id(tx, vault(), CLAIM))
        assert found is not None
        assert found.slot == 0


async def test_the_newest_backups_are_kept(db: Database, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    made = [await back_up(db, folder, NOW + night * DAY) for night in range(KEPT + 2)]
    assert backups(folder) == made[2:]


@pytest.mark.parametrize("away", [-5000 * DAY, 5000 * DAY])
async def test_a_backup_of_a_wrong_clock_neither_goes_at_once_nor_makes_the_others_go(
    db: Database, tmp_path: Path, away: float
) -> None:
    folder = tmp_path / "backup"
    made = [await back_up(db, folder, NOW + night * DAY) for night in range(KEPT)]
    made += [await back_up(db, folder, NOW + away + night * DAY) for night in range(KEPT)]
    assert set(backups(folder)) == set(made[KEPT:])
    made += [await back_up(db, folder, NOW + (KEPT + night) * DAY) for night in range(KEPT)]
    assert backups(folder) == made[2 * KEPT :]


async def test_a_backup_that_fails_leaves_the_others_and_no_part(db: Database, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    made = await back_up(db, folder, NOW)

    async def forget_meta(tx: Transaction) -> None:
        await tx.execute("ALTER TABLE meta RENAME TO elsewhere")

    await db.transaction(forget_meta)
    with pytest.raises(StoreError, match="no such table"):
        await back_up(db, folder, NOW + DAY)
    assert list(folder.iterdir()) == [made]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="make room"):
        await back_up(db, tmp_path / "file", NOW)


async def test_references_are_held_after_a_backup_and_after_one_that_failed(db: Database, tmp_path: Path) -> None:
    async def refer_to_nothing(tx: Transaction) -> None:
        await tx.execute("INSERT INTO card (card_id, role, claim_id, place, since) VALUES ('x', 'new', 'x', 'tray', 0)")

    async def hide(tx: Transaction) -> None:
        await tx.execute("ALTER TABLE meta RENAME TO elsewhere")

    await back_up(db, tmp_path / "backup", NOW)
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        await db.transaction(refer_to_nothing)
    await db.transaction(hide)
    with pytest.raises(StoreError, match="no such table"):
        await back_up(db, tmp_path / "backup", NOW + DAY)
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        await db.transaction(refer_to_nothing)


async def erase(db: Database) -> None:
    """The claim is collected, and half a day later its keys are destroyed."""

    async def collected(tx: Transaction) -> None:
        await carry(tx, Motion.PICK, CLAIM, 0)
        await carry(tx, Motion.PRESENT, CLAIM)
        await ledger.move(tx, CLAIM, Place.TAKEN, STAMP, "exit sensor")
        await claims.collected(tx, CLAIM, STAMP)
        await claims.erase_collected(tx, NOW + 1.0)

    await db.transaction(collected)


def records(path: Path) -> set[str]:
    return {row[0] for row in content(path)["data_key"]}


LEFT = {f"claim|{OTHER}", f"face_template|{OTHER}"}


async def test_what_is_erased_is_erased_in_the_backups(db: Database, tmp_path: Path) -> None:
    made = await back_up(db, tmp_path / "backup", NOW)
    wrapped = [bytes(row[1]) for row in content(made)["data_key"]]
    await erase(db)
    assert await erase_in_backups(db, made.parent, NOW + ERASED_EVERY - 1.0) == []
    assert not records(made) <= LEFT, "not with every erasure"
    assert await erase_in_backups(db, made.parent, NOW + ERASED_EVERY) == []
    assert records(made) == LEFT
    assert verify(made).wrong == (), "a backup that was erased in is sound"
    left = made.read_bytes()
    assert [key in left for key in wrapped].count(True) == len(LEFT)


async def test_what_a_cut_off_left_of_a_backup_goes_with_the_next_hour(db: Database, tmp_path: Path) -> None:
    made = await back_up(db, tmp_path / "backup", NOW)
    shutil.copyfile(made, made.with_name("lockerd-20270116T190000Z.db.part"))
    assert await erase_in_backups(db, made.parent, NOW) == []
    assert [path.name for path in made.parent.iterdir()] == [made.name]


@pytest.mark.parametrize("holds", [b"no database" * 500, b""], ids=["no database", "empty"])
async def test_a_backup_that_is_damaged_beyond_use_is_deleted_and_told(
    db: Database, tmp_path: Path, holds: bytes
) -> None:
    made = await back_up(db, tmp_path / "backup", NOW)
    broken = made.with_name("lockerd-00000000T000000Z.db")
    broken.write_bytes(holds)
    (trouble,) = await erase_in_backups(db, made.parent, NOW)
    assert trouble.startswith(f"{broken.name} is deleted: ")
    assert backups(made.parent) == [made]


async def test_no_backup_is_deleted_where_the_trouble_is_the_databases_own(db: Database, tmp_path: Path) -> None:
    made = await back_up(db, tmp_path / "backup", NOW)

    async def lose_the_keys(tx: Transaction) -> None:
        await tx.execute("ALTER TABLE data_key RENAME TO elsewhere")

    await db.transaction(lose_the_keys)
    with pytest.raises(StoreError, match="no such table"):
        await erase_in_backups(db, made.parent, NOW + 3 * DAY)
    assert backups(made.parent) == [made]


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether a backup finds room for its rollback journal: none when told True."""
    real = Database.between

    async def between(self: Database, work: Callable[[Run], Awaitable[Any]]) -> Any:
        async def tight(run: Run) -> Any:
            async def one(sql: str, params: Any) -> Any:
                if sql.startswith("DELETE FROM copy") and full[0]:
                    raise DiskFull("the disk is full")
                return await run(sql, params)

            return await work(one)

        return await real(self, tight)

    full = [True]
    monkeypatch.setattr(Database, "between", between)
    return lambda there_is_none: full.__setitem__(0, there_is_none)


async def test_a_backup_that_finds_no_room_waits_and_is_erased_in_later(
    db: Database, tmp_path: Path, no_room: Callable[[bool], None]
) -> None:
    no_room(False)
    made = await back_up(db, tmp_path / "backup", NOW)
    await erase(db)
    no_room(True)
    for hours in (4, 9):
        (trouble,) = await erase_in_backups(db, made.parent, NOW + hours * 3600.0)
        assert trouble.startswith(f"{made.name} waits: the disk is full")
    assert not records(made) <= LEFT
    no_room(False)
    assert await erase_in_backups(db, made.parent, NOW + 9.5 * 3600.0) == []
    assert records(made) == LEFT


async def test_a_backup_is_deleted_before_what_was_erased_is_a_day_old(
    db: Database, tmp_path: Path, no_room: Callable[[bool], None]
) -> None:
    """Half a day after collection the database erases; within the other half the backups do, rewritten or not."""
    assert UNERASED_AT_MOST + PERSONAL_DATA_KEPT + 2 * TIDY_EVERY_SECONDS <= DAY
    no_room(False)
    folder = tmp_path / "backup"
    await back_up(db, folder, NOW)
    night = NOW + 3 * DAY
    no_room(True)
    assert await erase_in_backups(db, folder, night) == [], "nothing in it was erased: it is as good as new"
    await erase(db)
    for hours, kept in ((4, 1), (9, 1), (11, 0)):
        (trouble,) = await erase_in_backups(db, folder, night + hours * 3600.0)
        assert ("is deleted" in trouble, len(backups(folder))) == (not kept, kept)


async def test_the_health_answer_tells_of_a_backup_that_could_not_be_erased_in(
    db: Database, tmp_path: Path, no_room: Callable[[bool], None]
) -> None:
    no_room(False)
    folder = tmp_path / "backup"
    await back_up(db, folder, NOW)
    await erase(db)
    house = Housekeeping(db, folder, lambda: stamp(NOW + ERASED_EVERY), Retention(), lambda: False)
    for full, told in ((True, True), (False, False)):
        no_room(full)
        await house.tidy()
        assert bool(house.unerased) is told


# --- the night


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_memory_that_lies_between_what_lives_is_given_back() -> None:
    blocks = [bytes(1000) for _ in range(100_000)]
    full = resident()
    blocks = blocks[::100]
    kept = resident()
    give_memory_back()
    assert full - resident() > 10_000 > full - kept, "pages of 4 KiB"
    assert len(blocks) == 1000


async def test_each_night_has_one_check_and_one_backup(db: Database, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    for hour, expected in ((0, 0), (10, 0), (12, 1), (34, 1), (36, 2)):
        house = Housekeeping(db, folder, lambda wall=NOW + hour * 3600.0: stamp(wall), Retention(), lambda: True)  # type: ignore[misc]
        await house.care()
        assert len(backups(folder)) == expected, hour
        assert house.no_backup == ""


async def test_a_backup_that_a_stop_cut_off_is_made_after_the_next_start(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, wall = tmp_path / "backup", [NOW]

    def started() -> Housekeeping:
        return Housekeeping(db, folder, lambda: stamp(wall[0]), Retention(), lambda: True)

    async def cut_off(*_: object) -> None:
        raise asyncio.CancelledError

    await started().care()
    wall[0] += 1.5 * DAY
    with monkeypatch.context() as patched:
        patched.setattr(housekeeping, "back_up", cut_off)
        with pytest.raises(asyncio.CancelledError):
            await started().care()
    house = started()
    for _ in range(2):
        wall[0] += 600.0
        await house.care()
        assert len(backups(folder)) == 1
    wall[0] += 600.0
    await started().care()
    assert len(backups(folder)) == 1, "it is younger than a day"


async def test_a_backup_that_cannot_be_made_is_told_until_one_can(db: Database, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    folder.write_text("in the way")
    wall = [NOW]
    house = Housekeeping(db, folder, lambda: stamp(wall[0]), Retention(), lambda: True)
    for _ in range(2):
        await house.care()
        wall[0] += DAY
    assert "make room" in house.no_backup
    folder.unlink()
    await house.care()
    assert house.no_backup == ""


async def test_damage_that_the_nightly_check_finds_ends_the_daemon_and_is_not_backed_up(
    db: Database, tmp_path: Path
) -> None:
    wall = [NOW]
    house = Housekeeping(db, tmp_path / "backup", lambda: stamp(wall[0]), Retention(), lambda: True)
    await house.care()

    async def twice(tx: Transaction) -> None:
        await tx.execute("PRAGMA ignore_check_constraints = ON")
        await tx.execute("UPDATE slot SET state = 'half' WHERE slot = 3")

    await db.transaction(twice)
    await db.between(lambda run: run("PRAGMA ignore_check_constraints = OFF", ()))
    assert await findings(db) == ["CHECK constraint failed in slot"]
    wall[0] += DAY
    with pytest.raises(StoreError, match="CHECK constraint failed in slot"):
        await house.care()
    assert backups(tmp_path / "backup") == []


# --- a damaged file


async def test_an_index_that_lost_a_card_is_damage_found_each_night_and_at_the_start(
    db: Database, tmp_path: Path
) -> None:
    path = await back_up(db, tmp_path / "backup", NOW)
    raw = sqlite3.connect(path)
    (page,) = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'card_by_place'").fetchone()
    raw.close()
    whole = path.read_bytes()
    index = whole[4096 * (page - 1) : 4096 * page]
    path.write_bytes(whole.replace(index, index.replace(b"slot", b"slop")))
    assert "missing from index card_by_place" in await _refused(path)
    path.write_bytes(whole)
    async with opened(path) as put_back:
        path.write_bytes(path.read_bytes().replace(index, index.replace(b"slot", b"slop")))
        assert any("missing from index card_by_place" in words for words in await findings(put_back))


def _damaged(folder: Path) -> Path:
    path = folder / "lockerd.db"
    path.write_bytes(b"not a database at all" * 500)
    path.with_name("lockerd.db-wal").write_bytes(b"its log")
    return path


async def _refused(path: Path) -> str:
    with pytest.raises(DatabaseDamaged) as caught:
        async with asyncio.timeout(30.0):
            await Database(path).run()
    return str(caught.value)


async def test_a_damaged_database_is_set_aside_with_its_log_and_no_fresh_one_is_opened(tmp_path: Path) -> None:
    path = _damaged(tmp_path)
    await _refused(path)
    aside = set_aside(path, NOW)
    assert aside.name == "lockerd.db.corrupt-20270115T080000.000000Z"
    assert aside.read_bytes() == b"not a database at all" * 500
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == b"its log"
    for _ in range(2):
        assert aside.name in await _refused(path)
        assert not path.exists()
    assert set_aside(path, NOW + 1.0) == aside
    assert set_aside_before(path) == [aside]


async def test_the_log_of_a_damaged_database_is_not_written_into_it(db: Database, tmp_path: Path) -> None:
    """SQLite's last connection does that when it closes, and then deletes the log."""
    await db.truncate_wal()
    await db.transaction(lambda tx: journal.append(tx, "lockerd.test", {}, stamp=STAMP))
    folder = tmp_path / "cut off"
    folder.mkdir()
    path = folder / "lockerd.db"
    for suffix in ("", "-wal"):
        path.with_name(path.name + suffix).write_bytes((tmp_path / f"lockerd.db{suffix}").read_bytes())
    root = await db.between(lambda run: run("SELECT rootpage FROM sqlite_schema WHERE name = 'attempt'", ()))
    damaged = bytearray(path.read_bytes())
    damaged[4096 * (root[0][0] - 1) : 4096 * root[0][0]] = bytes(range(256)) * 16  # a page that the log does not hold
    path.write_bytes(damaged)
    log = path.with_name("lockerd.db-wal").read_bytes()
    assert log
    assert "damaged" in await _refused(path)
    assert path.read_bytes() == damaged
    assert path.with_name("lockerd.db-wal").read_bytes() == log


async def test_a_setting_aside_that_was_cut_off_is_completed(tmp_path: Path) -> None:
    path = _damaged(tmp_path)
    aside = tmp_path / "lockerd.db.corrupt-20270115T080000.000000Z"
    path.rename(aside)
    assert aside.name in await _refused(path)
    assert set_aside(path, NOW + 1.0) == aside
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == b"its log"
    assert set_aside_before(path) == [aside]


async def test_a_second_damaged_database_does_not_take_the_place_of_the_first(tmp_path: Path) -> None:
    first = set_aside(_damaged(tmp_path), NOW)
    second = set_aside(_damaged(tmp_path), NOW + 1.0)
    assert set_aside_before(tmp_path / "lockerd.db") == [first, second]


async def test_a_backup_that_is_put_back_ends_it(db: Database, tmp_path: Path) -> None:
    made = await back_up(db, tmp_path / "backup", NOW)
    folder = tmp_path / "other"
    folder.mkdir()
    path = _damaged(folder)
    set_aside(path, NOW)
    made.rename(path)
    async with opened(path) as again:
        assert (await again.transaction(journal.position)).last_seq == 8


async def test_a_database_in_use_is_not_set_aside(db: Database, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="in use"):
        set_aside(tmp_path / "lockerd.db", NOW)
    assert (tmp_path / "lockerd.db").exists()
