"""The stories that a run tells: each a small function over what citizen, staff and fate can do, and the end it expects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from sim.clients import Kiosk, Page, eventually
from sim.harness import STAFF_NAME, STAFF_PIN, Harness
from sim.people import Citizen, population
from sim.robot import Body, Robot, Staff, Visit, newest_code, visit_of
from sim.verdict import Expectation

PEOPLE = 5
SMS_SECONDS = 30.0


class Surprise(Exception):
    """The machine showed another page than the scenario expects, or handed out another card."""


@dataclass(slots=True)
class Scene:
    """A running machine, stocked by staff, and the robots before it. Cards in `stocked` are in slots from the start."""

    harness: Harness
    kiosk: Kiosk
    body: Body
    people: tuple[Citizen, ...]
    stocked: frozenset[str] = frozenset()
    robot: Robot = field(init=False)
    _codes: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.robot = Robot(self.kiosk, self.harness.world, self.body)

    async def stock(self) -> None:
        """Staff load the cards of all `people`; everybody's SMS has arrived afterwards. Raises Refused for a rejected card."""
        cards = [person.new_card.card_id for person in self.people]
        staff = Staff(self.harness.console, self.harness.world)
        await staff.load(cards, STAFF_NAME, STAFF_PIN)
        for person in self.people:
            await newest_code(self.harness.inbox, person.phone, SMS_SECONDS)
        self.stocked = frozenset(cards)

    async def code(self, person: Citizen) -> str:
        """The code of the newest SMS to `person` that was not used yet."""
        code = await newest_code(self.harness.inbox, person.phone, SMS_SECONDS, frozenset(self._codes))
        self._codes.add(code)
        return code

    async def comes(self, visit: Visit, *, ends: str, faults: Sequence[str | None] = (None,)) -> Page:
        """A visit that ends on the page `ends` with one of the `faults`. Raises Surprise for another end or card."""
        before = len(self.robot.got)
        page = await self.robot.visit(visit)
        if page.view != ends or page.fault not in faults:
            raise Surprise(
                f"the visit ended on {page.view}/{page.fault}, expected {ends}/{' or '.join(map(str, faults))}"
            )
        got, own = self.robot.got[before:], visit.person.new_card.card_id
        if got != ([own] if ends == "done" else []):
            raise Surprise(f"the citizen got {got}")
        if ends == "fault" and page.ticket is None:
            raise Surprise(f"the fault page {page.fault} has no ticket for the counter")
        return page

    async def collects(self, person: Citizen) -> None:
        """An honest visit with a code, that must succeed."""
        await self.comes(visit_of(person, await self.code(person)), ends="done")

    async def collects_by_card(self, person: Citizen) -> None:
        """An honest visit without a code, by old card and face, that must succeed."""
        await self.comes(visit_of(person, None), ends="done")

    def ends(self, *collected: Citizen, power_lost: bool = False) -> Expectation:
        """Exactly these collected, their old cards kept, everybody else's card in its slot."""
        mine = frozenset(person.new_card.card_id for person in collected)
        kept = frozenset(person.new_card.card_id for person in collected if person.old_card)
        return Expectation(mine, kept, self.stocked - mine, power_lost)


Story = Callable[[Scene], Awaitable[Expectation]]


async def _renewal(scene: Scene) -> Expectation:
    """Code, old card on the reader, face, confirmation, old card into the throat, new card taken."""
    person = _renewing(scene)[0]
    await scene.collects(person)
    return scene.ends(person)


async def _lost_card(scene: Scene) -> Expectation:
    """A replacement: the old card is lost, so the number is typed and nothing is inserted."""
    person = next(person for person in scene.people if person.old_card is None)
    await scene.collects(person)
    return scene.ends(person)


async def _wrong_code(scene: Scene) -> Expectation:
    """A mistyped code is refused without telling why; the right one works."""
    person = _renewing(scene)[0]
    code = await scene.code(person)
    mistyped = f"{(int(code) + 1) % 10**8:08d}"
    await scene.comes(replace(visit_of(person, code), codes=(mistyped, code)), ends="done")
    if not any(page.notice == "code_wrong" for page in scene.kiosk.pages):
        raise Surprise("nothing told the citizen that the code was wrong")
    return scene.ends(person)


async def _letter_code(scene: Scene) -> Expectation:
    """The telephone is lost: the office writes a letter, and its code does what the message's would."""
    person = _renewing(scene)[0]
    letter_code = await scene.harness.office.write_letter(person.new_card.card_id)

    async def reissued() -> bool | None:
        claim = (await scene.harness.office.ledger())["claims"][person.new_card.card_id]
        return True if claim["events"] == 2 else None  # stocked, reissued

    await eventually("the letter code known to the machine", SMS_SECONDS, reissued)
    await scene.comes(visit_of(person, letter_code), ends="done")
    return scene.ends(person)


