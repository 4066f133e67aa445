"""The staff console in the system's Chromium: log in, see, load, count, settle; in both languages, on desk and phone."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, Route, ViewportSize, expect

from lockerd.errors import LockerError
from lockerd.model.custody import SlotRecord, SlotState
from lockerd.model.staffing import BinReport, LoadLine, LoadReport, RejectReason, Ruling
from lockerd.web.catalogue import catalogue
from lockerd.web.console import console_app
from lockerd.web.console_pages import said
from lockerd.web.health import Check, HealthReport, Status
from lockerd.web.logins import IDLE_SECONDS
from tests.staff_parts import PlayedDesk

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

DESK: ViewportSize = {"width": 1280, "height": 800}
TABLET: ViewportSize = {"width": 820, "height": 1180}
PHONE: ViewportSize = {"width": 390, "height": 844}
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "wcag2aaa"]
SCREENSHOTS = Path(os.environ.get("LOCKERD_SCREENSHOTS", "screenshots"))
LOOK_MS = 3_100  # the page looks every 3 s while nothing is under way
NAME, PIN = "li.wei", "482177"
OTHER = "wang.min"

WELL = tuple(
    Check(name, Status.PASS)
    for name in ("store", "card_path", "recycler", "reader.counter", "reader.throat", "reader.exit", "face", "office")
)
JAMMED = HealthReport(
    serving=False,
    checks=(
        *WELL[2:],
        Check("dispenser", Status.FAIL, "reports jam", "clear it, then settle at the console"),
        Check("slots", Status.WARN, "3 blocked", "look into them at the console"),
    ),
)
TRAY = (
    *(LoadLine(n, slot=20 + n) for n in range(1, 6)),
    LoadLine(6, reason=RejectReason.UNREADABLE),
    LoadLine(7, reason=RejectReason.NOT_ANNOUNCED),
    LoadLine(8, reason=RejectReason.READER_SILENT),
)

# Nothing may stick out of the window or of its own box, and every control must be a target of at least 44 px.
CHECK_BOXES = """() => {
  const found = [];
  if (document.documentElement.scrollWidth > innerWidth) found.push('page scrolls sideways');
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('svg') && e.tagName !== 'svg' || e.closest('.unseen') || !e.checkVisibility()) continue;
    const box = e.getBoundingClientRect();
    const name = e.tagName + '.' + (e.getAttribute('class') ?? '') + ' ' + e.textContent.trim().slice(0, 30);
    if (box.left < -1 || box.right > innerWidth + 1) found.push('outside: ' + name);
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth && getComputedStyle(e).display !== 'inline')
      found.push('too wide: ' + name);
    if (e.matches('button, a, input, select, summary') && Math.min(box.width, box.height) < 44) found.push('small target: ' + name);
  }
  return found;
}"""


@dataclass
class Machine:
    """A console on a real socket whose machine is played by the test."""

    address: str = ""
    clock: float = 0.0
    health: HealthReport = field(default_factory=lambda: HealthReport(True, (*WELL, Check("dispenser", Status.PASS))))
    load_report: LoadReport = field(default_factory=LoadReport)
    expected: int = 12
    refusal: str | None = None
    serving: bool = True
    desk: PlayedDesk = field(default_factory=PlayedDesk)
    counts: list[int] = field(default_factory=list)

    async def log_in(self, name: str, pin: str) -> bool:
        return name in (NAME, OTHER) and pin == PIN

    async def load(self, name: str) -> None:
        if self.refusal:
            raise LockerError(self.refusal)
        self.load_report = LoadReport(running=True)

    async def slots(self) -> Sequence[SlotRecord]:
        states = {7: SlotState.BLOCKED, 40: SlotState.BLOCKED, 41: SlotState.BLOCKED}
        return [
            SlotRecord(n, states.get(n, SlotState.STOCKED if n % 3 else SlotState.FREE), None, 1_760_000_000.0)
            for n in range(120)
        ]

    async def empty_bin(self, name: str, counted: int) -> BinReport:
        self.counts.append(counted)
        return BinReport(counted, self.expected)

    async def reissue_code(self, name: str, slot: int) -> None:
        if self.refusal:
            raise LockerError(self.refusal)

    async def extend_code(self, name: str, slot: int) -> None:
        """Nothing to do."""

    async def settle(self) -> bool:
        return self.serving


@asynccontextmanager
async def served(machine: Machine) -> AsyncIterator[Machine]:
    numbers = iter(range(1000))
    app = console_app(
        maintenance=machine,
        desk=machine.desk,
        health=lambda: machine.health,
        new_token=lambda: f"token-{next(numbers)}",
        now=lambda: machine.clock,
    )
    runner = web.AppRunner(app, shutdown_timeout=2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    machine.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield machine
    finally:
        await runner.cleanup()


@asynccontextmanager
async def browsing(
    chromium: Browser, machine: Machine, *, language: str = "zh", viewport: ViewportSize = DESK
) -> AsyncIterator[Page]:
    context = await chromium.new_context(viewport=viewport, timezone_id="Asia/Shanghai")
    context.set_default_timeout(30_000)
    page = await context.new_page()
    await page.clock.install()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "Security Policy" in message.text else None)
    await page.goto(f"{machine.address}/login?language={language}")
    yield page
    assert complaints == []
    await context.close()


async def later(page: Page) -> None:
    """Let the page's own clock run ahead to its next look at the machine."""
    await page.clock.fast_forward(LOOK_MS)


