"""SIGTERM in the middle of a motion: the motion is seen to its end and its outcome is durable before the daemon goes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from sim.clients import eventually
from sim.harness import Harness, Setting, free_addresses
from sim.robot import visit_of
from sim.scene import scene_of
from sim.verdict import read_database


async def test_a_stop_in_mid_motion_leaves_nothing_in_doubt(tmp_path: Path) -> None:
    setting = Setting(tmp_path, free_addresses(), seed=7, speed=2.0)
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
        Harness(setting, session) as harness,
    ):
        scene = scene_of(harness, 7, 2.0)
        follow = asyncio.ensure_future(scene.kiosk.follow())
        await scene.stock()
        person = next(person for person in scene.people if person.old_card)
        visit = asyncio.ensure_future(scene.robot.visit(visit_of(person, await scene.code(person))))

        async def picking() -> bool | None:
            if visit.done():
                visit.result()
            motions = (await harness.world.truth())["motions"]
            return any(m["motion"] == "pick" and m["ended"] is None for m in motions) or None

        try:
            await eventually("a pick under way", 60.0, picking)
        finally:
            visit.cancel()
            follow.cancel()
            await asyncio.gather(visit, follow, return_exceptions=True)
        await harness.stop_lockerd()
        record = read_database(setting.database)
        assert record.open_intents == 0
        assert record.new[person.new_card.card_id] == "transport"
        truth = await harness.world.truth()
        places = {card["card_id"]: card["place"] for card in truth["cards"]}
        assert places[person.new_card.card_id] == "transport"
