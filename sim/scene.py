"""A running machine with robots before it, and what a story may ask of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from sim.clients import Kiosk, Page
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

    def ends(self, *collected: Citizen, power_lost: bool = False, kept: Sequence[Citizen] | None = None) -> Expectation:
        """Exactly these collected, everybody else's card in its slot; the old cards of those `kept`, or of all who renewed."""
        mine = frozenset(person.new_card.card_id for person in collected)
        handed_in = kept if kept is not None else [person for person in collected if person.old_card]
        kept_of = frozenset(person.new_card.card_id for person in handed_in)
        return Expectation(mine, kept_of, self.stocked - mine, power_lost)


Story = Callable[[Scene], Awaitable[Expectation]]


def renewing(scene: Scene) -> list[Citizen]:
    """The people of a scene who have an old card to hand in."""
    return [person for person in scene.people if person.old_card]


def old_card(person: Citizen) -> str:
    """The old card of somebody who has one."""
    assert person.old_card is not None, "only people with an old card are asked for it"
    return person.old_card.card_id


def scene_of(harness: Harness, seed: int, speed: float) -> Scene:
    """A scene with the first few people of the town, before anything is stocked."""
    body = Body(Random(seed), speed)
    return Scene(harness, harness.kiosk, body, population(seed, PEOPLE)[:3])
