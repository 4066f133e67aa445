"""The simulated office's reviewer: looks at one picture at a time, in memory only, and decides as told.

`POST /v1/lockers/{id}/reviews` is what lockers ask; `POST /sim/reviewer` tells the reviewer how to decide, or that nobody is
there; `GET /sim/reviews` says what was asked. Where nobody is there, whoever plays may decide: `GET /sim/reviews/open` tells what
waits, `GET /sim/reviews/open/{n}` shows the picture as long as it waits, `POST` on the same decides.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

MAX_WAIT = 600.0
LOOK_SECONDS = 0.2
TIMED_OUT = {"decision": "timed_out"}
SAMPLE_BYTES = 48
"""Bytes out of the middle of each picture that are told, so that others can look whether a picture is kept somewhere."""


@dataclass(frozen=True, slots=True)
class Mind:
    """How the reviewer decides, None where nobody is there, and after how many seconds."""

    decision: str | None = None
    reviewer: str = ""
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A review that waits for somebody to decide by hand."""

    told: dict[str, Any]
    picture: bytes
    decided: asyncio.Future[dict[str, str]]


class ReviewDesk:
    """The handlers of remote review; a picture is forgotten with its request."""

    def __init__(self) -> None:
        self._mind = Mind()
        self._asked: list[dict[str, Any]] = []
        self._open: dict[int, Waiting] = {}

    def routes(self) -> list[web.RouteDef]:
        """The routes of the desk."""
        return [
            web.post("/v1/lockers/{locker}/reviews", self._review),
            web.post("/sim/reviewer", self._tell),
            web.get("/sim/reviews", self._reviews),
            web.get("/sim/reviews/open", self._waiting),
            web.get("/sim/reviews/open/{n:[0-9]+}", self._picture),
            web.post("/sim/reviews/open/{n:[0-9]+}", self._decide),
        ]

    async def _review(self, request: web.Request) -> web.Response:
        picture = await request.read()
        try:
            wait = min(float(request.query["wait"]), MAX_WAIT)
            claim = request.query["claim"]
        except (KeyError, ValueError):
            return web.json_response({"error": "claim and wait are missing"}, status=400)
        if request.content_type != "image/jpeg" or not picture.startswith(b"\xff\xd8\xff"):
            return web.json_response({"error": "not a JPEG"}, status=400)
        mind, middle = self._mind, len(picture) // 2
        sample = base64.b64encode(picture[middle : middle + SAMPLE_BYTES]).decode()
        asked = {"claim_id": claim, "collector_id": request.query.get("collector"), "sample": sample}
        self._asked.append(asked)
        if mind.decision is None:
            return web.json_response(await self._by_hand(request, asked, picture, wait))
        await asyncio.sleep(min(mind.after, wait))
        if mind.after >= wait:
            return web.json_response(TIMED_OUT)
        return web.json_response({"decision": mind.decision, "reviewer": mind.reviewer})

    async def _by_hand(
        self, request: web.Request, asked: dict[str, Any], picture: bytes, wait: float
    ) -> dict[str, str]:
        """The decision of whoever plays, if one comes while the locker still asks."""
        number = len(self._asked)
        told = {"n": number, "claim_id": asked["claim_id"], "collector_id": asked["collector_id"]}
        decided: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._open[number] = Waiting(told, picture, decided)
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        try:
            while not decided.done() and loop.time() < until and not _gone(request):
                await asyncio.wait([decided], timeout=min(LOOK_SECONDS, until - loop.time()))
        finally:
            del self._open[number]
        return decided.result() if decided.done() else TIMED_OUT

    async def _waiting(self, _: web.Request) -> web.Response:
        return web.json_response([waiting.told for waiting in self._open.values()])

    async def _picture(self, request: web.Request) -> web.Response:
        waiting = self._found(request)
        return web.Response(body=waiting.picture, content_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def _decide(self, request: web.Request) -> web.Response:
        try:
            mind = Mind(**json.loads(await request.read()))
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        decided = self._found(request).decided
        if mind.decision not in ("approved", "refused") or not mind.reviewer or decided.done():
            return web.json_response(
                {"error": "decision (approved, refused) and reviewer are needed, once"}, status=400
            )
        decided.set_result({"decision": mind.decision, "reviewer": mind.reviewer})
        return web.json_response({"ok": True})

    def _found(self, request: web.Request) -> Waiting:
        found = self._open.get(int(request.match_info["n"]))
        if found is None:
            raise web.HTTPNotFound(
                text='{"error": "nobody waits for this review any more"}', content_type="application/json"
            )
        return found

    async def _tell(self, request: web.Request) -> web.Response:
        try:
            self._mind = Mind(**json.loads(await request.read()))
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"ok": True})

    async def _reviews(self, _: web.Request) -> web.Response:
        return web.json_response(self._asked)


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
