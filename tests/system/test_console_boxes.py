"""Each page of the console in every state, with the longest words and many rows: nothing sticks out at any size."""

from __future__ import annotations

from itertools import cycle

import msgspec
import pytest
from aiohttp import web
from playwright.async_api import Browser, ViewportSize

from lockerd.model.custody import Place, SlotRecord, SlotState
from lockerd.model.staffing import (
    BlockedSlot,
    CardFile,
    ChainLink,
    DoubtfulCard,
    LoadLine,
    LoadReport,
    LostCard,
    OpenMatters,
    RejectReason,
)
from lockerd.web.catalogue import LANGUAGES
from lockerd.web.common import STATIC, TEMPLATES
from lockerd.web.console_pages import Page, render_custody, render_login, render_page, render_part, render_trouble
from lockerd.web.health import Check, HealthReport, Status
from tests.system.test_console_browser import CHECK_BOXES, DESK, TABLET

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SIZES: tuple[ViewportSize, ...] = (
    {"width": 360, "height": 740},
    TABLET,
    DESK,
    {"width": 240, "height": 494},  # a phone with type half as large again
)
SHOW_ALL = """(longest) => {
  for (const e of document.querySelectorAll('[data-when], [data-error], [data-offline]')) e.hidden = false;
  for (const e of document.querySelectorAll('[data-error]')) e.textContent = longest;
  for (const e of document.querySelectorAll('details')) e.open = true;
  for (const e of document.querySelectorAll('[data-fill]')) e.textContent = '9999';
  for (const e of document.querySelectorAll('select'))
    e.selectedIndex = [...e.options].reduce((most, o) => (o.text.length > e.options[most].text.length ? o.index : most), 0);
}"""
NAME = "abdurrahman-maimaiti.wang-xiaoming@shibei-branch.public-security"
CARD = "N" + "0123456789" * 3 + "012345678"
WHOSE = (f"staff:{NAME}", "session:" + "9f2c" * 8, "machine:" + "ab12" * 8, "office", "staff:wang.min+li.wei")
REASONS = ("another card stands before the exit reader", "found by two people", "store", "not_as_recorded")


def _pages(language: str, sayings: dict[str, str]) -> dict[str, str]:
    longest = max(sayings, key=lambda key: len(sayings[key]))
    bad = tuple(Check(name, status, longest, longest) for status in Status for name in ("reader.throat", "retract_box"))
    lines = tuple(
        LoadLine(n, slot=n) if n % 4 else LoadLine(n, reason=reason)
        for n, reason in zip(range(1, 61), cycle(RejectReason), strict=False)
    )
    slots = tuple(SlotRecord(n, state, None, 1.76e9) for n, state in zip(range(300), cycle(SlotState), strict=False))
    chain = tuple(
        ChainLink(1.75e9 + n, None, place, 299, reason, whose)
        for n, place, reason, whose in zip(range(40), cycle(Place), cycle(REASONS), cycle(WHOSE), strict=False)
    )
    matters = OpenMatters(
        tuple(
            DoubtfulCard(CARD, role, slot, 1.76e9, by)
            for role in ("new", "old")
            for slot, by in ((299, NAME), (None, None))
        ),
        tuple(
            BlockedSlot(slot, reason, card, 1.76e9)
            for slot, reason, card in zip((7, 299), REASONS, (CARD, None), strict=False)
        ),
        tuple(LostCard(f"old-{n:06}", Place.THROAT, 1.76e9, "L-" + "7" * 38) for n in range(3)),
    )
    card = CardFile(CARD, "new", Place.IN_DOUBT, 299, WHOSE[0], chain, "L-" + "7" * 38)
    fault = "the exit reader does not answer; load the tray again once it does"
    states = {
        "overview-bad": (Page.OVERVIEW, HealthReport(False, bad), LoadReport()),
        "overview-well": (Page.OVERVIEW, HealthReport(True, bad[:2]), LoadReport()),
        "load-none": (Page.LOAD, HealthReport(True), LoadReport()),
        "load-waits": (Page.LOAD, HealthReport(True), LoadReport(True, waiting=True)),
        "load-runs": (Page.LOAD, HealthReport(True), LoadReport(True, lines)),
        "load-fault": (Page.LOAD, HealthReport(True), LoadReport(False, lines, fault)),
        "slots": (Page.SLOTS, HealthReport(True), LoadReport()),
        "bin": (Page.BIN, HealthReport(True), LoadReport()),
    }
    return {
        "trouble": render_trouble(language, longest),
        "login": render_login(language, ended=True, not_done=True),
        "custody": render_custody(language, NAME, wanted="299", card=card, matters=matters),
        "custody-empty": render_custody(language, NAME, wanted="299", card=None, matters=OpenMatters()),
    } | {
        name: render_page(page, language, NAME, render_part(page, language, health=health, report=report, slots=slots))
        for name, (page, health, report) in states.items()
    }


@pytest.mark.parametrize("language", LANGUAGES)
async def test_nothing_sticks_out_of_any_page_in_any_state(chromium: Browser, language: str) -> None:
    words = (TEMPLATES.parent / "text" / "console" / "sayings.zh.json").read_bytes()
    sayings = msgspec.json.decode(words, type=dict[str, str])
    longest = max(sayings.values() if language == "zh" else sayings, key=len)
    pages = _pages(language, sayings)

    async def give(request: web.Request) -> web.Response:
        return web.Response(text=pages[request.match_info["name"]], content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/{name}", give), web.static("/static", STATIC)])
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        page = await (await chromium.new_context(timezone_id="Asia/Shanghai")).new_page()
        found = []
        for name in pages:
            await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/{name}")
            await page.evaluate(SHOW_ALL, longest)
            for size in SIZES:
                await page.set_viewport_size(size)
                found += [f"{name} at {size['width']}: {box}" for box in await page.evaluate(CHECK_BOXES)]
        assert found == []
    finally:
        await runner.cleanup()
