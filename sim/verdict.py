"""Do office, machine and daemon agree? Three readers, each with code of its own, and one pure comparison."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WITH_STAFF = "with staff"
WITH_CITIZEN = "with the citizen"


@dataclass(frozen=True, slots=True)
class PhysicalTruth:
    """Where the cards are. Keys are claim ids: `new` the claim's own card, `old` its predecessor where there is one.

    `dispensed` and `retained` are the units' non-volatile totals.
    """

    new: Mapping[str, str]
    old: Mapping[str, str]
    dispensed: int
    retained: int

    @property
    def in_bin(self) -> frozenset[str]:
        """The claims whose predecessor is in the bin."""
        return frozenset(claim_id for claim_id, where in self.old.items() if where == "bin")


@dataclass(frozen=True, slots=True)
class DaemonRecord:
    """What the daemon's database says. `kept` are claims whose predecessor is in the bin; `on_the_way` old cards inside
    elsewhere; `journal` is the last sequence number and `events` their count; `blocked` are slots that nobody may use.
    """

    new: Mapping[str, str]
    kept: frozenset[str]
    on_the_way: int
    open_intents: int
    journal: int
    events: int
    blocked: frozenset[int] = frozenset()
    cards: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OfficeLedger:
    """What the office booked from the events it received, `last_seq` being the last one.

    `cards` is, as that of the daemon, the place of each card with who is responsible for it.
    """

    new: Mapping[str, str]
    kept: frozenset[str]
    events: int
    last_seq: int
    duplicates: int
    gaps: int
    poison: int = 0
    cards: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expectation:
    """How a scenario ends: who has a new card, whose old card the machine keeps, and what else may have happened.

    All other cards in `stocked` lie in a slot. `power_lost` allows batches that the office had before, because an
    acknowledgement may have been lost with the power.
    """

    collected: frozenset[str]
    kept: frozenset[str]
    stocked: frozenset[str] = field(default_factory=frozenset)
    power_lost: bool = False


def read_truth(truth: Mapping[str, Any]) -> PhysicalTruth:
    """The machine's GET /truth, by claim."""
    claim_of = {card["person"]: card["card_id"] for card in truth["cards"] if card["role"] == "new"}
    new: dict[str, str] = {}
    old: dict[str, str] = {}
    for card in truth["cards"]:
        match card["place"]:
            case "slot":
                where = f"slot {card['slot']}"
            case "tray" | "reject_lane":
                where = WITH_STAFF
            case "person":
                where = WITH_CITIZEN
            case inside:
                where = inside
        (new if card["role"] == "new" else old)[claim_of[card["person"]]] = where
    units = truth["units"]
    return PhysicalTruth(new, old, units["dispenser"]["dispensed"], units["recycler"]["retained"])


def read_database(path: Path) -> DaemonRecord:
    """The daemon's database, which no process may have open. Raises sqlite3.Error when it is missing or damaged."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        damage = database.execute("PRAGMA integrity_check").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(f"{path}: {damage}")
        slots = dict(database.execute("SELECT card_id, slot FROM slot WHERE card_id IS NOT NULL"))
        new = dict(database.execute("SELECT claim_id, 'tray' FROM claim"))
        for claim_id, card_id, place in database.execute(
            "SELECT claim_id, card_id, place FROM card WHERE role = 'new'"
        ):
            new[claim_id] = f"slot {slots.get(card_id)}" if place == "slot" else place
        outside = {"tray": WITH_STAFF, "removed": WITH_STAFF, "taken": WITH_CITIZEN, "in_doubt": "in doubt"}
        kept = database.execute("SELECT claim_id FROM card WHERE role = 'old' AND place = 'bin'").fetchall()
        on_the_way = "SELECT count(*) FROM card WHERE role = 'old' AND place NOT IN ('bin', 'taken', 'removed')"
        journal = database.execute("SELECT coalesce(max(seq), 0), count(*) FROM journal").fetchone()
        blocked = database.execute("SELECT slot FROM slot WHERE state = 'blocked'").fetchall()
        chains = database.execute(
            "SELECT card_id, target, slot, responsible FROM card_move"
            " WHERE move_id IN (SELECT max(move_id) FROM card_move GROUP BY card_id)"
        ).fetchall()
        return DaemonRecord(
            new={claim_id: outside.get(place, place) for claim_id, place in new.items()},
            kept=frozenset(claim_id for (claim_id,) in kept),
            on_the_way=database.execute(on_the_way).fetchone()[0],
            open_intents=database.execute("SELECT count(*) FROM intent WHERE result IS NULL").fetchone()[0],
            journal=journal[0],
            events=journal[1],
            blocked=frozenset(slot for (slot,) in blocked),
            cards={card_id: _whose(place, slot, responsible) for card_id, place, slot, responsible in chains},
        )


def read_ledger(ledger: Mapping[str, Any]) -> OfficeLedger:
    """The office's GET /sim/ledger."""
    where = {
        "expected": WITH_STAFF,
        "collected": WITH_CITIZEN,
        "presented": "exit",
        "retracted": "transport",
        "captured": "retract",
        "in_doubt": "in doubt",
    }
    return OfficeLedger(
        new={
            claim_id: f"slot {claim['slot']}"
            if claim["state"] == "stocked"
            else where.get(claim["state"], claim["state"])
            for claim_id, claim in ledger["claims"].items()
        },
        kept=frozenset(claim_id for claim_id, state in ledger["old_cards"].items() if state == "retained"),
        events=ledger["events"],
        last_seq=ledger["last_seq"],
        duplicates=ledger["duplicates"],
        gaps=ledger["gaps"],
        poison=ledger.get("poison", 0),
        cards={
            card_id: _whose(card["place"], card["slot"], card["responsible"])
            for card_id, card in ledger.get("cards", {}).items()
        },
    )


