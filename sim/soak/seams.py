"""Where the daemon touches the world: every crossing is a step, and at any of them the power can go."""

from __future__ import annotations

import asyncio
import hashlib
import re
import sqlite3
from collections.abc import Awaitable, Callable, Generator, Iterable
from enum import Enum, auto
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import aiosqlite

_FULL = 2  # of PRAGMA synchronous
_WEEK = 7 * 86400.0
_INTO = re.compile(r"\binto\s+(?:main\.)?\W?(\w+)", re.IGNORECASE)


class Fetch(Protocol):
    """Reads what was committed."""

    def __call__(self, sql: str, *parameters: object) -> Awaitable[list[Any]]:
        """The rows of one statement."""


Committed = Callable[[Fetch, frozenset[str] | None], Awaitable[None]]
"""Told of a commit: how to read it, and the tables that rows were inserted into; None: perhaps into any, for it is the first
since the database was opened."""


class Step(Enum):
    """What is crossed."""

    STATEMENT = auto()  # before each statement
    COMMITTED = auto()  # after each commit
    ORDER = auto()  # before a command's write reaches its unit
    ORDERED = auto()  # after it
    ASK = auto()  # everything else: reads of units and readers, face, office, messages


ALL_STEPS = frozenset(Step)


class Seams:
    """Counts crossings, lets something happen at a given one, and lets nothing through once it is dead.

    `on_cut` is called in the middle of whatever happens, once, when `cut` is. Only crossings in `counted` count.
    """

    def __init__(self, on_cut: Callable[[], None]) -> None:
        self.crossings = 0
        self.counted = ALL_STEPS
        self.dead = True
        self._on_cut = on_cut
        self._at: int | None = None
        self._act: Callable[[], None] | None = None
        self._after_motion: tuple[int, Callable[[], None]] | None = None
        self._in_commit: tuple[int, bool, Callable[[], None]] | None = None

    def begin(self) -> None:
        """The daemon starts: things pass again."""
        self.dead = False

    def cut(self) -> None:
        """Now."""
        if not self.dead:
            self.dead = True
            self._at = None
            self._on_cut()

    def at(self, crossing: int, act: Callable[[], None]) -> None:
        """Let `act` happen in the middle of that crossing."""
        self._at, self._act = crossing, act

    def cut_after_motion(self, crossings: int, act: Callable[[], None]) -> None:
        """Let `act` happen so many crossings after the next motion was ordered."""
        self._after_motion = (crossings, act)

    def cut_in_commit(self, commits: int, act: Callable[[], None], *, durable: bool) -> None:
        """Let `act` happen in the middle of the so-manieth commit from now that changes something: before or after its sync."""
        self._in_commit = (commits, durable, act)

    def calm(self) -> None:
        """Nothing that was to happen at a later crossing happens."""
        self._at = self._act = self._after_motion = self._in_commit = None

    def commit(self, *, durable: bool) -> bool:
        """A commit stands before its sync, or (`durable`) after it; whether it is cut there."""
        if self._in_commit is None:
            return False
        left, where, act = self._in_commit
        if left > 1:
            self._in_commit = (left - durable, where, act)
            return False
        if where is not durable:
            return False
        self._in_commit = None
        act()
        return True

    def ordered(self) -> None:
        """A motion was ordered."""
        if self._after_motion is not None:
            crossings, act = self._after_motion
            self._after_motion = None
            self.at(self.crossings + crossings, act)

    def count(self, step: Step) -> None:
        """One crossing."""
        if self.counted is not ALL_STEPS and step not in self.counted:
            return
        self.crossings += 1
        if self._at is not None and self._act is not None and self.crossings >= self._at and not self.dead:
            self._at = None
            self._act()

    async def cross(self, step: Step = Step.ASK) -> None:
        """Pass, or never come back, as a process that is no more."""
        self.count(step)
        if self.dead:
            await asyncio.get_running_loop().create_future()


class DiskFault:
    """What the disk does to commits that write: an error code of SQLite for each of the next, and whether it is durable all
    the same; or no room at all. `struck` says whether a commit failed by it."""

    def __init__(self) -> None:
        self.next: list[tuple[int, bool]] = []
        self.full = False
        self.struck = False

    def on_commit(self) -> tuple[int, bool] | None:
        """What happens to a commit; None for nothing."""
        self.struck |= bool(self.next) or self.full
        if self.next:
            return self.next.pop(0)
        return (sqlite3.SQLITE_FULL, False) if self.full else None


