"""The staff console over HTTP: a JSON API, and pages that use it. It asks `Maintenance` for all work and decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Annotated, Final, Protocol, TypeVar

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from lockerd.errors import LockerError
from lockerd.model.custody import SlotRecord
from lockerd.model.staffing import BinReport, LoadReport
from lockerd.web.catalogue import DEFAULT_LANGUAGE
from lockerd.web.common import STATIC, read_json, secure
from lockerd.web.console_answers import (
    TOKEN_COOKIE,
    html_answer,
    json_answer,
    language_of,
    staff,
    staff_of_page,
)
from lockerd.web.console_custody import CountBody, Desk, custody_routes
from lockerd.web.console_pages import Page, render_login, render_page, render_part, render_trouble, said
from lockerd.web.health import HealthReport
from lockerd.web.logins import Logins

log = structlog.get_logger(__name__)

MAX_BODY_BYTES: Final = 1024
MOST_TRIES: Final = 3
"""So many log-ins are tried at once: each costs the machine a memory-hard hash."""

T = TypeVar("T")


class StaffWork(Protocol):
    """What staff may ask of the machine. Its methods raise a LockerError whose message is for staff."""

    async def log_in(self, name: str, pin: str) -> bool:
        """Whether name and PIN fit; tries are bounded there."""

    async def load(self, name: str) -> None:
        """Begin to load the tray."""

    @property
    def load_report(self) -> LoadReport:
        """The tray being loaded, or the last one."""

    async def slots(self) -> Sequence[SlotRecord]:
        """All slots in order."""

    async def empty_bin(self, name: str, counted: int) -> BinReport:
        """Record that the bin was emptied."""

    async def reissue_code(self, name: str, slot: int) -> None:
        """Send a new pickup code for the card in a slot."""

    async def extend_code(self, name: str, slot: int) -> None:
        """Let the codes for the card in a slot live longer."""

    async def settle(self) -> bool:
        """Bring the card path to rest; True when pickups are served again."""


class LoginBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /api/login."""

    name: Annotated[str, msgspec.Meta(max_length=64)]
    pin: Annotated[str, msgspec.Meta(max_length=64)]


class SlotBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /api/code/…: the slot of the card."""

    slot: Annotated[int, msgspec.Meta(ge=0, le=9999)]


class NoBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a POST that says nothing more: an empty object."""


def console_app(
    *,
    maintenance: StaffWork,
    desk: Desk,
    health: Callable[[], HealthReport],
    new_token: Callable[[], str],
    now: Callable[[], float],
) -> web.Application:
    """Build the application of the staff console.

    `health` answers at once from what is already known; `new_token` gives an unguessable string; `now` is a clock in
    seconds that never goes back. The console is reached by an IP address or as localhost, never by another name.
    """
    logins = Logins(new_token, now)
    console = _Console(maintenance, health, logins)
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_answer_in_words, _refuse_foreign_host])
    secure(app)
    app.add_routes(
        [
            web.post("/api/login", console.log_in),
            web.post("/api/logout", console.log_out),
            web.post("/api/load", console.load),
            web.get("/api/load", console.load_report),
            web.get("/api/slots", console.slots),
            web.post("/api/bin/empty", console.empty_bin),
            web.post("/api/code/reissue", console.reissue_code),
            web.post("/api/code/extend", console.extend_code),
            web.post("/api/settle", console.settle),
            *custody_routes(desk, logins),
            web.get("/login", console.login_page),
            *(web.get(page.path, console.page) for page in Page if page is not Page.CUSTODY),
            web.get(f"/part/{{page:{'|'.join(Page)}}}", console.part),
            web.static("/static", STATIC),
        ]
    )
    return app


