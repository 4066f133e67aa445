"""The dispenser counts that a card left its exit, and never which one, nor whose hand it was."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from firmware_protocol.units import UnitKind
from sim.soak.citizens import HONEST
from sim.world import Place, Spot
from tests.scenario.scene import OTHER, RENEWAL, REPLACEMENT, Scene, play

_PATH = {Place.TRANSPORT, Place.EXIT, Place.BETWEEN}


async def stuck(scene: Scene) -> None:
    """Until the page says that a card is stuck, or staff are needed."""
    async with asyncio.timeout(600.0):
        while (page := scene.stage.daemon.page) is None or page.progress != "stuck":
            await scene.stage.daemon.changed(5.0)


async def stuck_behind_a_card_that_nobody_sees(scene: Scene) -> None:
    """A blind exit sensor hides one card at the exit; the next citizen's gets stuck before it, and they go home without any.

    Then the sensor sees again, and the machine stands still with both in its path.
    """
    stage, dispenser = scene.stage, scene.stage.machine.units["dispenser"]
    dispenser.stick("exit", False)
    assert not await scene.visit(OTHER)
    assert (scene.new(OTHER), scene.old(OTHER)) == (Place.EXIT, Place.BIN), "the gate may be open, a hand may have it"
    assert scene.resident(OTHER).ticket
    visiting = asyncio.ensure_future(scene.visit(RENEWAL))
    await stuck(scene)
    stage.power_off()
    dispenser.stick("exit", None)
    assert not await visiting
    stage.power_on()
    await asyncio.sleep(60.0)
    scene.staff.mend()
    assert not await stage.daemon.settle(), "of two cards in one path none can be moved"
    assert scene.old(RENEWAL) is Place.ESCROW


async def left_in_the_exit(scene: Scene, *blind: str) -> None:
    """These sensors of the dispenser go blind as a card is offered, and its owner goes home without it."""
    visiting = asyncio.ensure_future(scene.visit(RENEWAL, replace(HONEST, leaves_card=1.0)))
    while scene.new(RENEWAL) is not Place.EXIT:
        await asyncio.sleep(0.01)
    for sensor in blind:
        scene.stage.machine.units["dispenser"].stick(sensor, False)
    scene.checker.moved()
    await visiting


def take_out_of_the_path(scene: Scene, *people: str) -> None:
    """Staff open the machine and pull these new cards out by hand."""
    for person in people:
        assert scene.new(person) in _PATH
        card = scene.resident(person).who.new_card.card_id
        scene.stage.machine.world.take_out(card)
        scene.checker.took_out(card)
    scene.stage.machine.changed()


def decided_by_two_people(scene: Scene, *people: str) -> bool:
    """Nobody's new card counts as taken, and whose old card is in the bin has a ticket on record."""
    assert all("card.taken" not in scene.told(person) for person in people)
    assert all(scene.old(person) is Place.BIN for person in people)
    return sum("lockerd.ticket.issued" in line for line in scene.checker.story) >= len(people)


