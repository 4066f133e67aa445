"""The ledger's invariants, checked on a database that nobody runs, and said in words.

A checker shares no code with what it checks: the rules of places and motions are written down here a second time, from the
machine and not from `lockerd.store.ledger`, and the SQL is this module's own. The file is only read.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from lockerd.errors import StoreError
from lockerd.store.verify_audit import audit, checkpoints

SCHEMA = 7
"""The schema version (PRAGMA user_version) whose invariants these are."""

_APPLICATION_ID = 0x4C4B5244

_CARRIES = {
    "load": ("tray", "transport"),
    "store": ("transport", "slot"),
    "pick": ("slot", "transport"),
    "present": ("transport", "exit"),
    "retract": ("exit", "transport"),
    "capture": ("transport", "retract"),
    "reject": ("transport", "tray"),
    "accept": ("throat", "escrow"),
    "return": ("escrow", "throat"),
    "retain": ("escrow", "bin"),
}
_BEGINS = {"new": ("tray",), "old": ("throat", "escrow")}
_ONE_CARD = ("transport", "exit", "throat", "escrow")
_BEYOND_A_HAND = ("tray", "load", "slot", "retract", "bin", "removed")
_LINKS = {"done": (1, 1), "in_doubt": (1, 1), "failed": (0, 1), "not_moved": (0, 0)}
"""How many links of a chain a motion that carries a known card leaves, by its result: least and most."""

Words = Iterator[str]


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `wrong` breaks an invariant; `unsettled` is what a stop may leave and the next start settles."""

    wrong: tuple[str, ...]
    unsettled: tuple[str, ...]


def verify(path: Path) -> Report:
    """Check the database at `path`, which stays as it is; an existing log (-wal) is read with it.

    Raises StoreError when it is not there, in use by a running lockerd, or not to be read.
    """
    if not path.is_file():
        raise StoreError(f"{path} is not there; name the database file")
    with _unowned(path), closing(sqlite3.connect(":memory:")) as db:
        db.row_factory = sqlite3.Row
        try:
            _read(path, db)
            refused = list(_file(db))
        except sqlite3.OperationalError as error:
            raise StoreError(f"{path}: cannot be read ({error}); check its owner and mode") from error
        except sqlite3.DatabaseError as error:
            refused = [f"the file is no database, or its first page is damaged ({error})"]
        if refused:
            return Report(tuple(refused), ())
        wrong = dict.fromkeys(words for check in _INVARIANTS for words in _all(check, db))
        return Report(tuple(wrong), tuple(_all(_unsettled, db)))


def _read(path: Path, db: sqlite3.Connection) -> None:
    """Copy the file, with what its log holds, into memory: on a read-only connection SQLite 3.40 checks no constraint."""
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


# --- the file


def _file(db: sqlite3.Connection) -> Words:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application != _APPLICATION_ID:
        yield "the file is no database of lockerd"
    elif version != SCHEMA:
        yield f"the database has schema version {version}; this lockerd checks version {SCHEMA}"


def _pages(db: sqlite3.Connection) -> Words:
    for (words,) in db.execute("PRAGMA integrity_check"):
        if words != "ok":
            yield f"the file is damaged: {words}"


def _references(db: sqlite3.Connection) -> Words:
    for table, rowid, parent, _ in db.execute("PRAGMA foreign_key_check"):
        yield f"row {rowid} of {table} refers to a row of {parent} that is not there"


# --- custody


