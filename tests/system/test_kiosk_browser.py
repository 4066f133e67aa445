"""The citizen's screen in the system's Chromium: legible, reachable, inside its frame, and alive after a restart."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from aiohttp import web
from axe_playwright_python.async_playwright import Axe
from msgspec.structs import replace
from playwright.async_api import Browser, Page, Route, expect

from lockerd.model.policy import Evidence
from lockerd.model.view import Action, FaultKind, Notice, Progress, Screen, Tap, View, Whereabouts
from lockerd.web.kiosk import Views, kiosk_app
from lockerd.web.render import render
from tests.system.kiosk_views import AXE_VIEWS, CONFIRM, TICKET, VIEWS

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

LANDSCAPE = {"width": 1920, "height": 1080}
PORTRAIT = {"width": 1080, "height": 1920}
DOCK = {"width": 960, "height": 600}
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "wcag2aaa"]
SCREENSHOTS = Path(os.environ.get("LOCKERD_SCREENSHOTS", "screenshots"))
NUMBER = "990101199003071237"

LETTER = "0427123404271245"
# Every element that shows something must lie inside the window and hold all of its own text; a button must be a target
# of at least 60 px on a 1080p screen, and text at least 36 px (32 in the step indicator's circles).
CHECK_BOXES = """() => {
  const scale = parseFloat(getComputedStyle(document.documentElement).fontSize) / 10;
  const found = [];
  for (const e of document.querySelectorAll('#page *')) {
    if (e.closest('svg') && e.tagName !== 'svg') continue;
    if (e.closest('.unseen') || !e.checkVisibility()) continue;
    const box = e.getBoundingClientRect();
    const name = e.tagName + '.' + (e.getAttribute('class') ?? '') + ' ' + e.textContent.trim().slice(0, 30);
    if (box.left < -1 || box.top < -1 || box.right > innerWidth + 1 || box.bottom > innerHeight + 1)
      found.push('outside: ' + name + JSON.stringify(box));
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth && getComputedStyle(e).display !== 'inline'
        && !e.querySelector('svg.drawing')) found.push('too wide: ' + name);
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (e.scrollHeight > e.clientHeight + 4 * scale && e.clientHeight && !own  // a line may be lower than its font's box
        && getComputedStyle(e).display !== 'inline' && !e.querySelector('svg.drawing'))
      found.push('too high: ' + name + ' ' + e.scrollHeight + ' > ' + e.clientHeight);
    if (e.tagName === 'BUTTON' && Math.min(box.width, box.height) < 60 * scale) found.push('small target: ' + name);
    const least = e.className === 'dot' ? 32 : 36;
    if (own && parseFloat(getComputedStyle(e).fontSize) < least * scale - 0.1) found.push('small text: ' + name);
  }
  const parts = [...document.querySelectorAll('.words, .words > *, .panel, .bottom > *, .top > *')]
    .filter((e) => e.checkVisibility() && !e.classList.contains('unseen'));
  for (const [i, a] of parts.entries()) for (const b of parts.slice(i + 1)) {
    if (a.contains(b) || b.contains(a)) continue;
    const [p, q] = [a.getBoundingClientRect(), b.getBoundingClientRect()];
    if (Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1 && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 1)
      found.push('overlap: ' + a.className + ' / ' + b.className);
  }
  return found;
}"""

CHECK_PAGES = f"""(pages) => Object.fromEntries(Object.entries(pages).map(([name, html]) => {{
  document.getElementById('page').innerHTML = html;
  return [name, ({CHECK_BOXES})()];
}}).filter(([, problems]) => problems.length))"""

BAD_PAGE = """<html><title>bad</title><body style="margin:0"><div id="page"><img src="x.png">
<p style="color:#777;font-size:12px">pale</p><p style="color:#666">less pale</p>
<button style="width:12px;height:12px;padding:0;margin:0"></button>
<button style="width:12px;height:12px;padding:0">b</button>
<div style="width:3000px;height:10px">wide</div></div></body></html>"""


@dataclass
class Machine:
    """A kiosk on a real socket whose journey is played by the test."""

    views: Views
    boot: str
    taps: list[Tap] = field(default_factory=list)
    address: str = ""


@asynccontextmanager
async def machine(
    first: View, *, boot: str = "boot-1", port: int = 0, framed_by: str | None = None
) -> AsyncIterator[Machine]:
    views = Views(first)
    made = Machine(views, boot)
    app = kiosk_app(boot=boot, source=views, on_tap=made.taps.append, previews=pictures, framed_by=framed_by)
    runner = web.AppRunner(app, shutdown_timeout=2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    made.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


async def pictures() -> AsyncIterator[bytes]:
    """A synthetic camera: a plain head before a plain wall."""
    wall = np.full((480, 640, 3), (168, 150, 132), np.uint8)
    cv2.ellipse(wall, (320, 470), (190, 150), 0, 0, 360, (120, 74, 40), -1)
    cv2.ellipse(wall, (320, 225), (105, 140), 0, 0, 360, (150, 185, 220), -1)
    jpeg = cv2.imencode(".jpg", wall)[1].tobytes()
    while True:
        yield jpeg
        await asyncio.sleep(0.1)


def folder(name: str) -> Path:
    """Where screenshots of one kind go."""
    place = SCREENSHOTS / name
    place.mkdir(parents=True, exist_ok=True)
    return place


async def shown(page: Page, views: Views) -> None:
    """Wait until the page shows the current view."""
    await expect(page.locator(f'#page[data-seq="{views.seq}"]')).to_be_visible()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def speak(page: Page, language: str) -> None:
    if await page.locator("html").get_attribute("lang") != language:
        await page.locator(f'[data-action="language"][data-value="{language}"]').click()
        await expect(page.locator(f'html[lang="{language}"]')).to_be_attached()


async def settle(page: Page) -> None:
    """Let the preview's first picture arrive, so that a screenshot is whole."""
    if await page.locator("[data-preview]").count():
        await expect(page.locator("[data-preview] img")).to_have_js_property("naturalWidth", 640)


