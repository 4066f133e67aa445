"""What the soak holds of pages, counts, doubts and personal data: each breach is noticed, and nothing else."""

from __future__ import annotations

import asyncio
import sqlite3
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sim.assembly import Machine
from sim.people import citizen
from sim.soak.counts import Counts
from sim.soak.door import Page
from sim.soak.doubts import CALM_SECONDS, Doubts
from sim.soak.office import Office
from sim.soak.orders import tells
from sim.soak.pages import Pages
from sim.soak.privacy import KEPT_SECONDS, START_SECONDS, Privacy
from sim.soak.stage import Stage
from sim.soak.town import SENT_TOO_OFTEN, Resident, Town
from sim.soak.waiting import MANY_VISITS, TRAY_SECONDS, Waiting
from sim.world import Place, Spot, World

WHO = citizen(1, 2)
NEW = WHO.new_card.card_id
OTHER, FOUND = citizen(1, 3), "O000003"  # whose lost card somebody found


class Screen:
    """A machine's screen before one citizen, whose new card lies in a slot, and one journey with its ticket."""

    def __init__(self, claim: str | None = NEW) -> None:
        self.wrong: list[str] = []
        self.doubtful = False
        self.world = World(5, dict.fromkeys((NEW, "O000001"), Place.PERSON))
        self.world.spots[NEW] = Spot(Place.SLOT, 1)
        self.resident = Resident(WHO)
        town = SimpleNamespace(by_claim={NEW: self.resident}, by_old_card={FOUND: Resident(OTHER)})
        stage = cast("Stage", SimpleNamespace(town=town, machine=SimpleNamespace(world=self.world)))
        self._pages = Pages(stage, self.wrong.append, lambda _card: self.doubtful, lambda _card: "slot")
        self._database = sqlite3.connect(":memory:")
        self._database.row_factory = sqlite3.Row
        self._database.execute("CREATE TABLE journey (claim_id TEXT, ticket TEXT)")
        self._database.execute("INSERT INTO journey VALUES (?, 'A-0001')", (claim,))

    async def _fetch(self, sql: str, *parameters: object) -> list[Any]:
        return self._database.execute(sql, parameters).fetchall()

    def reads(
        self, screen: str, *whereabouts: str, ticket: str = "A-0001", progress: str = "", given: tuple[str, ...] = ()
    ) -> list[str]:
        page = Page(screen, progress, ticket=ticket, whereabouts=whereabouts)
        self._pages.read(self.resident, page, given)
        asyncio.run(self._pages.committed(self._fetch))
        return self.wrong

    def told_wrong(self, *, another: bool = False) -> list[str]:
        async def told() -> None:
            self.resident.code_since = asyncio.get_running_loop().time()
            self._pages.refused(self.resident)

        if another:
            self._pages.told("lockerd.code.reissued", {"claim_id": NEW})
        asyncio.run(told())
        return self.wrong


def test_a_ticket_is_one_that_the_counter_finds_for_its_bearer() -> None:
    assert Screen().reads("fault", "new_safe_inside") == []
    assert Screen(claim=None).reads("fault") == []
    assert "which is N9 in the ledger" in Screen(claim="N9").reads("fault")[0]
    assert "which is nobody's in the ledger" in Screen().reads("fault", ticket="A-0002")[0]
    assert "no ticket for the counter" in Screen().reads("fault", ticket="")[0]
    assert Screen().reads("fault", ticket="", progress="recovering") == []


def test_a_finder_is_shown_the_ticket_of_a_card_that_they_put_in_and_of_no_other() -> None:
    others = OTHER.new_card.card_id
    assert Screen(claim=others).reads("fault", given=(FOUND,)) == []
    assert "was shown ticket" in Screen(claim=others).reads("fault")[0]
    assert "was shown ticket" in Screen(claim=others).reads("fault", given=("O000001",))[0]
    assert "was shown ticket" in Screen(claim="N000004").reads("fault", given=(FOUND,))[0]


def test_success_and_the_place_of_a_card_are_told_as_they_are() -> None:
    screen = Screen()
    screen.doubtful = True
    assert screen.reads("done") == []
    screen.doubtful = False
    assert f"reads that all is done, and {NEW} is at slot" in screen.reads("done")[0]
    screen = Screen()
    screen.world.spots[NEW] = Spot(Place.PERSON)
    assert screen.reads("done") == []
    assert "reads new_safe_inside" in screen.reads("fault", "new_safe_inside")[0]


def test_the_only_code_that_was_made_opens() -> None:
    assert Screen().told_wrong(another=True) == []
    assert "told that it is wrong" in Screen().told_wrong()[0]


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({}, ""),
        ({"counted": 3}, "nobody said so"),
        ({"staff": "wang"}, "nobody said so"),
        ({"agreed": False}, "as agreed"),
        ({"expected": 3, "agreed": False}, "3 cards were expected in the retract, and 2 were in it"),
    ],
)
def test_a_blind_count_reaches_the_office_as_it_was_said(told: dict[str, object], says: str) -> None:
    wrong: list[str] = []
    counts = Counts(wrong.append)
    counts.says("retract", "li", 9, 9)  # refused
    counts.says("retract", "li", 2, 2)
    counts.moved("retract_emptied", "staff:li")
    counts.emptied("lockerd.retract.emptied", {"staff": "li", "counted": 2, "expected": 2, "agreed": True, **told})
    assert [says in one for one in wrong] == [True] * bool(says)


