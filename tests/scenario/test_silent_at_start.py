"""A part does not answer in the middle of a renewal, mostly after a power cut: who does not need it is served, no card is lost.

The recycler with an old card inside, the dispenser meanwhile, and the exit reader with a new card before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_protocol.units import UnitKind
from sim.soak.citizens import HONEST, Temper, Visit
from sim.world import Place, World
from tests.scenario.scene import OTHER, RENEWAL, REPLACEMENT, Scene, play

SILENT = 1800.0


async def cut_when(
    scene: Scene, holds: Callable[[World], bool], mute: str = "recycler", temper: Temper = HONEST
) -> float:
    """The power goes in the middle of a renewal; its owner goes home, a part is mute afterwards. Gives until when."""
    machine = scene.stage.machine
    visit = Visit(scene.stage, scene.resident(RENEWAL), temper, scene.random, scene.checker)
    coming = asyncio.ensure_future(visit.run())
    while not holds(machine.world):
        await asyncio.sleep(0.05)
    scene.stage.power_off()
    coming.cancel()
    await asyncio.wait([coming])
    machine.silence(mute, SILENT)
    scene.stage.power_on()
    return asyncio.get_running_loop().time() + SILENT


INSIDE: dict[str, Callable[[World], bool]] = {
    "in escrow": lambda world: world.card_at(Place.ESCROW) is not None,
    "on its way into escrow": lambda world: world.card_between(UnitKind.RECYCLER) is not None,
}


@pytest.mark.parametrize("where", INSIDE)
def test_a_replacement_is_served_and_the_old_card_waits(tmp_path: Path, where: str) -> None:
    async def story(scene: Scene) -> None:
        until = await cut_when(scene, INSIDE[where])
        await asyncio.sleep(60.0)
        assert await scene.visit(REPLACEMENT), "the dispenser is well, and nobody needs the recycler for a replacement"
        assert not await scene.visit(RENEWAL), "a renewal has to wait"
        assert scene.old(RENEWAL) is not Place.PERSON
        await asyncio.sleep(until + 1200.0 - asyncio.get_running_loop().time())
        assert scene.old(RENEWAL) is Place.BIN, "offered to its owner, who is away, then kept for them"
        assert await scene.visit(RENEWAL), "and they are not asked for it again"

    play(tmp_path, story)


def test_an_old_card_that_stands_in_the_open_throat_can_be_taken_meanwhile(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        until = await cut_when(scene, lambda world: world.card_at(Place.THROAT) is not None)
        await asyncio.sleep(60.0)
        assert await scene.visit(REPLACEMENT)
        assert not await scene.visit(RENEWAL)
        assert scene.old(RENEWAL) is Place.PERSON
        await asyncio.sleep(until + 1200.0 - asyncio.get_running_loop().time())
        assert await scene.visit(RENEWAL)
        assert scene.old(RENEWAL) is Place.BIN

    play(tmp_path, story)


WITHOUT_DISPENSER: dict[str, tuple[Callable[[World], bool], Place]] = {
    # what was under way, and where the old card is while the dispenser is silent
    "no new card is on its way": (INSIDE["in escrow"], Place.BIN),  # offered to its owner, who is away
    "a new card may be": (lambda world: world.card_at(Place.TRANSPORT) is not None, Place.ESCROW),
}


@pytest.mark.parametrize("what", WITHOUT_DISPENSER)
def test_an_old_card_goes_back_without_the_dispenser_unless_a_new_one_may_be_in_its_owners_hand(
    tmp_path: Path, what: str
) -> None:
    holds, place = WITHOUT_DISPENSER[what]

    async def story(scene: Scene) -> None:
        until = await cut_when(scene, holds, "dispenser")
        await asyncio.sleep(SILENT / 2)
        assert scene.old(RENEWAL) is place
        await asyncio.sleep(until + 1200.0 - asyncio.get_running_loop().time())
        assert (scene.old(RENEWAL), scene.new(RENEWAL)) == (Place.BIN, Place.SLOT)
        assert await scene.visit(REPLACEMENT)
        assert await scene.visit(RENEWAL)

    play(tmp_path, story)


def test_a_forgotten_card_that_fell_into_the_bin_as_the_power_went_counts_for_its_owner(tmp_path: Path) -> None:
    """Somebody puts in another's card and leaves it behind; nobody can read its chip once it is in the bin."""

    async def story(scene: Scene) -> None:
        foreign = scene.resident(OTHER).who.old_card
        assert foreign is not None
        temper = replace(HONEST, instead=foreign.card_id, leaves_old=1.0)
        await cut_when(scene, lambda world: world.card_at(Place.BIN) is not None, "reader-counter", temper)
        await asyncio.sleep(SILENT + 1200.0)
        assert await scene.visit(OTHER), "the machine has the old card and asks for no other"
        assert await scene.visit(RENEWAL)

    play(tmp_path, story)


