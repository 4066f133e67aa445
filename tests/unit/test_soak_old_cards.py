"""What the soak's checker holds of old cards: rows that one commits, and what the throat's reader told before."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sim.people import citizen
from sim.soak.old_cards import OldCards
from sim.soak.stage import Stage
from sim.soak.town import Resident
from sim.world import Place

RENEWAL, REPLACEMENT = citizen(1, 1), citizen(1, 3)
OLD, LOST = "O000001", "O000003"
THROAT = "reader-throat"


class Books:
    """A machine whose ledger knows both new cards; `reads` tells a chip, `link` writes what a daemon would."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.inside: list[str] = []
        self.bound: dict[str, str | None] = {}
        self.places: dict[str, str] = {}
        self.stage = SimpleNamespace(
            machine=SimpleNamespace(world=SimpleNamespace(cards_at=lambda _place: self.inside)),
            town=SimpleNamespace(by_old_card={OLD: Resident(RENEWAL), LOST: Resident(REPLACEMENT)}),
            office=SimpleNamespace(withdrawn=set()),
            daemon=SimpleNamespace(starts=1),
            clock=SimpleNamespace(now=lambda: 0.0, true=lambda: 0.0),
        )
        self.cards = OldCards(cast("Stage", self.stage), self.wrong.append, self.bound)
        self._database = sqlite3.connect(":memory:")
        self._database.executescript("CREATE TABLE card (card_id TEXT PRIMARY KEY, claim_id TEXT)")

    async def fetch(self, sql: str, *parameters: object) -> list[Any]:
        return self._database.execute(sql, parameters).fetchall()

    async def link(
        self, card: str, target: str, claim: str | None = None, reason: str = "", *, is_really: str | None = None
    ) -> None:
        """One link; a card's first one where `is_really` is given, and for a new card."""
        begins = is_really is not None or not card.startswith("old-")
        if is_really is not None:
            self.bound[card] = is_really
        self._database.execute("INSERT OR REPLACE INTO card VALUES (?, ?)", (card, claim))
        origin = None if begins else self.places.get(card, "escrow")
        self.places[card] = target
        row = {"card_id": card, "origin": origin, "target": target, "reason": reason}
        await self.cards.recorded(self.fetch, row)

    async def announced(self) -> None:
        for person in (RENEWAL, REPLACEMENT):
            await self.link(person.new_card.card_id, "tray")

    def claims(self, states: dict[str, str]) -> None:
        """The claims that the machine has, each with its state."""
        self._database.execute("CREATE TABLE claim (claim_id TEXT PRIMARY KEY, state TEXT)")
        self._database.executemany("INSERT INTO claim VALUES (?, ?)", states.items())

    def reads(self, card: str) -> None:
        self.cards.heard(THROAT, card)


@pytest.mark.parametrize(
    ("card", "known", "life", "says"),
    [
        (LOST, True, 1, [f"{LOST} is known to be reported lost, and the machine gave it back"]),
        (LOST, True, 2, []),  # what nobody made durable a restart forgets
        (LOST, False, 1, []),
        (OLD, True, 1, []),
    ],
)
async def test_a_card_that_the_daemon_knows_to_be_lost_comes_into_no_hand(
    card: str, known: bool, life: int, says: list[str]
) -> None:
    books = Books()
    if known:
        await books.announced()
    books.reads(card)
    books.stage.daemon.starts = life
    books.cards.took(card)
    books.cards.inserted(card)
    books.cards.took(card)  # nobody has read it since
    assert books.wrong == says


@pytest.mark.parametrize(
    ("card", "motion", "wrong"), [(LOST, "return", True), (LOST, "retain", False), (OLD, "return", False)]
)
async def test_no_motion_gives_a_card_back_that_the_daemon_knows_to_be_lost(
    card: str, motion: str, wrong: bool
) -> None:
    books = Books()
    await books.announced()
    books.inside = [card]
    books.reads(card)
    books.cards.intended({"motion": motion, "card_id": "old-000001"})
    why = f"{card} is known to be reported lost, and the machine is about to give it back"
    assert books.wrong == ([why] if wrong else [])


async def test_a_report_that_was_taken_back_holds_for_no_card() -> None:
    books = Books()
    await books.announced()
    books.stage.office.withdrawn.add(REPLACEMENT.new_card.card_id)
    books.reads(LOST)
    books.cards.took(LOST)
    assert books.wrong == []