FAILURES: list[str] = []


@pytest.fixture(autouse=True)
def no_page_failures() -> Iterator[None]:
    """No script of the page fails in any test."""
    FAILURES.clear()
    yield
    assert FAILURES == []


async def opened(chromium: Browser, address: str, size: dict[str, int]) -> Page:
    context = await chromium.new_context(viewport=size, reduced_motion="reduce")  # type: ignore[arg-type]
    page = await context.new_page()
    page.on("pageerror", lambda error: FAILURES.append(str(error)))
    await page.goto(address)
    return page


@pytest.mark.parametrize("size", [LANDSCAPE, PORTRAIT, DOCK], ids=["landscape", "portrait", "dock"])
async def test_every_page_fits_and_is_photographed(chromium: Browser, size: dict[str, int]) -> None:
    async with machine(View(Screen.DONE)) as locker:
        page = await opened(chromium, locker.address, size)
        place = folder(f"{size['width']}x{size['height']}")
        found = {}
        for language in ("zh", "en"):
            await shown(page, locker.views)
            await speak(page, language)
            views = {name: VIEWS[name] for name in AXE_VIEWS} if size is DOCK else VIEWS  # laid out as LANDSCAPE is
            for name, view in sorted(views.items(), key=lambda item: (item[1].screen is Screen.CODE, item[0])):
                locker.views.publish(view)
                await shown(page, locker.views)
                await speak(page, language)
                await settle(page)
                if (size is LANDSCAPE and language == "zh") or name in AXE_VIEWS:  # the others differ in words only
                    await page.screenshot(path=place / f"{name}-{language}.png", scale="css")
                if problems := await page.evaluate(CHECK_BOXES):
                    found[f"{name}-{language}"] = problems
        assert found == {}


@pytest.mark.parametrize("setting", ["", "large"])
@pytest.mark.parametrize("size", [LANDSCAPE, PORTRAIT], ids=["landscape", "portrait"])
async def test_every_page_fits_in_large_type_and_wherever_the_cards_are(
    chromium: Browser, size: dict[str, int], setting: str
) -> None:
    new = (Whereabouts.NEW_SAFE_INSIDE, Whereabouts.NEW_IN_DOUBT, Whereabouts.NEW_AT_EXIT)
    old = [place for place in Whereabouts if place not in (*new, Whereabouts.NONE)]
    proofs = (Evidence.CODE, Evidence.ID_CARD, Evidence.FACE)
    async with machine(View(Screen.DONE)) as locker:
        page = await opened(chromium, locker.address, size)
        await shown(page, locker.views)
        found: dict[str, list[str]] = {}
        for language in ("zh", "en"):
            await speak(page, language)
            if setting:
                await page.locator(f'[data-setting="{setting}"]').click()
                await expect(page.locator(f"html.{setting}")).to_be_attached()
            known = {f"{language} {name}": render(view, language).html for name, view in VIEWS.items()}
            found |= await page.evaluate(CHECK_PAGES, known)
            for fault in FaultKind:
                wanted = proofs if fault is FaultKind.MORE_NEEDED else ()
                pages = {
                    f"{language} {fault} {places}": render(
                        View(Screen.FAULT, fault=fault, whereabouts=places, ticket=TICKET, wanted=wanted), language
                    ).html
                    for places in product(new, old)
                }
                found |= await page.evaluate(CHECK_PAGES, pages)
            await page.reload()  # the page of the stream again, with the button for the language
            await shown(page, locker.views)
        assert found == {}


