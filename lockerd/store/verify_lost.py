"""Offline checks of cards that were reported lost: flagged once and told, kept since, and in whose hands."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

Words = Iterator[str]

_TOLD = "lockerd.old.reported_lost"
_MOVED = "lockerd.card.moved"
_GIVEN_BACK = ("throat", "taken")
_TWO_PEOPLE = "found by two people"
_SEEN = "sensor after an interruption"


def _gives_back(place: str, reason: str) -> bool:
    """Whether a record gives the card back: at the throat not what a sensor told, which may be stuck, and no motion led to."""
    return place in _GIVEN_BACK and reason != _TWO_PEOPLE and (place, reason) != ("throat", _SEEN)


def flags(db: sqlite3.Connection) -> Words:
    """A card that was reported lost is an old one, the office was told, and no motion or record gives it back after that."""
    told: dict[str, str] = {}
    known: set[str] = set()
    gave_back: dict[str, str] = {}
    for kind, data in db.execute(
        "SELECT type, data FROM journal WHERE type = ? OR type = ? AND data ->> 'card_id' IN"
        " (SELECT card_id FROM card WHERE lost_report IS NOT NULL"
        " UNION SELECT data ->> 'card_id' FROM journal WHERE type = ?) ORDER BY seq",
        (_TOLD, _MOVED, _TOLD),
    ):
        event = json.loads(data)
        card_id = event["card_id"]
        known.add(card_id)
        if kind == _TOLD:
            if card_id in told:
                yield f"the office was told twice that card {card_id} was reported lost"
            told[card_id] = event["report_id"]
        elif card_id in told and _gives_back(event["place"], event["reason"]):
            gave_back[card_id] = event["place"]
    for row in db.execute(
        "SELECT card.*, (SELECT reason FROM card_move WHERE card_move.card_id = card.card_id ORDER BY move_id DESC LIMIT 1)"
        " AS reason, EXISTS (SELECT 1 FROM card_move WHERE card_move.card_id = card.card_id AND origin IS NULL) AS whole"
        " FROM card ORDER BY card_id"
    ):
        card_id, report = row["card_id"], row["lost_report"]
        if report is None:
            if card_id in told:
                yield f"the office was told that card {card_id} was reported lost ({told[card_id]}), but it is not flagged"
            continue
        name = f"card {card_id} was reported lost ({report})"
        if row["role"] != "old":
            yield f"{name}, but is a new card"
        if card_id in told and told[card_id] != report:
            yield f"{name}, but the office was told of report {told[card_id]}"
        if card_id not in told and row["whole"] and card_id in known:
            yield f"{name}, but the office was never told"
        if _gives_back(row["place"], row["reason"] or ""):
            gave_back[card_id] = row["place"]
        if card_id in gave_back:
            yield f"{name}, but is recorded as given back after that: at {gave_back[card_id]}"
    for row in db.execute(
        "SELECT intent.card_id, intent_id FROM intent JOIN card USING (card_id) WHERE motion = 'return' AND lost_report IS NOT NULL"
        " AND intent_id > (SELECT min(intent_id) FROM intent AS kept WHERE kept.card_id = card.card_id AND motion = 'retain')"
        " ORDER BY intent_id"
    ):
        yield f"card {row['card_id']} was reported lost, but intent {row['intent_id']} (return) was to give it back"


def held(db: sqlite3.Connection) -> Words:
    """Cards inside that were reported lost, and who is responsible for them."""
    for row in db.execute(
        "SELECT card_id, place, lost_report,"
        " (SELECT responsible FROM card_move WHERE card_move.card_id = card.card_id ORDER BY move_id DESC LIMIT 1) AS who"
        " FROM card WHERE lost_report IS NOT NULL AND place NOT IN ('taken', 'removed') ORDER BY card_id"
    ):
        name = f"card {row['card_id']} was reported lost ({row['lost_report']})"
        yield f"{name}: it is held at {row['place']}, and {row['who'] or 'nobody'} is responsible"