def _chains(db: sqlite3.Connection) -> Words:
    """Each card has one chain that begins where cards of its kind come in and leads link by link to its recorded place.

    Where history was deleted, the chain of a card that was inside then begins in the middle.
    """
    cut = db.execute("SELECT 1 FROM audit_anchor WHERE chain = 'card_move' AND upto > 0").fetchone() is not None
    linked = set()
    links = db.execute(
        "SELECT card_move.*, card.role, card.place, intent.motion, intent.result, intent.card_id AS carried"
        " FROM card_move JOIN card USING (card_id) LEFT JOIN intent USING (intent_id)"
        " ORDER BY card_move.card_id, card_move.move_id"
    )
    for card_id, chain in groupby(links, key=lambda link: link["card_id"]):
        linked.add(card_id)
        before: sqlite3.Row | None = None
        for link in chain:
            yield from (f"card {card_id}: {words}" for words in _link(link, before, cut))
            before = link
        assert before is not None
        if before["target"] != before["place"]:
            yield f"card {card_id} is recorded at {before['place']}, but its chain leads to {before['target']}"
    for (card_id,) in db.execute("SELECT card_id FROM card ORDER BY card_id"):
        if card_id not in linked:
            yield f"card {card_id} has no chain of custody"


def _link(link: sqlite3.Row, before: sqlite3.Row | None, cut: bool) -> Words:
    number, origin, target = link["move_id"], link["origin"], link["target"]
    if before is None:
        if cut and origin is not None:
            return
        begins = _BEGINS.get(link["role"], ())
        if origin is not None or target not in begins:
            yield f"its chain begins at {origin or target}, not at {' or '.join(begins)}"
        return
    if origin != before["target"]:
        yield f"link {number} of its chain leaves {origin or 'nowhere'}, but the link before it led to {before['target']}"
    if origin == "taken" and link["role"] == "new":
        yield f"link {number}: it was taken by a citizen, and moved again after that"
    if origin == target and link["reason"] == "still_there":
        return  # what came before is deleted
    if link["intent_id"] is not None:
        yield from _carried(link)
    elif target == "slot" and origin != "in_doubt":
        yield f"link {number}: it came to slot {link['slot']} without a motion"
    elif target == "taken" and origin in _BEYOND_A_HAND:
        yield f"link {number}: it was taken from {origin}, where no hand of a citizen reaches"


def _carried(link: sqlite3.Row) -> Words:
    motion, result = link["motion"], link["result"]
    said = f"link {link['move_id']} names intent {link['intent_id']} ({motion})"
    if link["carried"] != link["card_id"]:
        yield f"{said}, which carried card {link['carried'] or 'unknown'}"
        return
    if result is None:
        yield f"{said}, which has not ended"
        return
    begins, ends = _CARRIES.get(motion, (None, None))
    endings: dict[str, set[str | None]] = {"done": {ends}, "in_doubt": {"in_doubt"}}
    possible = endings.get(result, {ends, "in_doubt"})
    if motion == "accept" and result == "failed":
        possible = {*possible, "taken"}  # pulled back out of the open throat
    if link["origin"] != begins or link["target"] not in possible:
        yield f"{said}, which ended {result} and cannot have brought it from {link['origin']} to {link['target']}"


def _intents(db: sqlite3.Connection) -> Words:
    """A motion leaves its trace in the chain of the card it carried; a unit makes one motion at a time."""
    found = db.execute(
        "SELECT intent.*, card.place, count(move_id) AS links FROM intent LEFT JOIN card USING (card_id)"
        " LEFT JOIN card_move USING (intent_id) GROUP BY intent.intent_id ORDER BY intent.intent_id"
    )
    open_of: Counter[str] = Counter()
    for row in found:
        name = f"intent {row['intent_id']} ({row['motion']})"
        if row["result"] is None:
            open_of[row["unit"]] += 1
            if row["card_id"] is not None and row["place"] != _CARRIES.get(row["motion"], (None,))[0]:
                yield f"{name} is open, but its card {row['card_id']} is recorded at {row['place']}"
            continue
        if row["settled"] is None:
            yield f"{name} ended {row['result']} at no time"
        if row["result"] not in _LINKS:
            yield f"{name} ended {row['result']}, which is no result"
        elif row["card_id"] is not None and row["motion"] in _CARRIES:
            least, most = _LINKS[row["result"]]
            if not least <= row["links"] <= most:
                yield f"{name} ended {row['result']} and left {row['links']} links in the chain of card {row['card_id']}"
    for unit, count in sorted(open_of.items()):
        if count > 1:
            yield f"{count} intents of the {unit} are open at once"


