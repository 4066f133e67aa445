"""Visits of one citizen to the real daemon in memory: what they hold at the end, and what everybody's ledger says."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from sim.soak.citizens import HONEST, SLOW
from sim.soak.door import Page
from sim.world import Place
from tests.scenario.scene import OTHER, RENEWAL, REPLACEMENT, Scene, play


def test_renewal(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        assert await scene.visit(RENEWAL)
        assert (scene.new(RENEWAL), scene.old(RENEWAL)) == (Place.PERSON, Place.BIN)
        assert scene.told(RENEWAL)[-3:] == ["card.presented", "card.taken", "old.retained"]

    play(tmp_path, story)


def test_replacement_needs_no_old_card(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        assert await scene.visit(REPLACEMENT, SLOW)
        assert scene.new(REPLACEMENT) is Place.PERSON

    play(tmp_path, story)


def test_a_wrong_code_opens_nothing_and_the_right_one_does_afterwards(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        assert not await scene.visit(RENEWAL, replace(HONEST, wrong_code=1.0))
        assert (scene.new(RENEWAL), scene.old(RENEWAL)) == (Place.SLOT, Place.PERSON)
        page = scene.stage.daemon.page
        assert page is not None
        assert (page.screen, page.notice) == ("code", ""), "what was wrong is nothing to the next person"
        assert await scene.visit(RENEWAL)

    play(tmp_path, story)


def test_five_wrong_codes_close_the_code_way_only(tmp_path: Path) -> None:
    """Three on a visit; after the fifth the ID card opens without a code, and the office knows why."""

    async def story(scene: Scene) -> None:
        guessing = replace(HONEST, wrong_code=1.0)
        assert not await scene.visit(RENEWAL, guessing)
        assert "claim.locked" not in scene.told(RENEWAL)
        assert not await scene.visit(RENEWAL, guessing)
        assert await scene.visit(RENEWAL, guessing), "by the ID card, which the lock leaves open"
        told = [kind for kind in scene.told(RENEWAL) if kind.startswith("claim.")]
        assert told == ["claim.locked", "claim.opened"]
        assert scene.new(RENEWAL) is Place.PERSON

    play(tmp_path, story)


def test_who_does_not_show_a_face_is_warned_can_have_more_time_and_ends_at_the_counter(tmp_path: Path) -> None:
    """WCAG 2.2.1: twenty seconds before the page ends it says so, and a simple action gives more time."""

    async def story(scene: Scene) -> None:
        daemon, now = scene.stage.daemon, asyncio.get_running_loop().time
        person = scene.resident(RENEWAL)

        async def until(holds: Callable[[Page], bool]) -> float:
            while daemon.page is None or not holds(daemon.page):
                await daemon.changed(1.0)
            return now()

        daemon.tap("code", str(person.code))
        await until(lambda page: page.screen == "identify")
        daemon.tap("number", person.who.id_number)
        began = await until(lambda page: page.screen == "face")
        warned = await until(lambda page: page.warn)
        assert warned - began > 60.0
        daemon.tap("more_time")
        await until(lambda page: not page.warn)
        again = await until(lambda page: page.warn)
        ended = await until(lambda page: page.ticket != "")
        assert (round(ended - again), round(again - warned)) == (20, 70)
        assert daemon.page is not None
        assert (daemon.page.screen, daemon.page.fault) == ("fault", "no_match")

    play(tmp_path, story, people=1)


def test_another_face_gets_no_card(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        assert not await scene.visit(RENEWAL, replace(HONEST, face=OTHER))
        assert (scene.new(RENEWAL), scene.old(RENEWAL)) == (Place.SLOT, Place.PERSON)
        assert scene.resident(RENEWAL).ticket
        assert await scene.visit(RENEWAL)

    play(tmp_path, story)


def test_many_faces_that_are_not_recognised_wait_for_each_other(tmp_path: Path) -> None:
    """NIST SP 800-63B-4, 3.2.3: half a minute before each look after the fifth, also on another visit."""

    async def story(scene: Scene) -> None:
        for _ in range(2):
            assert not await scene.visit(RENEWAL, replace(HONEST, face=OTHER))
        assert await scene.visit(RENEWAL), "the owner's way stays open"

    play(tmp_path, story)
    with closing(sqlite3.connect(tmp_path / "lockerd.db")) as database:
        looks = [
            wall
            for wall, data in database.execute("SELECT wall, data FROM journal ORDER BY seq")
            if '"evidence":"face"' in data and "no_match" in data
        ]
    gaps = [after - before for before, after in pairwise(looks)]
    assert len(looks) == 6
    assert max(gaps[:2]) < 30 <= gaps[-1]


def test_a_foreign_old_card_comes_back_and_opens_nothing(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        foreign = scene.resident(OTHER).who.old_card
        assert foreign is not None
        assert not await scene.visit(RENEWAL, replace(HONEST, instead=foreign.card_id))
        assert (scene.new(RENEWAL), scene.old(RENEWAL), scene.old(OTHER)) == (Place.SLOT, Place.PERSON, Place.PERSON)
        assert await scene.visit(RENEWAL)

    play(tmp_path, story)


def test_a_foreign_old_card_that_is_left_behind_counts_for_its_owner(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        foreign = scene.resident(OTHER).who.old_card
        assert foreign is not None
        assert not await scene.visit(RENEWAL, replace(HONEST, instead=foreign.card_id, leaves_old=1.0))
        assert scene.old(OTHER) is Place.BIN
        assert await scene.visit(OTHER), "the machine has the old card and asks for no other"
        assert await scene.visit(RENEWAL)

    play(tmp_path, story)


def test_two_old_cards_in_the_path_are_no_empty_path(tmp_path: Path) -> None:
    """The first stands unseen in escrow; the sensor sees again when the second is in the throat: neither was taken."""

    async def story(scene: Scene) -> None:
        machine = scene.stage.machine
        recycler = machine.units["recycler"]
        recycler.stick("escrow", False)
        assert not await scene.visit(RENEWAL)
        assert scene.old(RENEWAL) is Place.ESCROW

        async def see_again() -> None:
            while machine.world.card_at(Place.THROAT) is None:
                await asyncio.sleep(0.05)
            recycler.stick("escrow", None)

        seeing = asyncio.ensure_future(see_again())
        assert not await scene.visit(OTHER)
        await seeing
        assert scene.old(OTHER) is not Place.BIN

    play(tmp_path, story)


def test_a_card_that_is_not_taken_goes_back_and_stays_collectable(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        assert not await scene.visit(RENEWAL, replace(HONEST, leaves_card=1.0))
        assert (scene.new(RENEWAL), scene.old(RENEWAL)) == (Place.SLOT, Place.BIN)
        assert scene.told(RENEWAL)[-3:] == ["old.returned", "old.inserted", "old.retained"]
        assert {"card.retracted", "card.restowed"} <= set(scene.told(RENEWAL))
        assert await scene.visit(RENEWAL), "the old card is in the bin already; the new one needs no other"

    play(tmp_path, story)


def test_a_slot_that_holds_another_card_hands_nothing_out_and_the_chip_names_the_stranger(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        world = scene.stage.machine.world
        cards = [scene.resident(person).who.new_card.card_id for person in (RENEWAL, OTHER)]
        slots = [world.spots[card].slot for card in cards]
        assert None not in slots
        scene.checker.tainted(*cards)
        world.swap_slots(slots[0] or 0, slots[1] or 0)
        assert not await scene.visit(RENEWAL)
        assert scene.old(RENEWAL) is Place.PERSON
        assert (scene.new(RENEWAL), scene.new(OTHER)) == (Place.SLOT, Place.RETRACT)
        assert scene.told(OTHER)[-1] == "card.captured"
        assert not await scene.visit(OTHER), "its card is in the retract box"

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("unit", "motion"),
    [
        *(("dispenser", motion) for motion in ("align", "pick", "present")),
        *(("recycler", motion) for motion in ("open", "accept", "retain")),
    ],
)
def test_a_jam_ends_with_one_card_in_the_hand(tmp_path: Path, unit: str, motion: str) -> None:
    async def story(scene: Scene) -> None:
        scene.stage.machine.units[unit].jam(motion)
        took = await scene.visit(RENEWAL)
        assert took == (motion == "retain")
        scene.staff.mend()
        assert await scene.staff.settle()
        if not took and scene.new(RENEWAL) is Place.SLOT:
            assert await scene.visit(RENEWAL)
        assert not (scene.new(RENEWAL) is Place.PERSON and scene.old(RENEWAL) is Place.PERSON)
        assert Place.PERSON in {scene.new(RENEWAL), scene.old(RENEWAL)} or scene.resident(RENEWAL).ticket

    play(tmp_path, story)


def test_a_code_that_is_sent_while_the_card_is_on_its_way_opens_only_once_the_card_is_back(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        claim, first = scene.resident(REPLACEMENT).who.new_card.card_id, scene.resident(REPLACEMENT).code
        visiting = asyncio.ensure_future(scene.visit(REPLACEMENT, replace(HONEST, leaves_card=1.0)))
        async with asyncio.timeout(300.0):
            while scene.new(REPLACEMENT) is Place.SLOT:
                await asyncio.sleep(0.05)
        scene.stage.office.ended.add(claim)
        scene.stage.office.asked_for_code(claim)
        assert not await visiting
        assert (scene.new(REPLACEMENT), scene.resident(REPLACEMENT).code == first) == (Place.SLOT, False)
        assert await scene.visit(REPLACEMENT)

    play(tmp_path, story)
