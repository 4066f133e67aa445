import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sim.clients import Impossible, Inbox, Kiosk, Page, TooLate, World, eventually
from sim.robot import newest_code


@asynccontextmanager
async def serving(*routes: web.RouteDef) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as session:
            yield session, f"{host}:{port}"
    finally:
        await runner.cleanup()


@dataclass
class Screen:
    """A citizen's screen that shows what a test says, to any number of followers."""

    boot: str = "b1"
    seq: int = 1
    view: str = "code"
    taps: list[dict[str, Any]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    broken: bool = False

    def show(self, view: str, *, boot: str = "b1", broken: bool = False) -> None:
        self.seq, self.view, self.boot, self.broken = self.seq + 1, view, boot, broken
        self.changed.set()
        self.changed = asyncio.Event()

    async def events(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        while True:
            changed = self.changed
            page = {
                "boot": self.boot,
                "seq": self.seq,
                "view": self.view,
                "lang": "zh",
                "html": "<p>" * 40_000,
                "say": "",
            }
            with suppress(ConnectionError):
                await stream.write(b"data: " + json.dumps(page | {"progress": None}).encode() + b"\n\n")
            await changed.wait()
            if self.broken:
                self.broken = False
                return stream

    async def tap(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.taps.append(body)
        return web.Response(status=204 if (body["boot"], body["seq"]) == (self.boot, self.seq) else 409)


@asynccontextmanager
async def followed(screen: Screen) -> AsyncIterator[Kiosk]:
    async with serving(web.get("/events", screen.events), web.post("/tap", screen.tap)) as (session, address):
        kiosk = Kiosk(session, address)
        follower = asyncio.create_task(kiosk.follow())
        try:
            yield kiosk
        finally:
            follower.cancel()
            await asyncio.wait([follower])


def _shows(view: str, boot: str = "b1") -> Any:
    return lambda page: (page.view, page.boot) == (view, boot)


async def test_pages_are_followed_over_a_restart_of_the_daemon() -> None:
    screen = Screen()
    async with followed(screen) as kiosk:
        await kiosk.page("first", 10.0, _shows("code"))
        screen.show("face", boot="b2", broken=True)
        await kiosk.page("after the restart", 10.0, _shows("face", "b2"))
        assert [page.view for page in kiosk.pages] == ["code", "face"]


async def test_a_tap_on_a_page_that_was_only_renumbered_is_made_again() -> None:
    screen = Screen()
    async with followed(screen) as kiosk:
        old = await kiosk.page("first", 10.0, _shows("code"))
        screen.seq += 1  # the browser has not heard of it yet
        tapping = asyncio.create_task(kiosk.tap(old, "code", "12345678"))

        async def refused() -> bool | None:
            return True if screen.taps else None

        await eventually("a refused tap", 10.0, refused)
        screen.show("code")
        await tapping
        assert [tap["seq"] for tap in screen.taps] == [1, 3]
        assert len(kiosk.pages) == 1


async def test_a_tap_on_a_page_that_is_gone_is_not_made_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.clients.STALE_SECONDS", 0.1)
    screen = Screen()
    async with followed(screen) as kiosk:
        old = await kiosk.page("first", 10.0, _shows("code"))
        screen.show("fault")
        with pytest.raises(TooLate, match="409"):
            await kiosk.tap(old, "confirm")
        assert len(screen.taps) == 1


async def test_a_missing_page_says_what_is_shown_instead() -> None:
    async with followed(Screen(view="face")) as kiosk:
        await kiosk.page("face", 10.0, _shows("face"))
        with pytest.raises(TooLate, match=r"the door: not within 0\.05 s; the screen shows face$"):
            await kiosk.page("the door", 0.05, _shows("take"))


def test_a_count_down_is_not_another_page() -> None:
    first = Page(1.0, "b", 4, "take", "none", None, None, None)
    assert first.situation == Page(2.0, "b", 5, "take", "none", None, None, None).situation
    assert first.situation != Page(2.0, "b", 5, "take", "fetching", None, None, None).situation


async def test_physics_is_told_apart_from_failure() -> None:
    async def act(_: web.Request) -> web.Response:
        return web.json_response({"error": "the gate is closed"}, status=409)

    async with serving(web.post("/act", act)) as (session, address):
        with pytest.raises(Impossible, match="take_new: the gate is closed"):
            await World(session, address).act("take_new")


@pytest.mark.parametrize("written", ["取件码 8312 5097，", "取件码83125097，"])
async def test_the_newest_code_of_a_phone_is_found_in_its_messages(written: str) -> None:
    def message(at: float, phone: str, text: str) -> dict[str, Any]:
        return {"id": f"m{at}", "phone": phone, "text": text, "at": at}

    async def messages(_: web.Request) -> web.Response:
        mine = [
            message(2, "+861", f"12月3日 {written}"),
            message(1, "+861", "取件码 1111 2222"),
            message(3, "+862", "33334444"),
        ]
        return web.json_response(mine)

    async with serving(web.get("/messages", messages)) as (session, address):
        inbox = Inbox(session, address)
        assert await newest_code(inbox, "+861", 5.0) == "83125097"
        assert await newest_code(inbox, "+861", 5.0, frozenset({"83125097"})) == "11112222"
        with pytest.raises(TooLate):
            await newest_code(inbox, "+863", 0.05)
