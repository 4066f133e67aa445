"""The simulated office's reviewer: looks at one picture at a time, in memory only, and decides as told.

`POST /v1/lockers/{id}/reviews` is what lockers ask; `POST /sim/reviewer` tells the reviewer how to decide, or that nobody is
there; `GET /sim/reviews` says what was asked.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

MAX_WAIT = 600.0
SAMPLE_BYTES = 48
"""Bytes out of the middle of each picture that are told, so that others can look whether a picture is kept somewhere."""


@dataclass(frozen=True, slots=True)
class Mind:
    """How the reviewer decides, None where nobody is there, and after how many seconds."""

    decision: str | None = None
    reviewer: str = ""
    after: float = 0.0


class ReviewDesk:
    """The handlers of remote review; a picture is forgotten with its request."""

    def __init__(self) -> None:
        self._mind = Mind()
        self._asked: list[dict[str, Any]] = []

    def routes(self) -> list[web.RouteDef]:
        """The routes of the desk."""
        return [
            web.post("/v1/lockers/{locker}/reviews", self._review),
            web.post("/sim/reviewer", self._tell),
            web.get("/sim/reviews", self._reviews),
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
        await asyncio.sleep(wait if mind.decision is None else min(mind.after, wait))
        if mind.decision is None or mind.after >= wait:
            return web.json_response({"decision": "timed_out"})
        return web.json_response({"decision": mind.decision, "reviewer": mind.reviewer})

    async def _tell(self, request: web.Request) -> web.Response:
        try:
            self._mind = Mind(**json.loads(await request.read()))
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"ok": True})

    async def _reviews(self, _: web.Request) -> web.Response:
        return web.json_response(self._asked)
