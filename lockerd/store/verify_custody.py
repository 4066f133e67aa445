"""Offline checks of custody: chains, who is responsible, motions, slots, places that hold one card, totals.

The rules of places and motions are written down here a second time, from the machine and not from `lockerd.store.ledger`.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from itertools import groupby

Words = Iterator[str]

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
_UNMOVED = {
    "new": {
        ("tray", "load"),
        ("load", "tray"),
        ("tray", "transport"),
        ("load", "transport"),
        ("slot", "transport"),
        ("transport", "exit"),
        ("exit", "transport"),
        ("retract", "transport"),
        ("removed", "transport"),
        ("retract", "tray"),
        ("removed", "tray"),
        ("transport", "taken"),
        ("exit", "taken"),
    },
    "old": {
        ("throat", "escrow"),
        ("escrow", "throat"),
        ("throat", "bin"),
        ("escrow", "bin"),
        ("throat", "taken"),
        ("escrow", "taken"),
        ("taken", "throat"),
    },
}
"""Changes of place that hands make, or that are seen after a motion was forgotten; doubt and staff are apart."""
_OUTSIDE = ("tray", "taken", "removed")
_TWO_PEOPLE = "found by two people"
_TOKEN_PARTS = 4  # boot, number, opcode, argument
_LINKS = {"done": (1, 1), "in_doubt": (1, 1), "failed": (0, 1), "not_moved": (0, 0)}
"""How many links of a chain a motion that carries a known card leaves, by its result: least and most."""


def chains(db: sqlite3.Connection) -> Words:
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
    yield from _carried(link) if link["intent_id"] is not None else _unmoved(link)


def _unmoved(link: sqlite3.Row) -> Words:
    """A change of place that no motion made: by a hand, by staff, into doubt or out of it."""
    number, origin, target = link["move_id"], link["origin"], link["target"]
    staff = set(link["responsible"].removeprefix("staff:").split("+")) if link["responsible"][:6] == "staff:" else set()
    if target == "removed" and not staff:
        yield f"link {number}: it was removed by {link['responsible'] or 'nobody'}, and only staff can"
    elif link["reason"] == _TWO_PEOPLE and len(staff) < 2:
        yield f"link {number}: its doubt was ended by {link['responsible'] or 'nobody'}, and it takes two people"
    elif target == "in_doubt":
        if origin in _OUTSIDE:
            yield f"link {number}: it came into doubt at {origin}, outside the machine"
    elif origin != "in_doubt" and target != "removed" and (origin, target) not in _UNMOVED.get(link["role"], ()):
        where = target if link["slot"] is None else f"{target} {link['slot']}"
        yield f"link {number}: it came from {origin} to {where} without a motion"


def responsible(db: sqlite3.Connection) -> Words:
    """Each link names one who is responsible, and it is who ordered the motion or was at the machine."""
    for row in db.execute(
        "SELECT card_move.*, intent.journey_id AS ordered FROM card_move LEFT JOIN intent USING (intent_id) ORDER BY move_id"
    ):
        named, journey = row["responsible"], row["journey_id"] or ""
        said = f"card {row['card_id']}: link {row['move_id']} is"
        if row["origin"] is None or row["reason"] == "still_there":
            possible = bool(named)
        elif not journey:
            possible = named.startswith("machine:")
        else:
            possible = named == (journey if journey.startswith("staff:") else f"session:{journey}")
        if not possible:
            yield f"{said} on {named or 'nobody'}, and of {f'journey {journey}' if journey else 'no journey'}"
        if row["ordered"] is not None and row["ordered"] != journey:
            yield f"{said} of journey {journey or 'none'}, but its motion was ordered by {row['ordered'] or 'the machine'}"


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


def intents(db: sqlite3.Connection) -> Words:
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


def slots(db: sqlite3.Connection) -> Words:
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


def single_places(db: sqlite3.Connection) -> Words:
    """Where one card fits, one is recorded."""
    for row in db.execute("SELECT place, group_concat(card_id, ', ') AS cards, count(*) AS n FROM card GROUP BY place"):
        if row["place"] in _ONE_CARD and row["n"] > 1:
            yield f"{row['n']} cards are recorded at {row['place']}, which holds one: {row['cards']}"


# --- totals


def totals(db: sqlite3.Connection) -> Words:
    """A unit has counted at least the cards that the ledger has it hand out and keep, as long as it is the same unit.

    Another board counts anew, and numbers its commands anew: where the numbers of a unit's intents fall back, or are none of
    the mailbox's, nothing is compared.
    """
    counted = {row["unit"]: row for row in db.execute("SELECT * FROM unit_total")}
    taken = db.execute(
        "SELECT count(*) FROM card_move JOIN card USING (card_id)"
        " WHERE role = 'new' AND target = 'taken' AND origin <> target AND reason <> ?",
        (_TWO_PEOPLE,),
    ).fetchone()[0]
    for unit, motion in (("dispenser", "capture"), ("recycler", "retain")):
        if not _one_board(db, unit):
            continue
        kept = db.execute(
            "SELECT count(*) FROM intent WHERE unit = ? AND motion = ? AND result = 'done'", (unit, motion)
        ).fetchone()[0]
        total = counted[unit]["retained"] if unit in counted else 0
        if total < kept:
            yield f"the {unit} has counted {total} cards as kept, but {kept} are recorded as kept by it"
        total = counted[unit]["dispensed"] if unit in counted else 0
        if unit == "dispenser" and total < taken:
            yield f"the {unit} has counted {total} cards as taken, but {taken} are recorded as taken from it"


def _one_board(db: sqlite3.Connection, unit: str) -> bool:
    last = 0
    for (token,) in db.execute("SELECT token FROM intent WHERE unit = ? ORDER BY intent_id", (unit,)):
        parts = token.split(":")
        if len(parts) != _TOKEN_PARTS or not all(part.isdecimal() for part in parts) or int(parts[1]) < last:
            return False
        last = int(parts[1])
    return last > 0