class _Console:
    def __init__(self, maintenance: StaffWork, health: Callable[[], HealthReport], logins: Logins) -> None:
        self._maintenance = maintenance
        self._health = health
        self._logins = logins
        self._tries = 0

    # --- API

    async def log_in(self, request: web.Request) -> web.Response:
        body = await read_json(request, LoginBody, limit=MAX_BODY_BYTES)
        if self._tries >= MOST_TRIES:
            raise web.HTTPTooManyRequests(text="too many people log in at once; try again in a moment")
        self._tries += 1
        try:
            known = await self._maintenance.log_in(body.name, body.pin)
        finally:
            self._tries -= 1
        if not known:
            raise web.HTTPForbidden(
                text="name and PIN do not fit; after 5 wrong tries nobody can log in under a name for 15 minutes"
            )
        self._logins.end(request.cookies.get(TOKEN_COOKIE))
        response = web.Response(status=204)
        token = self._logins.begin(body.name)
        response.set_cookie(TOKEN_COOKIE, token, httponly=True, samesite="Strict", path="/")
        return response

    async def log_out(self, request: web.Request) -> web.Response:
        await self._ordered(request, NoBody)
        self._logins.end(request.cookies.get(TOKEN_COOKIE))
        response = web.Response(status=204)
        response.del_cookie(TOKEN_COOKIE, httponly=True, samesite="Strict", path="/")
        return response

    async def load(self, request: web.Request) -> web.Response:
        name, _ = await self._ordered(request, NoBody)
        await self._maintenance.load(name)
        return web.Response(status=202)

    async def load_report(self, request: web.Request) -> web.Response:
        self._looked(request)
        report = self._maintenance.load_report
        lines = [
            {
                "n": line.n,
                "result": "stored" if line.reason is None else "rejected",
                "slot": line.slot,
                "reason": line.reason,
            }
            for line in report.lines
        ]
        state = {"running": report.running, "waiting": report.waiting, "fault": report.fault}
        return json_answer({**state, "lines": lines, "total": len(lines)})

    async def slots(self, request: web.Request) -> web.Response:
        self._looked(request)
        found = await self._maintenance.slots()
        return json_answer([{"slot": slot.slot, "state": slot.state, "since": slot.since} for slot in found])

    async def empty_bin(self, request: web.Request) -> web.Response:
        name, body = await self._ordered(request, CountBody)
        report = await self._maintenance.empty_bin(name, body.counted)
        return json_answer({"counted": report.counted, "expected": report.expected, "agreed": report.agreed})

    async def reissue_code(self, request: web.Request) -> web.Response:
        name, body = await self._ordered(request, SlotBody)
        await self._maintenance.reissue_code(name, body.slot)
        return json_answer({"reissue": True})

    async def extend_code(self, request: web.Request) -> web.Response:
        name, body = await self._ordered(request, SlotBody)
        await self._maintenance.extend_code(name, body.slot)
        return json_answer({"extend": True})

    async def settle(self, request: web.Request) -> web.Response:
        await self._ordered(request, NoBody)
        return json_answer({"serving": await self._maintenance.settle()})

    # --- pages

    async def login_page(self, request: web.Request) -> web.Response:
        language = language_of(request, DEFAULT_LANGUAGE)
        return html_answer(
            render_login(language, ended="ended" in request.query, not_done=request.query.get("ended") == "order"),
            language,
        )

    async def page(self, request: web.Request) -> web.Response:
        name = staff_of_page(self._logins, request)
        language = language_of(request, DEFAULT_LANGUAGE)
        page = next(page for page in Page if page.path == request.path)
        return html_answer(render_page(page, language, name, await self._part(page, language)), language)

    async def part(self, request: web.Request) -> web.Response:
        self._looked(request)
        language = language_of(request, DEFAULT_LANGUAGE)
        part = await self._part(Page(request.match_info["page"]), language)
        return web.Response(text=part, content_type="text/html")  # the language of the last page stays chosen

    async def _part(self, page: Page, language: str) -> str:
        slots = await self._maintenance.slots() if page is Page.SLOTS else ()
        report = self._maintenance.load_report
        return render_part(page, language, health=self._health(), report=report, slots=slots)

    # --- who asks

    async def _ordered(self, request: web.Request, kind: type[T]) -> tuple[str, T]:
        """Who orders work, and the body. Raises HTTPUnauthorized and what `read_json` raises."""
        return staff(self._logins, request, use=True), await read_json(request, kind, limit=MAX_BODY_BYTES)

    def _looked(self, request: web.Request) -> None:
        """Let a page look. It does so by itself, so only looking at a load that runs puts the end of the login off."""
        staff(self._logins, request, use=self._maintenance.load_report.running)


@web.middleware
async def _answer_in_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Translate what the rooms below raise, and what the API refuses, into {"error": words}; a page says the words only."""
    try:
        return await handler(request)
    except LockerError as error:
        log.info("staff work refused", error=str(error))
        if not request.path.startswith("/api/"):
            language = language_of(request, DEFAULT_LANGUAGE)
            return html_answer(render_trouble(language, str(error)), language, status=503)
        status, words = 409, str(error)
    except web.HTTPException as error:
        if error.status < 400 or not request.path.startswith("/api/"):
            raise
        status, words = error.status, error.text or error.reason
    return json_answer({"error": said(language_of(request, "en"), words)}, status)


@web.middleware
async def _refuse_foreign_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a name that somebody's DNS may point here: the page behind it would count as this very page."""
    try:
        host = request.url.host or ""
        if host != "localhost":
            ip_address(host)
    except ValueError:
        raise web.HTTPForbidden(text="use the machine's IP address") from None
    return await handler(request)
