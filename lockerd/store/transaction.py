"""One transaction as its statements see it; its owner (`lockerd.store.database`) begins and ends it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from enum import StrEnum, auto

import aiosqlite

from lockerd.errors import StoreError
from lockerd.store.opening import translated

Value = str | bytes | int | float | None
Row = sqlite3.Row


class News(StrEnum):
    """What a transaction may tell those who wait for it."""

    EVENT = auto()  # of the journal
    MESSAGE = auto()  # to a citizen


class Transaction:
    """The statements of one transaction; of no use after its end.

    Any error of the database spoils the whole transaction: later statements and the commit are refused, because SQLite
    rolls back by itself on some errors and what follows would be committed one by one.
    """

    __slots__ = ("_connection", "_open", "_spoilt", "news")

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.news: set[News] = set()
        self._connection = connection
        self._open = True
        self._spoilt = False

    def announce(self, news: News) -> None:
        """Wake who waits for this once the transaction is durable."""
        self.news.add(news)

    async def execute(self, sql: str, params: Sequence[Value] = ()) -> None:
        """Run one statement and discard its rows. Raises StoreError."""
        await self.all(sql, params)

    async def all(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """Run one statement and give all its rows. Raises StoreError."""
        self.check()
        try:
            return list(await self._connection.execute_fetchall(sql, params))
        except sqlite3.Error as error:
            self._spoilt = True
            raise translated(error) from error

    async def one(self, sql: str, params: Sequence[Value] = ()) -> Row | None:
        """Run one statement and give its first row, or None. Raises StoreError."""
        rows = await self.all(sql, params)
        return rows[0] if rows else None

    def check(self) -> None:
        """Raise StoreError where a statement would be refused."""
        if not self._open:
            raise StoreError("statement after the end of its transaction")
        if self._spoilt:
            raise StoreError("statement in a transaction that has already failed")

    def end(self) -> None:
        """Let it take no statement any more."""
        self._open = False