@pytest.mark.parametrize("setting", ["large", "contrast"])
async def test_accessibility_settings_keep_the_page_whole(chromium: Browser, setting: str) -> None:
    async with machine(View(Screen.DONE)) as locker:
        page = await opened(chromium, locker.address, LANDSCAPE)
        await shown(page, locker.views)
        await speak(page, "en")
        await page.locator(f'[data-setting="{setting}"]').click()
        place = folder(setting)
        found = {}
        for name in sorted(AXE_VIEWS, reverse=True):
            locker.views.publish(VIEWS[name])
            await shown(page, locker.views)
            await expect(page.locator(f'[data-setting="{setting}"]')).to_have_attribute("aria-pressed", "true")
            await page.screenshot(path=place / f"{name}.png", scale="css")
            problems = await page.evaluate(CHECK_BOXES)
            if setting == "contrast":
                problems += await violations(page)
            if problems:
                found[name] = problems
        assert found == {}


async def violations(page: Page) -> list[str]:
    """What axe finds on the page, with the rules for target size and 7:1 contrast named."""
    options = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
    results = await Axe().run(page, options=options)
    return [f"{rule['id']}: {node['html'][:120]}" for rule in results.response["violations"] for node in rule["nodes"]]


@pytest.mark.parametrize(("size", "language"), [(LANDSCAPE, "zh"), (PORTRAIT, "en")], ids=["landscape", "portrait"])
async def test_axe_finds_nothing_on_any_screen(chromium: Browser, size: dict[str, int], language: str) -> None:
    async with machine(View(Screen.DONE)) as locker:
        page = await opened(chromium, locker.address, size)
        found = {}
        for name in AXE_VIEWS:
            locker.views.publish(VIEWS[name])
            await shown(page, locker.views)
            await speak(page, language)
            if problems := await violations(page):
                found[name] = problems
        assert found == {}


async def test_the_judges_see_a_bad_page(chromium: Browser) -> None:
    page = await chromium.new_page(viewport=LANDSCAPE)  # type: ignore[arg-type]
    await page.set_content(BAD_PAGE)
    rules = {line.split(":")[0] for line in await violations(page)}
    assert rules >= {
        "image-alt",
        "html-has-lang",
        "color-contrast",
        "color-contrast-enhanced",
        "button-name",
        "target-size",
    }
    kinds = {line.split(":")[0] for line in await page.evaluate(CHECK_BOXES)}
    assert kinds >= {"outside", "small target", "small text"}


@pytest.mark.parametrize(("size", "language"), [(LANDSCAPE, "en"), (PORTRAIT, "zh")], ids=["landscape", "portrait"])
async def test_a_letter_code_is_typed_or_scanned(chromium: Browser, size: dict[str, int], language: str) -> None:
    async with machine(View(Screen.CODE, notice=Notice.CODE_WRONG, attempts_left=4)) as locker:
        page = await opened(chromium, locker.address, size)
        await shown(page, locker.views)
        await speak(page, language)
        await page.locator('[data-choose="letter"]').click()
        await page.screenshot(
            path=folder(f"{size['width']}x{size['height']}") / f"1-letter-{language}.png", scale="css"
        )
        assert await page.evaluate(CHECK_BOXES) == []
        hint = page.locator("[data-choice=letter] [data-hint]")
        await page.keyboard.type(LETTER[:15])
        await expect(hint).to_have_class("hint more")
        await page.keyboard.type("1")
        await expect(hint).to_have_class("hint check")
        await expect(page.locator('[data-action="letter_code"]')).to_be_disabled()
        await page.keyboard.press("Backspace")
        await page.keyboard.type(LETTER[-1])
        await page.locator('[data-action="letter_code"]').click()
        await until(lambda: locker.taps == [Tap(Action.LETTER_CODE, LETTER)])
        locker.views.publish(View(Screen.IDENTIFY))
        await shown(page, locker.views)
        await page.keyboard.type(f"LC1{LETTER}\n")  # a scan elsewhere is no code

        locker.views.publish(View(Screen.CODE))
        await shown(page, locker.views)
        await page.keyboard.type("12")
        for other in ("LC2" + LETTER, "HTTP://EXAMPLE.ORG/", "LC1" + LETTER):
            await page.keyboard.type(f"{other}\n")
        await until(lambda: len(locker.taps) == 2)
        assert locker.taps[1] == Tap(Action.LETTER_CODE, LETTER)


