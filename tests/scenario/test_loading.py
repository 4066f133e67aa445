"""Staff load cards while things go wrong."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from sim.soak.door import Refused
from sim.soak.town import Town
from sim.world import Place
from tests.scenario.scene import Scene, play


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
