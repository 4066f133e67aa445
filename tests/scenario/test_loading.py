"""Staff load cards while things go wrong."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from firmware_protocol.units import UnitKind
from sim.assembly import CAMERA
from sim.soak.door import Loaded, Refused
from sim.soak.stage import Stage
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


def test_a_tray_that_comes_right_after_a_start_waits_for_what_the_office_announced(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        stage, world = scene.stage, scene.stage.machine.world
        stage.power_off()
        late = unannounced(stage.town)
        stage.machine.silence(CAMERA, 10.0)  # no face worker yet, so no item of the manifest can be taken
        stage.power_on()
        world.place_tray([late])
        began = asyncio.get_running_loop().time()
        loaded = await first_answer(stage)
        assert loaded.slots == (3,)
        assert world.spots[late].place is Place.SLOT
        assert asyncio.get_running_loop().time() - began > 10.0

    play(tmp_path, story)


def test_a_tray_does_not_wait_for_an_office_that_is_away(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        stage, world = scene.stage, scene.stage.machine.world
        announced = unannounced(stage.town)
        await asyncio.sleep(60.0)
        stage.power_off()
        stage.office.absent_until = asyncio.get_running_loop().time() + 600.0
        stage.power_on()
        world.place_tray([announced])
        began = asyncio.get_running_loop().time()
        assert (await first_answer(stage)).slots == (3,)
        assert asyncio.get_running_loop().time() - began < 30.0
        await asyncio.sleep(900.0)

    play(tmp_path, story)


async def first_answer(stage: Stage) -> Loaded:
    """Press "start loading" until the machine does it."""
    while True:
        with suppress(Refused):
            return await stage.daemon.load("li")
        await asyncio.sleep(0.1)


def test_a_silent_exit_reader_stops_the_tray_and_says_so(tmp_path: Path) -> None:
    """No chip is at fault: the card in hand comes back, the others stay in the feeder, and all are loaded later."""

    async def story(scene: Scene) -> None:
        stage, world = scene.stage, scene.stage.machine.world
        tray = [unannounced(stage.town), unannounced(stage.town)]
        await asyncio.sleep(60.0)
        world.place_tray(tray)
        stage.machine.silence("reader-exit", 600.0)
        loaded = await stage.daemon.load("li")
        assert (loaded.slots, loaded.fault.partition(";")[0]) == ((None,), "the exit reader does not answer")
        assert [world.spots[card].place for card in tray] == [Place.REJECT_LANE, Place.LOAD]
        assert any('lockerd.load.rejected {"reason":"reader_silent"' in line for line in scene.checker.story)
        await asyncio.sleep(600.0)
        world.take_rejects()
        world.place_tray(tray[:1])
        assert (await first_answer(stage)).slots == (3, 4)

    play(tmp_path, story)


def test_an_exit_reader_that_is_silent_for_a_moment_costs_no_card(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        stage, world = scene.stage, scene.stage.machine.world
        card = unannounced(stage.town)
        await asyncio.sleep(60.0)
        world.place_tray([card])
        stage.machine.silence("reader-exit", 8.0)
        assert (await stage.daemon.load("li")).slots == (3,)

    play(tmp_path, story)
