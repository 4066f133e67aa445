"""The stories that a run tells: each a small function over what citizen, staff and fate can do, and the end it expects."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from sim import identity_scenarios as identity
from sim.clients import Impossible, Page, World, eventually
from sim.harness import STAFF_NAME, STAFF_PIN
from sim.identity_scenarios import OFFICE_SECONDS, event, expect_notice
from sim.robot import Staff, Visit, visit_of
from sim.scene import Scene, Story, Surprise, old_card, renewing
from sim.verdict import Expectation


async def _renewal(scene: Scene) -> Expectation:
    """Code, old card on the reader, face, confirmation, old card into the throat, new card taken."""
    person = renewing(scene)[0]
    await scene.collects(person)
    return scene.ends(person)


async def _lost_card(scene: Scene) -> Expectation:
    """A replacement: the old card is lost, so the number is typed and nothing is inserted."""
    person = next(person for person in scene.people if person.old_card is None)
    await scene.collects(person)
    return scene.ends(person)


async def _lost_found(scene: Scene) -> Expectation:
    """Cards reported lost come into the throat: in somebody else's hand, and by their owner at the end. None comes back."""
    person, other = renewing(scene)[:2]
    finder = next(person for person in scene.people if person.old_card is None)
    office, lost = scene.harness.office, other.old_card
    assert lost is not None
    await office.report_lost("L-7", lost.id_number, lost.valid_from)
    await event(scene, "lockerd.lost.reported")
    visit = visit_of(person, await scene.code(person))
    await scene.comes(replace(visit, old_cards=(lost.card_id, old_card(person))), ends="done")
    expect_notice(scene, "old_card_lost")
    assert finder.lost_card is not None
    await scene.comes(replace(visit_of(finder, await scene.code(finder)), found=finder.lost_card.card_id), ends="done")
    expect_notice(scene, "lost_card_kept")
    await scene.comes(Visit(other, other.person_id, (await scene.code(other),)), ends="done")

    async def told() -> bool | None:
        found = await office.events("lockerd.old.reported_lost")
        wanted = [("L-7", other.new_card.card_id), (finder.new_card.card_id,) * 2]
        return True if [(one["report_id"], one["claim_id"]) for one in found] == wanted else None

    await eventually("both cards flagged at the office", OFFICE_SECONDS, told)
    return scene.ends(person, other, finder, kept=[person, other, finder])


async def _wrong_code(scene: Scene) -> Expectation:
    """A mistyped code is refused without telling why; the right one works."""
    person = renewing(scene)[0]
    code = await scene.code(person)
    mistyped = f"{(int(code) + 1) % 10**8:08d}"
    await scene.comes(replace(visit_of(person, code), codes=(mistyped, code)), ends="done")
    if not any(page.notice == "code_wrong" for page in scene.kiosk.pages):
        raise Surprise("nothing told the citizen that the code was wrong")
    return scene.ends(person)


async def _foreign_old_card(scene: Scene) -> Expectation:
    """The card of somebody else is inserted as the old one and comes back; the right one works."""
    person, other = renewing(scene)[:2]
    visit = visit_of(person, await scene.code(person))
    await scene.comes(replace(visit, old_cards=(old_card(other), old_card(person))), ends="done")
    if not any(page.notice == "old_card_not_yours" for page in scene.kiosk.pages):
        raise Surprise("nothing told the citizen that the card was another's")
    return scene.ends(person)


async def _not_taken(scene: Scene) -> Expectation:
    """The new card is left in the exit: it is drawn back, the old one given back, and it is still there on the next visit."""
    person = renewing(scene)[0]
    forgetful = replace(visit_of(person, await scene.code(person)), takes=False)
    await scene.comes(forgetful, ends="fault", faults=["not_taken"])
    await scene.collects_by_card(person)
    return scene.ends(person)


async def _old_card_not_inserted(scene: Scene) -> Expectation:
    """The citizen gives up where the old card is wanted, keeps it, and collects on the next visit."""
    person = renewing(scene)[0]
    undecided = replace(visit_of(person, await scene.code(person)), leaves_at="old_card")
    await scene.comes(undecided, ends="fault", faults=["cancelled"])
    await scene.collects_by_card(person)
    return scene.ends(person)


async def _jam(scene: Scene) -> Expectation:
    """The picker jams and the citizen does not wait: the old card comes back with a ticket; staff clear it, and it works.

    What a bought dispenser left between two positions it does not draw in: staff take it out and load it again.
    """
    person = renewing(scene)[0]
    world = scene.harness.world
    by_hand = scene.harness.setting.bought
    await world.act("jam", unit="dispenser", motion="pick")
    visit = replace(visit_of(person, await scene.code(person)), waits=False)
    await scene.comes(visit, ends="fault", faults=["jam", "in_doubt"])
    if (await event(scene, "lockerd.ticket.issued")).get("step") != "picking":
        raise Surprise("the ticket does not tell the counter where to go on")
    with scene.body.own_time():  # the citizen waits for staff
        staff = Staff(scene.harness.console, world)
        if by_hand:
            await world.act("take_stuck", unit="dispenser")
        await staff.clear_jam("dispenser", STAFF_NAME, STAFF_PIN)
        if by_hand:
            await staff.load([person.new_card.card_id], STAFF_NAME, STAFF_PIN)
    await scene.collects_by_card(person)
    return scene.ends(person)


