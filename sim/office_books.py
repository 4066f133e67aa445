"""The simulated office's books: lockers, their events, and its own ledger of claims and old cards, on SQLite.

One connection, WAL with synchronous=FULL. Each method is one transaction: it returns after the commit, so what is answered is
durable. Nothing here is lockerd's code: the ledger follows from what the events say and from nothing else.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

Json = dict[str, Any]

PAGE_ITEMS = 20
PAGE_BYTES = 1 << 20
"""A page of the down channel ends at whichever comes first; one item alone may be longer."""

_EVENT_ID = re.compile(r"([A-Za-z0-9-]{1,64}):([0-9]{1,18})")
_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+){1,5}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_SLOT = 9999

_CLAIM_STATE = {
    "lockerd.card.stocked": "stocked",
    "lockerd.card.presented": "presented",
    "lockerd.card.taken": "collected",
    "lockerd.card.retracted": "retracted",
    "lockerd.card.restowed": "stocked",
    "lockerd.card.captured": "captured",
    "lockerd.intent.in_doubt": "in_doubt",
    "lockerd.slot.released": "stocked",
}
_WITHOUT_CARD = {"lockerd.intent.in_doubt", "lockerd.slot.released"}
"""Events of `_CLAIM_STATE` that may concern no new card."""
_OLD_CARD_STATE = {
    "lockerd.old.inserted": "escrow",
    "lockerd.old.returned": "returned",
    "lockerd.old.retained": "retained",
}


@dataclass(frozen=True, slots=True)
class Greeting:
    """The office's answer to a hello: `registration` is accepted or rejected, `reason` says why not."""

    registration: Literal["accepted", "rejected"]
    acked: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch. `refused` is None, "gap" or "epoch"; then nothing of the batch was kept.

    `news` tells that it put something on the down channel.
    """

    acked: int
    refused: Literal["gap", "epoch"] | None = None
    news: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the down channel: items as JSON objects with their cursors."""

    items: tuple[Json, ...]
    cursor: int
    has_more: bool


class Unplaceable(ValueError):
    """An element of a batch has no readable id, so nobody can tell where it belongs; the whole batch is refused."""


def place(element: object) -> tuple[str, int]:
    """Epoch and sequence number of one element of a batch, from its id "EPOCH:SEQ". Raises Unplaceable."""
    identity = element.get("id") if isinstance(element, dict) else None
    found = _EVENT_ID.fullmatch(identity) if isinstance(identity, str) else None
    if found is None or int(found[2]) < 1:
        raise Unplaceable('an event has no id of the form "EPOCH:SEQ"')
    return found[1], int(found[2])