class KeptDisk:
    """What a power cut leaves of the database at `path`: all of it where each commit was synced, else the file without its log.

    A file in memory is not damaged by itself, and the daemon reads all of it each night: what `check` found in it is true for a
    week (`now` is in seconds), unless it was put back as the disk kept it.
    """

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._path = path
        self._now = now
        self._synced = True
        self._image: bytes | None = None
        self._sound_until = 0.0

    def check(self, connection: sqlite3.Connection) -> list[str]:
        """What is wrong with the file; all of it is read once a week."""
        if self._now() < self._sound_until:
            return []
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
        if found != ["ok"]:
            return found
        self._sound_until = self._now() + _WEEK
        return []

    def opened(self, connection: sqlite3.Connection) -> None:
        """The daemon opened it with these settings."""
        self._synced = connection.execute("PRAGMA synchronous").fetchone()[0] >= _FULL

    def cut(self) -> None:
        """The power goes, with what was not synced."""
        if not self._synced:
            self._image = self._path.read_bytes()

    def come_back(self) -> None:
        """The file as the disk kept it, once nobody has it open."""
        if self._image is not None:
            self._path.write_bytes(self._image)
            self._sound_until = 0.0
            for suffix in ("-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._image = None


class Connection(aiosqlite.Connection):
    """aiosqlite's connection whose jobs are done at once in the loop's own thread: a change of threads for each statement
    would take longer than all else. Statements are crossings. The others get their turn after each transaction and each read
    outside of one; within a transaction they could see nothing of it anyway.

    After each commit that changed something `committed` is awaited; it sees exactly what was committed.
    """

    def __init__(
        self,
        connector: Callable[[], sqlite3.Connection],
        iter_chunk_size: int,
        *,
        seams: Seams,
        disk: DiskFault,
        committed: Committed,
    ) -> None:
        super().__init__(connector, iter_chunk_size)
        self._tx = _AtOnce()  # type: ignore[assignment]  # in place of the thread's queue
        self._thread = _NoThread()  # type: ignore[assignment]
        self._seams = seams
        self._disk = disk
        self._committed = committed
        self._changes = 0
        self._first = True
        self._into: set[str] = set()  # tables into which the transaction has inserted

    async def execute_fetchall(  # type: ignore[override]  # a plain coroutine will do
        self, sql: str, parameters: Iterable[Any] | None = None
    ) -> Iterable[sqlite3.Row]:
        """One statement, unless the power or the disk fails."""
        self._seams.count(Step.STATEMENT)
        if self._seams.dead:
            raise _error("the power is off", sqlite3.SQLITE_IOERR)
        if sql == "COMMIT":
            return await self._commit()
        connection = self._connection
        assert connection is not None
        rows = connection.execute(sql, tuple(parameters or ())).fetchall()
        if sql[0] != "S":  # of SELECT
            self._into.update(filled_by(sql))
        if not connection.in_transaction:
            if sql == "ROLLBACK":
                self._changes = connection.total_changes
                self._into.clear()
            await _TURN
        return rows

    async def _commit(self) -> Iterable[sqlite3.Row]:
        """The others see it, unless the power or the disk fails, and the witness looks at what it changed."""
        connection = self._conn
        writes = connection.total_changes != self._changes
        fault = self._disk.on_commit() if writes else None
        if fault is not None and not fault[1]:
            raise _error("simulated", fault[0])
        if writes and self._seams.commit(durable=False):
            raise _error("the power is off", sqlite3.SQLITE_IOERR)
        rows = connection.execute("COMMIT").fetchall()
        await _TURN
        if fault is not None:
            raise _error("simulated", fault[0])
        self._changes = connection.total_changes
        if writes:
            into = None if self._first else frozenset(self._into)
            self._first = False
            self._into.clear()
            await self._committed(self._read, into)
            self._seams.commit(durable=True)
            self._seams.count(Step.COMMITTED)
        return rows

    async def _read(self, sql: str, *parameters: object) -> list[Any]:
        """One statement of the witness, to which nothing happens meanwhile."""
        return self._conn.execute(sql, parameters).fetchall()


@cache
def filled_by(sql: str) -> tuple[str, ...]:
    """The tables that a statement inserts into; whichever adds rows names them after INTO."""
    return tuple(_INTO.findall(sql))


class _Turn:
    """Awaited, it gives everything else that is ready its turn, as an answer of a thread would."""

    def __await__(self) -> Generator[None, None, None]:
        yield


_TURN = _Turn()


def cheap_hash(secret: bytes, salt: bytes) -> bytes:
    """In place of Argon2id, which takes 40 ms of real time: the simulation is not about guessing."""
    return hashlib.sha256(salt + secret).digest()


class _NoThread:
    """Nobody to start."""

    def start(self) -> None:
        """Nothing."""


class _AtOnce:
    """Does each job where aiosqlite would queue it."""

    def put_nowait(self, job: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        """Do a job; its answer comes with the loop's next turn."""
        future, work = job
        try:
            result = work()
        except Exception as error:
            if future is not None:
                future.get_loop().call_soon(_fail, future, error)
        else:
            if future is not None:
                future.get_loop().call_soon(_end, future, result)


def _end(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _error(message: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error
