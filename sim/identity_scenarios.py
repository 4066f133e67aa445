"""Stories about who may collect: the wrong person, and somebody who collects for another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sim.clients import eventually
from sim.harness import Tables
from sim.people import Citizen
from sim.robot import Visit, visit_of
from sim.scene import Scene, Story, Surprise, old_card, renewing
from sim.verdict import Expectation

OFFICE_SECONDS = 60.0
"""How long an event may take to the office."""


async def _wrong_person(scene: Scene) -> Expectation:
    """A stranger with another's code is refused, with and without the other's ID card; the owner then collects."""
    owner, thief = renewing(scene)[:2]
    code = await scene.code(owner)
    found = Visit(owner, thief.person_id, (code,), old_card(thief))
    await scene.comes(found, ends="code")
    expect_notice(scene, "code_wrong")
    await scene.comes(replace(visit_of(owner, code), face=thief.person_id), ends="fault", faults=["no_match"])
    await scene.collects_by_card(owner)
    return scene.ends(owner)


async def _letter_code(scene: Scene) -> Expectation:
    """The telephone is lost: the office writes a letter, and its code does what the message's would."""
    person = renewing(scene)[0]
    letter_code = await scene.harness.office.write_letter(person.new_card.card_id)

    await event(scene, "lockerd.code.reissued")
    await scene.comes(visit_of(person, letter_code), ends="done")
    return scene.ends(person)


async def _new_code(scene: Scene) -> Expectation:
    """The message is deleted: the ID card on the reader has a new code sent, and the earlier one is worth nothing."""
    person = renewing(scene)[0]
    earlier = await scene.code(person)
    await scene.comes(replace(visit_of(person, None), wants_code=True), ends="code")
    expect_notice(scene, "code_sent")
    await scene.comes(replace(visit_of(person, earlier), codes=(earlier, await scene.code(person))), ends="done")
    expect_notice(scene, "code_wrong")
    return scene.ends(person)


async def _guardian(scene: Scene) -> Expectation:
    """A guardian collects a minor's card by the own ID card and face; strangers with the code are turned away."""
    guardian, child = renewing(scene)[:2]
    stranger = next(person for person in scene.people if person.old_card is None)
    await entrusted(scene, child, guardian, "guardian")
    code = await scene.code(child)
    await scene.comes(Visit(stranger, stranger.person_id, (code,)), ends="code")
    expect_notice(scene, "code_wrong")
    visit = Visit(child, guardian.person_id, (code,), old_card(guardian), (old_card(child),))
    await scene.comes(replace(visit, face=stranger.person_id), ends="fault", faults=["no_match"])
    await scene.comes(visit, ends="done")
    taken = await event(scene, "lockerd.card.taken")
    if taken.get("relation") != "guardian":
        raise Surprise(f"the office was told that {taken.get('relation')} collected")
    return scene.ends(child)


async def entrusted(scene: Scene, owner: Citizen, collector: Citizen, relation: str) -> None:
    """The office names somebody who may collect another's card, and the machine knows."""
    office = scene.harness.office
    await office.entrust(owner.new_card.card_id, collector.new_card.card_id, relation)
    await event(scene, "lockerd.collectors.named")


async def event(scene: Scene, kind: str) -> dict[str, Any]:
    """The last event of one type, as soon as the office has one."""

    async def told() -> dict[str, Any] | None:
        found = await scene.harness.office.events(kind)
        return found[-1] if found else None

    return await eventually(f"{kind} at the office", OFFICE_SECONDS, told)


def expect_notice(scene: Scene, notice: str) -> None:
    """Raises Surprise unless the citizen was told this."""
    if not any(page.notice == notice for page in scene.kiosk.pages):
        raise Surprise(f"nothing told the citizen {notice}")


STORIES: dict[str, Story] = {
    "letter-code": _letter_code,
    "new-code": _new_code,
    "wrong-person": _wrong_person,
    "guardian": _guardian,
}

SETTINGS: dict[str, Tables] = {}