class Books:
    """The office's database in `directory`; use as a context manager, which opens and closes it."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "office.db"
        self._db: sqlite3.Connection | None = None

    def __enter__(self) -> Books:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            schema = resources.files("sim").joinpath("office.sql").read_text("utf-8")
            db.executescript(f"BEGIN;{schema}COMMIT;")
        self._db = db
        return self

    def __exit__(self, *_: object) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        assert self._db is not None, "Books is used outside its with block"
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def greet(self, locker: str, epoch: str, last_seq: int, oldest_retained: int, hello: Json) -> Greeting:
        """Take a hello: register the locker, or fence a clone or a database that fell behind what the office holds.

        Events older than `oldest_retained` that never arrived are lost for good: they are tallied as a gap and passed over.
        """
        with self._transaction() as db:
            row = db.execute("SELECT epoch, acked FROM locker WHERE locker_id = ?", (locker,)).fetchone()
            retired = db.execute(
                "SELECT 1 FROM retired_epoch WHERE locker_id = ? AND epoch = ?", (locker, epoch)
            ).fetchone()
            if retired:
                return Greeting("rejected", 0, "this database was replaced by a newer one")
            acked = row[1] if row and row[0] == epoch else 0
            if last_seq < acked:
                return Greeting("rejected", acked, "this database is older than what the office holds")
            if row and row[0] != epoch:
                db.execute("INSERT INTO retired_epoch VALUES (?, ?)", (locker, row[0]))
            if oldest_retained > acked + 1:
                acked = oldest_retained - 1
                _tally(db, "gaps")
            db.execute(
                "INSERT INTO locker (locker_id, epoch, acked, hello) VALUES (?, ?, ?, ?) ON CONFLICT (locker_id)"
                " DO UPDATE SET epoch = excluded.epoch, acked = excluded.acked, hello = excluded.hello",
                (locker, epoch, acked, json.dumps(hello)),
            )
            return Greeting("accepted", acked)

    def take(self, locker: str, batch: Sequence[object], now: float) -> Receipt:
        """Take a batch of events in order: skip what is acknowledged, keep the rest, or refuse all of it on a gap.

        An event that cannot be booked is kept as it came and acknowledged. Raises Unplaceable.
        """
        placed = [(*place(element), element) for element in batch]
        with self._transaction() as db:
            row = db.execute("SELECT epoch, acked FROM locker WHERE locker_id = ?", (locker,)).fetchone()
            if row is None or any(epoch != row[0] for epoch, _, _ in placed):
                return Receipt(row[1] if row else 0, "epoch")
            epoch, before = row
            acked = before
            for _, seq, _ in placed:
                if seq > acked + 1:
                    _tally(db, "gaps")
                    return Receipt(before, "gap")
                acked = max(acked, seq)
            acked, sent = before, _last_cursor(db)
            for _, seq, element in placed:
                if seq <= acked:
                    _tally(db, "duplicates")
                    continue
                acked = seq
                kind = _book(db, element)
                if kind is None:
                    _tally(db, "poison")
                db.execute(
                    "INSERT INTO event (locker_id, epoch, seq, type, raw, received_at) VALUES (?, ?, ?, ?, ?, ?)",
                    (locker, epoch, seq, kind, json.dumps(element), now),
                )
            db.execute("UPDATE locker SET acked = ? WHERE locker_id = ?", (acked, locker))
            return Receipt(acked, news=_last_cursor(db) > sent)

    def put_status(self, locker: str, status: Json, now: float) -> bool:
        """Keep the latest status; False for a locker that never said hello."""
        with self._transaction() as db:
            done = db.execute(
                "UPDATE locker SET status = ?, status_at = ? WHERE locker_id = ?", (json.dumps(status), now, locker)
            )
            return done.rowcount == 1

    def announce(self, items: Sequence[Json]) -> int:
        """Put manifest items on the down channel and expect their claims; returns the last cursor."""
        with self._transaction() as db:
            for item in items:
                _send_down(db, {"type": "manifest.item", "item": item})
                claim_id = item.get("claim_id")
                if _is_name(claim_id):
                    db.execute("INSERT OR IGNORE INTO claim (claim_id, state) VALUES (?, 'expected')", (claim_id,))
            return _last_cursor(db)

    def entrust(self, claim_id: str, to: str, relation: str) -> bool:
        """Announce a claim again with the holder of another claim as one who may collect it; False where one is unknown."""
        with self._transaction() as db:
            item, other = _announcement(db, claim_id), _announcement(db, to)
            if item is None or other is None:
                return False
            named = {"relation": relation, "id_number": other["id_number"], "photo": other["photo"]}
            _send_down(
                db, {"type": "manifest.item", "item": {**item, "collectors": [*item.get("collectors", []), named]}}
            )
            return True

    def events(self, kind: str) -> list[Json]:
        """The data of all events of one type, in order of arrival."""
        with self._transaction() as db:
            rows = db.execute("SELECT raw FROM event WHERE type = ? ORDER BY arrival", (kind,)).fetchall()
            return [json.loads(raw)["data"] for (raw,) in rows]

    def letters(self) -> dict[str, tuple[Json, str]]:
        """By claim, the announced card and the letter code of the last letter that was written about it."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT coalesce(json_extract(body, '$.claim_id'), json_extract(body, '$.item.claim_id')) AS claim_id,"
                " coalesce(json_extract(body, '$.letter_code'), json_extract(body, '$.item.letter_code')) AS code"
                " FROM down WHERE code <> '' ORDER BY cursor"
            ).fetchall()
            return {claim_id: (item, code) for claim_id, code in rows if (item := _announcement(db, claim_id))}

    def withdraw(self, claim_id: str) -> bool:
        """Call a claim back; False when it was never announced or was already collected."""
        with self._transaction() as db:
            done = db.execute(
                "UPDATE claim SET state = 'withdrawn' WHERE claim_id = ? AND state <> 'collected'", (claim_id,)
            )
            if done.rowcount == 0:
                return False
            _send_down(db, {"type": "manifest.withdraw", "claim_id": claim_id})
            return True

    def command(self, body: Json) -> None:
        """Put a command on the down channel."""
        with self._transaction() as db:
            _send_down(db, body)

    def page(self, after: int) -> Page:
        """The items after a cursor, oldest first, at most `PAGE_ITEMS` or about `PAGE_BYTES`."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT cursor, body FROM down WHERE cursor > ? ORDER BY cursor LIMIT ?", (after, PAGE_ITEMS)
            ).fetchall()
            items: list[Json] = []
            size = 0
            for cursor, body in rows:
                if items and size + len(body) > PAGE_BYTES:
                    break
                size += len(body)
                items.append({"cursor": cursor, **json.loads(body)})
            cursor = items[-1]["cursor"] if items else after
            return Page(tuple(items), cursor, cursor < _last_cursor(db))

    def announced(self) -> bool:
        """Whether anything was ever put on the down channel."""
        with self._transaction() as db:
            return _last_cursor(db) > 0

    def ledger(self) -> Json:
        """The office's picture of the world, as `GET /sim/ledger` shows it."""
        with self._transaction() as db:
            claims = db.execute("SELECT claim_id, state, slot, locked, events FROM claim ORDER BY claim_id").fetchall()
            last = db.execute("SELECT coalesce(max(acked), 0) FROM locker").fetchone()[0]
            events = db.execute("SELECT count(*) FROM event").fetchone()[0]
            return {
                "claims": {
                    claim_id: {"state": state, "slot": slot, "locked": bool(locked), "events": n}
                    for claim_id, state, slot, locked, n in claims
                },
                "old_cards": dict(db.execute("SELECT claim_id, state FROM old_card ORDER BY claim_id").fetchall()),
                "cards": {
                    card_id: {"place": place, "slot": slot, "responsible": responsible}
                    for card_id, place, slot, responsible in db.execute(
                        "SELECT card_id, place, slot, responsible FROM card ORDER BY card_id"
                    )
                },
                "events": events,
                "last_seq": last,
                **dict(db.execute("SELECT name, n FROM tally").fetchall()),
            }

    def statuses(self) -> Json:
        """The latest status of each locker with the UTC seconds at which it came."""
        with self._transaction() as db:
            rows = db.execute("SELECT locker_id, status, status_at FROM locker WHERE status IS NOT NULL").fetchall()
            return {locker: {"status": json.loads(status), "at": at} for locker, status, at in rows}


