"""Old cards by what the throat's reader told the daemon of them: none that was reported lost comes back, and each has one name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sim.soak.decisions import TWO_PEOPLE
from sim.soak.office_ledger import LEFT
from sim.soak.seams import Fetch
from sim.soak.stage import Stage
from sim.world import Place

BEGINS = {"throat": Place.THROAT, "escrow": Place.ESCROW}
"""Where an old card is first seen: inserted; or found by a recovery, and named by nothing; there may be none yet, after a lie."""

_THROAT_READER = "reader-throat"
_PERSONAL_DATA_KEPT = 12 * 3600.0
"""Seconds after collection for which the daemon can tell whose a card is."""

_LONG = 2 * 3600.0
"""Seconds, in truth and by the machine's clock, after which nobody stands there who put a card in."""

_JUST = 2.0
"""Seconds for which what the reader told is what the daemon names the card by; for longer it may have asked again, in vain."""

_COLLECTABLE = "SELECT 1 FROM claim WHERE claim_id = ? AND state IN ('expected', 'stocked', 'collected')"
_NAMED_FOR = "SELECT card_id, claim_id FROM card WHERE card_id IN (SELECT value FROM json_each(?)) ORDER BY card_id"


@dataclass(frozen=True, slots=True)
class _Told:
    """A chip that the reader told, whole: in which life of the daemon, at what virtual second, and what the daemon knew then."""

    life: int
    at: float
    reported: bool
    owned: bool


