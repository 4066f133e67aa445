"""What an image must say, and the bench that opens images one after the other and counts what is wrong."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

from lockerd.errors import LockerError
from lockerd.store.opening import open_database
from lockerd.store.verify import verify
from sim.people import population
from tests.crash.disk import Files, Names
from tests.crash.recovery import recover
from tests.crash.story import TABLES, Digest

DATABASE = "lockerd.db"
EPOCH = "epoch"
"""The key of meta whose value a new database draws by lot."""
PEOPLE = 100


@dataclass(frozen=True, slots=True)
class Commit:
    """One acknowledged commit: the digest of all rows after it, and the virtual second."""

    number: int
    digest: str
    at: float


@dataclass(frozen=True, slots=True)
class Moment:
    """What must hold after an operation: the commits acknowledged before, the next one, and where the cards are.

    `moves` counts the changes of the machine so far: with the rows it is all that a daemon finds when it starts.
    """

    acknowledged: Commit | None
    under_way: Commit | None
    machine: dict[str, Any] | None
    moves: int


@dataclass(slots=True)
class Tally:
    """What a run found; `images` are the names of the distinct ones."""

    operations: int = 0
    commits: int = 0
    images: set[bytes] = field(default_factory=set)
    equal: int = 0
    recoveries: int = 0
    quarantined: int = 0
    states: set[str] = field(default_factory=set)
    starts: set[tuple[str, int]] = field(default_factory=set)
    backups: set[bytes] = field(default_factory=set)
    wrong: Counter[str] = field(default_factory=Counter)
    first: str = ""

    def add(self, other: Tally) -> None:
        """Take in what another part of the story showed; what both have seen counts once."""
        self.equal += other.equal + len(self.images & other.images)
        self.images |= other.images
        self.recoveries += other.recoveries
        self.quarantined += other.quarantined
        self.states |= other.states
        self.starts |= other.starts
        self.backups |= other.backups
        self.wrong += other.wrong
        self.first = self.first or other.first

    @property
    def summary(self) -> dict[str, Any]:
        """The object of `--json`. `plan` is equal for equal images."""
        plan = blake2b(b"".join(sorted(self.images)), digest_size=8)
        return {
            "operations": self.operations,
            "commits": self.commits,
            "distinct_images": len(self.images),
            "equal_images_left_out": self.equal,
            "states_verified": len(self.states),
            "backups_verified": len(self.backups),
            "rows_and_machines_found": len(self.starts),
            "daemon_recoveries": self.recoveries,
            "cards_quarantined": self.quarantined,
            "lost": self.wrong["lost"],
            "torn": self.wrong["torn"],
            "unopened": self.wrong["unopened"],
            "unsound": self.wrong["unsound"],
            "violations": self.wrong.total(),
            "plan": plan.hexdigest(),
        }


def _digest(connection: sqlite3.Connection, *, without: str = "") -> str:
    """Of all rows, but for those whose first column is `without`."""
    digest = Digest()
    for (table,) in connection.execute(TABLES).fetchall():
        rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
        digest.add(table, (row for row in rows if not without or row[0] != without))
    return digest.text()


class Bench:
    """Opens images in one folder, one after the other, and counts what is wrong.

    The whole daemon starts on every `daemon_every`-th pair of rows and machine that was not met before, and on every
    `daemon_every` * 100th image besides (0: on none).
    """

    def __init__(self, folder: Path, tally: Tally, seed: int, commits: Sequence[str], daemon_every: int) -> None:
        self._folder = folder
        self._path = folder / DATABASE
        self._tally = tally
        self._town = population(seed, PEOPLE)
        self._daemon_every = daemon_every
        self._number = {digest: number for number, digest in enumerate(commits, start=1)}
        self._names = Names()
        self._rows: dict[bytes, str] = {}  # the digest of the rows, by the hash of all pages
        connection, lock = open_database(self._path, Random(0).randbytes)
        with closing(connection):
            self._fresh = _digest(connection, without=EPOCH)
        os.close(lock)

    def check(self, image: Files, moment: Moment, noise: Random, where: str) -> None:
        """Open one image, and start the daemon on it where it is due."""
        self._lay_out(image, noise)
        digest, said = self._opened(moment)
        if said is None and moment.machine is not None and self._due((digest, moment.moves)):
            self._lay_out(image, noise)  # the daemon starts on what the power left, not on what was opened before
            said = self._recovered(moment, moment.machine)
        if said is not None:
            kind, words = said
            self._tally.wrong[kind] += 1
            self._tally.first = self._tally.first or f"{where}: {kind}: {words}"

    def check_backups(self, image: Files) -> None:
        """A backup that has its name is whole, whatever else became of the folder."""
        for path, content in image.items():
            if not path.startswith("backup/") or not path.endswith(".db"):
                continue
            log = image.get(f"{path}-journal", b"")
            known = self._names.of_file(path, content) + self._names.of_file(f"{path}-journal", log)
            if known not in self._tally.backups:
                self._tally.backups.add(known)
                self._check_backup(path, content, log)

    def _due(self, start: tuple[str, int]) -> bool:
        every, tally = self._daemon_every, self._tally
        new = start not in tally.starts
        tally.starts.add(start)
        return every > 0 and ((new and len(tally.starts) % every == 0) or len(tally.images) % (100 * every) == 0)

    def _lay_out(self, image: Files, noise: Random) -> None:
        for left in self._folder.iterdir():
            if left.is_file():
                left.unlink()
        for path, content in image.items():
            if "/" not in path:
                (self._folder / path).write_bytes(content)
        mapped = noise.randrange(3)
        if mapped:  # of the shared memory anything may be found
            (self._folder / f"{DATABASE}-shm").write_bytes(bytes(32768) if mapped == 1 else noise.randbytes(32768))

    def _opened(self, moment: Moment) -> tuple[str, tuple[str, str] | None]:
        try:
            connection, lock = open_database(self._path, Random(1).randbytes)
        except LockerError as error:
            return "", ("unopened", str(error))
        try:
            with closing(connection):
                pages = blake2b(connection.serialize(), digest_size=16).digest()
                digest = self._rows.get(pages) or _digest(connection)
                self._rows[pages] = digest
                said = self._judged(digest, connection, moment)
        finally:
            os.close(lock)
        if said is None and digest not in self._tally.states:
            self._tally.states.add(digest)
            report = verify(self._path)
            said = ("unsound", "; ".join(report.wrong)) if report.wrong else None
        return digest, said

    def _judged(self, digest: str, connection: sqlite3.Connection, moment: Moment) -> tuple[str, str] | None:
        last, coming = moment.acknowledged, moment.under_way
        if digest in {one.digest for one in (last, coming) if one is not None}:
            return None
        fresh = _digest(connection, without=EPOCH) == self._fresh
        if last is None and fresh:
            return None
        number = 0 if fresh else self._number.get(digest)
        if number is None:
            return "torn", "the rows are those of no commit"
        return "lost", f"commit {last.number if last else 0} was acknowledged, found is commit {number}"

    def _recovered(self, moment: Moment, machine: dict[str, Any]) -> tuple[str, str] | None:
        at = moment.acknowledged.at if moment.acknowledged else 0.0
        self._tally.recoveries += 1
        found = recover(self._folder, machine, self._town, at)
        self._tally.quarantined += found.in_doubt
        report = verify(self._path)
        wrong = [*found.wrong, *report.wrong, *(words for words in report.unsettled if words.startswith("intent"))]
        return ("unsound", "after the daemon's recovery: " + "; ".join(wrong)) if wrong else None

    def _check_backup(self, path: str, content: bytes, log: bytes) -> None:
        copy = self._folder / Path(path).name
        copy.write_bytes(content)
        if log:
            copy.with_name(f"{copy.name}-journal").write_bytes(log)
        try:
            with closing(sqlite3.connect(copy)) as db:
                db.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # rolls an unfinished erasure back
            found = list(verify(copy).wrong)
        except (LockerError, sqlite3.Error) as error:
            found = [str(error)]
        if found:
            self._tally.wrong["unsound"] += 1
            self._tally.first = self._tally.first or f"{path}: {'; '.join(found)}"
        for left in self._folder.glob("lockerd-*"):
            left.unlink()
