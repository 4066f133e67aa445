"""The soak's own books of what the office was told and of what staff said: each difference is a violation."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from sim.soak.claims import belied
from sim.soak.decisions import Decisions, Where
from sim.soak.item import CUSTODY, FAULT, VISIT, Item
from sim.soak.lies import LATELY, PATIENCE, Lies
from sim.soak.office_ledger import OfficeLedger, Standing
from sim.soak.script import Script
from sim.soak.seams import filled_by
from sim.soak.slots import looked_at
from sim.world import Place, Spot, World

CHAIN = [("N000001", "tray", None, "office"), ("N000001", "slot", 3, "staff:li"), ("old-000001", "throat", None, "s:1")]


class Books:
    """A daemon's ledger of these links, and what the office was told of each."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.office = OfficeLedger(self.wrong.append)
        self.database = sqlite3.connect(":memory:")
        self.database.row_factory = sqlite3.Row
        self.database.executescript(
            "CREATE TABLE card (card_id TEXT PRIMARY KEY, place TEXT);"
            "CREATE TABLE card_move (move_id INTEGER PRIMARY KEY, card_id TEXT, target TEXT, slot INT, responsible TEXT,"
            " reason TEXT DEFAULT 'store')"
        )

    async def fetch(self, sql: str, *parameters: object) -> list[Any]:
        return self.database.execute(sql, parameters).fetchall()

    def moved(self, link: tuple[str, str, int | None, str], **told: object) -> None:
        card, place, slot, responsible = link
        self.database.execute(
            "INSERT INTO card_move (card_id, target, slot, responsible) VALUES (?, ?, ?, ?)",
            (card, place, slot, responsible),
        )
        self.database.execute("INSERT OR REPLACE INTO card VALUES (?, ?)", (card, place))
        data = {"card_id": card, "place": place, "slot": slot, "responsible": responsible, **told}
        self.office.told("lockerd.card.moved", data)

    def compared(self) -> list[str]:
        asyncio.run(self._compare())
        return self.wrong

    async def _compare(self) -> None:
        await self.office.compare(self.fetch)
        inside = "JOIN card USING (card_id) WHERE place <> 'taken' AND place <> 'removed' GROUP BY card_id"
        rows = await self.fetch(f"SELECT card_id, target, slot, responsible, max(move_id) FROM card_move {inside}")
        self.office.compare_all({card: Standing(*standing) for card, *standing, _latest in rows})


def test_what_the_office_was_told_makes_the_daemons_own_ledger() -> None:
    books = Books()
    for link in CHAIN:
        books.moved(link)
    assert books.office.news
    assert books.compared() == []
    books.moved(("N000001", "taken", None, "session:2"))
    books.office.told("lockerd.card.taken", {"card_id": "N000001"})
    assert books.compared() == []
    assert set(books.office.inside) == {"old-000001"}


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"place": "bin"}, "the office was told old-000001 at bin"),
        ({"responsible": "office"}, "responsible office"),
        ({"responsible": ""}, "of nobody who is responsible"),
        ({"slot": 7}, "at throat 7"),
        ({"card_id": "old-000002"}, "was told old-000002"),
    ],
)
def test_an_event_that_tells_something_else_is_noticed(told: dict[str, object], says: str) -> None:
    books = Books()
    for link in CHAIN[:2]:
        books.moved(link)
    books.moved(CHAIN[2], **told)
    assert says in books.compared()[0]


def test_a_card_that_left_is_compared_too() -> None:
    books = Books()
    books.moved(CHAIN[0])
    books.moved(("N000001", "taken", None, "session:2"), responsible="machine:1")
    assert "responsible machine:1" in books.compared()[0]


def test_cards_counted_out_of_the_bin_are_those_that_were_told_by_name() -> None:
    books = Books()
    books.moved(("old-000001", "removed", None, "staff:li"), reason="bin_emptied")
    books.office.counts.says("bin", "li", 2, 2)
    books.office.told("lockerd.bin.emptied", {"staff": "li", "counted": 2, "expected": 2, "agreed": True})
    assert "with 2 cards, and 1 of them by name" in books.compared()[0]