async def test_a_citizen_taps_through_the_first_pages(chromium: Browser) -> None:
    async with machine(View(Screen.CODE)) as locker:
        page = await opened(chromium, locker.address, LANDSCAPE)
        ok = page.locator('[data-action="code"]')
        await shown(page, locker.views)
        for digit in "4821773":
            await page.locator(f'[data-key="{digit}"]:visible').click()
        await expect(ok).to_be_disabled()
        await page.locator('[data-key="0"]:visible').click()
        await expect(page.locator(".entry.code")).to_have_text("4821 7730")
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url))
        await ok.dblclick()
        await until(lambda: bool(locker.taps))
        locker.views.publish(View(Screen.IDENTIFY))
        await shown(page, locker.views)
        assert "48217730" not in await page.content()
        assert locker.taps == [Tap(Action.CODE, "48217730")]
        assert len(sent) == 1  # the double tap counted once

        await page.locator('[data-choose="number"]').click()
        await page.keyboard.type(NUMBER[:9] + "7")
        hint = page.locator("[data-choice=number] [data-hint]")
        await expect(hint).to_have_text("还差 8 位")
        await page.keyboard.type("9901")
        await expect(hint).to_have_class("hint date")
        await page.locator('[data-key="clear"]:visible').click()
        await page.keyboard.type(NUMBER[:17] + "8")
        await expect(hint).to_have_class("hint check")
        await expect(page.locator('[data-action="number"]')).to_be_disabled()
        await page.locator('[data-key="back"]:visible').click()
        await page.locator('[data-key="7"]:visible').click()
        await expect(hint).to_have_class("hint good")
        await page.screenshot(path=folder("1920x1080") / "2-identify-typed.png")
        await speak(page, "en")  # what was typed survives the change of language
        await expect(hint).to_have_text("The number is valid")
        await page.locator('[data-action="number"]').click()
        await until(lambda: len(locker.taps) == 2)
        assert locker.taps[1] == Tap(Action.NUMBER, NUMBER)

        locker.views.publish(View(Screen.IDENTIFY, warn=True, seconds_left=20))
        await expect(page.locator(".time p")).to_have_text("This page closes in 19 seconds")
        await page.locator('[data-action="more_time"]').click()
        await until(lambda: len(locker.taps) == 3)
        assert locker.taps[2].action is Action.MORE_TIME


