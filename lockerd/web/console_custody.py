"""The console's custody page and its API: look a card up, say where one in doubt was found, unblock a slot, empty the retract
position. It asks `CustodyDesk` for all work and decides nothing."""

from __future__ import annotations

from typing import Annotated, Final, Protocol

import msgspec
from aiohttp import web

from lockerd.model.custody import Place
from lockerd.model.staffing import BinReport, CardFile, Finding, Grounds, OpenMatters, Ruling
from lockerd.web.catalogue import DEFAULT_LANGUAGE
from lockerd.web.common import read_json
from lockerd.web.console_answers import html_answer, json_answer, language_of, staff, staff_of_page
from lockerd.web.console_pages import Page, render_custody
from lockerd.web.logins import Logins

MAX_BODY_BYTES: Final = 1024
MAX_WANTED: Final = 40


class Desk(Protocol):
    """What staff may decide. Its methods raise a LockerError whose message is for staff."""

    async def open_matters(self) -> OpenMatters:
        """What only staff can end."""

    async def card(self, wanted: str) -> CardFile | None:
        """The file of a card by its name or its slot's number."""

    async def find(self, name: str, finding: Finding) -> Ruling:
        """Take one person's finding about a card in doubt."""

    async def unblock(self, name: str, slot: int) -> None:
        """Use a blocked slot again."""

    async def empty_retract(self, name: str, counted: int) -> BinReport:
        """Record that the retract position was emptied."""


class FindingBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /api/doubt/find: `slot` is null unless the place is a slot."""

    card_id: Annotated[str, msgspec.Meta(max_length=MAX_WANTED)]
    place: Place
    grounds: Grounds
    slot: Annotated[int, msgspec.Meta(ge=0, le=9999)] | None = None


class SlotBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /api/slots/unblock."""

    slot: Annotated[int, msgspec.Meta(ge=0, le=9999)]


class CountBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a POST that says how many cards a person counted."""

    counted: Annotated[int, msgspec.Meta(ge=0, le=9999)]


def custody_routes(desk: Desk, logins: Logins) -> list[web.RouteDef]:
    """What is served; `logins` says who asks."""
    custody = _Custody(desk, logins)
    return [
        web.get(Page.CUSTODY.path, custody.page),
        web.get("/api/card", custody.card),
        web.get("/api/open", custody.open_matters),
        web.post("/api/doubt/find", custody.find),
        web.post("/api/slots/unblock", custody.unblock),
        web.post("/api/retract/empty", custody.empty_retract),
    ]


class _Custody:
    def __init__(self, desk: Desk, logins: Logins) -> None:
        self._desk = desk
        self._logins = logins

    async def page(self, request: web.Request) -> web.Response:
        name = staff_of_page(self._logins, request)
        language = language_of(request, DEFAULT_LANGUAGE)
        wanted = _wanted(request)
        card = await self._desk.card(wanted) if wanted else None
        return html_answer(
            render_custody(language, name, wanted=wanted, card=card, matters=await self._desk.open_matters()), language
        )

    async def card(self, request: web.Request) -> web.Response:
        staff(self._logins, request, use=True)
        card = await self._desk.card(_wanted(request))
        if card is None:
            raise web.HTTPNotFound(text="the machine knows no such card")
        return json_answer(card)

    async def open_matters(self, request: web.Request) -> web.Response:
        staff(self._logins, request, use=False)
        return json_answer(await self._desk.open_matters())

    async def find(self, request: web.Request) -> web.Response:
        name = staff(self._logins, request, use=True)
        body = await read_json(request, FindingBody, limit=MAX_BODY_BYTES)
        ruling = await self._desk.find(name, Finding(body.card_id, body.place, body.slot, body.grounds))
        return json_answer({"ruling": ruling})

    async def unblock(self, request: web.Request) -> web.Response:
        name = staff(self._logins, request, use=True)
        body = await read_json(request, SlotBody, limit=MAX_BODY_BYTES)
        await self._desk.unblock(name, body.slot)
        return json_answer({"unblocked": True})

    async def empty_retract(self, request: web.Request) -> web.Response:
        name = staff(self._logins, request, use=True)
        body = await read_json(request, CountBody, limit=MAX_BODY_BYTES)
        report = await self._desk.empty_retract(name, body.counted)
        return json_answer({"counted": report.counted, "expected": report.expected, "agreed": report.agreed})


def _wanted(request: web.Request) -> str:
    return request.query.get("card", "").strip()[:MAX_WANTED]
