"""`python -m tests.crash.images`: cut the power after every operation of the running daemon on its database, and open what is left.

A story of the real daemon is recorded with its system calls (strace). After each operation images are made of what a disk may
hold then (`tests.crash.disk`), and the store opens each. The rows of every table must be exactly those of the last commit that
was acknowledged, or of the one then under way: nothing lost, nothing torn, no number given twice. Exit status 1 otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from lockerd.errors import LockerError
from lockerd.store.opening import open_database
from lockerd.store.verify import verify
from sim.people import population
from tests.crash.disk import Disk, Files, identity
from tests.crash.recording import Mark, Op, record
from tests.crash.recovery import recover
from tests.crash.story import TABLES, Digest

SHARED_MEMORY = Path("/dev/shm")
DATABASE = "lockerd.db"
STORY = "tests.crash.story"
EPOCH = "epoch"
"""The key of meta whose value a new database draws by lot."""
PEOPLE = 100
EACH = 10
"""Images of a moment, at least; with few to make, moments are left out."""
IN_VAIN = 30
"""Equal images in a row after which a moment is taken to have no others; later moments make up for it."""
MAPPED = ("-shm", ".lock", "marks", "ballast")
"""Never synced, or never read: an image holds none of them as they were."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One acknowledged commit: the digest of all rows after it, and the virtual second."""

    number: int
    digest: str
    at: float


@dataclass(frozen=True, slots=True)
class Moment:
    """What must hold after an operation: the commits acknowledged before, the next one, and where the cards are."""

    acknowledged: Commit | None
    under_way: Commit | None
    machine: dict[str, Any] | None


@dataclass(slots=True)
class Tally:
    """What a run found."""

    operations: int = 0
    commits: int = 0
    images: int = 0
    equal: int = 0
    recoveries: int = 0
    quarantined: int = 0
    states: set[str] = field(default_factory=set)
    backups: set[bytes] = field(default_factory=set)
    wrong: Counter[str] = field(default_factory=Counter)
    first: str = ""
    plan: str = ""

    @property
    def summary(self) -> dict[str, Any]:
        """The object of `--json`."""
        return {
            "operations": self.operations,
            "commits": self.commits,
            "images": self.images,
            "equal_images_left_out": self.equal,
            "states_verified": len(self.states),
            "backups_verified": len(self.backups),
            "daemon_recoveries": self.recoveries,
            "cards_quarantined": self.quarantined,
            "lost": self.wrong["lost"],
            "torn": self.wrong["torn"],
            "unopened": self.wrong["unopened"],
            "unsound": self.wrong["unsound"],
            "violations": self.wrong.total(),
            "plan": self.plan,
        }


def moments(ops: Sequence[Op]) -> Iterator[tuple[Op, Moment]]:
    """Each operation on the database's files, with what must hold after it."""
    said = [op.said for op in ops if isinstance(op, Mark) and "commit" in op.said]
    commits = [Commit(one["commit"], one["digest"], one["at"]) for one in said]
    done, machine = 0, None
    for op in ops:
        if isinstance(op, Mark):
            machine = op.said.get("machine", machine)
            done = op.said.get("commit", done)
        elif not op.path.endswith(MAPPED):
            yield (
                op,
                Moment(commits[done - 1] if done else None, commits[done] if done < len(commits) else None, machine),
            )


def _digest(connection: sqlite3.Connection, *, without: str = "") -> str:
    """Of all rows, but for those whose first column is `without`."""
    digest = Digest()
    for (table,) in connection.execute(TABLES).fetchall():
        rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
        digest.add(table, (row for row in rows if not without or row[0] != without))
    return digest.text()


