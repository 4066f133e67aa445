"""One small machine in memory and in virtual time, stocked by staff, with a checker that ends each story."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from sim.soak.checker import Checker
from sim.soak.citizens import HONEST, Temper, Visit
from sim.soak.staff import Staff
from sim.soak.stage import Stage, quiet, staged
from sim.soak.town import Resident
from sim.virtual_time import run
from sim.world import Place

SEED = 1
SLOTS = 5
RENEWAL, OTHER, REPLACEMENT = "p1", "p2", "p3"


@dataclass(slots=True)
class Scene:
    """What a story plays with."""

    stage: Stage
    checker: Checker
    staff: Staff
    random: Random = field(default_factory=lambda: Random(SEED))

    def resident(self, person: str) -> Resident:
        return self.stage.town.residents[person]

    async def visit(self, person: str, temper: Temper = HONEST) -> bool:
        """One visit to its end; whether the new card was taken. The machine has come to rest afterwards."""
        visit = Visit(self.stage, self.resident(person), temper, self.random, self.checker)
        await visit.run()
        await asyncio.sleep(150.0)
        return visit.took

    def new(self, person: str) -> Place:
        """Where the new card really is."""
        return self.stage.machine.world.spots[self.resident(person).who.new_card.card_id].place

    def old(self, person: str) -> Place:
        """Where the old card really is."""
        card = self.resident(person).who.old_card
        assert card is not None
        return self.stage.machine.world.spots[card.card_id].place

    def told(self, person: str) -> list[str]:
        """The types of the journal's events about a person's new card, without their prefix and the mere moves."""
        claim = self.resident(person).who.new_card.card_id
        told = [
            line.split()[3].removeprefix("lockerd.") for line in self.checker.story if f'"claim_id":"{claim}"' in line
        ]
        return [kind for kind in told if kind != "card.moved"]


Story = Callable[[Scene], Awaitable[None]]


def play(folder: Path, story: Story, people: int = 3, *, bought: bool = False) -> Checker:
    """Stock the machine for the first `people` of the town, play, and hold all ledgers against the truth."""
    with quiet():
        return run(_play(folder, story, people, bought=bought))


async def _play(folder: Path, story: Story, people: int, *, bought: bool) -> Checker:
    loop = asyncio.get_running_loop()
    checker = Checker(loop.time)
    async with staged(folder, SEED, slots=SLOTS, witness=checker, bought=bought) as stage:
        checker.attend(stage)
        scene = Scene(stage, checker, Staff(stage, Random(SEED), checker))
        for _ in range(people):
            stage.town.announce()
        await asyncio.sleep(60.0)
        await scene.staff.load()
        await asyncio.sleep(60.0)
        assert all(one.code for one in stage.town.residents.values())
        await story(scene)
        checker.full_wanted = True
        stage.office.announce({"claim_id": "last"})  # makes the daemon write once more, so that the checker looks
        await asyncio.sleep(600.0)
        assert stage.daemon.failures == []
        assert stage.office.wrong == []
        assert checker.untold == 0, "events that the office never learned of"
        assert checker.full_checks > 0
    assert checker.violations == [], "\n".join([*checker.story][-40:])
    return checker
