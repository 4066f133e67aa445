"""Real journeys, tapped through in the system's Chromium, against the real daemon and a simulated street machine.

Every screen is photographed into LOCKERD_SCREENSHOTS/journey; docs/kiosk.png is one of these pictures.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from lockerd.web.catalogue import catalogue
from sim.clients import Impossible, eventually
from sim.harness import STAFF_NAME, STAFF_PIN, Harness, Setting, free_addresses
from sim.people import Citizen, population
from sim.robot import Staff, newest_code

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SEED = 1
SPEED = 4.0
TAKE_SECONDS = 22.0  # long enough to see the page before its last 20 seconds, in which it warns
TICKET = re.compile(r"[A-Z]-\d{4}")
PATIENCE = 45_000  # ms for any page that the machine owes


@dataclass
class Street:
    """The running machine, stocked, and who may come to it."""

    harness: Harness
    people: Sequence[Citizen]
    pictures: Path

    async def code(self, person: Citizen) -> str:
        return await newest_code(self.harness.inbox, person.phone, 30.0)

    async def places(self, person: Citizen) -> dict[str, str]:
        """Where the person's cards really are, by role."""
        cards = (await self.harness.world.truth())["cards"]
        return {card["role"]: card["place"] for card in cards if card["person"] == person.person_id}


@dataclass
class Fingers:
    """A citizen before the screen; `journey` names the pictures."""

    page: Page
    street: Street
    person: Citizen
    journey: str
    pictures: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def old_card(self) -> str:
        assert self.person.old_card is not None
        return self.person.old_card.card_id

    def button(self, action: str) -> Locator:
        return self.page.locator(f'[data-action="{action}"]:visible')

    async def sees(self, view: str, *inside: str) -> None:
        """Wait for a screen on which each of the selectors `inside` shows something."""
        await expect(self.page.locator(f'#page[data-view="{view}"]')).to_be_visible(timeout=PATIENCE)
        for selector in inside:
            await expect(self.page.locator(selector).first).to_be_visible(timeout=PATIENCE)

    async def is_told(self, notice: str) -> None:
        words = catalogue(str(await self.page.locator("html").get_attribute("lang")))(f"notice.{notice}")
        await expect(self.page.locator(".notice p")).to_contain_text(words, timeout=PATIENCE)

    async def photographs(self, name: str) -> None:
        self.pictures += 1
        path = self.street.pictures / f"{self.journey}-{self.pictures:02}-{name}.png"
        await self.page.screenshot(path=path, scale="css")

    async def acts(self, do: str, **arguments: object) -> None:
        await self.street.harness.world.act(do, **arguments)

    async def types_the_code(self) -> None:
        await self.sees("code")
        await self.photographs("code")
        for digit in await self.street.code(self.person):
            await self.page.locator(f'[data-key="{digit}"]:visible').tap()
        await self.photographs("code-typed")
        await self.button("code").tap()

    async def shows_the_card(self) -> None:
        await self.sees("identify")
        await self.photographs("identify")
        await self.acts("put_on_reader", card=self.old_card)
        await self.sees("face")
        await expect(self.page.locator("[data-preview] img")).not_to_have_js_property("naturalWidth", 0)
        await self.acts("take_from_reader")

    async def looks(self, *faces: str) -> None:
        await self.acts("look", person=faces[0], **({"also": faces[1]} if faces[1:] else {}))

    async def shows_the_face(self) -> None:
        """First with somebody beside, which the machine refuses to judge, then alone."""
        beside = next(person for person in self.street.people if person is not self.person)
        await self.looks(self.person.person_id, beside.person_id)
        await self.is_told("face_several")
        await self.photographs("face-not-alone")
        await self.looks(self.person.person_id)
        await self.photographs("face")
        await self.sees("confirm")
        await self.acts("look", person=None)

    async def inserts_the_old_card(self) -> None:
        await self.photographs("confirm")
        await self.button("confirm").tap()
        await self.sees("old_card", '[data-action="cancel"]')  # offered once the shutter is open
        await self.photographs("old-card")
        await self.acts("insert_old", card=self.old_card)
        await self.sees("take")
        await self.photographs("fetching")
        await self.sees("take", ".panel:not(.wait)")
        await self.photographs("take")

    async def takes_the_old_card(self) -> None:
        """As soon as it comes out: the page asks for it a moment earlier."""

        async def attempt() -> bool | None:
            try:
                await self.acts("take_old")
            except Impossible:
                return None
            return True

        await eventually("the old card in the throat", 20.0, attempt)

    async def leaves(self) -> None:
        await self.button("close").tap()
        await self.sees("code")
        await expect(self.page.locator('html[lang="zh"]')).to_be_attached()  # the next citizen begins anew
        assert self.failures == []

    async def ends_at_a_fault(self, title: str) -> None:
        """The last page of a journey that did not end well says what happened and shows the ticket."""
        await self.sees("fault", '[data-action="close"]', ".qr")
        await expect(self.page.locator("#page h1")).to_have_text(title)
        await expect(self.page.locator(".ticket .number")).to_have_text(TICKET)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def street(tmp_path_factory: pytest.TempPathFactory, screenshots: Path) -> AsyncIterator[Street]:
    state = tmp_path_factory.mktemp("street")
    pictures = screenshots / "journey"
    pictures.mkdir(exist_ok=True)
    people = [person for person in population(SEED, 5) if person.old_card]
    setting = Setting(state, free_addresses(), SEED, SPEED, take_seconds=TAKE_SECONDS)
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
        Harness(setting, session) as harness,
    ):
        cards = [person.new_card.card_id for person in people]
        await Staff(harness.console, harness.world).load(cards, STAFF_NAME, STAFF_PIN)
        yield Street(harness, people, pictures)


