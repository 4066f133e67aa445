"""One connection, one owner task, whole transactions: the only way to the database.

aiosqlite 0.22.1 leaves a transaction open when its task is cancelled, commits what a cancelled `commit()` was asked to,
lets one task's rollback discard another's rows, and hangs the exit on an unclosed connection. So the owner alone touches
the connection, one transaction after another; a caller that is cancelled gives up its answer, not the transaction.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from lockerd.errors import DiskFull, StoreError
from lockerd.store.ballast import Ballast
from lockerd.store.opening import Check, integrity_check, open_database, translated
from lockerd.store.transaction import News as News  # noqa: PLC0414 -- mypy's mark of a name meant for others
from lockerd.store.transaction import Row as Row  # noqa: PLC0414 -- the same
from lockerd.store.transaction import Transaction as Transaction  # noqa: PLC0414 -- the same
from lockerd.store.transaction import Value

Connect = Callable[[Callable[[], sqlite3.Connection], int], aiosqlite.Connection]
"""Makes the connection that runs a connector in a thread of its own: `aiosqlite.Connection`, or one that can fail."""

T = TypeVar("T")
Run = Callable[[str, Sequence[Value]], Awaitable[list[Row]]]
"""Runs one statement and gives its rows. Raises StoreError."""


ALONG_SECONDS = 30.0
"""For how long what goes along with a transaction waits for one."""


Along = Callable[[Transaction], Awaitable[object]]
"""What goes along with a transaction."""


@dataclass(frozen=True, slots=True)
class _Job:
    run: Callable[[], Awaitable[Any]]
    answer: asyncio.Future[Any]


class Database:
    """The database file and its owner.

    `entropy` gives that many random bytes; it makes the epoch of a fresh database. `run` must be started as a task of the
    application before anything else here can end. `connect` makes the connection, `check` looks at the file
    before. On a full disk `ballast` is released, and
    what failed is done again, once.
    """

    def __init__(
        self,
        path: Path,
        *,
        entropy: Callable[[int], bytes] = os.urandom,
        connect: Connect = aiosqlite.Connection,
        check: Check = integrity_check,
        ballast: Ballast | None = None,
    ) -> None:
        self._path = path
        self._check = check
        self._entropy = entropy
        self._connect = connect
        self._ballast = ballast
        self._jobs: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._settled = asyncio.Event()
        self._connection: aiosqlite.Connection | None = None
        self._lock: int | None = None
        self._end: StoreError | None = None  # why nothing is served any more
        self._closing = False
        self._serving: asyncio.Task[Any] | None = None
        self._heard = dict.fromkeys(News, 0)
        self._along: list[Along] = []
        self._going = 0  # so many of them are part of the transaction under way: what they read may be of before
        self._alone: asyncio.TimerHandle | None = None
        self._rung = {news: asyncio.Event() for news in News}

    async def run(self) -> None:
        """Open, migrate and serve until cancelled; then finish the transaction in hand, checkpoint and close.

        Raises StoreError when the file cannot be used, or when a commit failed in a way that leaves unknown what the disk
        holds: only a restart can tell then.
        """
        connection = self._connect(self._connector, 64)
        try:
            await _to_the_end(_opened(connection))
            if self._end is not None:
                raise self._end
            self._connection = connection
            self._settled.set()
            await self._serve_to_the_end()
            raise self._end or StoreError("the database is closed")
        finally:
            self._end = self._end or StoreError("the database is closed")
            self._settled.set()
            while not self._jobs.empty():
                job = self._jobs.get_nowait()
                if job is not None and not job.answer.done():
                    job.answer.set_exception(self._end)
            await _to_the_end(self._close(connection))

    async def ready(self) -> None:
        """Wait until transactions are served. Raises StoreError when they will not be."""
        await self._settled.wait()
        if self._end is not None:
            raise self._end

    async def transaction(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` as one whole transaction (BEGIN IMMEDIATE) and give its result once it is durable.

        An exception of `work` rolls back and is raised here. `work` runs again where the disk was full and the ballast is
        released. Cancelling the caller does not stop the transaction. `work` awaits nothing but its statements. Raises
        StoreError: nothing of the transaction happened (after an input/output error of the commit the owner ends as well, and
        only a restart tells).
        """
        return await self._submit(lambda: self._with_ballast(lambda: self._transact(work)))

    def along(self, work: Along) -> None:
        """Let `work` go first in the next transaction, or in one of its own after ALONG_SECONDS: a sync of the disk less.

        For what a loss of power may take back, and what cannot fail by itself: it would fail the transaction that it goes with.
        One that waits already is not added. A clean end waits for it. Where even a transaction of its own finds no room, the owner
        ends: no more is gathered than in ALONG_SECONDS.
        """
        if work not in self._along[self._going :]:
            self._along.append(work)
        self._wait()

    def _wait(self) -> None:
        if self._along and self._alone is None and self._end is None:
            self._alone = asyncio.get_running_loop().call_later(ALONG_SECONDS, self._go_alone)

    def _went(self, many: int) -> None:
        del self._along[:many]
        if not self._along and self._alone is not None:
            self._alone.cancel()
            self._alone = None

    def _go_alone(self) -> None:
        self._alone = None
        if self._along and self._end is None:
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # what failed is tried again
            self._jobs.put_nowait(_Job(self._write_alone, answer))

    async def _write_alone(self) -> None:
        try:
            await self._with_ballast(lambda: self._transact(_nothing))
        except DiskFull as error:
            self._end = error
            raise
        finally:
            self._wait()

    async def read(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work`, which changes nothing, and give its result: the owner lets nothing happen between its statements.

        It takes one statement where a transaction takes three. Raises StoreError, also if `work` did change something.
        """

        async def alone() -> T:
            connection = self._owned()
            before = connection.total_changes
            tx = Transaction(connection)
            try:
                result = await work(tx)
            finally:
                tx.end()
            if connection.total_changes != before:
                raise StoreError("a statement that was only to read has changed the database")
            return result

        return await self._submit(alone)

    def heard(self, news: News) -> int:
        """How many transactions that announced it have become durable since the start."""
        return self._heard[news]

    async def more(self, news: News, than: int) -> None:
        """Wait until `heard` is more than `than`."""
        while self._heard[news] <= than:
            await self._rung[news].wait()

    async def between(self, work: Callable[[Run], Awaitable[T]]) -> T:
        """Run `work` between two transactions, for statements that no transaction may hold (ATTACH, VACUUM, PRAGMA).

        Each statement is a transaction of its own. Raises StoreError.
        """

        async def run(sql: str, params: Sequence[Value]) -> list[Row]:
            try:
                return list(await self._owned().execute_fetchall(sql, params))
            except sqlite3.Error as error:
                raise translated(error) from error

        return await self._submit(lambda: work(run))

    async def truncate_wal(self) -> None:
        """Write everything back into the file and empty the write-ahead log, so that erased data leaves the disk."""
        await self._submit(lambda: self._with_ballast(self._checkpoint))

    async def _with_ballast(self, run: Callable[[], Awaitable[T]]) -> T:
        try:
            return await run()
        except DiskFull:
            if self._end is not None or not self._release():
                raise
            return await run()

    def _release(self) -> bool:
        return self._ballast is not None and self._ballast.release()

    async def _submit(self, run: Callable[[], Awaitable[T]]) -> T:
        if self._serving is not None and asyncio.current_task() is self._serving:
            raise StoreError("transaction asked for within a transaction")
        if self._end is not None:
            raise self._end
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait(_Job(run, answer))
        return await answer  # a caller that is cancelled gives up its answer only

    def _connector(self) -> sqlite3.Connection:
        """Open the file in aiosqlite's thread.

        aiosqlite does not wait for its thread when this fails, so a failure is kept and an empty connection is given
        that can be closed properly.
        """
        try:
            try:
                connection, self._lock = open_database(self._path, self._entropy, self._check)
            except DiskFull:
                if not self._release():
                    raise
                connection, self._lock = open_database(self._path, self._entropy, self._check)
        except StoreError as error:
            self._end = error
            return sqlite3.connect(":memory:")
        return connection

    async def _close(self, connection: aiosqlite.Connection) -> None:
        try:
            if self._connection is not None:
                await self._checkpoint()
        finally:
            self._connection = None
            await connection.close()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    async def _serve_to_the_end(self) -> None:
        """Serve until the end; cancelled, the job in hand is the last, and it is finished first."""
        owner = asyncio.ensure_future(self._serve())
        try:
            await asyncio.shield(owner)
        except asyncio.CancelledError:
            self._closing = True
            self._jobs.put_nowait(None)
            await _to_the_end(owner)
            raise

    async def _serve(self) -> None:
        self._serving = asyncio.current_task()
        while self._end is None and not self._closing:
            job = await self._jobs.get()
            if job is not None:
                await self._do(job)
        if self._alone is not None:
            self._alone.cancel()
        waiting = len(self._along) + 1
        while 0 < len(self._along) < waiting and self._end is None:  # one that cannot be written keeps no other from it
            waiting = len(self._along)
            with suppress(StoreError):
                await self._with_ballast(lambda: self._transact(_nothing))

    async def _do(self, job: _Job) -> None:
        try:
            result = await job.run()
        except asyncio.CancelledError:
            job.answer.cancel()
            if self._serving is not None and self._serving.cancelling():
                raise
        except Exception as error:
            if not job.answer.done():
                job.answer.set_exception(error)
        else:
            if not job.answer.done():
                job.answer.set_result(result)

    async def _transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        connection = self._owned()
        await self._statement("BEGIN IMMEDIATE")
        tx = Transaction(connection)
        along = self._along.copy()
        self._going = len(along)
        try:
            await self._go_first(tx, along)
            result = await work(tx)
            tx.check()
        except BaseException:
            self._going = 0
            await self._roll_back()
            raise
        finally:
            tx.end()
        try:
            await self._statement("COMMIT")
        except StoreError as error:
            self._going = 0
            await self._roll_back()
            if _of_the_disk(error):
                self._end = error
            raise
        self._going = 0
        self._went(len(along))
        for news in tx.news:
            self._heard[news] += 1
            self._rung[news].set()
            self._rung[news] = asyncio.Event()
        return result

    async def _go_first(self, tx: Transaction, along: Sequence[Along]) -> None:
        for work in along:
            try:
                await work(tx)
            except Exception as error:
                if not isinstance(error, DiskFull) and not _of_the_disk(error):
                    self._along.remove(work)  # or everything would fail for it
                raise

    async def _roll_back(self) -> None:
        if not self._owned().in_transaction:
            return
        try:
            await self._statement("ROLLBACK")
        except StoreError as error:
            self._end = error

    async def _checkpoint(self) -> None:
        await self._statement("PRAGMA wal_checkpoint(TRUNCATE)")

    async def _statement(self, sql: str) -> None:
        try:
            await self._owned().execute_fetchall(sql)
        except sqlite3.Error as error:
            raise translated(error) from error

    def _owned(self) -> aiosqlite.Connection:
        assert self._connection is not None
        return self._connection


def _of_the_disk(error: Exception) -> bool:
    """Whether the disk failed, not what was asked of it."""
    cause = error.__cause__
    return isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR


async def _nothing(_tx: Transaction) -> None:
    """Nothing but what goes along."""


async def _opened(connection: aiosqlite.Connection) -> None:
    await connection


async def _to_the_end(work: Awaitable[T]) -> T:
    """Await `work` to its end even when cancelled meanwhile; the cancellation is raised after it."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()
        raise cancelled
    return task.result()
