"""The soak's checker alone, without a daemon: rows that one commits, and a world in which the cards are elsewhere or not."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from firmware_protocol.units import Opcode, UnitKind
from sim.assembly import Machine, fresh_world
from sim.soak.checker import Checker
from sim.soak.hands import Hands
from sim.soak.orders import Orders
from sim.soak.remedies import Remedies
from sim.soak.stage import MemoryKept, Stage
from sim.world import Place, Spot

NEW, OLD = "N000001", "O000001"


def machine(folder: Path, *, bought: bool = False) -> Machine:
    """One with two cards outside, switched on."""
    made = Machine((), MemoryKept(folder / "world", 1, fresh_world((), 5)), clock=lambda: 0.0, bought=bought)
    made.boot()
    for card in (NEW, OLD):
        made.world.spots[card] = Spot(Place.TRAY)
    return made


class Ledger:
    """A chain of custody as a daemon would write it, looked at by a checker after each link."""

    def __init__(self, folder: Path) -> None:
        self.world = (parts := machine(folder)).world
        self.checker = Checker(lambda: 0.0)
        town = SimpleNamespace(by_claim={}, residents={}, by_old_card={}, by_lost_card={})
        clock = SimpleNamespace(now=lambda: 0.0, true=lambda: 0.0)
        stage = SimpleNamespace(machine=parts, town=town, serving=lambda _unit: True, clock=clock)
        self.checker.attend(cast("Stage", stage))
        self._database = sqlite3.connect(":memory:")
        self._database.row_factory = sqlite3.Row
        self._database.executescript(
            "CREATE TABLE meta (key TEXT, value INTEGER);"
            "INSERT INTO meta VALUES ('last_seq', 0);"
            "CREATE TABLE intent (intent_id INTEGER PRIMARY KEY AUTOINCREMENT, result TEXT);"
            "CREATE TABLE code (claim_id TEXT, consumed REAL);"
            "CREATE TABLE card_move (move_id INTEGER PRIMARY KEY, card_id TEXT, origin TEXT, target TEXT, slot INTEGER,"
            " reason TEXT, intent_id INTEGER, responsible TEXT)"
        )

    async def _fetch(self, sql: str, *parameters: object) -> list[Any]:
        return self._database.execute(sql, parameters).fetchall()

    def link(
        self,
        origin: str | None,
        target: str,
        really: Spot,
        reason: str = "",
        slot: int | None = None,
        *,
        card: str = NEW,
        is_really: str = NEW,
    ) -> None:
        """The next link of a card's chain, while `is_really` is there."""
        self.world.spots[is_really] = really
        self._database.execute(
            "INSERT INTO card_move (card_id, origin, target, slot, reason, responsible) VALUES (?, ?, ?, ?, ?, 'office')",
            (card, origin, target, slot, reason),
        )
        asyncio.run(self.checker.committed(self._fetch, frozenset({"card_move"})))

    @property
    def wrong(self) -> list[str]:
        return [what for _at, what in self.checker.violations]


def test_a_card_that_left_is_passed_on_by_hands_and_not_compared_again_when_its_place_is_restated(
    tmp_path: Path,
) -> None:
    """Before old links are deleted the daemon writes where each card is; one that staff removed was handed over since."""
    ledger = Ledger(tmp_path)
    ledger.link(None, "tray", Spot(Place.TRAY))
    ledger.link("tray", "removed", Spot(Place.TRAY))
    ledger.link("removed", "removed", Spot(Place.PERSON), "still_there")
    assert ledger.wrong == []