def _slots(db: sqlite3.Connection) -> Words:
    """A slot and the card in it say the same of each other; what is in doubt is frozen."""
    for number, row in enumerate(db.execute("SELECT slot FROM slot ORDER BY slot")):
        if row["slot"] != number:
            yield f"slot {number} is missing"
            break
    for row in db.execute(
        "SELECT slot.slot, slot.state, slot.card_id, card.place FROM slot LEFT JOIN card USING (card_id) ORDER BY slot"
    ):
        slot, state, card_id, place = row
        if state == "stocked" and place != "slot":
            yield f"slot {slot} is stocked with card {card_id}, which is recorded at {place or 'no place'}"
        elif state == "blocked" and card_id is not None and place not in ("slot", "in_doubt"):
            yield f"slot {slot} is blocked with card {card_id}, which is recorded at {place or 'no place'}"
        elif state == "free" and card_id is not None:
            yield f"slot {slot} is free, but names card {card_id}"
    for row in db.execute(
        "SELECT card_id, place, count(slot) AS slots, group_concat(slot, ', ') AS named, min(state) AS state"
        " FROM card LEFT JOIN slot USING (card_id) GROUP BY card_id ORDER BY card_id"
    ):
        if row["place"] == "slot" and row["slots"] == 0:
            yield f"card {row['card_id']} is recorded in a slot, but no slot names it"
        if row["slots"] > 1:
            yield f"card {row['card_id']} is named by more than one slot: {row['named']}"
    for row in db.execute(
        "SELECT card.card_id, link.slot, slot.state, slot.card_id AS named FROM card"
        " JOIN card_move AS link ON link.move_id = (SELECT max(move_id) FROM card_move WHERE card_id = card.card_id)"
        " LEFT JOIN slot ON slot.slot = link.slot"
        " WHERE place IN ('slot', 'in_doubt') AND link.target = place AND link.slot IS NOT NULL ORDER BY card.card_id"
    ):
        if row["named"] != row["card_id"]:
            yield f"the chain of card {row['card_id']} leads to slot {row['slot']}, which names {row['named'] or 'no card'}"
    for row in db.execute(
        "SELECT slot, card_id FROM slot JOIN card USING (card_id) WHERE place = 'in_doubt' AND state <> 'blocked'"
    ):
        yield f"card {row['card_id']} is in doubt, but its slot {row['slot']} is not blocked"


def _single_places(db: sqlite3.Connection) -> Words:
    for row in db.execute("SELECT place, group_concat(card_id, ', ') AS cards, count(*) AS n FROM card GROUP BY place"):
        if row["place"] in _ONE_CARD and row["n"] > 1:
            yield f"{row['n']} cards are recorded at {row['place']}, which holds one: {row['cards']}"


# --- claims


def _claims(db: sqlite3.Connection) -> Words:
    """What a claim says and where its card is belong together; what was collected left no secret behind."""
    for row in db.execute(
        "SELECT claim.claim_id, claim.state, person IS NOT NULL AS known, card.place, card.claim_id AS owner,"
        " EXISTS (SELECT 1 FROM code WHERE code.claim_id = claim.claim_id"
        " AND NOT (code.kind = 'letter' AND claim.state = 'expected')) AS code,"
        " EXISTS (SELECT 1 FROM face_template WHERE face_template.claim_id = claim.claim_id) AS template,"
        " EXISTS (SELECT 1 FROM collector WHERE collector.claim_id = claim.claim_id) AS collectors"
        " FROM claim LEFT JOIN card ON card.card_id = claim.claim_id ORDER BY claim.claim_id"
    ):
        yield from (f"claim {row['claim_id']} {words}" for words in _claim(row))
    for row in db.execute("SELECT card_id, claim_id FROM card WHERE role = 'new' AND card_id <> claim_id"):
        yield f"card {row['card_id']} is a new card, but belongs to claim {row['claim_id']}"


