"""Copies of the running database, made by its owner between two transactions, and the nightly look at the file itself.

A backup is a whole database in one file. It bears no epoch, so one that is put back is another database to the office, which
then fences the lost one; and of the events it holds only those that the office had not acknowledged. What is erased in the
database is erased in its backups too.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from lockerd.errors import StoreError
from lockerd.store.database import Database, Run
from lockerd.store.opening import sync_folder

KEPT = 7
"""Backups that are kept, one a night."""

UNERASED_AT_MOST = 10 * 3600.0
"""Seconds for which a backup may hold what was erased: with the half day that data is kept after collection less than a day."""

ERASED_EVERY = 4 * 3600.0
"""Seconds after which what was erased meanwhile is erased in a backup, too."""

_ACKED = "coalesce((SELECT value FROM main.meta WHERE key = 'acked_seq'), 0)"
_LEFT_OUT = {"meta": "WHERE key <> 'epoch'", "journal": f"WHERE seq > {_ACKED}"}

_NO_BACKUP = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})


async def findings(db: Database) -> list[str]:
    """What PRAGMA integrity_check finds wrong with the file; nothing when it is sound. Raises StoreError."""

    async def look(run: Run) -> list[str]:
        return _wrong([str(row[0]) for row in await run("PRAGMA integrity_check(3)", ())])

    return await db.between(look)


async def back_up(db: Database, folder: Path, now: float) -> Path:
    """Write a backup into `folder`, named by `now` (UTC seconds), keep KEPT with the newest before it, and give its file.

    It is there only once it is whole, checked and on the disk. Raises StoreError, and then the older ones are all there.
    Of those before it one that bears a later time goes first: the clock was wrong for it, or is now.
    """
    name = _name(now)
    part = folder / f"{name}.part"

    try:
        _begin(folder, part)
        try:
            await db.between(partial(_write, part))
        except StoreError:
            _forget(folder, "*.part*")
            raise
        _end(folder, part, now)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}; make room, or give the folder to lockerd's user") from error
    return folder / name


async def _write(part: Path, run: Run) -> None:
    """Copy table by table into an empty file: nothing is written that would have to be deleted again.

    Without foreign keys to be looked up, SQLite copies tables and their indexes as they lie, not row by row.
    """
    await run("ATTACH ? AS copy", (str(part),))
    try:
        await run("PRAGMA foreign_keys = OFF", ())
        await run("PRAGMA copy.journal_mode = OFF", ())  # a part that is not whole is deleted
        await run("PRAGMA copy.synchronous = OFF", ())
        await _copy(run)
        # The first write at synchronous=FULL also brings to the disk what lies in the system's cache.
        await run("PRAGMA copy.synchronous = FULL", ())
        for name in ("application_id", "user_version"):
            await run(f"PRAGMA copy.{name} = {(await run(f'PRAGMA main.{name}', ()))[0][0]}", ())
        wrong = _wrong([str(row[0]) for row in await run("PRAGMA copy.integrity_check(3)", ())])
    finally:
        await run("PRAGMA foreign_keys = ON", ())
        await run("DETACH copy", ())
    if wrong:
        raise StoreError(f"the backup is damaged ({'; '.join(wrong)}); check the disk")


async def _copy(run: Run) -> None:
    """All tables with their rows, but the epoch and the events that the office has."""
    schema = await run(
        "SELECT type, name, sql FROM main.sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY rowid", ()
    )
    kinds = {
        kind: [row for row in schema if row["type"] == kind and row["sql"]] for kind in ("table", "index", "trigger")
    }
    for row in (*kinds["table"], *kinds["index"]):
        await run(_in_copy(row["sql"]), ())
    for name in (row["name"] for row in kinds["table"]):
        await run(f"INSERT INTO copy.{name} SELECT * FROM main.{name} {_LEFT_OUT.get(name, '')}", ())  # noqa: S608 own names
    await run("DELETE FROM copy.sqlite_sequence", ())  # the copying has begun to fill it
    await run("INSERT INTO copy.sqlite_sequence SELECT * FROM main.sqlite_sequence", ())
    await run(
        "UPDATE copy.audit_anchor SET upto = seq, hash = told.hash FROM main.journal AS told"  # noqa: S608 a constant
        f" WHERE chain = 'journal' AND seq = {_ACKED}",
        (),
    )
    for row in kinds["trigger"]:
        await run(_in_copy(row["sql"]), ())


def _in_copy(sql: str) -> str:
    """The statement of the schema that makes a table, an index or a trigger, for the copy."""
    return re.sub(r"^(CREATE (?:UNIQUE )?(?:TABLE|INDEX|TRIGGER)) ", r"\1 copy.", sql)


def _begin(folder: Path, part: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    _forget(folder, "*.part*")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _end(folder: Path, part: Path, now: float) -> None:
    os.utime(part, (now, now))
    made = part.rename(part.with_suffix(""))
    others = [one for one in backups(folder) if one != made]
    for old in sorted(others, key=lambda one: one.name < made.name)[: 1 - KEPT]:
        old.unlink()
    sync_folder(folder)


async def erase_in_backups(db: Database, folder: Path, now: float) -> list[str]:
    """Destroy in every backup the keys that the database no longer has; gives in words what could not be done so.

    A backup's time of modification says when it was last known to hold nothing erased; until ERASED_EVERY seconds after it has
    time. One that is damaged beyond use is deleted. One that cannot be rewritten (a full disk) stays until UNERASED_AT_MOST
    seconds after, then it is deleted, too. `now` is UTC seconds. Raises StoreError where the trouble is the database's own; no
    backup is deleted then.
    """
    troubles = _delete_cut_off(folder)
    for path in backups(folder):
        if abs(now - path.stat().st_mtime) < ERASED_EVERY:
            continue
        try:
            await db.between(partial(_scrub, path))
        except StoreError as error:
            await db.read(lambda tx: tx.one("SELECT count(*) FROM data_key"))
            delete = _beyond_use(error) or abs(now - path.stat().st_mtime) > UNERASED_AT_MOST
            troubles.append(f"{path.name} {'is deleted' if delete else 'waits'}: {error}")
            if delete:
                troubles.extend(_delete(path))
        else:
            with suppress(OSError):  # it counts as older than it is then
                os.utime(path, (now, now))
    return troubles


def _delete_cut_off(folder: Path) -> list[str]:
    """Delete what is left of a backup that a stop cut off; gives what could not be."""
    return [words for part in folder.glob("*.part") for words in _delete(part)]


async def _scrub(path: Path, run: Run) -> None:
    await run("ATTACH ? AS copy", (str(path),))
    try:
        due = "record NOT IN (SELECT record FROM main.data_key)"
        if await run(f"SELECT 1 FROM copy.data_key WHERE {due} LIMIT 1", ()):  # noqa: S608 a constant
            await run(f"DELETE FROM copy.data_key WHERE {due}", ())  # noqa: S608 a constant
    finally:
        await run("DETACH copy", ())


def _beyond_use(error: StoreError) -> bool:
    """Whether the file is no backup at all: what is in it is not SQLite's, or not lockerd's."""
    cause = error.__cause__
    return isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode & 0xFF in _NO_BACKUP


def _delete(path: Path) -> list[str]:
    """Delete a backup with what SQLite keeps beside it; gives why it could not be."""
    try:
        _forget(path.parent, f"{path.name}*")
    except OSError as error:
        return [f"{path} cannot be deleted ({error.strerror}); delete it, it holds what is to be erased"]
    return []


def backups(folder: Path) -> list[Path]:
    """The backups in a folder, oldest first."""
    return sorted(folder.glob("lockerd-*.db"))


def made_between(folder: Path, since: float, until: float) -> bool:
    """Whether a backup in a folder bears a time between these (UTC seconds)."""
    return any(_name(since) <= one.name <= _name(until) for one in backups(folder))


def _name(now: float) -> str:
    return f"lockerd-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}.db"


def _wrong(found: list[str]) -> list[str]:
    return [] if found == ["ok"] else found


def _forget(folder: Path, pattern: str) -> None:
    for path in list(folder.glob(pattern)):
        path.unlink(missing_ok=True)