def disagreements(truth: PhysicalTruth, daemon: DaemonRecord, office: OfficeLedger) -> tuple[str, ...]:
    """Every point on which the three do not tell the same story, one sentence each; nothing when they agree."""
    found = []
    for claim_id in sorted(truth.new.keys() | daemon.new.keys() | office.new.keys()):
        told = [source.new.get(claim_id, "unknown") for source in (truth, daemon, office)]
        if len(set(told)) > 1:
            found.append(f"card {claim_id}: machine says {told[0]}, daemon {told[1]}, office {told[2]}")
    for name, kept in (("daemon", daemon.kept), ("office", office.kept)):
        found += [
            f"old card of {claim_id} is in the bin, but not for the {name}" for claim_id in sorted(truth.in_bin - kept)
        ]
        found += [
            f"old card of {claim_id} is kept for the {name}, but not in the bin"
            for claim_id in sorted(kept - truth.in_bin)
        ]
    for card_id in sorted(daemon.cards.keys() | office.cards.keys()):
        here, there = daemon.cards.get(card_id, "unknown"), office.cards.get(card_id, "unknown")
        if here != there:
            found.append(f"card {card_id}: {here} for the daemon, {there} for the office")
    on_the_way = sum(where not in {"bin", WITH_CITIZEN, WITH_STAFF} for where in truth.old.values())
    figures = (
        ("old cards neither kept nor out", on_the_way, "for the daemon", daemon.on_the_way),
        ("cards dispensed by the unit", truth.dispensed, "cards with citizens", _count(truth.new, WITH_CITIZEN)),
        ("cards retained by the unit", truth.retained, "cards in the bin", len(truth.in_bin)),
        ("last event of the daemon", daemon.journal, "events in its journal", daemon.events),
        ("last event of the daemon", daemon.journal, "last event of the office", office.last_seq),
        ("events in the journal", daemon.events, "events at the office", office.events),
        ("open intents", daemon.open_intents, "that there may be", 0),
        ("gaps in the events at the office", office.gaps, "that there may be", 0),
        ("events that the office could not book", office.poison, "that there may be", 0),
    )
    return (*found, *(f"{a}: {x}, {b}: {y}" for a, x, b, y in figures if x != y))


def disappointments(
    expected: Expectation, truth: PhysicalTruth, daemon: DaemonRecord, office: OfficeLedger
) -> tuple[str, ...]:
    """Every point on which the end is not the one that the scenario expects, one sentence each."""
    found = []
    collected = frozenset(claim_id for claim_id, where in truth.new.items() if where == WITH_CITIZEN)
    for what, seen, wanted in (
        ("collected", collected, expected.collected),
        ("old cards kept", truth.in_bin, expected.kept),
    ):
        if seen != wanted:
            found.append(f"{what}: {_names(seen)}, expected {_names(wanted)}")
    for claim_id in sorted(expected.stocked):
        where = truth.new.get(claim_id, "nowhere")
        if not where.startswith("slot "):
            found.append(f"card {claim_id} should lie in a slot, but is {where}")
    if daemon.blocked:
        found.append(f"blocked slots: {', '.join(map(str, sorted(daemon.blocked)))}, expected none")
    if office.duplicates and not expected.power_lost:
        found.append(f"events sent twice to the office: {office.duplicates}, expected none")
    return tuple(found)


def _whose(place: str, slot: int | None, responsible: str) -> str:
    return f"{place}{'' if slot is None else f' {slot}'} ({responsible})"


def _count(cards: Mapping[str, str], where: str) -> int:
    return sum(found == where for found in cards.values())


def _names(claims: frozenset[str]) -> str:
    return ", ".join(sorted(claims)) or "none"
