"""Putting a backup back in the place of a lost or damaged database: steps that leave either the one or the other whole."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from lockerd.errors import StoreError
from lockerd.store.opening import set_aside, sync_folder, translated
from lockerd.store.verify import ANOTHER_VERSION, verify


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: `aside` is the former database, None where there was none; `count` says what to count and look at."""

    aside: Path | None
    count: tuple[str, ...]


def restore(backup: Path, database: Path, now: float) -> Restored:
    """Put `backup` in the place of `database`, whose files are kept aside under a name with `now` (UTC seconds).

    What was erased since the backup was made is erased in it by its key alone; here the rest of it goes, and such claims are over.
    The next start gives it an epoch of its own. Raises StoreError for a backup that is not sound or bears an epoch already, and
    while a lockerd runs; then nothing has changed.
    """
    report = verify(backup)
    if report.wrong:
        remedy = ANOTHER_VERSION if ANOTHER_VERSION in report.remedies else "take another one"
        raise StoreError(f"{backup}: the backup is not sound ({report.wrong[0]}); {remedy}")
    part = database.with_name(database.name + ".restored")
    cut_off = part.with_name(part.name + "-journal")
    try:
        cut_off.unlink(missing_ok=True)
        shutil.copyfile(backup, part)
        part.chmod(0o600)
        if os.geteuid() == 0:  # else the daemon could not open what root put back
            shutil.chown(part, database.parent.stat().st_uid, database.parent.stat().st_gid)
        with suppress(FileNotFoundError):
            shutil.copyfile(backup.with_name(backup.name + "-journal"), cut_off)
        _refuse_plain_copy(backup, part)
        count = _prepared(part, now)
        descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        there = any(database.with_name(database.name + suffix).exists() for suffix in ("", "-wal"))
        aside = set_aside(database, now) if there else None
        part.rename(database)
        sync_folder(database.parent)
    except OSError as error:
        raise StoreError(f"{database}: {error.strerror}; make room, and run this as lockerd's user") from error
    except sqlite3.Error as error:
        raise StoreError(f"{part}: {translated(error)}") from error
    finally:
        with suppress(OSError):  # a disk that cannot be written has neither
            part.unlink(missing_ok=True)
            cut_off.unlink(missing_ok=True)
    return Restored(aside, count)


def _refuse_plain_copy(backup: Path, part: Path) -> None:
    """Raise StoreError where `part`, the copy of `backup`, bears an epoch. What a stop cut off in it is taken back here."""
    with closing(sqlite3.connect(part)) as db:
        if db.execute("SELECT 1 FROM meta WHERE key = 'epoch'").fetchone() is not None:
            raise StoreError(
                f"{backup} is a plain copy of a database, which would give event numbers away twice; take a backup"
            )


def _prepared(part: Path, now: float) -> tuple[str, ...]:
    """End what was erased since in the copy that is to become the database: what to count and look at."""
    with closing(sqlite3.connect(part, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = MEMORY")  # a journal that a stop left would be played into the next copy
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("BEGIN")
        over = _end_erased(db, now)
        db.execute("COMMIT")
        return _to_count(db, over)


_ERASED = "NOT IN (SELECT record FROM data_key)"
_OF = "(SELECT value FROM json_each(?1))"


def _end_erased(db: sqlite3.Connection, now: float) -> dict[int, str]:
    """Erase all that is sealed by a key that is no more; the slots of claims that are over so, each with its claim.

    A claim loses its key only some time after it was collected or withdrawn.
    """
    db.execute(
        "UPDATE message SET sent = 1, phone = NULL, text = NULL, ended = ?"  # noqa: S608 a constant
        f" WHERE sent = 0 AND 'message|' || message_id {_ERASED}",
        (now,),
    )
    rows = db.execute(
        f"SELECT claim_id, slot FROM claim LEFT JOIN slot ON slot.card_id = claim_id"  # noqa: S608 a constant
        f" WHERE person IS NOT NULL AND 'claim|' || claim_id {_ERASED} ORDER BY claim_id"
    ).fetchall()
    over = (json.dumps([claim_id for claim_id, _ in rows]),)
    for table, records in (("face_template", "claim_id"), ("collector", "collector_id")):
        gone = f"FROM {table} WHERE claim_id IN {_OF}"
        db.execute(f"DELETE FROM data_key WHERE record IN (SELECT '{table}|' || {records} {gone})", over)  # noqa: S608
        db.execute(f"DELETE {gone}", over)
        db.execute(f"DELETE FROM {table} WHERE vector IS NOT NULL AND '{table}|' || {records} {_ERASED}")  # noqa: S608
    db.execute(f"DELETE FROM code WHERE claim_id IN {_OF}", over)  # noqa: S608 a constant
    for table in ("attempt", "wrong_in_a_row"):
        db.execute(
            f"DELETE FROM {table} WHERE subject IN (SELECT id_index FROM claim WHERE claim_id IN {_OF})"  # noqa: S608
            f" AND subject NOT IN (SELECT id_index FROM claim WHERE id_index IS NOT NULL AND claim_id NOT IN {_OF})",
            over,
        )
    db.execute(
        "UPDATE claim SET state = iif(state = 'collected', state, 'withdrawn'), since = ?2, person = NULL, id_index = NULL"  # noqa: S608
        f" WHERE claim_id IN {_OF}",
        (*over, now),
    )
    return {slot: claim_id for claim_id, slot in rows if slot is not None}


def _to_count(db: sqlite3.Connection, over: dict[int, str]) -> tuple[str, ...]:
    stocked = [row[0] for row in db.execute("SELECT slot FROM slot WHERE state = 'stocked' ORDER BY slot")]
    counted = ", ".join(str(slot) for slot in stocked if slot not in over)
    elsewhere = db.execute(
        "SELECT place, count(*) FROM card WHERE place NOT IN ('slot', 'taken', 'removed', 'tray')"
        " GROUP BY place ORDER BY place"
    ).fetchall()
    return (
        f"a card in each of these slots, and in no other: {counted or 'none'}",
        *(f"{number} at {place}" for place, number in elsewhere),
        *(
            f"slot {slot}: claim {claim_id} is over and erased since the backup was made; the slot is empty, or take the card out"
            for slot, claim_id in sorted(over.items())
        ),
    )