async def log_in(page: Page, pin: str = PIN, name: str = NAME) -> None:
    await page.locator("#name").fill(name)
    await page.locator("#pin").fill(pin)
    await page.locator("main button").click()


async def shoot(page: Page, name: str) -> None:
    """Keep a picture, and check what a picture shows: nothing is cut off, nothing is hard to hit."""
    await page.screenshot(path=SCREENSHOTS / f"console-{name}.png", full_page=True)
    assert await page.evaluate(CHECK_BOXES) == []


async def lawful(page: Page) -> None:
    found = await Axe().run(page, options={"runOnly": {"type": "tag", "values": TAGS}})
    assert found.response["violations"] == [], found.generate_report()


async def press(button: Locator) -> None:
    """Click what is answered on the same page: waiting for a navigation that never comes has stalled Playwright."""
    await button.click(no_wait_after=True)


@pytest.mark.parametrize(
    ("language", "view", "viewport"),
    [("zh", "desk", DESK), ("en", "desk", DESK), ("zh", "tablet", TABLET), ("en", "phone", PHONE)],
)
async def test_a_shift_at_the_console(chromium: Browser, language: str, view: str, viewport: ViewportSize) -> None:
    t = catalogue(language, "console")
    kind = f"{view}-{language}"
    judged = kind in {"desk-zh", "phone-en"}  # the others have the same elements
    async with served(Machine()) as machine, browsing(chromium, machine, language=language, viewport=viewport) as page:
        main = page.locator("main")
        await expect(page.locator("html")).to_have_attribute("lang", language)

        await log_in(page, pin="000000")
        await expect(page.get_by_role("alert").and_(page.locator("[data-error]"))).to_be_visible()
        await expect(page.locator("#pin")).to_have_value("")
        await shoot(page, f"1-login-{kind}")
        if judged:
            await lawful(page)

        await log_in(page)
        await expect(main).to_contain_text(t("serving.yes"))
        await shoot(page, f"2-overview-{kind}")
        machine.health = JAMMED
        await later(page)
        await expect(main).to_contain_text(t("serving.no"))
        await expect(main).to_contain_text(said(language, "reports jam"))
        machine.serving = False
        await press(main.get_by_role("button"))
        await expect(main).to_contain_text(t("settle.bad"))
        await shoot(page, f"2-overview-jam-{kind}")
        if judged:
            await lawful(page)
        machine.serving = True
        await press(main.get_by_role("button"))
        await expect(main.get_by_text(t("settle.good"))).to_be_visible()
        await expect(main.get_by_text(t("settle.bad"))).to_be_hidden()

        await page.get_by_role("link", name=t("page.load")).click()
        await press(main.get_by_role("button"))
        await expect(main).to_contain_text(t("load.running"))
        for n in range(1, len(TRAY) + 1):
            machine.load_report = LoadReport(True, TRAY[:n])
        await later(page)
        await expect(main).to_contain_text(t("reason.unreadable"))
        await expect(main).to_contain_text(t("load.slot", n=25))
        await expect(main).to_contain_text("5/8")
        await shoot(page, f"3-load-{kind}")
        if judged:
            await lawful(page)
        fault = "the exit reader does not answer; load the tray again once it does"
        machine.load_report = LoadReport(False, TRAY, fault)
        await later(page)
        await expect(main).to_contain_text(t("load.fault"))
        await shoot(page, f"3-load-fault-{kind}")

        await page.get_by_role("link", name=t("page.slots")).click()
        await expect(page.locator("ol.carousel > .slot")).to_have_count(120)
        await expect(page.locator("ol.carousel > .slot.blocked").first).to_contain_text(t("slot.letter.blocked"))
        await shoot(page, f"4-slots-{kind}")
        if judged:
            await lawful(page)

        await page.get_by_role("link", name=t("page.custody")).click()
        await page.locator("#card").fill("7")
        await press(main.get_by_role("button", name=t("card.button")))
        await expect(main).to_contain_text(t("place.in_doubt"))
        await expect(main).to_contain_text(said(language, "chip read while loading"))
        await page.locator("#place-1").select_option("slot")
        await page.locator("#slot-1").fill("7")
        await page.locator("#grounds-1").select_option("seen")
        await press(main.get_by_role("button", name=t("doubt.button")).first)
        await expect(main.get_by_text(t("ruling.awaits")).first).to_be_visible()
        await press(main.get_by_role("button", name=t("unblock.button")).last)
        await expect(main.get_by_text(t("unblock.good")).last).to_be_visible()
        await shoot(page, f"5-custody-{kind}")
        if judged:
            await lawful(page)

        await page.get_by_role("link", name=t("page.bin")).click()
        assert str(machine.expected) not in await main.inner_text()
        await page.locator("#counted-bin").fill("11")
        await press(main.get_by_role("button").first)
        await expect(main.get_by_text(t("bin.mismatch"), exact=True).first).to_be_visible()
        await expect(main.locator(".bad [data-fill=expected]").first).to_have_text("12")
        await shoot(page, f"6-bin-mismatch-{kind}")
        if judged:
            await lawful(page)
        await page.locator("#counted-bin").fill("12")
        await press(main.get_by_role("button").first)
        await expect(main.get_by_text(t("bin.agreed"), exact=True).first).to_be_visible()
        await expect(main.get_by_text(t("bin.mismatch"), exact=True).first).to_be_hidden()

        await page.get_by_role("button", name=t("button.logout")).click()
        await expect(page.locator("#pin")).to_be_visible()
        await page.goto(f"{machine.address}/slots")
        await expect(page.locator("#pin")).to_be_visible()


