"""An old card whose chip is broken, handed in for a new one that was made because of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from sim.soak.citizens import HONEST, Visit
from sim.world import Place
from tests.scenario.scene import Scene, play

TYPES = replace(HONEST, types_number=1.0)
THROAT = "reader-throat"


def test_a_broken_card_is_taken_but_not_while_the_reader_is_silent(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        person = await damaged(scene)
        scene.stage.machine.silence(THROAT, 1e9)
        assert not await scene.visit(person, TYPES)
        assert scene.old(person) is Place.PERSON
        scene.stage.machine.silence(THROAT, 0.0)
        assert await scene.visit(person, TYPES)
        assert scene.old(person) is Place.BIN

    play(tmp_path, story, people=1)


def test_a_broken_card_that_was_left_in_the_throat_counts_as_handed_in(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        person = await damaged(scene)
        scene.stage.machine.units["dispenser"].jam("pick")
        assert not await scene.visit(person, replace(TYPES, leaves_old=1.0))
        assert scene.old(person) is Place.BIN
        scene.staff.mend()
        assert await scene.staff.settle()
        await asyncio.sleep(60.0)
        assert await scene.visit(person, TYPES)

    play(tmp_path, story, people=1)


@pytest.mark.parametrize("broken", [True, False], ids=["broken", "readable"])
def test_a_card_that_was_accepted_before_a_power_cut_counts_as_handed_in_without_its_reader(
    tmp_path: Path, broken: bool
) -> None:
    """Nobody can read it any more: neither in escrow, where its reader is silent, nor in the bin. The record tells."""

    async def story(scene: Scene) -> None:
        person = await damaged(scene, broken=broken)
        machine = scene.stage.machine
        visit = Visit(scene.stage, scene.resident(person), replace(TYPES, leaves_old=1.0), scene.random, scene.checker)
        coming = asyncio.ensure_future(visit.run())
        while machine.world.card_at(Place.TRANSPORT) is None:
            await asyncio.sleep(0.05)
        scene.stage.power_off()
        coming.cancel()
        await asyncio.wait([coming])
        machine.silence(THROAT, 1e9)
        scene.stage.power_on()
        await asyncio.sleep(600.0)
        assert (scene.old(person), scene.new(person)) == (Place.BIN, Place.SLOT)
        assert await scene.visit(person, TYPES), "the machine has the old card and asks for no other"

    play(tmp_path, story, people=1)


async def damaged(scene: Scene, *, broken: bool = True) -> str:
    """Somebody whose old card is damaged and whose new one lies in the machine."""
    while (resident := scene.stage.town.announce(kind="damaged")).who.old_card is None:
        pass
    await asyncio.sleep(60.0)
    await scene.staff.load()
    await asyncio.sleep(60.0)
    if broken:
        scene.stage.machine.world.break_chip(resident.who.old_card.card_id)
    return resident.who.person_id