def _book(db: sqlite3.Connection, element: object) -> str | None:
    """Book one event on the ledger; returns its type, None for a poison event, of which nothing is booked."""
    if not isinstance(element, dict) or element.get("specversion") != "1.0":
        return None
    kind, data = element.get("type"), element.get("data")
    if not isinstance(kind, str) or len(kind) > 100 or not _TYPE.fullmatch(kind) or not isinstance(data, dict):
        return None
    named, card_id, slot = data.get("claim_id"), data.get("card_id"), data.get("slot")
    if any(name is not None and not _is_name(name) for name in (named, card_id)):
        return None
    if slot is not None and (type(slot) is not int or not 0 <= slot <= _MAX_SLOT):
        return None
    claim_id = named or card_id  # a new card is called as its claim
    if kind == "lockerd.card.moved" and not _book_card(db, data):
        return None
    known = db.execute("UPDATE claim SET events = events + 1 WHERE claim_id = ?", (claim_id,)).rowcount == 1
    if not known:
        needed = kind in _CLAIM_STATE.keys() - _WITHOUT_CARD or named is not None
        return None if needed or (kind in _OLD_CARD_STATE and card_id is None) else kind
    if kind in _CLAIM_STATE:
        state = _CLAIM_STATE[kind]
        where = slot if state == "stocked" else None
        db.execute("UPDATE claim SET state = ?, slot = ? WHERE claim_id = ?", (state, where, claim_id))
    elif kind == "lockerd.claim.locked":
        db.execute("UPDATE claim SET locked = 1 WHERE claim_id = ?", (claim_id,))
    elif kind == "lockerd.template.wanted":
        _send_again(db, str(claim_id))
    elif kind in _OLD_CARD_STATE:
        db.execute("INSERT OR REPLACE INTO old_card VALUES (?, ?)", (claim_id, _OLD_CARD_STATE[kind]))
    return kind


def _book_card(db: sqlite3.Connection, data: Json) -> bool:
    """Book where a card is and who is responsible for it; False for an event that does not say so."""
    told = (data.get("card_id"), data.get("place"), data.get("responsible"))
    if not all(isinstance(one, str) and one for one in told):
        return False
    db.execute(
        "INSERT OR REPLACE INTO card (card_id, place, responsible, slot) VALUES (?, ?, ?, ?)", (*told, data.get("slot"))
    )
    return True


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _tally(db: sqlite3.Connection, name: str) -> None:
    db.execute("UPDATE tally SET n = n + 1 WHERE name = ?", (name,))


def _send_down(db: sqlite3.Connection, body: Json) -> None:
    db.execute("INSERT INTO down (body) VALUES (?)", (json.dumps(body),))


def _send_again(db: sqlite3.Connection, claim_id: str) -> None:
    """Announce a claim once more as it was announced last, for its photo."""
    db.execute(
        "INSERT INTO down (body) SELECT body FROM down"
        " WHERE json_extract(body, '$.item.claim_id') = ? ORDER BY cursor DESC LIMIT 1",
        (claim_id,),
    )


def _announcement(db: sqlite3.Connection, claim_id: str) -> Json | None:
    """A claim as it was announced last."""
    row = db.execute(
        "SELECT json_extract(body, '$.item') FROM down WHERE json_extract(body, '$.item.claim_id') = ?"
        " ORDER BY cursor DESC LIMIT 1",
        (claim_id,),
    ).fetchone()
    return None if row is None else dict(json.loads(row[0]))


def _last_cursor(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(cursor), 0) FROM down").fetchone()[0])