async def comes(chromium: Browser, street: Street, person: Citizen, journey: str) -> Fingers:
    context = await chromium.new_context(
        viewport={"width": 1920, "height": 1080}, has_touch=True, reduced_motion="reduce"
    )
    page = await context.new_page()
    fingers = Fingers(page, street, person, journey)
    page.on("pageerror", lambda error: fingers.failures.append(str(error)))
    await page.goto(f"http://{street.harness.setting.addresses.kiosk}")
    return fingers


@pytest.mark.parametrize(("language", "nth"), [("zh", 0), ("en", 1)])
async def test_a_renewal_is_tapped_through_to_the_new_card(
    chromium: Browser, street: Street, language: str, nth: int
) -> None:
    citizen = await comes(chromium, street, street.people[nth], f"renewal-{language}")
    await citizen.sees("code")
    if language != "zh":
        await citizen.button("language").tap()
    await expect(citizen.page.locator(f'html[lang="{language}"]')).to_be_attached()
    await citizen.types_the_code()
    await citizen.shows_the_card()
    await citizen.shows_the_face()
    await citizen.inserts_the_old_card()
    await citizen.acts("take_new")
    await citizen.sees("done", '[data-action="close"]')
    await citizen.photographs("done")
    assert await street.places(citizen.person) == {"new": "person", "old": "bin"}
    await citizen.leaves()


async def test_a_card_left_in_the_exit_comes_home_and_the_old_one_goes_back(chromium: Browser, street: Street) -> None:
    citizen = await comes(chromium, street, street.people[2], "not-taken")
    await citizen.types_the_code()
    await citizen.shows_the_card()
    await citizen.shows_the_face()
    await citizen.inserts_the_old_card()
    await citizen.sees("take", ".time")
    await citizen.photographs("last-seconds")
    await citizen.sees("fault")
    await citizen.photographs("drawn-back")
    await citizen.sees("fault", ".returning")  # first the old card, then the words
    await expect(citizen.button("close")).to_have_count(0)
    await citizen.photographs("old-card-back")
    assert (await street.places(citizen.person))["new"] == "slot"
    await citizen.takes_the_old_card()
    await citizen.ends_at_a_fault("新证没有取走")
    await citizen.photographs("fault")
    assert await street.places(citizen.person) == {"new": "slot", "old": "person"}
    await citizen.leaves()


async def test_another_face_gets_a_ticket_and_no_card(chromium: Browser, street: Street) -> None:
    citizen = await comes(chromium, street, street.people[3], "wrong-face")
    await citizen.types_the_code()
    await citizen.shows_the_card()
    await citizen.looks(street.people[2].person_id)
    await citizen.photographs("face")
    await citizen.ends_at_a_fault("没能确认您的身份")
    await citizen.acts("look", person=None)
    await citizen.photographs("fault")
    assert await street.places(citizen.person) == {"new": "slot", "old": "person"}
    await citizen.leaves()


async def test_who_wants_no_face_check_gets_a_ticket_and_who_cancels_gets_none(
    chromium: Browser, street: Street
) -> None:
    citizen = await comes(chromium, street, street.people[3], "other-way")
    await citizen.types_the_code()
    await citizen.shows_the_card()
    await citizen.button("cancel").tap()
    await citizen.types_the_code()
    await citizen.shows_the_card()
    await citizen.button("other_way").tap()
    await citizen.ends_at_a_fault("改到窗口领取")
    await citizen.photographs("fault")
    await citizen.leaves()