def test_the_cards_of_a_box_are_on_who_emptied_it() -> None:
    wrong: list[str] = []
    counts = Counts(wrong.append)
    counts.says("bin", "li", 1, 1)
    counts.moved("bin_emptied", "machine:1")
    counts.emptied("lockerd.bin.emptied", {"staff": "li", "counted": 1, "expected": 1, "agreed": True})
    assert wrong == ["li emptied the bin, and its cards are on machine:1"]


def test_a_doubt_has_a_cause() -> None:
    wrong: list[str] = []
    now, doubtful, world = 0.0, False, World(5, {})
    doubts = Doubts(world, wrong.append, lambda: now, lambda _card: doubtful)
    now = CALM_SECONDS - 1.0
    doubts.came("N1", "N1", "pick")
    now, doubtful = CALM_SECONDS, True
    doubts.came("N1", "N1", "pick")
    doubtful = False
    world.armed["dispenser"] = "pick"
    doubts.came("N1", "N1", "pick")
    world.armed.clear()
    assert wrong == []
    doubts.came("N1", "N1", "pick")
    doubts.disturbed()
    doubts.came("N1", "N1", "pick")
    assert wrong == ["N1 came into doubt (pick), and nothing happened for two hours"]


@pytest.mark.parametrize(
    ("text", "personal"),
    [
        (f'{{"number":"{WHO.new_card.id_number}"}}', True),
        (f'{{"to":"{WHO.phone}"}}', True),
        (f'{{"name":"{WHO.new_card.name}"}}', True),
        ('{"hash":"12345678901234567890abcdef0123456789012345678901234567890123456a","upto":991}', False),
    ],
)
def test_an_event_names_nobody(text: str, personal: bool) -> None:
    wrong: list[str] = []
    Privacy(wrong.append, lambda: 0.0, lambda: 1).event(7, text)
    assert wrong == ["event 7 holds personal data"] * personal


def test_whose_a_claim_was_is_gone_two_days_after_it_was_collected() -> None:
    wrong: list[str] = []
    now, life, left = 0.0, 1, ["N1", "N2"]
    privacy = Privacy(wrong.append, lambda: now, lambda: life)

    async def fetch(sql: str, *parameters: object) -> list[Any]:
        return [{"claim_id": one} for one in left if one in str(parameters)]

    privacy.collected("N1")
    now = KEPT_SECONDS
    privacy.collected("N2")
    asyncio.run(privacy.check(fetch))
    assert wrong == []
    for number, seconds in ((1, 1.0), (2, START_SECONDS + 1.0), (2, START_SECONDS)):  # a start has its time
        life, now = number, now + seconds
        asyncio.run(privacy.check(fetch))
        assert wrong == []
    now += 1.0
    asyncio.run(privacy.check(fetch))
    assert wrong == ["N1 was collected two days ago, and whose it was is still there"]


@pytest.mark.parametrize(
    ("told", "right"),
    [
        ({}, True),
        ({"slot": 4}, False),
        ({"slot": None}, False),
        ({"claim_id": "N2"}, False),
        ({"card_id": "N2"}, False),
    ],
)
def test_the_event_of_a_link_tells_its_card_and_its_slot(told: dict[str, object], right: bool) -> None:
    move = {"card_id": "N1", "target": "slot", "slot": 3}
    assert tells({"card_id": "N1", "claim_id": "N1", "slot": 3, **told}, move) is right


def test_what_only_staff_can_end_does_not_wait_for_ever() -> None:
    wrong: list[str] = []
    now = 0.0
    waiting = Waiting(wrong.append, lambda: now)
    there = [{"what": "slot 3", "state": "blocked"}, {"what": "N1", "state": "in doubt"}]

    async def fetch(sql: str, *parameters: object) -> list[Any]:
        return there

    def visits(number: int) -> None:
        asyncio.run(waiting.check(fetch))
        for _ in range(number):
            waiting.visited()
        asyncio.run(waiting.check(fetch))

    visits(MANY_VISITS - 1)
    there.pop(0)
    visits(1)
    assert wrong == [], "the slot is used again, and the card waits for a tray"
    there.append({"what": "slot 3", "state": "blocked"})
    now = TRAY_SECONDS
    visits(MANY_VISITS)
    assert wrong == [
        "N1 is in doubt, and staff came 20 times",
        "N1 is in doubt, and staff came 40 times",
        "slot 3 is blocked, and staff came 20 times",
    ]


def test_a_message_that_comes_again_and_again_is_noticed() -> None:
    wrong: list[str] = []
    town = Town(1, cast("Machine", None), cast("Office", None), Random(1))
    town.on_wrong = wrong.append

    async def deliver() -> None:
        for _ in range(SENT_TOO_OFTEN):
            assert not wrong
            town.deliver("N1-1", WHO.phone, "no code")

    asyncio.run(deliver())
    assert wrong == ["message N1-1 was handed over 10 times"]