class Bench:
    """Opens images in one folder, one after the other, and counts what is wrong."""

    def __init__(self, folder: Path, tally: Tally, seed: int, commits: Sequence[str]) -> None:
        self._folder = folder
        self._path = folder / DATABASE
        self._tally = tally
        self._town = population(seed, PEOPLE)
        self._number = {digest: number for number, digest in enumerate(commits, start=1)}
        connection, lock = open_database(self._path, Random(0).randbytes)
        with closing(connection):
            self._fresh = _digest(connection, without=EPOCH)
        os.close(lock)

    def check(self, image: Files, moment: Moment, random: Random, where: str, *, wholly: bool) -> None:
        """Open one image, and with `wholly` start the daemon on it."""
        self._lay_out(image, random)
        said = self._opened(moment)
        if said is None and wholly:
            said = self._recovered(moment)
        if said is not None:
            kind, words = said
            self._tally.wrong[kind] += 1
            self._tally.first = self._tally.first or f"{where}: {kind}: {words}"

    def _lay_out(self, image: Files, random: Random) -> None:
        for left in self._folder.iterdir():
            if left.is_file():
                left.unlink()
        for path, content in image.items():
            if "/" not in path:
                (self._folder / path).write_bytes(content)
        mapped = random.randrange(3)
        if mapped:  # of the shared memory anything may be found
            (self._folder / f"{DATABASE}-shm").write_bytes(bytes(32768) if mapped == 1 else random.randbytes(32768))
        self._backups(image)

    def _opened(self, moment: Moment) -> tuple[str, str] | None:
        try:
            connection, lock = open_database(self._path, Random(1).randbytes)
        except LockerError as error:
            return "unopened", str(error)
        try:
            with closing(connection):
                digest = _digest(connection)
                said = self._judged(digest, connection, moment)
        finally:
            os.close(lock)
        if said is None and digest not in self._tally.states:
            self._tally.states.add(digest)
            report = verify(self._path)
            said = ("unsound", "; ".join(report.wrong)) if report.wrong else None
        return said

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

    def _recovered(self, moment: Moment) -> tuple[str, str] | None:
        if moment.machine is None:  # before the machine had power for the first time
            return None
        at = moment.acknowledged.at if moment.acknowledged else 0.0
        self._tally.recoveries += 1
        found = recover(self._folder, moment.machine, self._town, at)
        self._tally.quarantined += found.in_doubt
        report = verify(self._path)
        wrong = [*found.wrong, *report.wrong, *(words for words in report.unsettled if words.startswith("intent"))]
        return ("unsound", "after the daemon's recovery: " + "; ".join(wrong)) if wrong else None

    def _backups(self, image: Files) -> None:
        """A backup that has its name is whole, whatever else became of the folder."""
        for path, content in image.items():
            if not path.startswith("backup/") or not path.endswith(".db"):
                continue
            log = image.get(f"{path}-journal", b"")
            known = hashlib.blake2b(content + b"\0" + log).digest()
            if known in self._tally.backups:
                continue
            self._tally.backups.add(known)
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


def run(ops: Sequence[Op], folder: Path, *, images: int, seed: int, daemon_every: int) -> Tally:
    """Make and check so many distinct images of a recording, spread evenly over its operations.

    Every `daemon_every`-th is also started by the whole daemon (0: none). The same recording and seed make the same images.
    """
    tally = Tally()
    story = list(moments(ops))
    tally.operations = len(story)
    digests = [op.said["digest"] for op in ops if isinstance(op, Mark) and "commit" in op.said]
    tally.commits = len(digests)
    bench = Bench(folder, tally, seed, digests)
    disk, seen, plan = Disk(), set(), hashlib.blake2b(digest_size=8)
    cache: dict[int, tuple[bytes, bytes]] = {}
    for number, (op, moment) in enumerate(story):
        disk.apply(op)
        wanted = min(images * (number + 1) * 51 // (len(story) * 50), images)  # some moments leave few
        if wanted - tally.images < min(EACH, images - tally.images):
            continue
        random = Random(f"{seed}:{number}")
        in_vain = 0
        for turn, image in enumerate(disk.images(random)):
            if tally.images >= wanted or in_vain >= IN_VAIN:
                break
            name = identity(image, cache)
            if name in seen:
                tally.equal += 1
                in_vain += 1
                continue
            in_vain = 0
            seen.add(name)
            tally.images += 1
            plan.update(f"{number}:{turn}".encode())
            wholly = daemon_every > 0 and tally.images % daemon_every == 0
            bench.check(image, moment, random, f"operation {number}, image {turn}", wholly=wholly)
    tally.plan = plan.hexdigest()
    return tally


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder in memory where there is one: no image is worth a disk's time."""
    with tempfile.TemporaryDirectory(prefix="crash-", dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as name:
        yield Path(name)


def main(argv: Sequence[str] | None = None) -> int:
    """Record, cut, open; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tests.crash.images", description=__doc__)
    parser.add_argument(
        "--images", type=int, default=100_000, metavar="N", help="distinct images (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the story and of the cuts")
    parser.add_argument("--days", type=int, default=2, metavar="N", help="length of the story (default %(default)s)")
    parser.add_argument(
        "--daemon-every", type=int, default=100, metavar="N", help="start the whole daemon on every Nth image"
    )
    parser.add_argument("--unsynced", action="store_true", help="record with synchronous=OFF: the run must find losses")
    parser.add_argument("--json", action="store_true", help="print one object")
    arguments = parser.parse_args(argv)
    began = time.monotonic()
    with workplace() as place:
        story = ["--seed", str(arguments.seed), "--days", str(arguments.days)]
        ops = record(place / "story", STORY, *story, *(["--unsynced"] if arguments.unsynced else []))
        bench = place / "image"
        bench.mkdir()
        tally = run(ops, bench, images=arguments.images, seed=arguments.seed, daemon_every=arguments.daemon_every)
    summary = tally.summary
    if arguments.json:
        print(json.dumps(summary))
    else:
        for name, value in summary.items():
            print(f"{name.replace('_', ' '):<24}{value}")
        print(f"{'seconds':<24}{time.monotonic() - began:.0f}")
    if tally.first:
        print(f"first: {tally.first}", file=sys.stderr)
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
