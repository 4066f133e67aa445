"""Two of the staff play the console's custody page: they look into the machine, each says what they saw, and cards find home.

Their eyes are the physical truth, sometimes wrong; where they differ, they may look again.
"""

from __future__ import annotations

import asyncio
from random import Random

from sim.soak.checker import Checker
from sim.soak.decisions import Where
from sim.soak.door import Blocked, Doubt, Refused
from sim.soak.staff import Staff
from sim.soak.stage import Stage
from sim.soak.town import Resident
from sim.world import Impossible, Place, Spot

PEOPLE = ("li", "wang")
WRONG_EYES = 0.08
SAYS_TWICE = 0.3  # somebody records a finding, and records it once more
ALONE = 0.15  # the other one comes another day
LOOKS_AGAIN = 0.7
HASTY = 0.5  # somebody unblocks the slot of a card in doubt, before the machine or anybody has said where it is
MISCOUNTS = 0.2
TRIES = 5
_PAUSE = 20.0

_FOUND = {"new": ("slot", "retract", "removed", "taken"), "old": ("bin", "removed", "taken")}
_SEEN = {
    Place.SLOT: "slot",
    Place.RETRACT: "retract",
    Place.BIN: "bin",
    Place.PERSON: "taken",
    Place.TRAY: "removed",
    Place.REJECT_LANE: "removed",
}
_PATHS = ((Place.TRANSPORT, Place.EXIT), (Place.ESCROW, Place.THROAT))
_ON_THE_WAY = frozenset({Place.TRANSPORT, Place.BETWEEN, Place.THROAT, Place.ESCROW, Place.EXIT})


