"""Opening the database file: one owner, settings, integrity, migrations. Runs in aiosqlite's thread."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path

from lockerd.errors import DatabaseDamaged, DiskFull, StoreError
from lockerd.store.hashing import argon2id, chained

APPLICATION_ID = 0x4C4B5244
"""PRAGMA application_id of lockerd's databases: "LKRD"."""

Check = Callable[[sqlite3.Connection], list[str]]
"""What is wrong with the file of a connection; nothing when it is sound."""

BACKUPS = "backup"
"""The folder of backups, beside the database."""

LEAST_ROOM = 256 * 1024
"""Bytes: with less, a database cannot be opened with its log and the index of it."""

_SETTINGS = (
    "PRAGMA busy_timeout = 5000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
)
_WAL_SETTINGS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 1000",
    "PRAGMA journal_size_limit = 4194304",
)
_STATEMENTS = 256  # more than lockerd has: none is ever prepared twice
_CORRUPT = ".corrupt-"
_ADVICE = "nothing was written to it; keep the damaged copy with its -wal, and restore a backup"


def integrity_check(connection: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with the file when it reads all of it, each index against its table; nothing when it is sound."""
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
    return [] if found == ["ok"] else found


def open_database(
    path: Path, entropy: Callable[[int], bytes], check: Check = integrity_check
) -> tuple[sqlite3.Connection, int]:
    """Open or create the database at `path`: (connection in autocommit mode, descriptor that holds the owner's lock).

    A file of another program, one of a newer version, or one that another process owns is refused with StoreError; a damaged
    one, and a fresh start beside one that was set aside, with DatabaseDamaged. All of them stay as they are.
    """
    try:
        lock = _lock(path)
        try:
            return _open(path, entropy, check), lock
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{path}: {error.strerror}; free space in the state directory") from error
        raise StoreError(
            f"{path}: {error.strerror}; check that the state directory exists and may be written"
        ) from error


def translated(error: sqlite3.Error) -> StoreError:
    """The StoreError that says in words what an error of SQLite means."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return DiskFull("the disk is full; free space in the state directory")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError("the database is locked by another program; only lockerd may open it")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StoreError(f"the database is damaged ({error}); {_ADVICE}")
        case sqlite3.SQLITE_IOERR:
            return StoreError(f"the disk failed ({error}); check the disk and restart")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN:
            return StoreError(f"the database cannot be written ({error}); check the state directory's owner and mode")
        case sqlite3.SQLITE_CONSTRAINT:
            return StoreError(f"refused by a rule of the database: {error}")
        case _:
            return StoreError(f"database error: {error}")


def set_aside(path: Path, now: float) -> Path:
    """Rename a damaged database with its log, so that nothing ever writes to it again; gives its new name.

    `now` (UTC seconds) becomes part of the name. What a power cut left of an earlier setting aside is completed. Raises
    StoreError when another process owns it or the folder cannot be written.
    """
    try:
        lock = _lock(path)
        try:
            before = set_aside_before(path)
            aside = path.with_name(f"{path.name}{_CORRUPT}{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S.%fZ}")
            if before and not path.exists():
                aside = before[-1]
            for suffix in ("", "-wal", "-shm"):  # the log last: without it the file might pass for a sound, older one
                part = path.with_name(path.name + suffix)
                if part.exists():
                    part.rename(aside.with_name(aside.name + suffix))
            sync_folder(path.parent)
        finally:
            os.close(lock)
    except OSError as error:
        raise StoreError(f"{path}: cannot be set aside ({error.strerror}); check the state directory") from error
    return aside


def set_aside_before(path: Path) -> list[Path]:
    """Damaged databases that were set aside from `path`, oldest first."""
    found = path.parent.glob(f"{path.name}{_CORRUPT}*")
    return sorted(one for one in found if not one.name.endswith(("-wal", "-shm")))


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _no_room(folder: Path) -> bool:
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize < LEAST_ROOM


def _lock(path: Path) -> int:
    """Take the owner's lock beside the file (never on it: closing a descriptor of it would drop SQLite's own locks)."""
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StoreError(f"{path} is in use by another lockerd; stop it first") from error
    return lock


def _open(path: Path, entropy: Callable[[int], bytes], check: Check) -> sqlite3.Connection:
    fresh = not path.exists() or path.stat().st_size == 0
    if fresh:
        _refuse_fresh(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)
    try:
        guard = _guard(path)
        connection = sqlite3.connect(path, isolation_level=None, cached_statements=_STATEMENTS)
        try:
            _check(connection, path, check)
            guard.close()
            _prepare(connection, path, entropy)
        except BaseException:
            connection.close()
            guard.close()
            raise
    except sqlite3.Error as error:
        damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        if not damaged and _no_room(path.parent):  # SQLite tells of it in several ways, by what it could not write
            raise DiskFull(f"{path}: the disk is full; free space in the state directory") from error
        raise (DatabaseDamaged if damaged else StoreError)(f"{path}: {translated(error)}") from error
    if fresh:
        sync_folder(path.parent)
    return connection


def _refuse_fresh(path: Path) -> None:
    """Begin no ledger in the place of one that was lost. A file of no bytes counts as none: SQLite deletes a log beside it."""
    if aside := set_aside_before(path):
        raise DatabaseDamaged(f"{path} was damaged and is set aside as {aside[-1].name}; {_ADVICE}")
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size > 0:
        if path.exists():
            raise DatabaseDamaged(f"{path} is empty but its log {log.name} is there; {_ADVICE}")
        raise StoreError(f"{path} is missing but its log {log.name} is there; restore the database file beside it")
    folder = path.parent / BACKUPS
    if any(folder.glob("*.db")):
        raise StoreError(
            f"{path} is missing or empty but backups are in {folder}; restore the newest, or take the folder away for a new machine"
        )


def _guard(path: Path) -> sqlite3.Connection:
    """A reader, to be closed after a connection that finds the file unfit.

    The last connection that closes writes the log into the file and deletes it, however damaged the file; a reader cannot.
    """
    guard = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    with suppress(sqlite3.DatabaseError):  # what is wrong with the file, the owner's connection tells
        guard.execute("SELECT 1 FROM sqlite_schema").fetchone()
    return guard


def _check(connection: sqlite3.Connection, path: Path, check: Check) -> None:
    for setting in _SETTINGS:
        connection.execute(setting)
    if findings := check(connection):
        raise DatabaseDamaged(f"{path}: the database is damaged ({'; '.join(findings)}); {_ADVICE}")
    migrations = _migrations()
    version = _version(connection)
    if version > len(migrations):
        raise StoreError(
            f"{path} has schema version {version}, this lockerd knows up to {len(migrations)}; install the newer lockerd again"
        )
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    if tables > 0 and application != APPLICATION_ID:
        raise StoreError(f"{path} is a database of another program; name another state directory")


def _prepare(connection: sqlite3.Connection, path: Path, entropy: Callable[[int], bytes]) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(f"{path}: this file system allows no write-ahead log; use a local disk")
    for setting in _WAL_SETTINGS:
        connection.execute(setting)
    connection.create_function("argon2id", 2, argon2id, deterministic=True)
    connection.create_function("chained", -1, chained, deterministic=True)
    version = _version(connection)
    for number, script in enumerate(_migrations()[version:], start=version + 1):
        _migrate(connection, number, script)
    connection.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('epoch', ?)", (entropy(8).hex(),))
    connection.row_factory = sqlite3.Row


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@cache
def _migrations() -> Sequence[str]:
    """The scripts of the package in order; each is named NNNN_what.sql, numbered from 1 without a gap."""
    folder = resources.files("lockerd.store") / "migrations"
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    for number, entry in enumerate(found, start=1):
        if not entry.name.startswith(f"{number:04}_"):
            raise StoreError(f"migration {entry.name} stands where number {number} must; the installation is broken")
    return tuple(entry.read_text(encoding="utf-8") for entry in found)


def _migrate(connection: sqlite3.Connection, number: int, script: str) -> None:
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