async def _jam_cleared(scene: Scene) -> Expectation:
    """The throat jams, then the picker: each time the citizen waits, staff clear it, and the same visit goes on to its end.

    The picker of a bought dispenser does not draw in what is stuck, so that card is for staff.
    """
    person = renewing(scene)[0]
    world, console = scene.harness.world, scene.harness.console
    steps = ("drawing_old",) if scene.harness.setting.bought else ("drawing_old", "picking")
    await world.act("jam", unit="recycler", motion="accept")
    visiting = asyncio.ensure_future(scene.comes(visit_of(person, await scene.code(person)), ends="done"))
    try:
        for unit in ("recycler", "dispenser")[: len(steps)]:
            await _stuck(scene, visiting)
            if unit == "recycler" and "picking" in steps:
                await world.act("jam", unit="dispenser", motion="pick")
            await Staff(console, world).clear_jam(unit, STAFF_NAME, STAFF_PIN)
        await visiting
    finally:
        visiting.cancel()
        await asyncio.gather(visiting, return_exceptions=True)
    await event(scene, "lockerd.card.taken")
    tried = [(one["step"], one["cleared"]) for one in await scene.harness.office.events("lockerd.jam.tried")]
    if tried != [(step, cleared) for step in steps for cleared in (False, True)]:
        raise Surprise(f"the office was told of these tries: {tried}")
    return scene.ends(person)


async def _stuck(scene: Scene, visiting: asyncio.Future[Page]) -> None:
    async def stands() -> bool | None:
        if visiting.done():
            raise Surprise(f"the visit ended before anything was stuck: {visiting.result().view}")
        return True if scene.kiosk.pages[-1].progress == "stuck" else None

    await eventually("a page that says that a card is stuck", 60.0, stands)


async def _power_cut(scene: Scene) -> Expectation:
    """Machine and daemon lose power while the new card is on its way; the citizen ends up with exactly one card, then collects.

    A card that a bought dispenser held between two positions when the power went is for staff, as after a jam. If that was on
    the way to the gate, a hand may have had it: the old card is kept, and the new one is collected once staff have loaded it.
    """
    person = renewing(scene)[0]
    code = await scene.code(person)
    visit = asyncio.ensure_future(scene.robot.visit(visit_of(person, code)))
    try:
        await eventually("the card on its way", 60.0, lambda: _moving(scene, visit, "present"))
    finally:
        visit.cancel()
        await asyncio.gather(visit, return_exceptions=True)
    with scene.body.own_time():  # the town is dark
        await scene.harness.cut_power()
        by_hand = scene.harness.setting.bought and await _take_stuck(scene.harness.world)
        await scene.harness.restore_power()
    await scene.robot.collects_what_waits(person)
    if by_hand:
        with scene.body.own_time():
            staff = Staff(scene.harness.console, scene.harness.world)
            await staff.load([person.new_card.card_id], STAFF_NAME, STAFF_PIN)
    cards = [card for card in (await scene.harness.world.truth())["cards"] if card["person"] == person.person_id]
    in_hand = [card["role"] for card in cards if card["place"] == "person"]
    kept = [card["role"] for card in cards if card["place"] == "bin"]
    if len(in_hand) != 1 and not (by_hand and kept == ["old"]):
        raise Surprise(f"after the power cut the citizen holds {in_hand}, and the machine has kept {kept}")
    if in_hand == ["old"]:
        await scene.collects_by_card(person)
    elif not in_hand:
        await scene.comes(Visit(person, person.person_id, (code,)), ends="done")
    return scene.ends(person, power_lost=True)


async def _take_stuck(world: World) -> bool:
    """Whether a card was stuck in the dispenser, which staff then hold in their hands."""
    try:
        await world.act("take_stuck", unit="dispenser")
    except Impossible:
        return False
    return True


async def _office_down(scene: Scene) -> Expectation:
    """The office is away during the whole pickup; its events arrive later, once each."""
    person = renewing(scene)[0]
    before = (await scene.harness.office.ledger())["last_seq"]
    await scene.harness.office.absent(3600.0)
    await scene.collects(person)
    if (await scene.harness.office.ledger())["last_seq"] != before:
        raise Surprise("the office took events while it was away")
    await scene.harness.office.absent(0.0)
    return scene.ends(person)


async def _moving(scene: Scene, visit: asyncio.Future[Page], motion: str) -> bool | None:
    """True while the dispenser makes this motion; raises what ended the visit before."""
    if visit.done():
        raise Surprise(f"the visit ended before {motion}: {visit.result().view}")
    motions = (await scene.harness.world.truth())["motions"]
    return True if any(m["motion"] == motion and m["ended"] is None for m in motions) else None


SCENARIOS: dict[str, Story] = {
    "renewal": _renewal,
    "lost-card": _lost_card,
    "lost-found": _lost_found,
    "wrong-code": _wrong_code,
    "foreign-old-card": _foreign_old_card,
    "not-taken": _not_taken,
    "old-card-not-inserted": _old_card_not_inserted,
    "jam": _jam,
    "jam-cleared": _jam_cleared,
    "power-cut": _power_cut,
    "office-down": _office_down,
    **identity.STORIES,
}
"""By name, in the order of `--all`."""

SETTINGS: dict[str, dict[str, Any]] = identity.SETTINGS
"""What of the `Setting` is not as usual, by scenario."""