class Custody:
    """What only people can end. `counts` tells what they did."""

    def __init__(self, stage: Stage, checker: Checker, staff: Staff) -> None:
        self._stage = stage
        self._world = stage.machine.world
        self._checker = checker
        self._staff = staff
        self._random = Random()
        self._untold: list[str] = []  # cards out of the retract box of which the machine has not taken the count
        self.counts: dict[str, int] = {}

    async def visit(self, random: Random) -> None:
        """One visit of both; all that they draw comes from `random`."""
        self._random = random
        doubts, blocked = await self._open()
        if doubts or blocked or self._world.spots.at(Place.RETRACT) or self._homeless() or self._in_each_others_way():
            self._checker.note("two of the staff look at what is open")
            self._staff.mend()
            for doubt in doubts:
                if doubt.slot is not None and self._chance(HASTY):
                    await self._unblock(doubt.slot, tries=1)
            await self._staff.settle()
            await self._clear_paths()
            for doubt in (await self._open())[0]:
                await self._doubt(doubt)
            await self._empty_retract()
            for one in (await self._open())[1]:
                await self._blocked(one)
            self._bring_home()
        if self._world.powered:  # in the dark they are shown nothing
            self._checker.waiting.visited()

    async def _open(self) -> tuple[tuple[Doubt, ...], tuple[Blocked, ...]]:
        try:
            return await self._stage.daemon.open_matters()
        except Refused:
            return (), ()

    # --- doubts ------------------------------------------------------------------------------------------------------

    async def _doubt(self, doubt: Doubt) -> None:
        card = self._checker.physical(doubt.card)
        spot = self._world.spots.get(card) if card else None
        if card is not None and spot is not None and spot.place in _ON_THE_WAY:
            self._take_out(card)
            spot = self._world.spots[card]
        if spot is not None and spot.place in {*_ON_THE_WAY, Place.LOAD}:
            return  # it moves, or lies in the feeder: the machine will see it
        if doubt.role == "new" and spot is not None and _SEEN[spot.place] == "removed" and self._bring(doubt.card):
            return
        truth = (_SEEN[spot.place], spot.slot) if spot is not None else ("taken", None)
        first, second = self._random.sample(PEOPLE, 2)
        said = self._look(doubt, truth)
        if doubt.found_by == first:
            first, second = second, first  # who was here before has said it
        ruling = await self._says(first, doubt, said)
        if ruling == "awaits" and self._chance(SAYS_TWICE):
            ruling = await self._says(first, doubt, said)
        if ruling != "awaits" or self._chance(ALONE):
            return
        ruling = await self._says(second, doubt, self._look(doubt, truth))
        if ruling == "differs" and self._chance(LOOKS_AGAIN):
            for person in PEOPLE:
                await self._says(person, doubt, truth)

    def _look(self, doubt: Doubt, truth: Where) -> Where:
        """What one pair of eyes takes for the truth."""
        if not self._chance(WRONG_EYES):
            return truth
        self._count("staff look wrongly")
        place = self._random.choice(_FOUND[doubt.role])
        return place, self._random.randrange(self._world.slots) if place == "slot" else None

    async def _says(self, person: str, doubt: Doubt, where: Where) -> str:
        place, slot = where
        for _ in range(TRIES):
            self._checker.decisions.says(person, doubt.card, where)
            self._checker.note(f"{person} found {doubt.card} at {place} {'' if slot is None else slot}")
            try:
                ruling = await self._stage.daemon.find(person, doubt.card, place, slot)
            except Refused as why:
                self._checker.note(f"refused: {why}")
                await asyncio.sleep(_PAUSE)
            else:
                self._count(f"finding {ruling}")
                return ruling
        card = self._checker.physical(doubt.card)
        if (
            place == "slot" and card is not None
        ):  # another card is recorded there: out with it, and back with the next tray
            self._take_out(card)
        return ""

    # --- slots and box -----------------------------------------------------------------------------------------------

    async def _blocked(self, blocked: Blocked) -> None:
        there = self._world.card_in_slot(blocked.slot)
        if there is not None and blocked.card != there and self._checker.place_of(there) != "in_doubt":
            self._take_out(there)
        await self._unblock(blocked.slot, tries=TRIES)

    async def _unblock(self, slot: int, *, tries: int) -> None:
        for _ in range(tries):
            try:
                await self._stage.daemon.unblock(self._random.choice(PEOPLE), slot)
            except Refused as why:
                self._checker.note(f"slot {slot} stays blocked: {why}")
                await asyncio.sleep(_PAUSE)
            else:
                self._count("slot unblocked")
                return

    async def _empty_retract(self) -> None:
        """Take all cards out, count them, and tell, now or on the next visit."""
        cards = self._world.cards_at(Place.RETRACT)
        if not cards and not self._untold:
            return
        self._world.empty_retract()
        self._stage.machine.changed()
        self._checker.in_hands.update(cards)
        self._untold += cards
        counted = len(self._untold) + (self._random.choice((-1, 1)) if self._chance(MISCOUNTS) else 0)
        for _ in range(TRIES):
            try:
                self._checker.office.counts.says("retract", PEOPLE[0], counted, len(self._untold))
                expected = await self._stage.daemon.empty_retract(PEOPLE[0], counted)
            except Refused:
                await asyncio.sleep(_PAUSE)
            else:
                self._count("retract box emptied")
                self._checker.note(f"retract box emptied: counted {counted}, expected {expected}")
                self._checker.in_hands.difference_update(self._untold)
                self._untold = []
                return

    def _in_each_others_way(self) -> list[str]:
        """Cards of a unit that has more than one in its path: it moves none of them."""
        found = [[card for place in path for card in self._world.spots.at(place)] for path in _PATHS]
        return [card for cards in found if len(cards) > 1 for card in cards]

    async def _clear_paths(self) -> None:
        cards = self._in_each_others_way()
        for card in cards:
            self._take_out(card)
        if cards:
            await self._staff.settle()

    # --- cards in the hands of staff ---------------------------------------------------------------------------------

    def _take_out(self, card: str) -> None:
        """Reach into the machine, unless its motors run."""
        if self._motors_run():
            return
        try:
            self._world.take_out(card)
        except Impossible:
            return
        self._stage.machine.changed()
        self._checker.took_out(card)
        self._count("card taken out by hand")
        self._checker.note(f"staff take {card} out")
        if any(one.who.old_card and one.who.old_card.card_id == card for one in self._stage.town.residents.values()):
            self._world.spots[card] = Spot(Place.PERSON)  # at the counter, or by post

    def _motors_run(self) -> bool:
        return self._stage.machine.moves()

    def _homeless(self) -> list[Resident]:
        """Whose new card is with the staff, and was not just announced."""
        spots, town = self._world.spots, self._stage.town
        awaited = {id(one) for one in town.announced}
        return [
            town.by_claim[card]
            for place in (Place.TRAY, Place.REJECT_LANE)
            for card in spots.at(place)
            if card in town.by_claim and id(town.by_claim[card]) not in awaited and not town.by_claim[card].collected
        ]

    def _bring(self, claim: str) -> bool:
        """Bring a card with the next tray: its chip ends all doubt."""
        resident = self._stage.town.by_claim.get(claim)
        if resident is None or resident.collected:
            return False
        if resident not in self._stage.town.announced:
            self._stage.town.announced.append(resident)
            self._count("card brought back")
        return True

    def _put_back(self, card: str) -> None:
        """Into the slot where it is recorded, if that is empty; else it waits for its own doubt."""
        _place, slot = self._checker.recorded[card]
        if slot is not None and self._world.card_in_slot(slot) is None and not self._motors_run():
            self._world.spots[card] = Spot(Place.SLOT, slot)
            self._stage.machine.changed()
            self._count("card put back into its slot")
            self._checker.note(f"staff put {card} back into slot {slot}")

    def _bring_home(self) -> None:
        """Cards that the machine takes again go back to it; all others are handed over at the counter, by their ticket."""
        for resident in self._homeless():
            card = resident.who.new_card.card_id
            place = self._checker.place_of(card)
            if place in {"tray", "in_doubt"}:
                self._bring(card)
            if place == "slot":
                self._put_back(card)
            if place not in {"removed", "taken"}:
                continue
            self._world.spots[card] = Spot(Place.PERSON)
            resident.collected = True
            self._stage.office.withdraw(card)
            self._stage.machine.changed()
            self._count("card handed over at the counter")
            self._checker.note(f"{resident.who.person_id} gets {card} at the counter")

    def _chance(self, of: float) -> bool:
        return self._random.random() < of

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
