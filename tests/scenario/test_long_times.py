"""A machine that was dark, or waited for staff, for longer than somebody stands before it, than a person's data, than history."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from sim.soak.citizens import HONEST
from sim.world import Place
from tests.scenario.scene import RENEWAL, REPLACEMENT, Scene, play

HOUR, DAY = 3600.0, 86400.0
FINDER = replace(HONEST, hands_in=True)
WITHIN = frozenset({Place.ESCROW, Place.BETWEEN, Place.BIN})


async def cut_when_in_escrow(scene: Scene, card: str) -> None:
    """The power goes as soon as an old card lies in escrow."""
    while scene.stage.machine.world.spots[card].place is not Place.ESCROW:
        await asyncio.sleep(0.05)
    scene.stage.power_off()


async def kept_unseen(scene: Scene, card: str) -> None:
    """From now on the card goes into the bin, and never to where a hand could take it."""
    async with asyncio.timeout(1800.0):
        while (place := scene.stage.machine.world.spots[card].place) is not Place.BIN:
            assert place in WITHIN, "offered to the street"
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("dark", [2 * HOUR, 13 * HOUR, 15 * DAY])
def test_an_old_card_that_nobody_waits_for_any_more_is_kept_for_its_owner(tmp_path: Path, dark: float) -> None:
    async def story(scene: Scene) -> None:
        card = scene.resident(RENEWAL).who.old_card
        assert card is not None
        visit = asyncio.ensure_future(scene.visit(RENEWAL))
        await cut_when_in_escrow(scene, card.card_id)
        assert not await visit
        await asyncio.sleep(dark)
        scene.stage.power_on()
        await kept_unseen(scene, card.card_id)
        await asyncio.sleep(300.0)
        assert any("lockerd.ticket.issued" in line for line in scene.checker.story), "the counter knows of it"
        if dark < DAY:
            assert await scene.visit(RENEWAL), "the machine has the old card and asks for no other"

    play(tmp_path, story, people=1)


@pytest.mark.parametrize("dark", [13 * HOUR, 15 * DAY])
def test_a_found_card_that_a_long_cut_left_inside_is_not_offered(tmp_path: Path, dark: float) -> None:
    """The replacement that says that it is lost is collected and erased by then."""

    async def story(scene: Scene) -> None:
        card = scene.resident(REPLACEMENT).who.lost_card
        assert card is not None
        visit = asyncio.ensure_future(scene.visit(REPLACEMENT, FINDER))
        await cut_when_in_escrow(scene, card.card_id)
        await visit
        await asyncio.sleep(dark)
        scene.stage.power_on()
        await kept_unseen(scene, card.card_id)

    play(tmp_path, story)
