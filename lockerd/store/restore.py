"""Putting a backup back in the place of a lost or damaged database: steps that leave either the one or the other whole."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lockerd.errors import StoreError
from lockerd.store.opening import set_aside, sync_folder
from lockerd.store.verify import verify


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: `aside` is the former database, None where there was none; `count` says what to count."""

    aside: Path | None
    count: tuple[str, ...]


def restore(backup: Path, database: Path, now: float) -> Restored:
    """Put `backup` in the place of `database`, whose files are kept aside under a name with `now` (UTC seconds).

    The next start gives it an epoch of its own. Raises StoreError for a backup that is not sound or bears an epoch already, and
    while a lockerd runs; then nothing has changed.
    """
    wrong = verify(backup).wrong
    if wrong:
        raise StoreError(f"{backup}: the backup is not sound ({wrong[0]}); take another one")
    count = _to_count(backup)
    part = database.with_name(database.name + ".restored")
    try:
        shutil.copyfile(backup, part)
        part.chmod(0o600)
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
    finally:
        part.unlink(missing_ok=True)
    return Restored(aside, count)


def _to_count(backup: Path) -> tuple[str, ...]:
    with closing(sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro", uri=True)) as db:
        if db.execute("SELECT 1 FROM meta WHERE key = 'epoch'").fetchone() is not None:
            raise StoreError(
                f"{backup} is a plain copy of a database, which would give event numbers away twice; take a backup"
            )
        stocked = db.execute("SELECT group_concat(slot, ', ') FROM slot WHERE state = 'stocked'").fetchone()[0]
        elsewhere = db.execute(
            "SELECT place, count(*) FROM card WHERE place NOT IN ('slot', 'taken', 'removed', 'tray')"
            " GROUP BY place ORDER BY place"
        ).fetchall()
        return (
            f"a card in each of these slots, and in no other: {stocked or 'none'}",
            *(f"{number} at {place}" for place, number in elsewhere),
        )
