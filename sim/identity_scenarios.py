"""Stories about who may collect: the wrong person, and somebody who collects for another."""

from __future__ import annotations

import base64
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
    await scene.code(child)  # made before the guardian was named: another one comes
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


async def _two_faces(scene: Scene) -> Expectation:
    """Two people before the camera are never verified: one who stays ends at the counter, one who steps aside is asked to."""
    person, friend = renewing(scene)[:2]
    visit = replace(visit_of(person, await scene.code(person)), beside=friend.person_id)
    await scene.comes(replace(visit, stays=True), ends="fault", faults=["no_match"])
    expect_notice(scene, "face_several")
    await scene.comes(visit, ends="done")
    return scene.ends(person)


async def _photo_attack(scene: Scene) -> Expectation:
    """A print of the owner's photo is held before the cameras and never verified; the owner then collects."""
    owner = renewing(scene)[0]
    visit = visit_of(owner, await scene.code(owner))
    await scene.comes(replace(visit, printed=True), ends="fault", faults=["no_match"])
    await scene.comes(visit, ends="done")
    return scene.ends(owner)


async def _remote_review(scene: Scene) -> Expectation:
    """The office's reviewer refuses a stranger, is not there, and approves the owner; the picture is nowhere on a disk."""
    owner, thief = renewing(scene)[:2]
    office = scene.harness.office
    visit = replace(visit_of(owner, await scene.code(owner)), shows_face=False)
    await scene.comes(replace(visit, agrees=False), ends="fault", faults=["other_way"])
    if await office.reviews():
        raise Surprise("a picture was sent without consent")
    await office.reviewer("refused", "r-4")
    await scene.comes(replace(visit, face=thief.person_id, shows_face=True), ends="fault", faults=["review_refused"])
    await office.reviewer(None)
    await scene.comes(visit, ends="fault", faults=["no_reviewer"])
    await office.reviewer("approved", "r-17")
    await scene.comes(visit, ends="done")
    await event(scene, "lockerd.card.taken")
    decided = [(one["decision"], one.get("reviewer")) for one in await office.events("lockerd.review.decided")]
    if decided != [("refused", "r-4"), ("timed_out", None), ("approved", "r-17")]:
        raise Surprise(f"the office was told of these reviews: {decided}")
    kept = _kept_pictures(scene, [base64.b64decode(one["sample"]) for one in await office.reviews()])
    if kept:
        raise Surprise(f"a picture for the reviewer is in {', '.join(kept)}")
    return scene.ends(owner)


async def _fingerprint(scene: Scene) -> Expectation:
    """Face and finger: another's finger is refused, a sensor that is gone leads to the counter, the own finger opens."""
    person, other = renewing(scene)[:2]
    visit = visit_of(person, await scene.code(person))
    await scene.comes(replace(visit, finger=other.person_id), ends="fault", faults=["no_match"])
    expect_notice(scene, "finger_retry")
    await scene.harness.world.act("silence", unit="fingerprint", seconds=3600.0)
    await scene.comes(visit, ends="fault", faults=["finger_down"])
    await scene.harness.world.act("silence", unit="fingerprint", seconds=0.0)
    with scene.body.own_time():  # the next citizen comes when the machine has noticed
        await eventually("the sensor well again", OFFICE_SECONDS, lambda: _sensor_well(scene))
    await scene.comes(visit, ends="done")
    opened = await event(scene, "lockerd.claim.opened")
    if opened["evidence"] != sorted(_FINGER):
        raise Surprise(f"the office was told of this evidence: {opened['evidence']}")
    return scene.ends(person)


async def _sensor_well(scene: Scene) -> bool | None:
    url = f"http://{scene.harness.setting.addresses.health}/readyz?verbose"
    async with scene.harness.session.get(url) as answer:
        told = await answer.json(content_type=None)
    return True if told["checks"]["fingerprint"][0]["status"] == "pass" else None