class OldCards:
    """`wrong` is told of each breach; `bound` are the old cards of the ledger, each with the physical one that it means.

    What the reader told is known to the daemon for as long as it runs: what it made durable, for longer.
    """

    def __init__(self, stage: Stage, wrong: Callable[[str], None], bound: Mapping[str, str | None]) -> None:
        self._stage = stage
        self._wrong = wrong
        self._bound = bound
        self.lost: set[str] = set()  # cards that the office reported lost by themselves, no replacement being made
        self._announced: set[str] = set()  # new cards that the daemon knows of
        self._collected: dict[str, float] = {}  # of those, when by the machine's clock, which may be set right later
        self._latest = float("-inf")  # that it has shown: whose a card was is erased by it
        self._told: dict[str, _Told] = {}
        self._flagged: set[str] = set()  # cards that the machine knows to be reported lost
        self._drawn_in: dict[str, tuple[float, float]] = {}  # by name, when, in truth and by the machine's clock
        self._kept_lost: list[str] = []  # cards in the bin that were reported lost
        self._put_in: str | None = None  # the card that a hand put into the throat last

    def begins(self, card: str, target: str, places: Mapping[str, str | None], *, lied: bool) -> str | None:
        """A card of the ledger is seen for the first time: gives the physical one, which no other name means that has a place.

        There is one, or a sensor of its path `lied`; a hand may have pulled it back. `places` are those of the known names.
        """
        real = self._stage.machine.world.card_at(BEGINS[target]) or (self._put_in if target == "throat" else None)
        named = [name for name, known in self._bound.items() if known == real and places[name] != "in_doubt"]
        if not lied and (real is None or named):
            self._wrong(f"{card} begins at {target}, and there is {named[0] if named else 'none'}")
        return real

    def heard(self, reader: str, card: str) -> None:
        """A reader told the daemon a whole chip."""
        if reader != _THROAT_READER:
            return
        new = self._owners(card)
        erased = self._latest - self._collected.get(new or "", self._latest) >= _PERSONAL_DATA_KEPT
        owned = new in self._announced and new not in self._stage.office.withdrawn and not erased
        reported = card in self.lost or (owned and self._replacing(card) is not None)
        now = asyncio.get_running_loop().time()
        self._told[card] = _Told(self._stage.daemon.starts, now, reported, owned)

    def reported(self, card: str) -> bool:
        """Whether a card was reported lost, known to the daemon or not."""
        return card in self.lost or self._replacing(card) is not None

    def flagged(self) -> None:
        """The machine recorded that the old card inside was reported lost; it is about to move into the bin."""
        inside = self._stage.machine.world.cards_at(Place.ESCROW)
        lost = [card for card in inside if self.reported(card)]
        self._flagged.update(lost)
        if inside and not lost:
            self._wrong(f"{inside[0]} is kept as reported lost, and nobody reported it")

    def inserted(self, card: str) -> None:
        """A hand put a card into the throat: nobody has read it since."""
        self._put_in = card
        self._told.pop(card, None)

    def intended(self, row: Any) -> None:
        """A motion is intended: nothing comes back that is void, or was drawn in for somebody who has long left."""
        name, clock = row["card_id"], self._stage.clock
        times = clock.true(), clock.now()
        if row["motion"] == "accept" and name is not None:
            self._drawn_in[name] = times
        if row["motion"] == "return":
            drawn_in = self._drawn_in.get(name, times)
            if min(abs(now - then) for now, then in zip(times, drawn_in, strict=True)) > _LONG:
                self._wrong(f"{name} is offered, and was drawn in hours ago")
            for card in self._stage.machine.world.cards_at(Place.ESCROW):
                self._not_back(card, "is about to give it back")

    def took(self, card: str) -> None:
        """A hand took a card out of the throat."""
        self._not_back(card, "gave it back")

    def binned(self, card: str) -> None:
        """An old card fell into the bin."""
        if self._known_lost(card) and card not in self._flagged:
            self._wrong(f"{card} is known to be reported lost, and is kept as any other: nobody was told")
        if self.reported(card):
            self._kept_lost.append(card)

    async def recorded(self, fetch: Fetch, row: Any) -> None:
        """One link of the chain of any card."""
        name, physical = row["card_id"], self._bound.get(row["card_id"])
        if row["target"] in LEFT:
            self._drawn_in.pop(name, None)
        if row["target"] == "taken" and name in self._announced:
            self._collected[name] = min(self._stage.clock.now(), self._stage.clock.true())
        if row["origin"] is None and name not in self._bound:
            self._announced.add(name)
        elif row["origin"] is None and physical is not None:
            await self._check_new_name(fetch, name, physical)
        elif row["target"] == "bin" != row["origin"] and row["reason"] != TWO_PEOPLE and physical is not None:
            await self._check_owner(fetch, name, physical)

    async def committed(self, fetch: Fetch) -> None:
        """The daemon made something durable."""
        self._latest = max(self._latest, self._stage.clock.now())
        kept, self._kept_lost = self._kept_lost, []
        for void in kept:
            instead = self._replacing(void)
            if instead in self._announced and not await fetch(_COLLECTABLE, instead):
                self._wrong(f"{void} was reported lost and is kept, and {instead} can no longer be collected")

    def forget(self, *cards: str) -> None:
        """These cards leave the story."""
        for card in cards:
            self._flagged.discard(card)
            self._announced.discard(card)
            self._collected.pop(card, None)
            self._told.pop(card, None)

    def _not_back(self, card: str, what: str) -> None:
        if card in self._flagged or self._known_lost(card):
            self._wrong(f"{card} is known to be reported lost, and the machine {what}")

    async def _check_new_name(self, fetch: Fetch, name: str, physical: str) -> None:
        """A card whose chip was just read keeps the one name that it has under its owner's number."""
        told, new = self._just_told(physical), self._owners(physical)
        others = [one for one, really in self._bound.items() if really == physical and one != name]
        if told is None or not told.owned or not others:
            return
        known = [other for other, claim in await fetch(_NAMED_FOR, json.dumps(others)) if claim == new]
        if len(known) == 1:
            self._wrong(f"{physical} is named {name}: its chip was read, and it is {known[0]} already")

    async def _check_owner(self, fetch: Fetch, name: str, physical: str) -> None:
        """A card lies in the bin on its owner's number, where the machine can know it, and never on another's.

        Not one that two people found there: they look for the card of a record, and read no chip.
        """
        ((_name, claim),) = await fetch(_NAMED_FOR, json.dumps([name]))
        told, new = self._told.get(physical), self._owners(physical)
        owned = told is not None and told.owned and told.life == self._stage.daemon.starts
        if claim != new and (claim is not None or owned):
            self._wrong(f"{physical} of {new} is kept as {name} on the number of {claim or 'nobody'}")

    def _just_told(self, card: str) -> _Told | None:
        told = self._told.get(card)
        now = asyncio.get_running_loop().time()
        return told if told is not None and told.life == self._stage.daemon.starts and now - told.at < _JUST else None

    def _known_lost(self, card: str) -> bool:
        told = self._told.get(card)
        return told is not None and told.reported and told.life == self._stage.daemon.starts

    def _owners(self, card: str) -> str | None:
        """The new card of whom an old one belongs to."""
        owner = self._stage.town.by_old_card.get(card)
        return owner.who.new_card.card_id if owner else None

    def _replacing(self, card: str) -> str | None:
        """The new card that is made in place of this one, which its owner reported lost."""
        owner = self._stage.town.by_old_card.get(card)
        return owner.who.new_card.card_id if owner and owner.who.lost_card else None
