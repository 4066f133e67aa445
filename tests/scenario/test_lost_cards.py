"""Cards that were reported lost come into the throat of the real daemon in memory: kept, flagged, and never given back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from sim.soak.citizens import HONEST, Temper
from sim.world import Place
from tests.scenario.scene import OTHER, RENEWAL, REPLACEMENT, Scene, play

FINDER = replace(HONEST, hands_in=True)


async def holding(scene: Scene) -> tuple[Temper, str]:
    """Somebody who holds another's card, which the machine knows to be reported lost."""
    card = scene.resident(OTHER).who.old_card
    assert card is not None
    scene.stage.office.report_lost("L-7", card.id_number, card.valid_from)
    scene.checker.old_cards.lost.add(card.card_id)
    await asyncio.sleep(60.0)
    return replace(HONEST, instead=card.card_id), card.card_id


def found_place(scene: Scene) -> Place:
    card = scene.resident(REPLACEMENT).who.lost_card
    assert card is not None
    return scene.stage.machine.world.spots[card.card_id].place


def test_somebody_elses_lost_card_is_kept_and_counts_for_its_owner(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        temper, _card = await holding(scene)
        assert await scene.visit(RENEWAL, temper), "the own old card was taken afterwards"
        assert (scene.old(RENEWAL), scene.old(OTHER)) == (Place.BIN, Place.BIN)
        assert scene.told(OTHER)[-2:] == ["old.reported_lost", "old.retained"]
        assert await scene.visit(OTHER), "the machine has the old card and asks for no other"

    play(tmp_path, story)


def test_the_owner_hands_the_found_card_in_after_the_new_one(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        assert await scene.visit(REPLACEMENT, FINDER)
        assert (scene.new(REPLACEMENT), found_place(scene)) == (Place.PERSON, Place.BIN)
        assert scene.told(REPLACEMENT)[-3:] == ["old.inserted", "old.reported_lost", "old.retained"]

    play(tmp_path, story)


def test_a_lost_card_on_the_counter_reader_shows_nothing_and_code_and_number_do(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        card = scene.resident(REPLACEMENT).who.lost_card
        assert card is not None
        scene.stage.machine.world.put_on_reader(card.card_id)
        assert await scene.visit(REPLACEMENT)
        (opened,) = [line for line in scene.checker.story if "lockerd.claim.opened" in line]
        assert '"evidence":["code","face","number"]' in opened
        assert any('"reason":"reported_lost"' in line for line in scene.checker.story)

    play(tmp_path, story)


def test_a_found_card_in_a_session_that_another_left_open_is_kept_and_its_owner_collects_all_the_same(
    tmp_path: Path,
) -> None:
    async def story(scene: Scene) -> None:
        leaving = asyncio.ensure_future(scene.visit(RENEWAL))
        async with asyncio.timeout(300.0):
            while (page := scene.stage.daemon.page) is None or page.screen != "old_card" or page.progress:
                await scene.stage.daemon.changed(1.0)
        leaving.cancel()
        await scene.visit(REPLACEMENT)
        assert (found_place(scene), scene.old(RENEWAL)) == (Place.BIN, Place.PERSON)
        assert scene.new(REPLACEMENT) is Place.PERSON or await scene.visit(REPLACEMENT)
        assert await scene.visit(RENEWAL)

    play(tmp_path, story)


@pytest.mark.parametrize("motion", ["accept", "retain"])
def test_a_lost_card_that_got_stuck_is_kept_when_staff_cleared_it(tmp_path: Path, motion: str) -> None:
    async def story(scene: Scene) -> None:
        scene.stage.machine.units["recycler"].jam(motion)
        assert await scene.visit(REPLACEMENT, FINDER)
        scene.staff.mend()
        assert await scene.staff.settle()
        await asyncio.sleep(600.0)
        assert found_place(scene) is Place.BIN

    play(tmp_path, story)


async def power_cycle(scene: Scene) -> None:
    scene.stage.power_off()
    await asyncio.sleep(20.0)
    scene.stage.power_on()
    await asyncio.sleep(150.0)


def doubtful(scene: Scene) -> list[str]:
    """Old cards of the ledger that are in doubt."""
    return sorted(card for card, (place, _slot) in scene.checker.recorded.items() if place == "in_doubt")


def test_a_lost_card_is_recorded_in_no_hand_where_a_sensor_of_the_throat_lied(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.stage.machine.units["recycler"].jam("retain")
        assert await scene.visit(REPLACEMENT, FINDER)
        stuck = scene.stage.machine.world.stuck
        stuck["throat"] = True
        await power_cycle(scene)
        assert any("sensor after an interruption" in line for line in scene.checker.story)
        del stuck["throat"]
        await power_cycle(scene)
        assert found_place(scene) is not Place.PERSON
        assert not any(
            line.partition(" ")[2].startswith("card old-000001: throat -> taken") for line in scene.checker.story
        )
        assert doubtful(scene) == ["old-000001"] or found_place(scene) is Place.BIN
        scene.staff.mend()
        assert await scene.staff.settle()
        await asyncio.sleep(600.0)
        assert found_place(scene) is Place.BIN

    play(tmp_path, story)


def test_a_card_that_nothing_names_is_not_given_back_while_a_lost_one_is_in_doubt(tmp_path: Path) -> None:
    """Two old cards are in doubt, one of which never was: an escrow sensor had lied. The throat's reader is silent."""

    async def story(scene: Scene) -> None:
        machine = scene.stage.machine
        machine.world.stuck["escrow"] = True
        await power_cycle(scene)
        machine.world.stuck.clear()
        await power_cycle(scene)
        scene.staff.mend()
        assert await scene.staff.settle()
        assert doubtful(scene) == ["old-000001"]
        machine.units["recycler"].jam("retain")
        temper, card = await holding(scene)
        await scene.visit(RENEWAL, temper)
        assert doubtful(scene) == ["old-000001", "old-000002"]
        machine.silence("reader-throat", 1000.0)
        scene.staff.mend()
        await scene.staff.settle()
        await power_cycle(scene)
        assert scene.stage.machine.world.spots[card].place is Place.ESCROW
        await asyncio.sleep(2400.0)
        assert scene.stage.machine.world.spots[card].place is Place.BIN

    play(tmp_path, story)


@pytest.mark.parametrize("between", [Place.BETWEEN, Place.ESCROW])
@pytest.mark.parametrize("own", [True, False])
def test_the_power_goes_while_a_lost_card_is_inside(tmp_path: Path, between: Place, own: bool) -> None:
    async def story(scene: Scene) -> None:
        world = scene.stage.machine.world
        if own:
            found = scene.resident(REPLACEMENT).who.lost_card
            assert found is not None
            temper, card, person = FINDER, found.card_id, REPLACEMENT
        else:
            (temper, card), person = await holding(scene), RENEWAL

        async def cut() -> None:
            while world.spots[card].place is not between:
                await asyncio.sleep(0.05)
            scene.stage.power_off()
            await asyncio.sleep(20.0)
            scene.stage.power_on()
            while world.spots[card].place is not Place.BIN:
                assert world.spots[card].place is not Place.PERSON, "given back"
                await asyncio.sleep(0.05)

        cutting = asyncio.ensure_future(cut())
        await scene.visit(person, temper)
        async with asyncio.timeout(900.0):
            await cutting
        assert await scene.visit(RENEWAL)

    play(tmp_path, story)