async def _chip_photo(scene: Scene) -> Expectation:
    """The office's photo shows nobody: the photo on the new card's chip stands in, read when the card was loaded."""
    owner, thief = renewing(scene)[:2]
    visit = visit_of(owner, await scene.code(owner))
    await scene.comes(replace(visit, face=thief.person_id), ends="fault", faults=["no_match"])
    await scene.comes(visit, ends="done")
    return scene.ends(owner)


async def _damaged(scene: Scene) -> Expectation:
    """The old card's chip is broken: the number is typed, another's card comes back, and the machine takes the broken one."""
    person, other = renewing(scene)[:2]
    await scene.harness.world.act("break_chip", card=old_card(person))
    visit = replace(
        visit_of(person, await scene.code(person)), card=None, old_cards=(old_card(other), old_card(person))
    )
    await scene.comes(visit, ends="done")
    expect_notice(scene, "old_card_not_yours")
    tried = await event(scene, "lockerd.identity.tried")
    if (tried["evidence"], tried["result"], tried["reason"]) != ("old_card", "accept", "unreadable"):
        raise Surprise(f"the office was told of this try: {tried}")
    return scene.ends(person)


async def _office_template(scene: Scene) -> Expectation:
    """The office's own template stands in for a photo; one of other models is refused, and the photo beside it is used."""
    owner, other = renewing(scene)[:2]
    nobody = next(person for person in scene.people if person.old_card is None)
    visit = visit_of(owner, await scene.code(owner))
    await scene.comes(replace(visit, face=other.person_id), ends="fault", faults=["no_match"])
    await scene.comes(visit, ends="done")
    await scene.comes(replace(visit_of(other, await scene.code(other)), leaves_at="confirm"), ends="code")
    await scene.comes(visit_of(nobody, await scene.code(nobody)), ends="fault", faults=["face_down"])
    told = {
        kind: [(one["claim_id"], one["reason"]) for one in await scene.harness.office.events(f"lockerd.{kind}")]
        for kind in ("template.refused", "reference.unusable")
    }
    if told != {
        "template.refused": [(other.new_card.card_id, "wrong_model")],
        "reference.unusable": [(nobody.new_card.card_id, "wrong_model")],
    }:
        raise Surprise(f"the office was told: {told}")
    return scene.ends(owner)


def _kept_pictures(scene: Scene, samples: list[bytes]) -> list[str]:
    """Files of the run that hold a part of a picture, as bytes, base64 or hexadecimal."""
    # base64 of a part that begins and ends anywhere has its middle in common with that of the whole, at one of three offsets
    spelt = [base64.b64encode(one[at:])[4:-8] for one in samples for at in range(3)]
    wanted = [*samples, *spelt, *(one.hex().encode() for one in samples)]
    return [
        str(path.name)
        for path in scene.harness.setting.state.rglob("*")
        if path.is_file() and any(one in path.read_bytes() for one in wanted)
    ]


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
    "two-faces": _two_faces,
    "photo-attack": _photo_attack,
    "remote-review": _remote_review,
    "fingerprint": _fingerprint,
    "chip-photo": _chip_photo,
    "damaged": _damaged,
    "office-template": _office_template,
}

_LOOKS_SHORT: Tables = {"patience": {"face": 2.0, "answer": 15.0}}
_FINGER = ["code", "id_card", "face", "fingerprint", "old_card"]
_REVIEWED: Tables = {
    "review": {"seconds": 2.0},
    "policy.owner": {
        "renewal": [["code", "id_card", "face", "old_card"], ["code", "id_card", "remote_review", "old_card"]],
    },
}
SETTINGS: dict[str, dict[str, Any]] = {
    "two-faces": {"also": _LOOKS_SHORT},
    "photo-attack": {"also": _LOOKS_SHORT, "infrared": True},
    "remote-review": {"also": _REVIEWED},
    "chip-photo": {"faceless": True},
    "damaged": {"damaged": ("p1",)},
    "office-template": {"templates": ("p1",), "foreign_templates": ("p2", "p3"), "photoless": ("p1", "p3")},
    "fingerprint": {"also": {"policy.owner": {"renewal": [_FINGER]}}, "fingerprint": True},
}
"""What of the `Setting` is not as usual, by scenario."""