def test_a_card_that_staff_took_out_of_the_exit_is_not_counted_for_another_one(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await stuck_behind_a_card_that_nobody_sees(scene)
        scene.stage.power_off()
        take_out_of_the_path(scene, OTHER, RENEWAL)
        await asyncio.sleep(10.0)
        scene.stage.power_on()
        await asyncio.sleep(300.0)
        assert decided_by_two_people(scene, OTHER, RENEWAL)

    play(tmp_path, story)


def test_the_power_goes_on_the_way_to_an_exit_where_a_card_stands_that_nobody_sees(tmp_path: Path) -> None:
    """How that way ended is not known, and the unit counts a card: it may be the other one."""

    async def story(scene: Scene) -> None:
        stage = scene.stage
        stage.machine.units["dispenser"].stick("exit", False)
        assert not await scene.visit(OTHER)
        visiting = asyncio.ensure_future(scene.visit(RENEWAL))
        while scene.new(RENEWAL) is not Place.TRANSPORT:
            await asyncio.sleep(0.01)
        while scene.new(RENEWAL) is not Place.BETWEEN:
            await asyncio.sleep(0.01)
        stage.power_off()
        stage.machine.units["dispenser"].stick("exit", None)
        assert not await visiting
        stage.power_on()
        await asyncio.sleep(0.1)  # the unit has seen a card at the exit, the daemon nothing
        stage.power_off()
        take_out_of_the_path(scene, OTHER, RENEWAL)
        await asyncio.sleep(10.0)
        stage.power_on()
        await asyncio.sleep(300.0)
        assert decided_by_two_people(scene, OTHER, RENEWAL)

    play(tmp_path, story)


def test_a_stuck_card_that_staff_pull_out_through_the_exit_is_not_taken_by_its_owner(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        machine = scene.stage.machine
        card = scene.resident(RENEWAL).who.new_card.card_id
        machine.units["dispenser"].jam("present")
        visiting = asyncio.ensure_future(scene.visit(RENEWAL))
        await stuck(scene)
        machine.world.spots[card] = Spot(Place.EXIT)  # staff push it forward, and have it
        machine.firmware[UnitKind.DISPENSER].poll()
        take_out_of_the_path(scene, RENEWAL)
        machine.firmware[UnitKind.DISPENSER].poll()
        scene.staff.mend()
        assert await scene.stage.daemon.settle()
        assert not await visiting
        assert decided_by_two_people(scene, RENEWAL)

    play(tmp_path, story)


def test_a_gate_sensor_that_lies_while_a_card_is_stuck_does_not_make_it_a_taken_one(tmp_path: Path) -> None:
    """The bought dispenser: what its driver counts, it counts by that sensor."""

    async def story(scene: Scene) -> None:
        dispenser = scene.stage.machine.units["dispenser"]
        dispenser.jam("present")
        visiting = asyncio.ensure_future(scene.visit(RENEWAL))
        await stuck(scene)
        dispenser.stick("exit", True)
        assert not await scene.stage.daemon.settle()
        dispenser.stick("exit", None)
        assert not await scene.stage.daemon.settle()
        assert not await visiting
        scene.checker.took_out(scene.resident(RENEWAL).who.new_card.card_id)
        scene.stage.machine.world.take_stuck(UnitKind.DISPENSER)
        scene.staff.mend()
        await scene.staff.settle()
        await asyncio.sleep(300.0)
        assert decided_by_two_people(scene, RENEWAL)

    play(tmp_path, story, bought=True)


def test_an_exit_sensor_that_goes_blind_as_a_card_is_offered_makes_it_a_taken_one(tmp_path: Path) -> None:
    """Nothing tells the unit that no hand was there: the old card is kept, and the gate stays open to the owner's hand."""

    async def story(scene: Scene) -> None:
        visiting = asyncio.ensure_future(scene.visit(RENEWAL))
        while scene.new(RENEWAL) is not Place.EXIT:
            await asyncio.sleep(0.01)
        scene.stage.machine.units["dispenser"].stick("exit", False)
        scene.checker.moved()
        assert await visiting
        scene.stage.machine.units["dispenser"].stick("exit", None)
        assert (scene.new(RENEWAL), scene.old(RENEWAL)) == (Place.PERSON, Place.BIN)
        assert await scene.visit(REPLACEMENT)

    play(tmp_path, story)


def test_where_the_owner_has_gone_meanwhile_the_machine_draws_it_in_for_the_counter(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await left_in_the_exit(scene, "exit")
        scene.stage.machine.units["dispenser"].stick("exit", None)
        await asyncio.sleep(1200.0)
        assert (scene.new(RENEWAL), scene.old(RENEWAL)) == (Place.RETRACT, Place.BIN)
        assert await scene.visit(REPLACEMENT)

    play(tmp_path, story)


def test_nobody_is_served_at_an_open_gate_until_the_card_in_it_is_drawn_in(tmp_path: Path) -> None:
    """No sensor sees the card, but the gate does not shut."""

    async def story(scene: Scene) -> None:
        await left_in_the_exit(scene, "exit")
        assert not await scene.visit(REPLACEMENT)
        assert (scene.new(RENEWAL), scene.new(REPLACEMENT)) == (Place.EXIT, Place.SLOT)
        scene.stage.machine.units["dispenser"].stick("exit", None)
        await asyncio.sleep(1200.0)
        assert scene.new(RENEWAL) is Place.RETRACT
        assert await scene.visit(REPLACEMENT)

    play(tmp_path, story)


def test_whoever_comes_next_finds_the_exit_empty(tmp_path: Path) -> None:
    """The gate's sensor does not tell either, and the next citizen comes before the machine would have looked by itself."""

    async def story(scene: Scene) -> None:
        await left_in_the_exit(scene, "exit", "gate_open")
        await asyncio.sleep(100.0)
        for sensor in ("exit", "gate_open"):
            scene.stage.machine.units["dispenser"].stick(sensor, None)
        assert scene.new(RENEWAL) is Place.EXIT
        assert await scene.visit(REPLACEMENT)
        assert (scene.new(RENEWAL), scene.new(REPLACEMENT)) == (Place.RETRACT, Place.PERSON)

    play(tmp_path, story)
