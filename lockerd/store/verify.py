"""The ledger's invariants, checked on a database that nobody runs, and said in words.

A checker shares no code with what it checks: the rules are written down in `lockerd.store.verify_*` a second time, with SQL of
their own. The file is only read.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lockerd.errors import StoreError
from lockerd.store import verify_audit, verify_claims, verify_custody, verify_lost

SCHEMA = 7
"""The schema version (PRAGMA user_version) whose invariants these are."""

ANOTHER_VERSION = (
    "the version: nothing else was looked at; use the lockerd that wrote this file"
    " (a newer one brings it up to date when it starts)"
)
UNREADABLE = "check owner and mode; from a disk that cannot be written copy it, with its -wal, to one that can"

_APPLICATION_ID = 0x4C4B5244

Words = Iterator[str]


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `wrong` breaks an invariant; `unsettled` is what a stop may leave and the next start or staff settle.

    `remedies` say what to do, by subject.
    """

    wrong: tuple[str, ...]
    unsettled: tuple[str, ...]
    remedies: tuple[str, ...] = ()


def verify(path: Path) -> Report:
    """Check the database at `path`, which stays as it is; an existing log (-wal) is read with it.

    Raises StoreError when it is not there, in use by a running lockerd, or not to be read.
    """
    look_for(path)
    with _unowned(path), closing(sqlite3.connect(":memory:")) as db:
        db.row_factory = sqlite3.Row
        try:
            _read(path, db)
            refused = _refusal(db)
        except (sqlite3.OperationalError, OSError) as error:
            raise StoreError(f"{path}: cannot be read ({error}); {UNREADABLE}") from error
        except sqlite3.DatabaseError as error:
            refused = f"the file is no database, or its first page is damaged ({error})", _INVARIANTS[0][0]
        if refused is not None:
            words, remedy = refused
            return Report((words,), (), (remedy,))
        wrong: dict[str, str] = {}
        for remedy, checks in _INVARIANTS:
            for check in checks:
                wrong.update((words, remedy) for words in _all(check, db) if words not in wrong)
        return Report(tuple(wrong), tuple(_all(_unsettled, db)), tuple(dict.fromkeys(wrong.values())))


def look_for(path: Path) -> None:
    """Raise StoreError where no file can be seen at `path`."""
    try:
        there = path.is_file()
    except OSError as error:
        raise StoreError(f"{path}: cannot be looked at ({error.strerror}); run this as the user of the file") from error
    if not there:
        raise StoreError(f"{path} is not there; name the database file")


def _read(path: Path, db: sqlite3.Connection) -> None:
    """Copy the file, with what its log holds, into memory: on a read-only connection SQLite 3.40 checks no constraint.

    Where a stop cut a change of a backup off, its rollback journal is beside it, and SQLite reads the two as one by writing only.
    """
    journal = path.with_name(path.name + "-journal")
    if journal.exists():
        with TemporaryDirectory() as folder:
            copy = Path(folder, path.name)
            shutil.copyfile(path, copy)
            shutil.copyfile(journal, copy.with_name(journal.name))
            with closing(sqlite3.connect(copy)) as source:
                source.backup(db)
        return
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source:
        source.backup(db)


@contextmanager
def _unowned(path: Path) -> Iterator[None]:
    """Hold the owner's lock meanwhile. A file that never had an owner, a backup say, has none and gets none."""
    try:
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; run this as the user of the file") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"{path} is in use by a running lockerd; stop it first, or verify a backup") from error
        yield
    finally:
        os.close(lock)


def _all(check: Callable[[sqlite3.Connection], Words], db: sqlite3.Connection) -> Words:
    try:
        yield from check(db)
    except sqlite3.DatabaseError as error:
        yield f"the file is damaged and cannot be read to its end ({error})"
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        name = check.__name__.strip("_")
        yield f"{name}: not looked at to its end, a row holds what lockerd never writes there ({type(error).__name__}: {error})"


# --- the file


def _refusal(db: sqlite3.Connection) -> tuple[str, str] | None:
    """Why nothing else is looked at, and what to do."""
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application != _APPLICATION_ID:
        return "the file is no database of lockerd", f"name lockerd's own; if this is it, {_INVARIANTS[0][0]}"
    if version != SCHEMA:
        return f"the database has schema version {version}; this lockerd checks version {SCHEMA}", ANOTHER_VERSION
    return None


def _pages(db: sqlite3.Connection) -> Words:
    for (words,) in db.execute("PRAGMA integrity_check"):
        if words != "ok":
            yield f"the file is damaged: {words}"


def _references(db: sqlite3.Connection) -> Words:
    for table, rowid, parent, _ in db.execute("PRAGMA foreign_key_check"):
        yield f"row {rowid} of {table} refers to a row of {parent} that is not there"


_INVARIANTS: tuple[tuple[str, tuple[Callable[[sqlite3.Connection], Words], ...]], ...] = (
    (
        "the file: copy it away as it is, and put the newest sound backup back (lockerd restore)",
        (_pages, _references),
    ),
    (
        "custody: keep a copy of the file for the office; two of the staff look where each card named really is, and compare"
        " with the office's ledger; if a sound backup has it right, put that back (lockerd restore)",
        (
            verify_custody.chains,
            verify_custody.responsible,
            verify_custody.intents,
            verify_custody.slots,
            verify_custody.single_places,
            verify_custody.totals,
        ),
    ),
    (
        "cards reported lost: ask the office who has the card now; one that is inside goes to the office, not to a citizen",
        (verify_lost.flags,),
    ),
    (
        "claims: let the office withdraw each claim named and announce it anew, if its card is to be collected",
        (verify_claims.claims, verify_claims.codes, verify_claims.keys),
    ),
    (
        "the audit chain: somebody wrote to this file beside lockerd, or the disk did; keep a copy, and compare with the"
        " office, which has the events and the chains' ends of each night",
        (verify_claims.journal, verify_audit.audit, verify_audit.checkpoints, verify_audit.told),
    ),
)
"""By subject, what to do, and the checks."""


# --- no fault: what a stop may leave


def _unsettled(db: sqlite3.Connection) -> Words:
    if db.execute("SELECT 1 FROM meta WHERE key = 'epoch'").fetchone() is None:
        yield "the database has no epoch: it is a backup"
    for row in db.execute(
        "SELECT intent_id, unit, motion, card_id FROM intent WHERE result IS NULL ORDER BY intent_id"
    ):
        carried = f" with card {row['card_id']}" if row["card_id"] else ""
        yield f"intent {row['intent_id']} of the {row['unit']} is open: {row['motion']}{carried}"
    for row in db.execute(
        "SELECT claim_id, place FROM claim JOIN card USING (claim_id)"
        " WHERE role = 'new' AND state = 'stocked' AND place NOT IN ('slot', 'taken', 'tray', 'load') ORDER BY claim_id"
    ):
        yield f"claim {row['claim_id']} cannot be collected now: its card is recorded at {row['place']}"
    for row in db.execute("SELECT slot, reason FROM slot WHERE state = 'blocked' ORDER BY slot"):
        yield f"slot {row['slot']} is blocked: {row['reason']}"
    for (card_id,) in db.execute("SELECT card_id FROM card WHERE place = 'in_doubt' ORDER BY card_id"):
        yield f"card {card_id} is in doubt"
    yield from verify_lost.held(db)
    for (journey_id,) in db.execute("SELECT journey_id FROM journey WHERE ended IS NULL ORDER BY began, journey_id"):
        yield f"journey {journey_id} has not ended"