def _claim(row: sqlite3.Row) -> Words:
    state, place = row["state"], row["place"]
    if place is None or row["owner"] != row["claim_id"]:
        yield "has no card"
    elif state == "collected" and place != "taken":
        yield f"is collected, but its card is recorded at {place}"
    elif state in ("expected", "stocked") and place == "taken":
        yield f"is {state}, but its card was taken"
    elif state == "stocked" and place in ("tray", "load"):
        yield f"is stocked, but its card was never stored: it is recorded at {place}"
    elif state == "expected" and place in ("slot", "exit"):
        yield f"is expected, but its card is recorded at {place}: nobody was told to collect it"
    if row["code"] and state != "stocked":
        yield f"is {state}, but has a code"
    if row["template"] and state == "collected":
        yield "is collected, but its face template is still there"
    if row["collectors"] and state == "collected":
        yield "is collected, but who else might have collected it is still there"
    if not row["known"] and state in ("expected", "stocked"):
        yield f"is {state}, but whose it is was erased"


_SEALED = {
    "claim": "SELECT claim_id FROM claim WHERE person IS NOT NULL",
    "face_template": "SELECT claim_id FROM face_template",
    "collector": "SELECT collector_id FROM collector WHERE vector IS NOT NULL",
    "message": "SELECT message_id FROM message WHERE phone IS NOT NULL OR text IS NOT NULL",
}


def _keys(db: sqlite3.Connection) -> Words:
    """Each sealed record has its key, and a key that seals nothing is destroyed.

    In a backup keys may be missing: what was erased since is erased there by its key alone, until `lockerd restore` ends it.
    """
    backup = db.execute("SELECT 1 FROM meta WHERE key = 'epoch'").fetchone() is None
    sealed = {f"{table}|{row[0]}" for table, rows in _SEALED.items() for row in db.execute(rows)}
    keys = {str(row[0]) for row in db.execute("SELECT record FROM data_key")}
    for record in sorted(set() if backup else sealed - keys):
        yield f"the {record.replace('|', ' ')} is sealed, but its key is not there; a backup is put back by `lockerd restore` only"
    for record in sorted(keys - sealed):
        yield f"the key of {record.replace('|', ' ')} is still there, but nothing that it opens"
    for (message_id,) in db.execute(
        "SELECT message_id FROM message WHERE (sent = 1) <> (phone IS NULL AND text IS NULL) ORDER BY message_id"
    ):
        yield f"message {message_id} is sent and was not erased, or was erased before it was sent"


# --- the journal


def _journal(db: sqlite3.Connection) -> Words:
    """No event is lost before the office has it, and the last one written is the last one numbered."""
    meta = {row["key"]: row["value"] for row in db.execute("SELECT key, value FROM meta")}
    last, acked = int(meta.get("last_seq", 0)), int(meta.get("acked_seq", 0))
    oldest, newest = db.execute("SELECT min(seq), max(seq) FROM journal").fetchone()
    if acked > last:
        yield f"the office acknowledged event {acked}, but the last one written is {last}"
    if (newest or last) != last:
        yield f"the last event in the journal is {newest}, but the last number given is {last}"
    if (oldest or last + 1) > acked + 1:
        yield f"events {acked + 1} to {(oldest or last + 1) - 1} are gone, but the office has not acknowledged them"
    named = db.execute("SELECT max(card_id) FROM card WHERE role = 'old' AND card_id GLOB 'old-*'").fetchone()[0]
    if named is not None and int(named.removeprefix("old-")) > int(meta.get("last_old_card", 0)):
        yield f"card {named} has a number that will be given again"


_INVARIANTS = (
    _pages,
    _references,
    _chains,
    _intents,
    _slots,
    _single_places,
    _claims,
    _keys,
    _journal,
    audit,
    checkpoints,
)


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
    for (journey_id,) in db.execute("SELECT journey_id FROM journey WHERE ended IS NULL ORDER BY began, journey_id"):
        yield f"journey {journey_id} has not ended"
