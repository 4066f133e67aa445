import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sim.verdict import (
    DaemonRecord,
    Expectation,
    OfficeLedger,
    PhysicalTruth,
    disagreements,
    disappointments,
    read_ledger,
    read_truth,
)

TRUTH = PhysicalTruth(
    new={"N1": "with the citizen", "N2": "slot 7", "N3": "with staff"},
    old={"N1": "bin", "N2": "with the citizen"},
    dispensed=1,
    retained=1,
)
DAEMON = DaemonRecord(new=dict(TRUTH.new), kept=frozenset({"N1"}), on_the_way=0, open_intents=0, journal=20, events=20)
OFFICE = OfficeLedger(new=dict(TRUTH.new), kept=frozenset({"N1"}), events=20, last_seq=20, duplicates=0, gaps=0)
EXPECTED = Expectation(collected=frozenset({"N1"}), kept=frozenset({"N1"}), stocked=frozenset({"N2"}))


def test_three_equal_stories_agree() -> None:
    assert disagreements(TRUTH, DAEMON, OFFICE) == ()
    assert disappointments(EXPECTED, TRUTH, DAEMON, OFFICE) == ()


@pytest.mark.parametrize(
    ("truth", "daemon", "office", "word"),
    [
        ({"new": {**TRUTH.new, "N2": "slot 8"}}, {}, {}, "N2: machine says slot 8, daemon slot 7"),
        ({}, {"new": {**TRUTH.new, "N2": "in doubt"}}, {}, "N2: machine says slot 7, daemon in doubt"),
        ({}, {}, {"new": {**TRUTH.new, "N1": "exit"}}, "N1: machine says with the citizen"),
        ({}, {"new": {"N1": "with the citizen", "N2": "slot 7"}}, {}, "N3: machine says with staff, daemon unknown"),
        ({}, {}, {"new": {**TRUTH.new, "N9": "with staff"}}, "N9: machine says unknown"),
        (
            {"old": {"N1": "bin", "N2": "bin"}, "retained": 2},
            {},
            {},
            "old card of N2 is in the bin, but not for the daemon",
        ),
        ({}, {"kept": frozenset()}, {}, "old card of N1 is in the bin, but not for the daemon"),
        ({}, {}, {"kept": frozenset({"N1", "N2"})}, "old card of N2 is kept for the office"),
        ({"old": {"N1": "bin", "N2": "escrow"}}, {}, {}, "neither kept nor out: 1"),
        ({"dispensed": 2}, {}, {}, "dispensed by the unit: 2"),
        ({"retained": 0}, {}, {}, "retained by the unit: 0"),
        ({}, {"open_intents": 1}, {}, "open intents: 1"),
        ({}, {"journal": 21, "events": 21}, {}, "last event of the office: 20"),
        ({}, {"events": 19}, {"events": 19}, "events in its journal: 19"),
        ({}, {}, {"events": 21}, "events at the office: 21"),
        ({}, {}, {"gaps": 1}, "gaps in the events"),
        ({}, {}, {"poison": 1}, "could not book: 1"),
    ],
)
def test_a_planted_disagreement_is_found(
    truth: dict[str, Any], daemon: dict[str, Any], office: dict[str, Any], word: str
) -> None:
    found = disagreements(replace(TRUTH, **truth), replace(DAEMON, **daemon), replace(OFFICE, **office))
    assert word in " | ".join(found)


@pytest.mark.parametrize(
    ("expected", "daemon", "office", "word"),
    [
        ({"collected": frozenset({"N1", "N2"})}, {}, {}, "collected: N1, expected N1, N2"),
        ({"collected": frozenset()}, {}, {}, "collected: N1, expected none"),
        ({"kept": frozenset()}, {}, {}, "old cards kept: N1, expected none"),
        ({"stocked": frozenset({"N3"})}, {}, {}, "N3 should lie in a slot"),
        ({}, {"blocked": frozenset({4})}, {}, "blocked slots: 4"),
        ({}, {}, {"duplicates": 3}, "sent twice to the office: 3"),
    ],
)
def test_another_end_than_the_expected_one_is_found(
    expected: dict[str, Any], daemon: dict[str, Any], office: dict[str, Any], word: str
) -> None:
    found = disappointments(replace(EXPECTED, **expected), TRUTH, replace(DAEMON, **daemon), replace(OFFICE, **office))
    assert word in " | ".join(found)


def test_after_a_power_cut_the_office_may_see_a_batch_again() -> None:
    assert disappointments(replace(EXPECTED, power_lost=True), TRUTH, DAEMON, replace(OFFICE, duplicates=3)) == ()


def test_the_machine_is_read_by_claim() -> None:
    def card(card_id: str, role: str, person: str, place: str, slot: int | None = None) -> dict[str, Any]:
        return {"card_id": card_id, "role": role, "person": person, "place": place, "slot": slot}

    cards = [
        card("O1", "old", "p1", "bin"),
        card("N1", "new", "p1", "person"),
        card("O2", "old", "p2", "person"),
        card("N2", "new", "p2", "slot", 7),
        card("N3", "new", "p3", "reject_lane"),
    ]
    units = {"dispenser": {"dispensed": 1, "retained": 0}, "recycler": {"dispensed": 0, "retained": 1}}
    assert read_truth({"cards": cards, "units": units}) == TRUTH


def test_the_office_is_read_by_claim() -> None:
    ledger = {
        "claims": {
            "N1": {"state": "collected", "slot": None, "events": 6},
            "N2": {"state": "stocked", "slot": 7, "events": 1},
            "N3": {"state": "expected", "slot": None, "events": 0},
        },
        "old_cards": {"N1": "retained", "N2": "returned"},
        "events": 20,
        "last_seq": 20,
        "duplicates": 0,
        "gaps": 0,
        "poison": 0,
    }
    assert read_ledger(ledger) == OFFICE


def test_a_missing_database_is_an_error(tmp_path: Path) -> None:
    from sim.verdict import read_database

    with pytest.raises(sqlite3.Error):
        read_database(tmp_path / "lockerd.db")