@pytest.mark.parametrize(
    ("collected_at", "hours", "known"),
    [(0, 11, True), (0, 12, False), (24, 11, True), (24, 29, False), (-1, 11, False)],
)
async def test_a_card_is_known_to_be_lost_until_its_claim_is_erased(collected_at: int, hours: int, known: bool) -> None:
    """By the machine's clock, which may have been ahead or behind at the collection and is set right, or ahead meanwhile."""
    books = Books()
    await books.announced()
    books.stage.clock.now = lambda: collected_at * 3600.0
    await books.link(REPLACEMENT.new_card.card_id, "taken")
    books.stage.clock.now = lambda: hours * 3600.0
    await books.cards.committed(books.fetch)
    books.stage.clock.now = lambda: 60.0
    books.reads(LOST)
    books.cards.took(LOST)
    assert bool(books.wrong) is known


@pytest.mark.parametrize("flagged", [True, False])
async def test_a_lost_card_is_kept_with_its_flag(flagged: bool) -> None:
    books = Books()
    await books.announced()
    books.inside = [LOST]
    books.reads(LOST)
    if flagged:
        books.cards.flagged()
    books.cards.binned(LOST)
    why = f"{LOST} is known to be reported lost, and is kept as any other: nobody was told"
    assert books.wrong == ([] if flagged else [why])


@pytest.mark.parametrize(
    ("announced", "state", "says"),
    [(True, "stocked", False), (True, "withdrawn", True), (True, None, True), (False, None, False)],
)
async def test_a_lost_card_that_is_kept_takes_nothing_from_the_new_one_that_the_machine_knows_of(
    announced: bool, state: str | None, says: bool
) -> None:
    """The office may have been away since before it was announced."""
    books = Books()
    if announced:
        await books.announced()
    books.claims({REPLACEMENT.new_card.card_id: state} if state else {})
    books.cards.binned(LOST)
    await books.cards.committed(books.fetch)
    assert any("can no longer be collected" in what for what in books.wrong) is says


async def test_only_what_was_reported_is_kept_as_lost() -> None:
    books = Books()
    books.inside = [OLD]
    books.cards.flagged()
    assert books.wrong == [f"{OLD} is kept as reported lost, and nobody reported it"]


@pytest.mark.parametrize(
    ("read", "claim", "reason", "says"),
    [
        (True, "N000001", "retain", ""),
        (True, "N000003", "retain", "N000003"),
        (False, "N000003", "retain", "N000003"),
        (False, "N000003", "found by two people", ""),
        (True, None, "retain", "nobody"),
        (False, None, "retain", ""),  # who could have said whose it is?
    ],
)
async def test_an_old_card_is_kept_on_its_owners_number(read: bool, claim: str | None, reason: str, says: str) -> None:
    books = Books()
    await books.announced()
    await books.link("old-000001", "throat", "N000003", is_really=OLD)
    if read:
        books.reads(OLD)
    await books.link("old-000001", Place.BIN, claim, reason)
    assert books.wrong == ([f"{OLD} of N000001 is kept as old-000001 on the number of {says}"] if says else [])


async def test_a_card_in_the_bin_whose_owner_has_left_the_story_is_restated_as_it_is() -> None:
    books = Books()
    await books.announced()
    await books.link("old-000001", "throat", "N000001", is_really=OLD)
    await books.link("old-000001", "bin", "N000001", "retain")
    del books.stage.town.by_old_card[OLD]
    await books.link("old-000001", "bin", "N000001", "still_there")
    assert books.wrong == []


@pytest.mark.parametrize(
    ("read", "before", "says"),
    [
        (True, "N000001", [f"{OLD} is named old-000002: its chip was read, and it is old-000001 already"]),
        (False, "N000001", []),
        (True, "N000003", []),  # the chip does not fit what is recorded of the first name
    ],
)
async def test_a_card_whose_chip_was_read_keeps_its_name(read: bool, before: str, says: list[str]) -> None:
    books = Books()
    await books.announced()
    await books.link("old-000001", "throat", before, is_really=OLD)
    if read:
        books.reads(OLD)
    await books.link("old-000002", "escrow", "N000001", is_really=OLD)
    assert books.wrong == says
