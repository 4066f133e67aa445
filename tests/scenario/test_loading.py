"""Staff load cards while things go wrong."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from firmware_protocol.units import UnitKind
from sim.soak.door import Refused
from sim.soak.town import Town
from sim.world import Place, Spot
from tests.scenario.scene import RENEWAL, Scene, play


def test_a_card_that_nobody_announced_goes_back_to_staff_when_loading_is_interrupted(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        stage = scene.stage
        stage.office.absent_until = asyncio.get_running_loop().time() + 600.0
        card = unannounced(stage.town)
        stage.machine.world.place_tray([card])
        loading = asyncio.ensure_future(stage.daemon.load("li"))
        while stage.machine.world.spots[card].place is Place.LOAD:  # only the world tells
            await asyncio.sleep(0.05)
        stage.power_off()
        with suppress(Refused):
            await loading
        await asyncio.sleep(5.0)
        stage.power_on()
        await asyncio.sleep(30.0)
        assert stage.machine.world.spots[card].place is Place.REJECT_LANE
        await asyncio.sleep(900.0)

    play(tmp_path, story)


def unannounced(town: Town) -> str:
    return town.announce().who.new_card.card_id


def test_a_stuck_card_that_staff_pulled_out_may_be_loaded_again(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        world = scene.stage.machine.world
        scene.stage.machine.units["dispenser"].jam("pick")
        assert not await scene.visit(RENEWAL)
        world.take_stuck(UnitKind.DISPENSER)
        scene.staff.mend()
        assert await scene.staff.settle()
        stuck = scene.resident(RENEWAL).who.new_card.card_id
        world.place_tray([stuck])
        assert (await scene.stage.daemon.load("li")).slots == (3,)  # slot 0 was blocked while its card was in doubt
        assert scene.told(RENEWAL)[-1] == "card.restowed"
        assert await scene.visit(RENEWAL)

    play(tmp_path, story)


def test_a_card_that_lies_in_the_machine_cannot_be_loaded_as_well(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        world = scene.stage.machine.world
        stocked = scene.resident(RENEWAL).who.new_card.card_id
        slot = world.spots[stocked].slot
        world.spots[stocked] = Spot(Place.TRAY)  # somebody opened the carousel
        world.place_tray([stocked])
        assert (await scene.stage.daemon.load("li")).slots == (None,)
        assert world.spots[stocked].place is Place.REJECT_LANE
        world.spots[stocked] = Spot(Place.SLOT, slot)

    play(tmp_path, story)