async def test_language_is_switched_on_the_page_and_kept(chromium: Browser) -> None:
    async with served(Machine()) as machine, browsing(chromium, machine) as page:
        await log_in(page)
        await page.get_by_role("link", name="English").click()
        await expect(page.locator("main")).to_contain_text("Cards can be collected")
        await page.get_by_role("link", name="Bin").click()
        await expect(page.locator("h2").first).to_have_text("Empty the recycling bin")
        await page.goto(f"{machine.address}/custody?card=7")
        await page.get_by_role("link", name="中文").click()
        await expect(page.locator("ol.chain > li")).to_have_count(4)


async def test_each_page_keeps_its_language_beside_one_in_the_other(chromium: Browser) -> None:
    async with served(Machine()) as machine, browsing(chromium, machine) as page:
        await log_in(page)
        await expect(page.locator("main")).to_contain_text("可以取证")
        other = await page.context.new_page()
        await other.goto(f"{machine.address}/?language=en")
        machine.health = JAMMED
        await later(page)
        await expect(page.locator("main")).to_contain_text("现在不能取证")
        await expect(page.locator("html")).to_have_attribute("lang", "zh")


async def test_refusal_of_the_machine_is_said_in_the_language_of_the_page(chromium: Browser) -> None:
    words = "the machine is in use; settle if a card is stuck, else wait until the screen shows its first page"
    async with served(Machine(refusal=words)) as machine, browsing(chromium, machine) as page:
        await log_in(page)
        await page.get_by_role("link", name="装卡").click()
        await page.get_by_role("button", name="开始装卡").click()
        await expect(page.locator("[data-error]")).to_have_text(said("zh", words))
        assert said("zh", words) != words
        await expect(page.locator("main")).to_contain_text(catalogue("zh", "console")("load.none"))


