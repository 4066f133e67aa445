"""Nobody is left alone: each citizen holds one card or knows where to go; each guess is counted; no card is left standing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from sim.soak.door import Page
from sim.soak.seams import Fetch
from sim.soak.stage import Stage
from sim.world import Place

GUESSES = 5
GUESS_WINDOW = 86400.0 - 60.0  # a guess is seen a moment after it was counted
COUNTED_BEFORE = (
    10.0  # a person's first one so soon after the clock jumped was held back, and counted by the time before
)
PATIENCE = 1800.0  # until a card on its way has to be somewhere, and a citizen without a card has to have a remedy

_UNDER_WAY = {
    Place.TRANSPORT: "dispenser",
    Place.EXIT: "dispenser",
    Place.ESCROW: "recycler",
    Place.THROAT: "recycler",
}

_THROAT_READER = "reader-throat"  # for which a card that nobody could name in the bin waits in escrow

_TICKET_OF_LAST = (
    "SELECT 1 FROM journey WHERE ticket IS NOT NULL AND journey_id ="
    " (SELECT journey_id FROM card_move WHERE target IN ('escrow', 'bin') ORDER BY move_id DESC LIMIT 1)"
)
"""Whether the session in which the last old card was drawn in has a ticket: it was put in during somebody else's."""


