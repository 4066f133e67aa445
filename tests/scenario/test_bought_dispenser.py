"""The machine with a bought dispenser: days under fire, and what the fire has found."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sim.assembly import MODULE
from sim.soak.setting import Setting
from sim.soak.year import play as soaked
from sim.world import Place
from tests.scenario.scene import RENEWAL, REPLACEMENT, Scene, play

PLAYED = {"visit honest", "bytes of the module lost", "jam dispenser present", "unit without power crt-dispenser"}


def test_days_under_fire() -> None:
    report = soaked(4, Setting(2.0, slots=20, visits=40.0, faults=60.0))
    assert report.dispenser == "crt"
    assert report.violation is None
    assert set(report.counts) >= PLAYED


def test_whoever_may_have_taken_the_new_card_does_not_get_the_old_one_back(tmp_path: Path) -> None:
    """The power goes as the card comes to the gate: the module counts no hand, so nobody knows that it was taken."""

    async def story(scene: Scene) -> None:
        visit = asyncio.create_task(scene.visit(RENEWAL))
        while scene.new(RENEWAL) is not Place.EXIT:
            await asyncio.sleep(0.001)
        scene.stage.power_off()
        await asyncio.sleep(20.0)
        assert scene.new(RENEWAL) is Place.PERSON
        scene.stage.power_on()
        await visit
        assert scene.old(RENEWAL) is Place.BIN
        assert scene.resident(RENEWAL).ticket

    play(tmp_path, story, people=1, bought=True)


def test_a_card_is_not_presented_while_the_dispenser_does_not_tell_its_total(tmp_path: Path) -> None:
    """Noise covers the look before the gate: a total from before a restart would count the next lost card as taken."""

    async def story(scene: Scene) -> None:
        machine = scene.stage.machine
        visit = asyncio.create_task(scene.visit(REPLACEMENT))
        while "reader-exit" not in machine.last_read:
            await asyncio.sleep(0.001)
        machine.silence(MODULE, 3.0)
        assert not await visit
        assert scene.new(REPLACEMENT) is Place.SLOT
        assert await scene.visit(REPLACEMENT)

    play(tmp_path, story, bought=True)


def test_nor_when_another_card_was_handed_out_before_the_recycler_answers(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        visit = asyncio.create_task(scene.visit(RENEWAL))
        while scene.new(RENEWAL) is not Place.EXIT:
            await asyncio.sleep(0.001)
        scene.stage.power_off()
        await asyncio.sleep(20.0)
        assert scene.new(RENEWAL) is Place.PERSON
        scene.stage.machine.silence("recycler", 1200.0)
        scene.stage.power_on()
        await visit
        assert await scene.visit(REPLACEMENT)
        assert scene.old(RENEWAL) is Place.ESCROW
        await asyncio.sleep(1200.0)
        assert scene.old(RENEWAL) is Place.BIN
        assert [line for line in scene.checker.story if "lockerd.old.returned" in line] == []

    play(tmp_path, story, bought=True)
