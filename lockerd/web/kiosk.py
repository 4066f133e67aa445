"""The citizen's screen over HTTP on loopback: page, event stream, taps, camera preview. It shows views and decides nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, Protocol

import msgspec
from aiohttp import web
from msgspec.structs import replace

from firmware_protocol.idnumber import is_valid
from lockerd.errors import FaceUnavailable
from lockerd.model import lettercode
from lockerd.model.view import Action, Screen, Tap, View
from lockerd.web.catalogue import DEFAULT_LANGUAGE, LANGUAGES
from lockerd.web.common import STATIC, Changes, read_json, secure, send_events
from lockerd.web.render import index, render

MAX_TAP_BYTES: Final = 1024

VALUES: Final[Mapping[Action, Callable[[str], object]]] = {
    Action.CODE: re.compile(r"[0-9]{8}").fullmatch,
    Action.LETTER_CODE: lettercode.is_valid,
    Action.NUMBER: is_valid,
    Action.LANGUAGE: LANGUAGES.__contains__,
}
"""What the value of a tap must satisfy; of every other action it is empty."""


class ViewSource(Protocol):
    """Where the screen learns what to show."""

    @property
    def current(self) -> View:
        """The view of this moment."""

    @property
    def seq(self) -> int:
        """Number of the page that `current` is: a tap made on another page is stale."""

    @property
    def changes(self) -> Changes:
        """Bumped after every publication."""


class Views:
    """The journey's side of the screen: publish a view, and every page shows it.

    `seq` goes up with each published view that is another page. A view that differs only in `seconds_left` and `warn`
    keeps its `seq`, so that a tap on its way is not lost because a clock ran on.
    """

    def __init__(self, first: View) -> None:
        self.current = first
        self.seq = 1
        self.changes = Changes()

    def publish(self, view: View) -> None:
        """Show `view` from now on. The page counts `seconds_left` down by itself: do not publish every second."""
        if view == self.current:
            return
        if not _same_page(view, self.current):
            self.seq += 1
        self.current = view
        self.changes.bump()

    async def changed_since(self, revision: int) -> View:
        """Wait for a publication after `revision` (of `changes`); returns the view of then."""
        await self.changes.after(revision)
        return self.current


class TapBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /tap."""

    boot: str
    seq: int
    action: Action
    value: str = ""


def kiosk_app(
    *,
    boot: str,
    source: ViewSource,
    on_tap: Callable[[Tap], None],
    previews: Callable[[], AsyncIterator[bytes]],
    framed_by: str | None,
) -> web.Application:
    """Build the application of the citizen's screen.

    `boot` is new at each start of the daemon; `on_tap` takes what the citizen said and returns at once (language is
    kept here and never reaches it); `previews` gives JPEG pictures while somebody iterates; `framed_by` is the one
    origin that may frame the page.
    """
    kiosk = _Kiosk(boot, source, on_tap, previews)
    app = web.Application(client_max_size=MAX_TAP_BYTES)
    secure(app, framed_by=framed_by)
    app.add_routes(
        [
            web.get("/", kiosk.page),
            web.get("/events", kiosk.events),
            web.post("/tap", kiosk.tap),
            web.get("/preview", kiosk.preview),
            web.static("/static", STATIC),
        ]
    )
    app.on_shutdown.append(kiosk.shut_down)
    return app


class _Kiosk:
    def __init__(
        self,
        boot: str,
        source: ViewSource,
        on_tap: Callable[[Tap], None],
        previews: Callable[[], AsyncIterator[bytes]],
    ) -> None:
        self._boot = boot
        self._source = source
        self._on_tap = on_tap
        self._previews = previews
        self._language = DEFAULT_LANGUAGE
        self._last_screen = source.current.screen
        self._closing = False

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=index(), content_type="text/html")

    async def events(self, request: web.Request) -> web.StreamResponse:
        return await send_events(request, self._source.changes, self._message)

    async def tap(self, request: web.Request) -> web.Response:
        body = await read_json(request, TapBody, limit=MAX_TAP_BYTES)
        if body.boot != self._boot or body.seq != self._source.seq:
            raise web.HTTPConflict(text="stale page")
        if not VALUES.get(body.action, "".__eq__)(body.value):
            raise web.HTTPBadRequest(text="malformed value")
        if body.action is Action.LANGUAGE:
            self._language = body.value
            self._source.changes.bump()
        else:
            self._on_tap(Tap(body.action, body.value))
        return web.Response(status=204)

    async def preview(self, request: web.Request) -> web.StreamResponse:
        if not self._at_camera():
            raise web.HTTPConflict(text="no preview on this page")
        response = web.StreamResponse(headers={"Content-Type": "multipart/x-mixed-replace; boundary=picture"})
        await response.prepare(request)
        try:
            async with asyncio.TaskGroup() as group:
                pump = group.create_task(self._pump(response))
                watch = group.create_task(self._leave_camera())
                pump.add_done_callback(lambda _: watch.cancel())
                watch.add_done_callback(lambda _: pump.cancel())
        except* (ConnectionResetError, FaceUnavailable):
            pass  # the page went away, or the camera did: health tells of that, and the page asks again
        return response

    async def shut_down(self, _: web.Application) -> None:
        """End the open streams, which would otherwise hold the server until its time-out."""
        self._closing = True
        self._source.changes.bump()

    def _at_camera(self) -> bool:
        return self._source.current.screen in (Screen.FACE, Screen.REVIEW) and not self._closing

    async def _leave_camera(self) -> None:
        while self._at_camera():
            await self._source.changes.after(self._source.changes.revision)

    async def _pump(self, response: web.StreamResponse) -> None:
        """Send each picture with the boundary behind it: a browser shows a part only once it sees the next boundary."""
        pictures = self._previews()
        try:
            await response.write(b"--picture\r\n")
            async for jpeg in pictures:
                head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                await response.write(head + jpeg + b"\r\n--picture\r\n")
        finally:
            close = getattr(pictures, "aclose", None)
            if close is not None:
                await close()

    def _message(self) -> bytes | None:
        if self._closing:
            return None
        view = self._source.current
        if view.screen is Screen.CODE and self._last_screen is not Screen.CODE and view.notice is None:
            self._language = DEFAULT_LANGUAGE  # the next citizen begins anew
        self._last_screen = view.screen
        content = msgspec.to_builtins(render(view, self._language))
        return msgspec.json.encode({"boot": self._boot, "seq": self._source.seq, **content})


def _same_page(one: View, other: View) -> bool:
    """Whether only `seconds_left` and `warn` differ."""
    if one.screen is not other.screen or one.progress is not other.progress:
        return False
    return replace(one, seconds_left=other.seconds_left, warn=other.warn) == other
