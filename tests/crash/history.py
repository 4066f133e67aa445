"""A database with a history: so many rows in the proportions of real collections, written by the store's own functions.

The machine it belongs to is empty now: every card of the history was taken, every old one was emptied out of the bin, and the
office has all its events.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from lockerd.journey.records import EVENTS, record_taken
from lockerd.model.cards import ClaimKind, ManifestItem
from lockerd.model.custody import Motion, Order, Outcome, Place, Plan, Result, Unit
from lockerd.motions import settle
from lockerd.store import claims, codes, journal, journeys, ledger, messages
from lockerd.store.database import Row, Transaction
from lockerd.store.emptying import empty_bin
from lockerd.store.journal import Stamp
from lockerd.store.opening import open_database
from lockerd.store.vault import Vault
from sim.office_books import Books
from sim.people import citizen

KEY = bytes(range(32))
TOWN = 7
BOOT = "0123456789abcdef"
BATCH = 50
BIN = 100
SPAN = 80 * 86400.0
"""Seconds over which the history is spread: no event of it is due for deletion."""

_RECYCLER = {Motion.OPEN, Motion.CLOSE, Motion.ACCEPT, Motion.RETAIN}


class _Direct:
    """A connection that runs statements at once, in the shape that a transaction wants."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def execute_fetchall(self, sql: str, parameters: Sequence[Any] = ()) -> Iterable[Row]:
        return self._connection.execute(sql, parameters).fetchall()


class _Collection:
    """One citizen's whole story, from the announcement to the erasure's eve."""

    def __init__(self, tx: Transaction, vault: Vault, number: int, wall: float) -> None:
        self._tx = tx
        self._vault = vault
        self._who = citizen(TOWN, number)
        self._claim = f"H{number:06}"
        self._journey = f"{number:016x}"
        self._wall = wall
        self._slot = number % 20

    def _stamp(self) -> Stamp:
        self._wall += 1.0
        return Stamp(self._wall, self._wall % 1e6, BOOT)

    async def play(self) -> None:
        """All of it."""
        tx, who, claim = self._tx, self._who, self._claim
        card = who.new_card
        item = ManifestItem(
            claim_id=claim,
            kind=ClaimKind(who.kind),
            name=who.name,
            id_number=who.id_number,
            valid_from=card.valid_from,
            valid_to=card.valid_to,
            phone=who.phone,
            photo=b"",
        )
        await claims.put_item(tx, self._vault, item, None, self._stamp())
        await self._moved(Motion.LOAD, claim, event=None)
        await self._moved(Motion.ALIGN, None, event=None)
        await self._moved(Motion.STORE, claim, event="lockerd.card.stocked")
        await claims.stocked(tx, claim, self._slot, self._stamp())
        await codes.issue(tx, self._vault, claim, "00000000", self._wall + 604800.0)
        await messages.queue(tx, self._vault, claim, who.phone, "取证码")
        await messages.sent(tx, claim, self._wall)
        await journeys.begin(tx, self._journey, self._stamp())
        await journeys.attach(tx, self._journey, claim)
        old = None
        if who.old_card is not None:
            await self._moved(Motion.OPEN, None)
            old = await ledger.add_old_card(tx, claim, self._journey, self._stamp())
            await self._moved(Motion.ACCEPT, old)
        await self._moved(Motion.PICK, claim)
        await self._moved(Motion.PRESENT, claim)
        await record_taken(tx, claim, self._journey, self._stamp(), "the unit counted a taken card")
        if old is not None:
            await self._moved(Motion.RETAIN, old)
            await claims.old_card_kept(tx, claim)
        await journeys.end(tx, self._journey, "collected", self._stamp())

    async def _moved(self, motion: Motion, card: str | None, event: str | None = "") -> None:
        unit = Unit.RECYCLER if motion in _RECYCLER else Unit.DISPENSER
        slot = self._slot if motion in {Motion.ALIGN, Motion.STORE, Motion.PICK} else None
        plan = Plan(Order(unit, motion, slot), f"{self._journey}:{motion}")
        intent = await ledger.open_intent(self._tx, plan, card, self._journey, self._stamp())
        told = EVENTS.get(motion) if event == "" else event
        await settle(self._tx, intent, Outcome(Result.DONE), self._stamp(), event=told)


async def _fill(connection: sqlite3.Connection, rows: int, now: float) -> None:
    tx = Transaction(_Direct(connection))  # type: ignore[arg-type]  # all that it needs
    vault = Vault(KEY, entropy=Random(1).randbytes)
    connection.create_function("argon2id", 2, lambda secret, salt: (secret + salt + bytes(32))[:32], deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    await vault.verify(tx)
    await ledger.configure_slots(tx, 20)
    collections = rows // 24 + 1
    number = 0
    while _rows(connection) < rows:
        for _ in range(BATCH):
            number += 1
            await _Collection(tx, vault, number, now - SPAN * (1.0 - min(number / collections, 0.99))).play()
        if number % BIN == 0:
            await _emptied(tx, Stamp(now - SPAN, 0.0, BOOT))
            connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")
    end = Stamp(now, 0.0, BOOT)
    await _emptied(tx, end)
    last = await journal.append(tx, "lockerd.machine.started", {"version": "0"}, stamp=end)
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('acked_seq', ?)", (last,))
    connection.execute("COMMIT")


async def _emptied(tx: Transaction, stamp: Stamp) -> None:
    """Staff empty the bin, and whose cards were collected is forgotten."""
    await empty_bin(tx, "li", len(await ledger.cards_at(tx, Place.BIN)), stamp)
    await claims.erase_collected(tx, stamp.wall + SPAN)


def _rows(connection: sqlite3.Connection) -> int:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()]
    return sum(int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for name in tables)


def write(path: Path, rows: int, now: float) -> int:
    """Make the database at `path`, whose history ends before `now` (UTC seconds); gives the number of its rows."""
    connection, lock = open_database(path, Random(2).randbytes)
    try:
        with closing(connection):
            connection.execute("PRAGMA synchronous = OFF")
            asyncio.run(_fill(connection, rows, now))
            return _rows(connection)
    finally:
        os.close(lock)


def tell_office(folder: Path, database: Path, locker: str) -> None:
    """Let the office's books in `folder` say that they hold all events of the database."""
    with closing(sqlite3.connect(database)) as db:
        meta = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('epoch', 'last_seq')"))
    with Books(folder) as books:
        books.greet(locker, meta["epoch"], meta["last_seq"], meta["last_seq"] + 1, {})
