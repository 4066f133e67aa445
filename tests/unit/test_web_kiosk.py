"""The citizen's screen over HTTP: what is streamed, and which taps get through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from lockerd.errors import FaceUnavailable
from lockerd.model.view import Action, Notice, Progress, Screen, Tap, View
from lockerd.web import common
from lockerd.web.kiosk import Views, kiosk_app

BOOT = "boot-1"
NUMBER = "990101199003071237"  # digits of an unassigned region
PICTURE = b"\xff\xd8 picture \xff\xd9"


class Kiosk:
    """An application under test with everything that went in and out of it."""

    def __init__(self) -> None:
        self.views = Views(View(Screen.CODE))
        self.taps: list[Tap] = []
        self.looking = 0
        self.unplugged = False
        self.frame = asyncio.Event()
        self.http: TestClient[web.Request, web.Application] = TestClient(
            TestServer(
                kiosk_app(
                    boot=BOOT,
                    source=self.views,
                    on_tap=self.taps.append,
                    previews=self.previews,
                    framed_by="http://dock:1",
                )
            )
        )

    async def previews(self) -> AsyncIterator[bytes]:
        self.looking += 1
        try:
            while True:
                if self.unplugged:
                    raise FaceUnavailable("no camera")
                yield PICTURE
                await self.frame.wait()
                self.frame.clear()
        finally:
            self.looking -= 1

    async def tap(self, **changes: object) -> int:
        body = {"boot": BOOT, "seq": self.views.seq, "action": "cancel", "value": ""} | changes
        return (await self.http.post("/tap", json=body)).status


async def message(stream: ClientResponse) -> dict[str, object]:
    async with asyncio.timeout(5):
        while True:
            line = await stream.content.readline()
            assert line, "the stream ended"
            if line.startswith(b"data: "):
                return dict(json.loads(line[6:]))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


@pytest_asyncio.fixture
async def kiosk() -> AsyncIterator[Kiosk]:
    made = Kiosk()
    async with made.http:
        yield made


async def test_stream_begins_at_once_and_follows_each_change(kiosk: Kiosk) -> None:
    async with kiosk.http.get("/events") as stream:
        first = await message(stream)
        assert stream.content_type == "text/event-stream"
        assert {
            key: first[key] for key in ("boot", "seq", "view", "lang", "progress", "notice", "fault", "ticket")
        } == {
            "boot": BOOT,
            "seq": 1,
            "view": "code",
            "lang": "zh",
            "progress": "none",
            "notice": None,
            "fault": None,
            "ticket": None,
        }
        kiosk.views.publish(View(Screen.IDENTIFY))
        second = await message(stream)
        assert (second["seq"], second["view"]) == (2, "identify")


async def test_heartbeat_goes_down_an_idle_stream(kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = common.send_events.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "heartbeat", 0.01)
    async with kiosk.http.get("/events") as stream:
        await message(stream)
        assert await stream.content.readline() == b"\n"
        assert (await stream.content.readline()).startswith(b":")


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("code", "12345678"),
        ("letter_code", "0000000000000001"),
        ("send_code", ""),
        ("no_code", ""),
        ("number", NUMBER),
        ("confirm", ""),
        ("more_time", ""),
        ("close", ""),
    ],
)
async def test_taps_get_through_with_their_value(kiosk: Kiosk, action: str, value: str) -> None:
    assert await kiosk.tap(action=action, value=value) == 204
    assert kiosk.taps == [Tap(Action(action), value)]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"seq": 0}, 409),
        ({"seq": 2}, 409),
        ({"boot": "boot-0"}, 409),
        ({"action": "open_gate"}, 400),
        ({"action": "code", "value": "1234567"}, 400),
        ({"action": "code", "value": "１２３４５６７８"}, 400),
        ({"action": "number", "value": NUMBER[:-1] + "4"}, 400),
        ({"action": "number", "value": ""}, 400),
        ({"action": "confirm", "value": "x"}, 400),
        ({"action": "language", "value": "fr"}, 400),
        ({"seq": "1"}, 400),
        ({"extra": 1}, 400),
        ({"value": "1" * 2000}, 413),
    ],
)
async def test_other_taps_are_refused(kiosk: Kiosk, changes: dict[str, object], status: int) -> None:
    assert await kiosk.tap(**changes) == status
    assert kiosk.taps == []


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "text/plain"}, b"{}", 415),
        ({"Content-Type": "application/json", "Origin": "http://evil.example"}, b"{}", 403),
        ({"Content-Type": "application/json", "Origin": "null"}, b"{}", 403),
        ({"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, b"{}", 403),
        ({"Content-Type": "application/json"}, b"{", 400),
        ({"Content-Type": "application/json"}, b"\xff", 400),
    ],
)
async def test_requests_of_other_pages_are_refused(
    kiosk: Kiosk, headers: dict[str, str], body: bytes, status: int
) -> None:
    assert (await kiosk.http.post("/tap", data=body, headers=headers)).status == status


async def test_a_stale_tap_is_refused_after_the_page_changed(kiosk: Kiosk) -> None:
    seq = kiosk.views.seq
    kiosk.views.publish(View(Screen.CONFIRM))
    assert await kiosk.tap(seq=seq, action="confirm") == 409
    assert kiosk.taps == []


async def test_a_clock_that_ran_on_makes_no_tap_stale(kiosk: Kiosk) -> None:
    async with kiosk.http.get("/events") as stream:
        await message(stream)
        kiosk.views.publish(View(Screen.CODE, seconds_left=20, warn=True))
        warned = await message(stream)
        assert warned["seq"] == 1
        assert "more_time" in str(warned["html"])


async def test_language_is_the_screens_own_and_starts_anew_for_the_next_citizen(kiosk: Kiosk) -> None:
    async with kiosk.http.get("/events") as stream:
        await message(stream)
        assert await kiosk.tap(action="language", value="en") == 204
        assert (await message(stream))["lang"] == "en"
        assert kiosk.taps == []
        for view in (View(Screen.IDENTIFY), View(Screen.CODE, notice=Notice.CODE_WRONG)):
            kiosk.views.publish(view)
            assert (await message(stream))["lang"] == "en"
        kiosk.views.publish(View(Screen.DONE))
        assert (await message(stream))["lang"] == "en"
        kiosk.views.publish(View(Screen.CODE))
        assert (await message(stream))["lang"] == "zh"


async def test_preview_sends_the_boundary_behind_each_picture_and_ends_with_the_page(kiosk: Kiosk) -> None:
    kiosk.views.publish(View(Screen.FACE, progress=Progress.LOOKING))
    async with kiosk.http.get("/preview") as stream:
        assert stream.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=picture"
        async with asyncio.timeout(5):
            assert await stream.content.readuntil(b"--picture\r\n") == b"--picture\r\n"
            part = await stream.content.readuntil(b"--picture\r\n")
            assert PICTURE in part
            kiosk.views.publish(View(Screen.FACE, notice=Notice.FACE_CLOSER))
            kiosk.frame.set()
            await stream.content.readuntil(b"--picture\r\n")
            kiosk.views.publish(View(Screen.CONFIRM))
            assert await stream.content.read() == b""
    await until(lambda: kiosk.looking == 0)


async def test_preview_ends_when_the_camera_goes_away(kiosk: Kiosk) -> None:
    kiosk.views.publish(View(Screen.FACE))
    async with kiosk.http.get("/preview") as stream, asyncio.timeout(5):
        await stream.content.readuntil(b"\xd9\r\n--picture\r\n")
        kiosk.unplugged = True
        kiosk.frame.set()
        assert await stream.content.read() == b""


async def test_preview_is_refused_on_other_pages(kiosk: Kiosk) -> None:
    assert (await kiosk.http.get("/preview")).status == 409
    assert kiosk.looking == 0


async def test_open_streams_do_not_hold_the_shut_down(kiosk: Kiosk) -> None:
    kiosk.views.publish(View(Screen.FACE))
    async with kiosk.http.get("/events") as events, kiosk.http.get("/preview"):
        await message(events)
        async with asyncio.timeout(5):
            await kiosk.http.server.close()
    assert kiosk.looking == 0


@pytest.mark.parametrize("path", ["/", "/static/kiosk.js", "/nothing", "/static/../kiosk.py", "/static/"])
async def test_every_answer_has_the_security_headers(kiosk: Kiosk, path: str) -> None:
    answer = await kiosk.http.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    )
    assert policy.endswith("frame-ancestors http://dock:1")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (answer.status == 200) == (path in {"/", "/static/kiosk.js"})
