"""What the screens share: security headers, waking of waiting streams, server-sent events, small JSON bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from aiohttp import web

HEARTBEAT_SECONDS = 3.0
"""A comment goes down an idle event stream this often, so that both ends notice a dead peer."""

STATIC = Path(__file__).parent / "static"
TEMPLATES = Path(__file__).parent / "templates"

T = TypeVar("T")


class Changes:
    """Counts changes and wakes whoever waits for the next one. Any number may wait; none can slow the others."""

    def __init__(self) -> None:
        self.revision = 0
        self._next = asyncio.Event()

    def bump(self) -> None:
        """Note one change and wake all who wait."""
        self.revision += 1
        self._next.set()
        self._next = asyncio.Event()

    async def after(self, revision: int) -> int:
        """Wait until the revision is greater than `revision`; returns it. Changes in between are seen as one."""
        while self.revision <= revision:
            await self._next.wait()
        return self.revision


def secure(app: web.Application, *, framed_by: str | None = None) -> None:
    """Give every answer of `app` the headers of a page that loads nothing from elsewhere and is never kept.

    `framed_by` is the one origin that may put the page into a frame; None: nobody may.
    """
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors " + (framed_by or "'none'"),
        )
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        "Server": "lockerd",
    }

    async def add(_: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(headers)

    app.on_response_prepare.append(add)


async def read_json(request: web.Request, kind: type[T], *, limit: int) -> T:
    """Read a JSON body of at most `limit` bytes from this very page (or from a client that is no browser).

    Raises HTTPForbidden for another origin, HTTPUnsupportedMediaType, HTTPRequestEntityTooLarge, and HTTPBadRequest
    for a body that is not a `kind`. No message repeats the body: it may hold a code, a number or a PIN.
    """
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"{request.scheme}://{request.host}":
        raise web.HTTPForbidden(text="another origin")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise web.HTTPForbidden(text="another site")
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="application/json expected")
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=len(body), text="body too large")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise web.HTTPBadRequest(text="malformed body") from None


async def send_events(
    request: web.Request,
    changes: Changes,
    payload: Callable[[], bytes | None],
    *,
    heartbeat: float = HEARTBEAT_SECONDS,
) -> web.StreamResponse:
    """Answer with a stream of server-sent events: `payload()` at once and after each change, until it gives None.

    `payload` returns one line (JSON); one equal to the line before it is not sent again. `heartbeat` is in seconds.
    """
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    sent: bytes | None = None
    try:
        while True:
            revision = changes.revision
            line = payload()
            if line is None:
                break
            if line != sent:
                await response.write(b"data: " + line + b"\n\n")
                sent = line
            try:
                async with asyncio.timeout(heartbeat):
                    await changes.after(revision)
            except TimeoutError:
                await response.write(b": beat\n\n")
    except ConnectionResetError:
        pass  # the page went away, which is no fault
    return response
