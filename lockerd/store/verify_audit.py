"""The audit chain of a database that nobody runs, worked out again from the rows. It shares no code with what wrote them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from itertools import zip_longest

_CHAINS = {
    "journal": ("event", ("seq", "type", "data", "wall", "mono", "boot_id")),
    "card_move": (
        "link",
        (
            "move_id",
            "card_id",
            "origin",
            "target",
            "slot",
            "reason",
            "intent_id",
            "journey_id",
            "wall",
            "responsible",
        ),
    ),
}

_TOLD = ("card_id", "place", "slot", "reason", "responsible")


def audit(db: sqlite3.Connection) -> Iterator[str]:
    """Where a chain breaks, in words: each row follows from the one before, the first from its anchor."""
    for table, (name, columns) in _CHAINS.items():
        anchor = db.execute("SELECT upto, hash FROM audit_anchor WHERE chain = ?", (table,)).fetchone()
        if anchor is None:
            yield f"the audit chain of {table} has no anchor"
            continue
        last, before = anchor
        for row in db.execute(f"SELECT {', '.join(columns)}, hash FROM {table} ORDER BY 1"):  # noqa: S608 constants
            *values, found = row
            number = values[0]
            if number != last + 1:
                gone = f"{name} {last + 1} is" if number == last + 2 else f"{name}s {last + 1} to {number - 1} are"
                yield f"the audit chain of {table} breaks: {gone} missing before {name} {number}"
            elif found != sha256(before + json.dumps(values, separators=(",", ":")).encode("ascii")).digest():
                yield f"the audit chain of {table} breaks at {name} {number}: it, or the one before it, was changed later"
            last, before = number, found


def checkpoints(db: sqlite3.Connection) -> Iterator[str]:
    """The rows are still those that the office was told of, night by night."""
    for seq, data in db.execute("SELECT seq, data FROM journal WHERE type = 'lockerd.audit.checkpoint' ORDER BY seq"):
        for table, head in json.loads(data).items():
            name, columns = _CHAINS[table]
            row = db.execute(f"SELECT hash FROM {table} WHERE {columns[0]} = ?", (head["upto"],)).fetchone()  # noqa: S608 constants
            if row is not None and row[0].hex() != head["hash"]:
                yield f"{name} {head['upto']} is not the one that checkpoint {seq} told the office of"


def told(db: sqlite3.Connection) -> Iterator[str]:
    """Each link of custody has its event and each such event its link, back to where either is deleted.

    So a chain of custody that was cut off at its end, with the records of its cards, differs from the journal, and the other
    way round. Both cut off alike only the office can tell from what it has.
    """
    links = db.execute(
        "SELECT move_id, card_id, target, slot, reason, responsible FROM card_move"
        " WHERE NOT (reason = 'still_there' AND origin = target) ORDER BY move_id DESC"
    )
    events = db.execute("SELECT seq, data FROM journal WHERE type = 'lockerd.card.moved' ORDER BY seq DESC")
    cut = {row["chain"]: row["upto"] > 0 for row in db.execute("SELECT chain, upto FROM audit_anchor")}
    for link, event in zip_longest(links, events):
        if event is None:
            if not cut.get("journal"):
                yield f"link {link['move_id']} (card {link['card_id']} at {link['target']}) was never told to the office"
            return
        said = json.loads(event["data"])
        if link is None:
            if not cut.get("card_move"):
                yield (
                    f"event {event['seq']} tells of card {said.get('card_id')} at {said.get('place')}, and no link of custody does"
                )
            return
        if [said.get(name) for name in _TOLD] != list(link)[1:]:
            yield (
                f"link {link['move_id']} has card {link['card_id']} at {link['target']}, and its event {event['seq']} tells of"
                f" card {said.get('card_id')} at {said.get('place')}: one of them was changed, or is missing"
            )
            return
