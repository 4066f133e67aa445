import sqlite3
from contextlib import closing
from dataclasses import replace
from importlib import resources
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
    read_database,
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


def _database(path: Path, *, journal: tuple[int, ...] = (1, 2)) -> None:
    """A database as the daemon's migrations make it, with one card of each kind of end."""
    with closing(sqlite3.connect(path)) as database:
        database.create_function("chained", -1, lambda *_: bytes(32))  # hashes are of no matter here
        for migration in sorted(resources.files("lockerd.store").joinpath("migrations").iterdir(), key=str):
            database.executescript(migration.read_text("utf-8"))
        for claim, state in (("N1", "collected"), ("N2", "stocked"), ("N3", "expected")):
            database.execute(
                "INSERT INTO claim (claim_id, kind, state, since) VALUES (?, 'renewal', ?, 0)", (claim, state)
            )
        cards = [
            ("N1", "new", "N1", "taken"),
            ("N2", "new", "N2", "slot"),
            ("old-1", "old", "N1", "bin"),
            ("old-2", "old", "N2", "taken"),
        ]
        database.executemany("INSERT INTO card (card_id, role, claim_id, place, since) VALUES (?, ?, ?, ?, 0)", cards)
        database.execute("INSERT INTO slot VALUES (6, 'blocked', NULL, 'jam', 0), (7, 'stocked', 'N2', NULL, 0)")
        columns = "(seq, type, data, wall, mono, boot_id)"
        database.executemany(
            f"INSERT INTO journal {columns} VALUES (?, 't', '{{}}', 0, 0, 'b')", [(n,) for n in journal]
        )
        columns = "(unit, motion, slot, token, card_id, journey_id, opened, boot_id)"
        database.execute(f"INSERT INTO intent {columns} VALUES ('dispenser', 'pick', 7, 't', 'N2', 'j', 0, 'b')")
        database.commit()


def test_the_daemon_is_read_from_its_own_tables(tmp_path: Path) -> None:
    _database(tmp_path / "lockerd.db", journal=(1, 3))
    assert read_database(tmp_path / "lockerd.db") == DaemonRecord(
        new=TRUTH.new,
        kept=frozenset({"N1"}),
        on_the_way=0,
        open_intents=1,
        journal=3,
        events=2,
        blocked=frozenset({6}),
    )


def test_a_damaged_database_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    _database(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(sqlite3.Error):
        read_database(path)


def test_a_missing_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error):
        read_database(tmp_path / "lockerd.db")