async def test_page_that_nobody_uses_logs_out_by_itself(chromium: Browser) -> None:
    async with served(Machine()) as machine, browsing(chromium, machine, language="en") as page:
        await log_in(page)
        await expect(page.locator("main")).to_contain_text("Cards can be collected")
        machine.clock += IDLE_SECONDS + 1
        await later(page)
        await expect(page.locator("main")).to_contain_text("You are no longer logged in")


async def test_page_says_when_the_machine_is_away(chromium: Browser) -> None:
    async with served(Machine()) as machine, browsing(chromium, machine, language="en") as page:
        await log_in(page)
        await expect(page.locator("main")).to_contain_text("Cards can be collected")
        await page.context.set_offline(True)
        await later(page)
        await expect(page.locator("[data-offline]")).to_be_visible()
        await page.context.set_offline(False)
        await later(page)
        await expect(page.locator("[data-offline]")).to_be_hidden()


async def test_words_from_below_are_never_markup(chromium: Browser) -> None:
    sly = HealthReport(True, (Check("office", Status.WARN, "<img src=x onerror=alert(1)>", "<b>bold</b>"),))
    async with served(Machine(health=sly)) as machine, browsing(chromium, machine, language="en") as page:
        await log_in(page)
        await expect(page.locator("main")).to_contain_text("<img src=x onerror=alert(1)>")
        await expect(page.locator("main img")).to_have_count(0)


async def test_an_order_whose_answer_is_lost_is_not_said_to_be_done_or_not_done(chromium: Browser) -> None:
    t = catalogue("en", "console")
    async with served(Machine()) as machine, browsing(chromium, machine, language="en") as page:
        await log_in(page)
        await page.get_by_role("link", name="Bin").click()

        async def lose_the_answer(route: Route) -> None:
            await route.fetch()
            await route.abort()

        await page.route("**/api/bin/empty*", lose_the_answer)
        await page.locator("#counted-bin").fill("12")
        await press(page.locator("main button").first)
        await expect(page.locator("[data-error]").first).to_have_text(t("refused.unknown"))
        await expect(page.get_by_text(t("bin.agreed"), exact=True).first).to_be_hidden()
        assert machine.counts == [12]


async def test_an_order_after_the_end_of_the_login_is_said_not_to_be_done(chromium: Browser) -> None:
    t = catalogue("en", "console")
    async with served(Machine()) as machine, browsing(chromium, machine, language="en") as page:
        await log_in(page)
        await page.get_by_role("link", name="Bin").click()
        await page.locator("#counted-bin").fill("12")
        machine.clock += IDLE_SECONDS + 1
        await page.locator("main button").first.click()
        await expect(page.locator("main")).to_contain_text(t("login.not_done"))
        assert machine.counts == []


async def test_a_page_of_the_first_person_orders_nothing_in_the_name_of_the_second(chromium: Browser) -> None:
    async with served(Machine()) as machine, browsing(chromium, machine, language="en") as page:
        await log_in(page)
        await page.get_by_role("link", name="Custody").click()
        await expect(page.locator("#place-1")).to_be_visible()
        second = await page.context.new_page()
        await second.goto(f"{machine.address}/login")
        await log_in(second, name=OTHER)
        await expect(second.locator("#who")).to_have_text(OTHER)
        await page.locator("#place-1").select_option("removed")
        await page.locator("#grounds-1").select_option("seen")
        await press(page.get_by_role("button", name="Record finding").first)
        await expect(page.locator("[data-error]").first).to_contain_text("omebody else has logged in")
        assert machine.desk.asked == []


async def test_a_doubt_that_is_over_asks_for_nothing_more(chromium: Browser) -> None:
    t = catalogue("zh", "console")
    async with served(Machine()) as machine, browsing(chromium, machine, viewport=PHONE) as page:
        machine.desk.ruling = Ruling.DECIDED
        await log_in(page)
        await page.get_by_role("link", name=t("page.custody")).click()
        form = page.locator("form", has_text="old-000031")
        await expect(form.get_by_text(t("doubt.found_by", name="wang.min"))).to_be_visible()
        await form.locator("select").first.select_option("removed")
        await form.locator("select").last.select_option("count")
        await press(form.get_by_role("button"))
        await expect(form.get_by_text(t("ruling.decided"))).to_be_in_viewport(ratio=1)
        await expect(form.get_by_text(t("doubt.found_by", name="wang.min"))).to_be_hidden()
        await expect(form.get_by_role("button")).to_be_hidden()