def test_a_card_that_a_lie_made_up_is_the_real_one_that_is_seen_in_its_stead(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.world.stuck["escrow"] = True
    ledger.link(None, "escrow", Spot(Place.PERSON), "found", card="old-000001", is_really=OLD)
    assert ledger.checker.physical("old-000001") is None
    ledger.world.stuck.clear()
    ledger.link("escrow", "throat", Spot(Place.THROAT), "sensor", card="old-000001", is_really=OLD)
    assert ledger.checker.physical("old-000001") == OLD
    assert ledger.wrong == []


def test_an_old_card_that_never_was_or_has_two_names_is_noticed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.link(None, "throat", Spot(Place.PERSON), "inserted", card="old-000001", is_really=OLD)
    assert ledger.wrong == ["old-000001 begins at throat, and there is none"]
    ledger.link(None, "throat", Spot(Place.THROAT), "inserted", card="old-000002", is_really=OLD)
    ledger.link(None, "escrow", Spot(Place.ESCROW), "found", card="old-000003", is_really=OLD)
    assert ledger.wrong[-1] == "old-000003 begins at escrow, and there is old-000002"


def test_what_hands_did_to_a_card_excuses_nothing_once_a_motion_has_told_where_it_is(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.link(None, "tray", Spot(Place.TRAY))
    ledger.link("tray", "slot", Spot(Place.SLOT, 3), slot=3)
    ledger.checker.took_out(NEW)
    ledger.link("slot", "slot", Spot(Place.TRAY), "still_there", slot=3)
    assert ledger.wrong == []
    ledger.link("slot", "retract", Spot(Place.TRAY), "capture")
    assert ledger.wrong == [f"{NEW} is recorded at retract and really at tray"]


def test_an_exchanged_card_is_excused_until_its_chip_is_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.link(None, "tray", Spot(Place.TRAY))
    ledger.link("tray", "slot", Spot(Place.SLOT, 3), slot=3)
    ledger.checker.tainted(NEW)
    ledger.link("slot", "transport", Spot(Place.SLOT, 4), "pick")
    assert ledger.wrong == []
    assert ledger.checker.machine is not None
    ledger.checker.machine.last_read["reader-exit"] = NEW
    ledger.link("transport", "slot", Spot(Place.SLOT, 4), "store", slot=3)
    assert ledger.wrong == [f"{NEW} is recorded at slot 3 and really at slot 4"]


def test_a_card_that_is_recorded_elsewhere_than_it_is_is_noticed_also_when_its_place_is_restated(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path)
    ledger.link(None, "tray", Spot(Place.TRAY))
    ledger.link("tray", "slot", Spot(Place.SLOT, 3), slot=3)
    assert ledger.wrong == []
    ledger.link("slot", "slot", Spot(Place.SLOT, 4), "still_there", slot=3)
    assert ledger.wrong == [f"{NEW} is recorded at slot 3 and really at slot 4"]
    ledger.link("slot", "removed", Spot(Place.PERSON))
    assert ledger.wrong[1:] == [f"{NEW} is recorded at removed and really at person"]


@pytest.mark.parametrize(
    ("unit", "origin", "hands", "says"),
    [
        ("dispenser", "exit", 0, ["N000001 is recorded as taken from exit, and the dispenser counted no hand"]),
        ("dispenser", "exit", 1, []),
        ("recycler", "escrow", 0, ["N000001 is recorded as taken from escrow, and the recycler counted no hand"]),
        ("recycler", "throat", 0, []),
    ],
)
def test_a_taken_card_was_counted_by_its_unit(
    tmp_path: Path, unit: str, origin: str, hands: int, says: list[str]
) -> None:
    wrong: list[str] = []
    parts = machine(tmp_path)
    books = Hands(parts, wrong.append)
    books.intended({"motion": "present", "card_id": NEW})
    firmware = parts.firmware[UnitKind[unit.upper()]]
    firmware._keep(msgspec.structs.replace(firmware.record, dispensed=hands))
    row = {"card_id": NEW, "origin": origin, "target": "taken", "reason": ""}
    books.recorded(unit, row)
    assert wrong == says
    books.recorded(unit, {**row, "reason": "found by two people"})
    books.recorded("recycler", {**row, "origin": "in_doubt", "reason": "throat sensor clear"})
    books.recorded(unit, {**row, "origin": "taken"})
    assert wrong == says
    books.recorded(unit, row)
    assert (wrong == says) is (origin == "throat"), "one hand takes one card"


def test_a_hand_took_the_card_that_was_presented_last(tmp_path: Path) -> None:
    wrong: list[str] = []
    parts = machine(tmp_path)
    books = Hands(parts, wrong.append)
    books.intended({"motion": "present", "card_id": "N000002"})
    firmware = parts.firmware[UnitKind.DISPENSER]
    firmware._keep(msgspec.structs.replace(firmware.record, dispensed=1))
    books.recorded("dispenser", {"card_id": NEW, "origin": "in_doubt", "target": "taken", "reason": ""})
    assert wrong == ["N000001 is recorded as taken, and N000002 was presented last"]


def test_a_guess_that_was_counted_before_the_clock_jumped_counts_for_no_day_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: list[str] = []
    remedies = Remedies(cast("Stage", SimpleNamespace(machine=machine(tmp_path))), wrong.append, str)
    monkeypatch.setattr(Remedies, "_now", lambda _self: 0.0)
    remedies.clock_jumped()
    for at in (8.03, 9.0, 20.0, 30.0, 40.0, 50.0):
        monkeypatch.setattr(Remedies, "_now", lambda _self, at=at: at)
        remedies.guessed("p1")
    assert wrong == []
    monkeypatch.setattr(Remedies, "_now", lambda _self: 60.0)
    remedies.guessed("p1")
    assert wrong == ["6 codes were compared for p1 within a day"]


def test_what_a_lying_sensor_let_a_driver_count_is_one_card_for_good_and_not_for_a_board_of_ours(
    tmp_path: Path,
) -> None:
    wrong: list[str] = []
    counted, taken = 0, 0

    async def fetch(sql: str, *parameters: object) -> list[Any]:
        return [{"unit": "dispenser", "dispensed": counted}]

    def look(orders: Orders, may_have_counted: set[str]) -> None:
        orders._out = taken
        asyncio.run(orders.check_totals(fetch, may_have_counted))

    bought = Orders(machine(tmp_path, bought=True), wrong.append, lambda _unit: ())
    lied = {"dispenser"}
    look(bought, lied)
    counted = 1  # the ledger learns of it later
    look(bought, lied)
    taken = 1  # and of a real hand later still
    look(bought, lied)
    counted = 2
    look(bought, lied)
    assert (wrong, lied) == ([], set())
    counted = 3
    look(bought, lied)
    look(Orders(machine(tmp_path), wrong.append, lambda _unit: ()), {"dispenser"})
    assert wrong == ["the ledger has counted 3 cards taken from the dispenser, itself fewer"] * 2


@pytest.mark.parametrize(
    ("journeys", "says"), [(("j1",), []), (("", "staff:li"), []), (("j1", "j2"), ["2 journeys are under way at once"])]
)
def test_a_journey_begins_when_no_other_is_open(tmp_path: Path, journeys: tuple[str, ...], says: list[str]) -> None:
    wrong: list[str] = []
    remedies = Remedies(cast("Stage", SimpleNamespace(machine=machine(tmp_path))), wrong.append, str)
    begun: set[str] = set()

    async def fetch(sql: str, *_parameters: object) -> list[Any]:
        assert "journey" in sql
        return [{"n": len(begun)}]

    async def intended() -> None:
        for journey in journeys:
            begun.add(journey)
            await remedies.intended(fetch, journey)
            await remedies.intended(fetch, journey)

    asyncio.run(intended())
    assert wrong == says


@pytest.mark.parametrize(
    ("place", "lie", "says"),
    [
        (Place.ESCROW, "", ["the shutter is ordered to open, and O000001 stands at escrow"]),
        (Place.THROAT, "escrow", ["the shutter is ordered to open, and O000001 stands at throat"]),
        (Place.ESCROW, "escrow", []),
        (Place.PERSON, "", []),
    ],
)
def test_the_shutter_opens_to_an_empty_path_only(tmp_path: Path, place: Place, lie: str, says: list[str]) -> None:
    wrong: list[str] = []
    parts = machine(tmp_path)
    orders = Orders(parts, wrong.append, lambda _unit: {lie})
    parts.world.spots[OLD] = Spot(place)
    orders.intended("recycler", "open", None, f"1:1:{int(Opcode.OPEN)}:0")
    firmware = parts.firmware[UnitKind.RECYCLER]
    firmware._keep(msgspec.structs.replace(firmware.record, accepted_seq=1, opcode=int(Opcode.OPEN)))
    orders.moved()
    assert wrong == says


@pytest.mark.parametrize(("blind", "says"), [(True, []), (False, [f"{NEW} of p1 was handed to p2"])])
def test_another_hand_takes_a_card_that_counts_as_taken_only_where_the_exit_sensor_lied(
    tmp_path: Path, blind: bool, says: list[str]
) -> None:
    ledger = Ledger(tmp_path)
    ledger.link(None, "tray", Spot(Place.TRAY))
    ledger.link("tray", "exit", Spot(Place.EXIT))
    if blind:
        ledger.world.stuck["exit"] = False
    ledger.link("exit", "taken", Spot(Place.EXIT))
    ledger.checker.violations.clear()  # nothing was presented or told
    ledger.checker.took_new("p2", NEW, "p1")
    assert ledger.wrong == says