@pytest.mark.parametrize(
    ("size", "kind", "digits"),
    [(LANDSCAPE, "letter_code", LETTER[:9]), (PORTRAIT, "code", "4821773")],
    ids=["landscape", "portrait"],
)
async def test_typed_digits_are_cleared_for_the_next_citizen_but_not_without_a_word(
    chromium: Browser, size: dict[str, int], kind: str, digits: str
) -> None:
    async def without_watchdog(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, body=(await answer.text()).replace("10_000", "10_000_000"))

    async with machine(View(Screen.CODE)) as locker:
        page = await chromium.new_page(viewport=size)  # type: ignore[arg-type]
        await page.clock.install()
        await page.route("**/static/stream.js", without_watchdog)  # it would miss the machine while its clock is put on
        await page.goto(locker.address)
        await shown(page, locker.views)
        await speak(page, "en")
        await page.locator('[data-setting="large"]').click()
        if kind == "letter_code":
            await page.locator('[data-choose="letter"]').click()
        entry, bar = page.locator(f".entry.{kind}"), page.locator("[data-forgets]")
        hint = page.locator(f".entry.{kind} + .hint")
        typed = digits if kind == "letter_code" else f"{digits[:4]} {digits[4:]}"
        await page.keyboard.type(digits)
        await page.clock.fast_forward(24_000)
        await expect(bar).to_be_hidden()
        await page.keyboard.press("Backspace")
        await page.keyboard.type(digits[-1])  # a key is a sign of life
        await page.clock.fast_forward(24_000)
        await expect(bar).to_be_hidden()
        await page.clock.fast_forward(3_000)
        await expect(bar).to_be_visible()
        await expect(page.locator("#say")).to_contain_text("The digits are cleared in")
        assert await page.evaluate(CHECK_BOXES) == []
        locker.views.publish(View(Screen.CODE, renewal_available=False))  # another matter, and no sign of life
        await shown(page, locker.views)
        await expect(bar).to_be_visible()
        await bar.locator("button").click()
        await expect(bar).to_be_hidden()
        await page.clock.fast_forward(27_000)
        await expect(bar).to_be_visible()
        assert "".join((await entry.inner_text()).split()) == typed.replace(" ", "")
        await page.clock.fast_forward(20_000)
        await expect(hint).to_have_text("The digits were cleared.")
        await expect(page.locator("#say")).to_have_text("The digits were cleared.")
        await expect(bar).to_be_hidden()
        await expect(entry).to_have_text("")
        assert await page.evaluate(CHECK_BOXES) == []
        assert locker.taps == []
        await page.clock.fast_forward(46_000)  # the next citizen begins anew
        await expect(page.locator("html")).to_have_attribute("lang", "zh")
        await expect(page.locator("html")).to_have_class("")
        await expect(page.locator(".entry.code")).to_be_visible()
        await expect(page.locator(".entry.code + .hint")).to_be_hidden()


async def test_the_page_comes_back_after_a_restart_of_the_daemon(chromium: Browser) -> None:
    async with machine(View(Screen.CODE)) as locker:
        page = await opened(chromium, locker.address, LANDSCAPE)
        await shown(page, locker.views)
        await page.keyboard.type("1234")
        await expect(page.locator(".entry.code")).to_have_text("1234")
    await expect(page.locator("#moment")).to_be_visible()
    assert "1234" not in await page.locator("#page").inner_text()
    await page.screenshot(path=folder("1920x1080") / "one-moment.png")
    port = int(locker.address.rsplit(":", 1)[1])
    async with machine(replace(CONFIRM, renewal=True), boot="boot-2", port=port) as again:
        await expect(page.locator('[data-action="confirm"]')).to_be_visible()
        await expect(page.locator("#moment")).to_be_hidden()
        stale = json.dumps({"boot": "boot-1", "seq": 1, "action": "confirm", "value": ""})
        answer = await page.request.post(
            again.address + "/tap", data=stale, headers={"Content-Type": "application/json"}
        )
        assert answer.status == 409
        await page.locator('[data-action="confirm"]').click()
        await until(lambda: bool(again.taps))
        assert again.taps == [Tap(Action.CONFIRM)]


async def test_only_the_named_origin_may_frame_the_page(chromium: Browser) -> None:
    async def dock(request: web.Request) -> web.Response:
        return web.Response(text=f'<iframe src="{request.query["kiosk"]}">', content_type="text/html")

    app = web.Application()
    app.router.add_get("/", dock)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with machine(View(Screen.CONFIRM), framed_by=origin) as open_one, machine(View(Screen.CONFIRM)) as closed_one:
        page = await chromium.new_page()
        await page.goto(f"{origin}/?kiosk={open_one.address}")
        await page.frame_locator("iframe").locator('[data-action="confirm"]').click()
        await until(lambda: bool(open_one.taps))
        await page.goto(f"{origin}/?kiosk={closed_one.address}")
        await expect(page.frame_locator("iframe").locator("#page")).to_have_count(0)
    await runner.cleanup()


async def test_the_preview_runs_on_through_prompts_and_ends_with_the_page(chromium: Browser) -> None:
    async with machine(View(Screen.FACE, progress=Progress.LOOKING)) as locker:
        page = await opened(chromium, locker.address, LANDSCAPE)
        await shown(page, locker.views)
        await settle(page)
        picture = page.locator("[data-preview] img")
        await picture.evaluate("(image) => { image.marked = true; }")
        locker.views.publish(View(Screen.FACE, progress=Progress.LOOKING, notice=Notice.FACE_CLOSER))
        await shown(page, locker.views)
        await settle(page)
        await expect(picture).to_have_js_property("marked", True)  # the very same element, still streaming
        locker.views.publish(CONFIRM)
        await shown(page, locker.views)
        await expect(page.locator("img")).to_have_count(0)
