"""The daemon keeps the cabinet's climate, also after a power cut switched fan and heater off."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sim.mechanisms import CabinetMechanism
from sim.soak.harness import PACE
from tests.scenario.scene import Scene, play

WHILE = PACE.kept + 10.0


def test_fan_and_heater_follow_the_temperature(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        world, cabinet = scene.stage.machine.world, scene.stage.machine.units["cabinet"]
        assert isinstance(cabinet, CabinetMechanism)
        told = []
        for temperature in (450, 380, 330, 270, -20, 80, 120):
            cabinet.temperature = temperature
            await asyncio.sleep(WHILE)
            told.append((world.fan, world.heater))
        assert told == [(100, 0), (100, 0), (50, 0), (0, 0), (0, 1), (0, 1), (0, 0)]
        cabinet.temperature = 450
        await asyncio.sleep(WHILE)
        scene.stage.power_off()
        await asyncio.sleep(5.0)
        world.fan = 0
        scene.stage.power_on()
        await asyncio.sleep(2 * WHILE)
        assert world.fan == 100
        cabinet.temperature = 215
        await asyncio.sleep(WHILE)

    play(tmp_path, story)
