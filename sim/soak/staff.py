"""Staff: they bring cards, mend what is stuck, empty what is full, and come when the machine stands still."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

from sim.soak.checker import Checker
from sim.soak.door import Refused
from sim.soak.stage import Stage
from sim.world import Impossible, Place

NAME = "li"
TRIES = 30
BIN_FULL_FROM = 60
MISCOUNTS = 0.2


class Staff:
    """One member of staff with a key and a box of cards."""

    def __init__(self, stage: Stage, random: Random, checker: Checker) -> None:
        self._stage = stage
        self._random = random
        self._checker = checker
        self._untold: list[str] = []  # cards out of the bin of which the machine was not told yet

    async def round(self) -> None:
        """One visit: mend, settle, empty, load."""
        self._checker.note("staff come")
        self.mend()
        await self.settle()
        await self.empty_bin()
        await self.load()
        self._checker.note("staff leave")

    def mend(self) -> None:
        """Clear jams and clean sensors, where no motor runs.

        A card that is between stays for the machine to draw in, or is taken out of a bought dispenser, which cannot.
        """
        machine = self._stage.machine
        for name, unit in machine.units.items():
            if not machine.moves(name):
                unit.clear_jam()
        self._stage.machine.world.stuck.clear()
        self._stage.machine.changed()

    async def settle(self) -> bool:
        """Press "settle" until the machine serves again or patience ends."""
        for _ in range(TRIES):
            with suppress(Refused):
                if await self._stage.daemon.settle():
                    return True
            await asyncio.sleep(20.0)
        return False

    async def empty_bin(self) -> None:
        """Take the old cards out, count them, and tell, now or on the next visit."""
        world = self._stage.machine.world
        if len(world.cards_at(Place.BIN)) < BIN_FULL_FROM and not self._untold:
            return
        miscounted = self._random.random() < MISCOUNTS
        for _ in range(TRIES):
            cards = world.cards_at(Place.BIN)
            world.empty_bin()
            self._stage.machine.changed()
            self._checker.in_hands.update(cards)
            self._untold += cards
            counted = len(self._untold) - miscounted
            self._checker.office.counts.says("bin", NAME, counted, len(self._untold))
            try:
                expected = await self._stage.daemon.empty_bin(NAME, counted)
            except Refused:
                await asyncio.sleep(20.0)
            else:
                self._checker.note(f"bin emptied: counted {counted}, expected {expected}")
                self._checker.in_hands.difference_update(self._untold)
                self._untold = []
                return

    async def load(self) -> None:
        """Bring the announced cards, as many as there are free slots by the eye."""
        world, town = self._stage.machine.world, self._stage.town
        world.take_rejects()
        free = world.slots - len(world.cards_at(Place.SLOT)) - len(world.cards_at(Place.LOAD))
        cards = [
            one.who.new_card.card_id
            for one in town.announced
            if world.spots[one.who.new_card.card_id].place is Place.TRAY
        ][: max(min(free, 90), 0)]
        with suppress(Impossible):
            world.place_tray(cards)
        self._stage.machine.changed()
        for _ in range(TRIES):
            if not world.cards_at(Place.LOAD):
                break
            with suppress(Refused):
                loaded = await self._stage.daemon.load(NAME)
                self._checker.note(f"loaded {loaded.slots} {loaded.fault}")
                if loaded.fault:
                    self.mend()
                    await self.settle()
            await asyncio.sleep(20.0)
        town.announced = [one for one in town.announced if world.spots[one.who.new_card.card_id].place is Place.TRAY]
