"""A renewal with the power cut, or the daemon killed, at every step of it: each statement, commit and command, one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sim.soak.citizens import HONEST
from sim.soak.seams import Step
from sim.soak.stage import Stage
from sim.world import Place
from tests.scenario.scene import RENEWAL, Scene, play

PARTS = 6
DURABLE = frozenset({Step.COMMITTED, Step.ORDER, Step.ORDERED})
"""Between two of these nothing that lasts happens; statements within a transaction are cut in a sample."""


def power(stage: Stage) -> None:
    stage.power_off()
    asyncio.get_running_loop().call_later(20.0, stage.power_on)


def kill(stage: Stage) -> None:
    stage.daemon.stop()
    asyncio.get_running_loop().call_later(1.0, stage.daemon.start)


def renewal(folder: Path, steps: frozenset[Step], step: int, how: Callable[[Stage], None]) -> None:
    """Play the renewal cut at a step of it, and go on until the card is collected."""

    async def story(scene: Scene) -> None:
        seams = scene.stage.daemon.seams
        seams.counted = steps
        over = False
        seams.at(seams.crossings + step, lambda: None if over else how(scene.stage))
        await scene.visit(RENEWAL)
        for _ in range(3):
            if scene.new(RENEWAL) is Place.PERSON:
                break
            await scene.staff.settle()
            await scene.visit(RENEWAL)
        over = True
        assert scene.new(RENEWAL) is Place.PERSON, "the new card must be collectable whatever was cut"
        assert scene.old(RENEWAL) is not Place.PERSON, "two cards in one hand"
        tickets = [line for line in scene.checker.story if "lockerd.ticket.issued" in line]
        assert all('"step":' in line for line in tickets), "a ticket tells the counter where to go on"

    play(folder, story, people=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The number of durable steps of an undisturbed renewal."""
    crossed = 0

    async def story(scene: Scene) -> None:
        nonlocal crossed
        seams = scene.stage.daemon.seams
        seams.counted = DURABLE
        before = seams.crossings
        assert await scene.visit(RENEWAL)
        crossed = seams.crossings - before

    play(tmp_path_factory.mktemp("whole"), story, people=1)
    return crossed


@pytest.mark.parametrize("how", [power, kill])
@pytest.mark.parametrize("part", range(PARTS))
def test_cut_at_every_durable_step(tmp_path: Path, whole: int, part: int, how: Callable[[Stage], None]) -> None:
    assert whole > 30
    for step in range(1 + part, whole + 1, PARTS):
        folder = tmp_path / str(step)
        folder.mkdir()
        renewal(folder, DURABLE, step, how)


@pytest.mark.parametrize("how", [power, kill])
def test_cut_within_transactions_and_motions(tmp_path: Path, how: Callable[[Stage], None]) -> None:
    for step in range(5, 900, 41):
        folder = tmp_path / str(step)
        folder.mkdir()
        renewal(folder, frozenset(Step), step, how)


@pytest.mark.parametrize("step", range(27, 31))  # the first durable steps after the old card was put in
def test_an_old_card_forgotten_after_a_cut_counts_as_handed_in(tmp_path: Path, step: int) -> None:
    """The power goes while the old card is drawn in, its owner walks away: the machine reads and keeps it, and asks no more."""

    async def story(scene: Scene) -> None:
        seams = scene.stage.daemon.seams
        seams.counted = DURABLE
        seams.at(seams.crossings + step, lambda: power(scene.stage))
        await scene.visit(RENEWAL, replace(HONEST, leaves_old=1.0))
        assert scene.old(RENEWAL) is Place.BIN
        assert scene.new(RENEWAL) is Place.PERSON or await scene.visit(RENEWAL)

    play(tmp_path, story, people=1)


@pytest.mark.parametrize("silent", [False, True])
def test_an_old_card_that_a_long_cut_left_inside_is_kept_on_its_owners_number(tmp_path: Path, silent: bool) -> None:
    """Its claim's person is erased by then: the record still says that the new card was taken, and for whom."""

    async def story(scene: Scene) -> None:
        visit = asyncio.ensure_future(scene.visit(RENEWAL))
        while "card.taken" not in scene.told(RENEWAL):
            await asyncio.sleep(0.01)
        scene.stage.power_off()
        await visit
        assert scene.old(RENEWAL) is Place.ESCROW
        await asyncio.sleep(13 * 3600.0)
        if silent:
            scene.stage.machine.silence("reader-throat", 1200.0)
        scene.stage.power_on()
        async with asyncio.timeout(600.0):
            while scene.old(RENEWAL) is not Place.BIN:
                assert scene.old(RENEWAL) is Place.ESCROW or scene.old(RENEWAL) is Place.BETWEEN, (
                    "offered to the street"
                )
                await asyncio.sleep(0.1)
        await asyncio.sleep(60.0)
        assert scene.told(RENEWAL)[-1] == "old.retained"

    play(tmp_path, story, people=1)
