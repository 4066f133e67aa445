"""Physical truth against what a database says, without any code of the daemon or of its store."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sim.people import Citizen

_NEW = {
    "tray": {"tray", "load", "reject_lane"},
    "load": {"load"},
    "transport": {"transport"},
    "slot": {"slot"},
    "exit": {"exit"},
    "retract": {"retract"},
    "taken": {"person"},
    "removed": {"tray"},
}
_OLD = {
    "throat": {"throat"},
    "escrow": {"escrow"},
    "bin": {"bin"},
    "taken": {"person"},
    "removed": {"tray"},
}
_OUTSIDE = {"tray", "load", "reject_lane", "person"}


def contradictions(truth: Mapping[str, Any], db: sqlite3.Connection, since: float = 0.0) -> list[str]:
    """Every point on which the machine at rest (its GET /truth) and the ledger differ, one sentence each.

    Old cards that left their owner before `since` (UTC seconds) belong to people whom this machine never saw.
    """
    found = []
    cards = {card["card_id"]: card for card in truth["cards"]}
    old_of = {card["person"]: card["card_id"] for card in truth["cards"] if card["role"] == "old"}
    slots = {slot: (state, card) for slot, state, card in db.execute("SELECT slot, state, card_id FROM slot")}
    slot_of = {card: slot for slot, (_state, card) in slots.items() if card is not None}
    inside: set[str] = set()
    unnamed: Counter[str] = Counter()
    last = dict(db.execute("SELECT claim_id, max(card_id) FROM card WHERE role = 'old' GROUP BY claim_id"))
    for card_id, role, claim_id, place in db.execute(
        "SELECT card_id, role, claim_id, place FROM card WHERE since >= ? OR place NOT IN ('taken', 'bin', 'removed')",
        (since,),
    ):
        if role == "old" and claim_id is not None and place == "taken" and card_id != last[claim_id]:
            continue  # given back then, and put in again since under another number
        claim = cards.get(claim_id)
        known = claim if role == "new" else claim and cards.get(old_of.get(claim["person"], ""))
        if known is None:
            unnamed[place] += role == "old"
            continue
        inside.add(known["card_id"])
        really = known["place"]
        if place == "in_doubt":
            continue
        if really not in (_NEW if role == "new" else _OLD)[place]:
            found.append(f"{known['card_id']} is recorded at {place} and really at {really}")
        elif place == "slot" and slot_of.get(card_id) != known["slot"]:
            found.append(f"{card_id} is recorded in slot {slot_of.get(card_id)} and really in slot {known['slot']}")
    for card_id, card in cards.items():
        if card["place"] in _OUTSIDE or card_id in inside:
            continue
        if card["role"] == "old" and unnamed[card["place"]] > 0:
            unnamed[card["place"]] -= 1  # nobody's card for the ledger
            continue
        found.append(f"{card_id} is really at {card['place']}, and the ledger does not know")
    for slot, (state, _card) in slots.items():
        there = [card["card_id"] for card in cards.values() if card["slot"] == slot]
        if state == "free" and there:
            found.append(f"slot {slot} is recorded as free and really holds {there[0]}")
    for claim_id, state in db.execute("SELECT claim_id, state FROM claim WHERE state IN ('collected', 'stocked')"):
        card = cards.get(claim_id)
        if card is not None and (state == "collected") != (card["place"] == "person"):
            found.append(f"claim {claim_id} is {state} and its card really at {card['place']}")
    open_intents = db.execute("SELECT count(*) FROM intent WHERE result IS NULL").fetchone()[0]
    if open_intents:
        found.append(f"{open_intents} intents are open")
    return found


def miscounted(truth: Mapping[str, Any]) -> list[str]:
    """Where a unit's own non-volatile total is not the number of cards that it really gave out or kept since it was new."""
    given = sum(card["role"] == "new" and card["place"] == "person" for card in truth["cards"])
    kept = sum(card["role"] == "old" and card["place"] == "bin" for card in truth["cards"])
    counted = (truth["units"]["dispenser"]["dispensed"], truth["units"]["recycler"]["retained"])
    return [] if counted == (given, kept) else [f"the units count {counted} given out and kept, really {given, kept}"]


def hands(truth: Mapping[str, Any], town: Iterable[Citizen]) -> list[str]:
    """Who has both cards. One that was reported lost is void, and may be found again outside."""
    lost = {one.lost_card.card_id for one in town if one.lost_card is not None}
    places: dict[str, dict[str, str]] = {}
    for card in truth["cards"]:
        if card["card_id"] in lost:
            continue
        places.setdefault(card["person"], {})[card["role"]] = card["place"]
    return [
        f"{person} holds the old card and the new one"
        for person, held in places.items()
        if held.get("old") == "person" and held["new"] == "person"
    ]


def doubts(db: sqlite3.Connection) -> int:
    """How many cards are in doubt: quarantined until evidence or staff tell."""
    return int(db.execute("SELECT count(*) FROM card WHERE place = 'in_doubt'").fetchone()[0])