async def _new_code(scene: Scene) -> Expectation:
    """The message is deleted: the ID card on the reader has a new code sent, and the earlier one is worth nothing."""
    person = _renewing(scene)[0]
    earlier = await scene.code(person)
    await scene.comes(replace(visit_of(person, None), wants_code=True), ends="code")
    if scene.robot.last is None or scene.robot.last.notice != "code_sent":
        raise Surprise("nothing told the citizen that a code was sent")
    await scene.comes(replace(visit_of(person, earlier), codes=(earlier, await scene.code(person))), ends="done")
    if not any(page.notice == "code_wrong" for page in scene.kiosk.pages):
        raise Surprise("the earlier code was still taken")
    return scene.ends(person)


async def _wrong_face(scene: Scene) -> Expectation:
    """Somebody comes with the code and the card of another and is refused; the owner then collects."""
    owner, thief = _renewing(scene)[:2]
    stolen = replace(visit_of(owner, await scene.code(owner)), face=thief.person_id)
    await scene.comes(stolen, ends="fault", faults=["no_match"])
    await scene.collects_by_card(owner)
    return scene.ends(owner)


async def _foreign_old_card(scene: Scene) -> Expectation:
    """The card of somebody else is inserted as the old one and comes back; the right one works."""
    person, other = _renewing(scene)[:2]
    visit = visit_of(person, await scene.code(person))
    await scene.comes(replace(visit, old_cards=(_old(other), _old(person))), ends="done")
    if not any(page.notice == "old_card_not_yours" for page in scene.kiosk.pages):
        raise Surprise("nothing told the citizen that the card was another's")
    return scene.ends(person)


async def _not_taken(scene: Scene) -> Expectation:
    """The new card is left in the exit: it is drawn back, the old one given back, and it is still there on the next visit."""
    person = _renewing(scene)[0]
    forgetful = replace(visit_of(person, await scene.code(person)), takes=False)
    await scene.comes(forgetful, ends="fault", faults=["not_taken"])
    await scene.collects_by_card(person)
    return scene.ends(person)


async def _old_card_not_inserted(scene: Scene) -> Expectation:
    """The citizen gives up where the old card is wanted, keeps it, and collects on the next visit."""
    person = _renewing(scene)[0]
    undecided = replace(visit_of(person, await scene.code(person)), leaves_at="old_card")
    await scene.comes(undecided, ends="fault", faults=["cancelled"])
    await scene.collects_by_card(person)
    return scene.ends(person)


async def _jam(scene: Scene) -> Expectation:
    """The picker jams: the old card comes back with a ticket; staff clear it; the card is still collectable."""
    person = _renewing(scene)[0]
    world = scene.harness.world
    await world.act("jam", unit="dispenser", motion="pick")
    await scene.comes(visit_of(person, await scene.code(person)), ends="fault", faults=["jam", "in_doubt"])
    with scene.body.own_time():  # the citizen waits for staff
        await Staff(scene.harness.console, world).clear_jam("dispenser", STAFF_NAME, STAFF_PIN)
    await scene.collects_by_card(person)
    return scene.ends(person)


async def _power_cut(scene: Scene) -> Expectation:
    """Machine and daemon lose power while the new card is on its way; the citizen ends up with exactly one card, then collects."""
    person = _renewing(scene)[0]
    visit = asyncio.ensure_future(scene.robot.visit(visit_of(person, await scene.code(person))))
    try:
        await eventually("the card on its way", 60.0, lambda: _moving(scene, visit, "present"))
    finally:
        visit.cancel()
        await asyncio.gather(visit, return_exceptions=True)
    with scene.body.own_time():  # the town is dark
        await scene.harness.cut_power()
        await scene.harness.restore_power()
    await scene.robot.collects_what_waits(person)
    cards = [card for card in (await scene.harness.world.truth())["cards"] if card["person"] == person.person_id]
    in_hand = [card["role"] for card in cards if card["place"] == "person"]
    if len(in_hand) != 1:
        raise Surprise(f"after the power cut the citizen holds {in_hand}")
    if in_hand == ["old"]:
        await scene.collects_by_card(person)
    return scene.ends(person, power_lost=True)


async def _office_down(scene: Scene) -> Expectation:
    """The office is away during the whole pickup; its events arrive later, once each."""
    person = _renewing(scene)[0]
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


def _renewing(scene: Scene) -> list[Citizen]:
    return [person for person in scene.people if person.old_card]


def _old(person: Citizen) -> str:
    assert person.old_card is not None, "only people with an old card are asked for it"
    return person.old_card.card_id


SCENARIOS: dict[str, Story] = {
    "renewal": _renewal,
    "lost-card": _lost_card,
    "wrong-code": _wrong_code,
    "letter-code": _letter_code,
    "new-code": _new_code,
    "wrong-face": _wrong_face,
    "foreign-old-card": _foreign_old_card,
    "not-taken": _not_taken,
    "old-card-not-inserted": _old_card_not_inserted,
    "jam": _jam,
    "power-cut": _power_cut,
    "office-down": _office_down,
}
"""By name, in the order of `--all`."""


def scene_of(harness: Harness, seed: int, speed: float) -> Scene:
    """A scene with the first few people of the town, before anything is stocked."""
    body = Body(Random(seed), speed)
    return Scene(harness, harness.kiosk, body, population(seed, PEOPLE)[:3])
