"""A jam in the middle of a journey of the real daemon in memory: it waits for staff and goes on, or ends with a ticket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sim.soak.citizens import HONEST
from sim.world import Place
from tests.scenario.scene import RENEWAL, Scene, play

JAMS = [
    *(("dispenser", motion) for motion in ("pick", "present")),
    *(("recycler", motion) for motion in ("open", "accept")),
]


async def stuck(scene: Scene) -> None:
    """Until the page says that a card is stuck, or staff are needed."""
    async with asyncio.timeout(600.0):
        while (page := scene.stage.daemon.page) is None or page.progress != "stuck":
            await scene.stage.daemon.changed(5.0)


def steps(scene: Scene, kind: str) -> list[str]:
    return [line for line in scene.checker.story if f"lockerd.{kind}" in line]


@pytest.mark.parametrize(("unit", "motion"), JAMS)
def test_staff_clear_it_and_the_same_visit_ends_well(tmp_path: Path, unit: str, motion: str) -> None:
    async def story(scene: Scene) -> None:
        scene.stage.machine.units[unit].jam(motion)
        visiting = asyncio.ensure_future(scene.visit(RENEWAL))
        await stuck(scene)
        assert scene.new(RENEWAL) is not Place.PERSON
        scene.staff.mend()
        assert await scene.stage.daemon.settle()
        assert await visiting
        assert (scene.new(RENEWAL), scene.old(RENEWAL)) == (Place.PERSON, Place.BIN)
        assert steps(scene, "ticket.issued") == []

    play(tmp_path, story)


@pytest.mark.parametrize(("unit", "motion"), JAMS)
def test_nobody_comes_and_the_ticket_says_where_to_go_on(tmp_path: Path, unit: str, motion: str) -> None:
    async def story(scene: Scene) -> None:
        scene.stage.machine.units[unit].jam(motion)
        assert not await scene.visit(RENEWAL)
        assert scene.resident(RENEWAL).ticket
        (told,) = steps(scene, "ticket.issued")[:1]
        assert '"step":"' in told
        back = {Place.PERSON, Place.BIN}  # it was given back, or left behind
        if motion == "present":
            assert scene.old(RENEWAL) is Place.ESCROW, "a hand may still reach the new card"
        elif unit == "dispenser":
            assert scene.old(RENEWAL) in back
        scene.staff.mend()
        assert await scene.staff.settle()
        await asyncio.sleep(300.0)
        assert scene.old(RENEWAL) in back

    play(tmp_path, story)


def test_a_jam_on_the_way_back_is_cleared_and_the_old_card_comes_back(tmp_path: Path) -> None:
    """The dispenser is stuck, the citizen does not wait, and then the throat gets stuck, too."""

    async def story(scene: Scene) -> None:
        machine = scene.stage.machine
        machine.units["dispenser"].jam("pick")
        visiting = asyncio.ensure_future(scene.visit(RENEWAL))
        await stuck(scene)
        machine.units["recycler"].jam("return")
        scene.stage.daemon.tap("ticket")
        assert not await visiting
        for _ in range(3):
            scene.staff.mend()
            await scene.staff.settle()
            await asyncio.sleep(300.0)
        assert scene.old(RENEWAL) in {Place.PERSON, Place.BIN}

    play(tmp_path, story)


def test_settling_does_not_help_while_it_is_still_stuck(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.stage.machine.units["dispenser"].jam("pick")
        visiting = asyncio.ensure_future(scene.visit(RENEWAL, HONEST))
        await stuck(scene)
        assert not await scene.stage.daemon.settle()
        await stuck(scene)
        scene.stage.machine.units["dispenser"].clear_jam()
        assert await scene.stage.daemon.settle()
        assert await visiting

    play(tmp_path, story)


@pytest.mark.parametrize("motion", ["pick", "present"])
def test_a_card_that_staff_took_out_is_not_handed_over(tmp_path: Path, motion: str) -> None:
    async def story(scene: Scene) -> None:
        machine = scene.stage.machine
        card = scene.resident(RENEWAL).who.new_card.card_id
        machine.units["dispenser"].jam(motion)
        visiting = asyncio.ensure_future(scene.visit(RENEWAL))
        await stuck(scene)
        scene.checker.tainted(card)
        machine.world.take_stuck(machine.units["dispenser"].kind)
        scene.staff.mend()
        await scene.stage.daemon.settle()
        assert not await visiting
        assert scene.resident(RENEWAL).ticket
        assert scene.new(RENEWAL) is Place.TRAY
        assert scene.old(RENEWAL) in {Place.PERSON, Place.BIN}

    play(tmp_path, story)


@pytest.mark.parametrize("how", ["power", "kill"])
def test_the_daemon_goes_while_it_waits(tmp_path: Path, how: str) -> None:
    async def story(scene: Scene) -> None:
        scene.stage.machine.units["dispenser"].jam("present")
        visiting = asyncio.ensure_future(scene.visit(RENEWAL))
        await stuck(scene)
        if how == "power":
            scene.stage.power_off()
            asyncio.get_running_loop().call_later(20.0, scene.stage.power_on)
        else:
            scene.stage.daemon.stop()
            asyncio.get_running_loop().call_later(1.0, scene.stage.daemon.start)
        assert not await visiting
        scene.staff.mend()
        assert await scene.staff.settle()
        assert await scene.visit(RENEWAL)

    play(tmp_path, story)