def test_a_new_card_waits_for_the_exit_reader_and_is_not_thrown_into_the_box(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        until = await cut_when(scene, lambda world: world.card_at(Place.TRANSPORT) is not None, "reader-exit")
        await asyncio.sleep(SILENT / 2)
        assert scene.new(RENEWAL) is Place.TRANSPORT
        assert scene.old(RENEWAL) is Place.BIN, "the recycler goes on meanwhile"
        await asyncio.sleep(until + 1200.0 - asyncio.get_running_loop().time())
        assert scene.new(RENEWAL) is Place.SLOT
        assert await scene.visit(RENEWAL)

    play(tmp_path, story)


@pytest.mark.parametrize("where", ["at the exit", "on its way to the exit"])
def test_no_old_card_goes_back_while_a_silent_dispenser_may_have_handed_out_the_new_one(
    tmp_path: Path, where: str
) -> None:
    """No power cut here: the unit is silent while the citizen takes the card, longer than it is waited for."""

    async def story(scene: Scene) -> None:
        world = scene.stage.machine.world
        visit = Visit(scene.stage, scene.resident(RENEWAL), HONEST, scene.random, scene.checker)
        coming = asyncio.ensure_future(visit.run())
        while world.card_at(Place.TRANSPORT) is None:
            await asyncio.sleep(0.05)
        while (world.card_at(Place.EXIT) is None) if where == "at the exit" else not world.gate_open:
            await asyncio.sleep(0.01)
        scene.stage.machine.silence("dispenser", 150.0)
        await coming
        assert visit.took
        assert scene.old(RENEWAL) is not Place.PERSON
        await asyncio.sleep(600.0)
        assert scene.old(RENEWAL) is Place.BIN
        assert "card.taken" in scene.told(RENEWAL)
        assert await scene.visit(REPLACEMENT)

    play(tmp_path, story)


@pytest.mark.parametrize("seconds", [12.0, SILENT])
@pytest.mark.parametrize("taken", [True, False], ids=["picked", "drawn back"])
def test_an_exit_reader_that_falls_silent_in_a_journey_is_asked_again_and_is_no_mismatch(
    tmp_path: Path, seconds: float, taken: bool
) -> None:
    """For a while the citizen waits; then they get their old card and a ticket, and the new one waits for the reader."""

    async def story(scene: Scene) -> None:
        machine, world = scene.stage.machine, scene.stage.machine.world
        temper = HONEST if taken else replace(HONEST, leaves_card=1.0)
        coming = asyncio.ensure_future(
            Visit(scene.stage, scene.resident(RENEWAL), temper, scene.random, scene.checker).run()
        )
        while not taken and world.card_at(Place.EXIT) is None:
            await asyncio.sleep(0.05)
        while world.card_between(UnitKind.DISPENSER) is None:
            await asyncio.sleep(0.05)
        machine.silence("reader-exit", seconds)
        if taken and seconds < SILENT:
            await coming
            assert scene.new(RENEWAL) is Place.PERSON
            return
        await coming
        await asyncio.sleep(600.0)
        if seconds == SILENT:
            assert scene.new(RENEWAL) is Place.TRANSPORT
            await asyncio.sleep(seconds)
        assert scene.new(RENEWAL) is Place.SLOT
        assert "slot.blocked" not in scene.told(RENEWAL)
        assert await scene.visit(RENEWAL)

    play(tmp_path, story)


def test_an_old_card_that_nobody_knows_waits_in_escrow_for_the_throat_reader(tmp_path: Path) -> None:
    """The power goes before the card in the throat is on record, and its owner goes home: in the bin nobody could name it."""

    async def story(scene: Scene) -> None:
        until = await cut_when(scene, lambda world: world.card_at(Place.THROAT) is not None, "reader-throat")
        await asyncio.sleep(SILENT / 2)
        assert scene.old(RENEWAL) is Place.ESCROW
        assert await scene.visit(REPLACEMENT)
        assert scene.old(RENEWAL) is Place.ESCROW
        await asyncio.sleep(until + 1200.0 - asyncio.get_running_loop().time())
        assert scene.old(RENEWAL) is Place.BIN
        assert await scene.visit(RENEWAL), "the machine has the old card and asks for no other"

    play(tmp_path, story)
