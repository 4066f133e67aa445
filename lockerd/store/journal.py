"""The journal: what happened, in order and without gaps, written in the transaction that made it happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import msgspec

from lockerd.errors import StoreError
from lockerd.ports import Clock
from lockerd.store.database import Database, News, Row, Transaction

JSON: TypeAlias = "str | int | float | bool | Sequence[JSON] | Mapping[str, JSON] | None"


@dataclass(frozen=True, slots=True)
class Stamp:
    """One moment: UTC seconds, seconds of the boot clock, and the boot it belongs to."""

    wall: float
    mono: float
    boot_id: str


class Stamper:
    """Makes stamps from a clock, a boot clock (`monotonic`) and the name of this boot."""

    def __init__(self, clock: Clock, monotonic: Callable[[], float], boot_id: str) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._boot_id = boot_id

    def now(self) -> Stamp:
        """The stamp of this moment."""
        return Stamp(self._clock.now(), self._monotonic(), self._boot_id)


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One event. `type` has its prefix ("lockerd.card.stocked"); `data` is a JSON object; `epoch` names the database."""

    epoch: str
    seq: int
    type: str
    data: bytes
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class JournalPosition:
    """How far the journal reaches: seqs, 0 where there is none. `oldest_retained` is last_seq + 1 while no event is held."""

    epoch: str
    last_seq: int
    oldest_retained: int
    acked: int


async def append(tx: Transaction, event_type: str, data: Mapping[str, JSON], *, stamp: Stamp) -> int:
    """Write one event and give its seq. `data` holds no personal data: claim ids, card ids, slots, journey ids."""
    row = await tx.one(
        "INSERT INTO journal (seq, type, data, wall, mono, boot_id, hash)"
        " SELECT value + 1, ?1, ?2, ?3, ?4, ?5, chained(coalesce((SELECT hash FROM journal ORDER BY seq DESC LIMIT 1),"
        " (SELECT hash FROM audit_anchor WHERE chain = 'journal')), value + 1, ?1, ?2, ?3, ?4, ?5)"
        " FROM meta WHERE key = 'last_seq' RETURNING seq",
        (event_type, msgspec.json.encode(data).decode(), float(stamp.wall), float(stamp.mono), stamp.boot_id),
    )
    assert row is not None
    tx.announce(News.EVENT)
    return int(row["seq"])


async def position(tx: Transaction) -> JournalPosition:
    """Where the journal and its acknowledgement stand."""
    row = await tx.one(
        "SELECT (SELECT value FROM meta WHERE key = 'epoch') AS epoch,"
        " (SELECT value FROM meta WHERE key = 'last_seq') AS last,"
        " (SELECT value FROM meta WHERE key = 'acked_seq') AS acked,"
        " (SELECT min(seq) FROM journal) AS oldest"
    )
    assert row is not None
    last = int(row["last"] or 0)
    return JournalPosition(
        epoch=str(row["epoch"]),
        last_seq=last,
        oldest_retained=last + 1 if row["oldest"] is None else int(row["oldest"]),
        acked=int(row["acked"] or 0),
    )


async def epoch(tx: Transaction) -> str:
    """The random name of this database, 16 hexadecimal digits; a new database has another one."""
    row = await tx.one("SELECT value FROM meta WHERE key = 'epoch'")
    assert row is not None
    return str(row["value"])


async def load_down_cursor(tx: Transaction) -> int:
    """The cursor of the office's down channel up to which all items are stored; 0 at first."""
    return await _number(tx, "down_cursor")


async def save_down_cursor(tx: Transaction, cursor: int) -> None:
    """Keep the down cursor, in the transaction that stores the items before it."""
    await _set_number(tx, "down_cursor", cursor)


class JournalOutbox:
    """The journal as the office's outbox (`lockerd.ports.Outbox`); `envelope` makes the event that travels."""

    def __init__(self, db: Database, envelope: Callable[[JournalRow], bytes]) -> None:
        self._db = db
        self._envelope = envelope
        self._acked = 0
        self._last = 0  # as far as it was ever read

    async def pending(self, limit: int) -> Sequence[tuple[int, bytes]]:
        """Oldest events not yet acknowledged, at most `limit`: (seq, event). Raises StoreError."""

        async def read(tx: Transaction) -> list[JournalRow]:
            rows = await tx.all(
                "SELECT journal.*, (SELECT value FROM meta WHERE key = 'epoch') AS epoch FROM journal"
                " WHERE seq > max(?, coalesce((SELECT value FROM meta WHERE key = 'acked_seq'), 0)) ORDER BY seq LIMIT ?",
                (self._acked, limit),
            )
            return [_row(row["epoch"], row) for row in rows]

        found = [(row.seq, self._envelope(row)) for row in await self._db.read(read)]
        if found:
            self._last = found[-1][0]
        return found

    async def acknowledge(self, seq: int) -> None:
        """Keep that all events up to `seq` are safe at the office; an older acknowledgement changes nothing.

        It becomes durable along with another transaction: the office tells it again at each start. Raises StoreError for a seq
        that this database never gave.
        """
        if seq > self._last:
            self._last = (await self.position()).last_seq
        if seq > self._last:
            raise StoreError(f"the office acknowledged event {seq}, which this machine never wrote")
        if seq > self._acked:
            self._acked = seq
            self._db.along(self._keep)

    async def _keep(self, tx: Transaction) -> None:
        await tx.execute(
            "INSERT INTO meta (key, value) VALUES ('acked_seq', ?)"
            " ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
            (self._acked,),
        )

    async def rewind(self, seq: int) -> None:
        """Send again what follows `seq`: the office was restored from a backup.

        Raises StoreError when those events are no longer held; nothing changes then.
        """

        async def write(tx: Transaction) -> None:
            where = await position(tx)
            if not where.oldest_retained - 1 <= seq <= where.last_seq:
                raise StoreError(
                    f"the office asks for events after {seq}; held are {where.oldest_retained} to {where.last_seq}"
                )
            await _set_number(tx, "acked_seq", min(seq, where.acked))

        await self._db.transaction(write)
        self._acked = min(seq, self._acked)

    async def position(self) -> JournalPosition:
        """Where the journal stands, for the greeting to the office. Raises StoreError."""
        kept = await self._db.read(position)
        return replace(kept, acked=max(kept.acked, self._acked))


def _row(name: str, row: Row) -> JournalRow:
    stamp = Stamp(row["wall"], row["mono"], row["boot_id"])
    return JournalRow(name, row["seq"], row["type"], row["data"].encode(), stamp)


async def _number(tx: Transaction, key: str) -> int:
    row = await tx.one("SELECT value FROM meta WHERE key = ?", (key,))
    return 0 if row is None else int(row["value"])


async def _set_number(tx: Transaction, key: str, value: int) -> None:
    await tx.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