class Staff:
    """What people say about one card, and what is recorded of it."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.judged: list[tuple[str, Where]] = []
        self.decisions = Decisions(self.wrong.append, lambda card, where: self.judged.append((card, where)))

    def says(self, person: str, place: str, *then: str, staff: tuple[str, ...] = ("li", "wang")) -> None:
        self.decisions.says(person, "N1", (place, None))
        found = ("lockerd.doubt.found", {"card_id": "N1", "staff": person, "found": place, "slot": None})
        after = [(f"lockerd.doubt.{ruling}", {"card_id": "N1", "staff": list(staff)}) for ruling in then]
        self.decisions.events([found, *after])

    def moved(self, target: str, reason: str) -> None:
        row = {"card_id": "N1", "origin": "in_doubt", "target": target, "slot": None, "reason": reason}
        self.decisions.moved({**row, "intent_id": None})
        self.decisions.recorded()


def test_two_people_who_say_the_same_end_a_doubt_and_two_who_differ_are_void() -> None:
    staff = Staff()
    staff.says("li", "taken")
    staff.says("wang", "removed", "disputed")
    staff.says("wang", "removed")
    staff.says("li", "removed", "decided", staff=("wang", "li"))
    staff.moved("removed", "found by two people")
    assert staff.wrong == []
    assert staff.judged == [("N1", ("removed", None))]
    staff.moved("slot", "slot sensor")
    assert staff.wrong == []


def test_a_doubt_ends_in_no_other_way() -> None:
    alone, void, elsewhere, nothing, unrecorded = (Staff() for _ in range(5))
    alone.says("li", "taken")
    alone.says("li", "taken", "decided", staff=("li", "li"))
    assert "it is undecided" in alone.wrong[0]
    void.says("li", "taken")
    void.says("wang", "removed", "disputed")
    void.says("li", "removed", "decided")
    assert "it is undecided" in void.wrong[0]
    elsewhere.says("li", "taken")
    elsewhere.says("wang", "taken", "decided")
    elsewhere.moved("retract", "found by two people")
    assert "recorded at retract; two people said taken" in elsewhere.wrong[0]
    nothing.moved("slot", "unblocked")
    assert nothing.wrong == ["the doubt about N1 ended without evidence: unblocked"]
    unrecorded.says("li", "taken")
    unrecorded.says("wang", "taken")
    assert "it is not decided" in unrecorded.wrong[0]


def test_a_record_that_changed_in_between_voids_what_was_said() -> None:
    staff = Staff()
    staff.says("li", "taken")
    staff.moved("escrow", "chip and sensor")
    staff.says("wang", "taken", "decided")
    assert "it is undecided" in staff.wrong[0]


def test_a_doubt_that_is_only_restated_voids_nothing() -> None:
    staff = Staff()
    staff.says("li", "taken")
    staff.moved("in_doubt", "still_there")
    staff.says("wang", "taken", "decided")
    staff.moved("taken", "found by two people")
    assert staff.wrong == []


class Machine:
    """A world with one card in slot 0, at the picker, and a daemon that serves or does not."""

    def __init__(self) -> None:
        self.world = World(3, {"N1": Place.TRAY, "N2": Place.TRAY})
        self.world.spots["N1"] = Spot(Place.SLOT, 0)
        self.serves = True
        self.now = 0.0
        self.lies = Lies(self.world, lambda _unit: self.serves, lambda: self.now)

    def lie(self, sensor: str, level: bool, card: str = "N1") -> None:
        self.lies.carries("dispenser", card)
        self.world.stuck[sensor] = level
        self.lies.look()
        self.world.stuck.clear()

    def excuses(self, place: str, really: Spot, now: float = 0.0) -> bool:
        self.now = now
        return self.lies.excuse("N1", place, really)


def test_a_lie_excuses_records_of_its_own_unit_until_the_card_is_seen() -> None:
    machine = Machine()
    world, lies = machine.world, machine.lies
    world.stuck["throat"] = True
    lies.recorded("N1", "dispenser", "slot")
    assert not lies.about("N1")
    world.stuck["slot"] = False
    lies.recorded("N1", "dispenser", "slot")
    world.stuck.clear()
    machine.now += LATELY + 1.0
    lies.recorded("N1", "dispenser", "taken")
    assert lies.about("N1")
    lies.recorded("N1", "dispenser", "transport")
    assert not lies.about("N1")


def test_a_lie_of_a_moment_ago_excuses_what_is_recorded_now_and_of_long_ago_nothing() -> None:
    machine = Machine()
    machine.lie("slot", False, card="N2")
    machine.now = LATELY - 1.0
    machine.lies.recorded("N1", "dispenser", "slot")
    assert machine.excuses("slot", Spot(Place.TRANSPORT))
    machine.lies.forget("N1")
    machine.now = LATELY + 1.0
    machine.lies.recorded("N1", "dispenser", "slot")
    assert not machine.lies.about("N1")


@pytest.mark.parametrize(("sensor", "level"), [("slot", True), ("transport", False), ("load", True), ("home", False)])
def test_a_sensor_that_is_stuck_at_the_truth_or_sees_no_path_excuses_nothing(sensor: str, level: bool) -> None:
    machine = Machine()
    machine.lie(sensor, level)
    assert not machine.lies.about("N1")
    assert not machine.lies.may_have_counted


@pytest.mark.parametrize("place", ["tray", "retract", "bin", "removed"])
def test_a_place_that_no_sensor_tells_is_never_excused_by_one(place: str) -> None:
    machine = Machine()
    machine.lie("exit", True)
    assert machine.excuses("taken", Spot(Place.TRANSPORT))
    assert not machine.excuses(place, Spot(Place.TRANSPORT))
    machine.lies.misjudge("N1")
    assert machine.excuses(place, Spot(Place.TRANSPORT))


@pytest.mark.parametrize(
    ("unit", "lies", "place", "really", "excused"),
    [
        ("dispenser", "slot", "slot", Place.BETWEEN, True),
        ("dispenser", "transport", "slot", Place.TRANSPORT, False),
        ("dispenser", "exit", "taken", Place.EXIT, True),
        ("dispenser", "slot", "taken", Place.EXIT, False),
        ("recycler", "throat", "taken", Place.ESCROW, True),
        ("recycler", "escrow", "taken", Place.ESCROW, True),
        ("recycler", "escrow", "taken", Place.THROAT, False),
    ],
)
def test_only_a_sensor_that_looks_there_makes_a_wrong_record(
    unit: str, lies: str, place: str, really: Place, *, excused: bool
) -> None:
    machine = Machine()
    machine.lies.carries(unit, "N1")
    machine.world.stuck[lies] = lies != "slot"
    machine.lies.look()
    assert machine.excuses(place, Spot(really)) is excused


def test_a_slot_is_not_taken_for_another_because_of_a_lie() -> None:
    machine = Machine()
    machine.lie("slot", False)
    assert machine.excuses("slot", Spot(Place.TRANSPORT))
    assert not machine.excuses("slot", Spot(Place.SLOT, 2))


def test_a_slot_that_counts_as_free_holds_a_card_unseen_only_where_its_sensor_lied_when_it_was_unblocked() -> None:
    machine = Machine()
    machine.world.aligned = 0
    machine.lies.unblocked(0)
    assert not machine.lies.hides(0, "N1")
    machine.lie("slot", False)
    machine.lies.unblocked(0)
    assert machine.lies.hides(0, "N1")
    assert not machine.lies.hides(0, "N2")
    assert not machine.lies.hides(1, "N1")
    machine.now = LATELY + 1.0
    machine.lies.unblocked(0)
    assert not machine.lies.hides(0, "N1")


def test_a_record_that_proves_right_when_nobody_lies_any_more_needs_no_excuse() -> None:
    machine = Machine()
    machine.lies.carries("dispenser", "N1")
    machine.world.stuck["slot"] = False
    machine.lies.look()
    machine.lies.right("N1")
    assert machine.lies.about("N1")
    machine.world.stuck.clear()
    machine.lies.right("N1")
    assert not machine.lies.about("N1")


def test_a_unit_that_tells_the_truth_again_sets_its_path_right_in_time() -> None:
    machine = Machine()
    machine.lie("exit", True)
    between = Spot(Place.BETWEEN)
    assert machine.excuses("exit", between, 0.0)
    machine.serves = False
    assert machine.excuses("exit", between, 2 * PATIENCE)
    machine.serves = True
    assert machine.excuses("exit", between, 2 * PATIENCE)
    assert machine.excuses("exit", between, 3 * PATIENCE)
    assert not machine.excuses("exit", between, 3 * PATIENCE + 1)
    assert machine.excuses("taken", between, 9 * PATIENCE)
    machine.lie("exit", True)
    machine.lies.recorded("N1", "dispenser", "in_doubt")
    assert machine.excuses("exit", between, 9 * PATIENCE)


def test_a_kept_story_has_visits_faults_and_staff_each_for_its_own_source() -> None:
    items = [Item(3.0, "jam", 1), Item(2.0, CUSTODY, 0), Item(1.0, VISIT, 0, "p1", "honest")]
    script = Script(items)
    assert [script.kept(source) for source in (VISIT, CUSTODY, FAULT)] == [[items[2]], [items[1]], [items[0]]]
    assert len({item.random(1).random() for item in items}) == 3
    assert "two of the staff come" in items[1].told()


def test_claims_that_their_cards_belie() -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE claim (claim_id TEXT PRIMARY KEY, state TEXT)")
    said = {"N1": "stocked", "N2": "stocked", "N3": "collected", "N4": "collected", "N5": "expected", "N6": "stocked"}
    database.executemany("INSERT INTO claim VALUES (?, ?)", said.items())
    really = {"N1": Place.SLOT, "N2": Place.PERSON, "N3": Place.PERSON, "N4": Place.EXIT, "N5": Place.TRAY}

    async def fetch(sql: str, *parameters: object) -> list[Any]:
        return database.execute(sql, parameters).fetchall()

    spots = World(6, really).spots
    assert asyncio.run(belied(fetch, really, spots)) == [("N2", "stocked"), ("N4", "collected")]


def test_slots_are_looked_at_in_one_look() -> None:
    database = sqlite3.connect(":memory:")
    database.executescript(
        "CREATE TABLE card (card_id TEXT PRIMARY KEY, place TEXT); CREATE TABLE slot (slot INT, state TEXT, card_id TEXT);"
        "INSERT INTO card VALUES ('N1', 'slot'), ('N2', 'slot'), ('N3', 'in_doubt'), ('N4', 'slot'), ('N5', 'slot'),"
        " ('N6', 'taken'), ('N7', 'slot');"
        "INSERT INTO slot VALUES (0, 'stocked', 'N1'), (1, 'stocked', 'N2'), (2, 'blocked', 'N3'), (3, 'free', NULL),"
        " (4, 'stocked', 'N5'), (5, 'stocked', 'N7')"
    )

    async def fetch(sql: str, *parameters: object) -> list[Any]:
        return database.execute(sql, parameters).fetchall()

    spots = World(6, dict.fromkeys(("N1", "N2", "N5", "N7", "N8"), Place.TRAY)).spots
    for card, slot in (("N1", 0), ("N5", 4), ("N7", 5), ("N8", 3)):
        spots[card] = Spot(Place.SLOT, slot)
    chains = {"N1": ("slot", 0), "N2": ("slot", 1), "N5": ("slot", 3), "N7": ("slot", 5)}
    home, elsewhere, filled = asyncio.run(looked_at(fetch, chains, spots, {"N7"}))
    assert home == {"N1"}
    assert sorted(elsewhere) == [
        ("N2", "slot", 1, "stocked"),  # not really there
        ("N3", "in_doubt", 2, "blocked"),
        ("N4", "slot", None, None),  # in no slot
        ("N5", "slot", 4, "stocked"),  # its chain ends elsewhere
        ("N7", "slot", 5, "stocked"),
    ]
    assert filled == [(3, "N8")]


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("INSERT INTO journal (seq) SELECT 1 FROM meta", ("journal",)),
        ('INSERT OR IGNORE\n INTO main."intent" VALUES (?)', ("intent",)),
        ("WITH one AS (SELECT 1) REPLACE into card_move SELECT * FROM one", ("card_move",)),
        ("INSERT INTO copy.journal SELECT * FROM main.journal", ("copy",)),
        ("UPDATE intent SET result = 'done'", ()),
    ],
)
def test_a_statement_names_the_tables_that_it_fills(sql: str, tables: tuple[str, ...]) -> None:
    assert filled_by(sql) == tables