class Remedies:
    """`wrong` is told of each breach; `physical` gives the real card that the ledger means by a name, None where none is known."""

    def __init__(self, stage: Stage, wrong: Callable[[str], None], physical: Callable[[str], str | None]) -> None:
        self._stage = stage
        self._wrong = wrong
        self._physical = physical
        self._helps: dict[str, str] = {}  # by card in doubt that nothing names, whom it helps: one person only
        self._guesses: dict[str, deque[float]] = {}
        self._jumped = float("-inf")
        self._counted_before: dict[str, float] = {}
        self._binned: list[tuple[str, str]] = []  # old cards in the bin whose bearer had no new one, with the new one
        self._inserted: dict[str, str] = {}  # by card, whose hand
        self._empty_handed: dict[str, float] = {}
        self._standing: dict[
            str, tuple[int, float]
        ] = {}  # card on its way: which move brought it there, first seen when
        self._latest = ""  # journey in which a motion was intended

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def guessed(self, person: str) -> None:
        """The machine compared a wrong code for somebody's number; with several claims at one moment it is one guess."""
        soon = self._now() - self._jumped < COUNTED_BEFORE
        if soon and self._counted_before.setdefault(person, self._now()) == self._now():
            return
        made = self._guesses.setdefault(person, deque(maxlen=GUESSES + 1))
        if made and made[-1] == self._now():
            return
        made.append(self._now())
        if len(made) > GUESSES and made[-1] - made[0] < GUESS_WINDOW:
            self._wrong(f"{len(made)} codes were compared for {person} within a day")

    def clock_jumped(self) -> None:
        """The machine's clock is set to another time: what counts by the day counts anew."""
        self._guesses.clear()
        self._counted_before.clear()
        self._jumped = self._now()

    def left(self, person: str, *, empty_handed: bool) -> None:
        """Somebody left the machine."""
        self._empty_handed.pop(person, None)
        resident = self._stage.town.residents.get(person)
        if empty_handed and resident is not None and resident.who.old_card is not None:
            self._empty_handed[person] = self._now()

    def inserted(self, person: str, card: str) -> None:
        """A hand put a card into the throat."""
        self._inserted[card] = person

    def binned(self, old: str, lied_about: Callable[[str], bool]) -> None:
        """An old card fell into the bin: who inserted it holds the new one, or was given a ticket before.

        `lied_about` tells of a new card that a sensor made a taken one: nothing else tells of a hand. Not of a card that was
        reported lost (`sim.soak.old_cards`): it is void, and nobody who inserts it has a claim on it.
        """
        resident = self._stage.town.residents.get(self._inserted.pop(old, ""))
        new = resident.who.new_card.card_id if resident else ""
        spot = self._stage.machine.world.spots.get(new)
        if spot is not None and spot.place is not Place.PERSON and not lied_about(new):
            self._binned.append((old, new))

    def forget(self, person: str, *cards: str) -> None:
        """Somebody leaves the story with these cards."""
        self._guesses.pop(person, None)
        for card in cards:
            self._inserted.pop(card, None)

    async def committed(self, fetch: Fetch) -> None:
        """The daemon made something durable."""
        binned, self._binned = self._binned, []
        for old, new in binned:
            if not await self._ticket(fetch, new) and not await fetch(_TICKET_OF_LAST):
                self._wrong(f"{old} is in the bin, its bearer has neither {new} nor a ticket")

    async def check(self, fetch: Fetch, *, lying: bool) -> None:
        """While nothing moves and no intent is open."""
        page = self._stage.daemon.page
        if lying or page is None or page.screen != "code":
            return
        await self._check_journeys(fetch)
        self._check_standing(page)
        await self._check_empty_handed(fetch)

    async def intended(self, fetch: Fetch, journey_id: str) -> None:
        """A motion is intended in this journey; its first one shows whether an earlier one is still open."""
        if journey_id != self._latest and journey_id and not journey_id.startswith("staff:"):
            self._latest = journey_id
            await self._check_journeys(fetch)

    async def _check_journeys(self, fetch: Fetch) -> None:
        under_way = (await fetch("SELECT count(*) AS n FROM journey WHERE ended IS NULL"))[0]["n"]
        if under_way > 1:
            self._wrong(f"{under_way} journeys are under way at once")

    def _check_standing(self, page: Page) -> None:
        """Of two old cards in one path none can move before staff come; that no third is asked for, the page has to say."""
        machine, now = self._stage.machine, self._now()
        waits_for_staff = (
            not page.renewals_open
            and sum(len(machine.world.spots.at(place)) for place, unit in _UNDER_WAY.items() if unit == "recycler") > 1
        )
        standing: dict[str, tuple[int, float]] = {}
        for place, unit in _UNDER_WAY.items():
            if machine.silenced(unit) or machine.units[unit].kind in machine.world.jammed:
                continue
            if unit == "recycler" and (waits_for_staff or machine.silenced(_THROAT_READER)):
                continue
            for card, spot in machine.world.spots.at(place).items():
                since, seen = self._standing.get(card, (spot.since, now))
                standing[card] = (since, seen) if since == spot.since else (spot.since, now)
                if since == spot.since and now - seen > PATIENCE:
                    self._wrong(f"{card} stands at {place}, and the machine goes on as if it did not")
        self._standing = standing

    async def _check_empty_handed(self, fetch: Fetch) -> None:
        world, now = self._stage.machine.world, self._now()
        for person, since in list(self._empty_handed.items()):
            resident = self._stage.town.residents.get(person)
            if resident is None or resident.who.old_card is None:
                del self._empty_handed[person]
                continue
            old, new = resident.who.old_card.card_id, resident.who.new_card.card_id
            if Place.PERSON in {world.spots[old].place, world.spots[new].place} or await self._remedy(
                fetch, person, new
            ):
                del self._empty_handed[person]
            elif now - since > PATIENCE:
                self._wrong(f"{person} left without a card, and nothing is recorded that helps")

    async def _remedy(self, fetch: Fetch, person: str, claim: str) -> bool:
        """Whether a ticket, or a doubt that staff have to clear, is recorded, or the old card counts as handed in.

        A card in doubt that bears no claim helps whose hand put it in; where not even the card is known, one person.
        """
        if await self._ticket(fetch, claim):
            return True
        rows = await fetch(
            f"SELECT NULL AS card_id FROM claim WHERE claim_id = '{claim}' AND old_card_kept"  # noqa: S608  # an id of the simulator's
            f" UNION SELECT NULL FROM card WHERE place = 'in_doubt' AND claim_id = '{claim}'"
            " UNION SELECT card_id FROM card WHERE place = 'in_doubt' AND claim_id IS NULL ORDER BY 1"
        )
        return any(row["card_id"] is None or self._named(person, row["card_id"]) for row in rows)

    def _named(self, person: str, nameless: str) -> bool:
        card = self._physical(nameless)
        if card is None:
            return self._helps.setdefault(nameless, person) == person
        old = self._stage.town.residents[person].who.old_card
        return self._inserted.get(card) == person or (old is not None and old.card_id == card)

    @staticmethod
    async def _ticket(fetch: Fetch, claim: str) -> bool:
        """A ticket of the claim's, or of a journey under way that could not be told whose it is."""
        rows: list[Any] = await fetch(
            "SELECT 1 FROM journey WHERE ticket IS NOT NULL"  # noqa: S608  # an id of the simulator's
            f" AND (claim_id = '{claim}' OR claim_id IS NULL AND ended IS NULL) LIMIT 1"
        )
        return bool(rows)
