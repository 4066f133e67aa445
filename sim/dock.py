"""The developer's dock: the citizen's screen beside the world, so that a person can play everybody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

import aiohttp
from aiohttp import web

from sim.clients import Kiosk, Refused, TooLate
from sim.harness import STAFF_NAME, STAFF_PIN, Harness
from sim.people import Citizen

DARK_SECONDS: Final = 2.0
"""How long the power stays away after "cut power"."""

REVIEWER: Final = "r-1"
SCAN_SECONDS: Final = 2.0
"""How long a letter is held to the scanner."""

_FILES: Final = {"dock.css": "text/css", "dock.js": "text/javascript"}


@dataclass(slots=True)
class Dock:
    """The dock's handlers. `run_in_background` starts work that outlives a request, under the demo's own task group; `kiosk` is
    followed by somebody.
    """

    harness: Harness
    kiosk: Kiosk
    people: tuple[Citizen, ...]
    run_in_background: Callable[[Awaitable[None]], object]
    dark: bool = field(default=False, init=False)

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[self._secure])
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/favicon.ico", self._no_icon),
                web.get("/static/{name}", self._static),
                web.get("/faces/{person}.jpg", self._face),
                web.get("/people", self._people),
                web.get("/live", self._live),
                web.post("/act", self._act),
                web.post("/power", self._power),
                web.post("/letter", self._write_letter),
                web.post("/scan", self._scan),
                web.post("/entrust", self._entrust),
                web.get("/reviews/{n:[0-9]+}.jpg", self._picture),
                web.post("/review", self._review),
            ]
        )
        return app

    @web.middleware
    async def _secure(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if (
            request.method == "POST" and request.content_type != "application/json"
        ):  # no form of another page can say this
            raise web.HTTPUnsupportedMediaType
        try:
            answer = await handler(request)
        except Refused as refused:
            answer = web.json_response({"error": str(refused)}, status=409)
        answer.headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
            f" frame-src http://{self.harness.setting.addresses.kiosk}; frame-ancestors 'none'"
        )
        answer.headers["Cache-Control"] = "no-store"
        return answer

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=_text("index.html"), content_type="text/html")

    async def _no_icon(self, _: web.Request) -> web.Response:
        return web.Response(status=204)

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in _FILES:
            raise web.HTTPNotFound
        return web.Response(text=_text(name), content_type=_FILES[name])

    async def _face(self, request: web.Request) -> web.Response:
        for person in self.people:
            if person.person_id == request.match_info["person"]:
                return web.Response(body=await asyncio.to_thread(portrait, person), content_type="image/jpeg")
        raise web.HTTPNotFound

    async def _people(self, _: web.Request) -> web.Response:
        at = self.harness.setting.addresses
        people = [
            {
                "person_id": person.person_id,
                "name": person.name,
                "kind": "damaged" if person.person_id in self.harness.setting.damaged else person.kind,
                "id_number": person.id_number,
                "phone": person.phone,
                "old_card": person.old_card and person.old_card.card_id,
                "new_card": person.new_card.card_id,
            }
            for person in self.people
        ]
        return web.json_response(
            {
                "people": people,
                "kiosk": f"http://{at.kiosk}/",
                "console": f"http://{at.console}/",
                "letters": f"http://{at.office}/sim/letters/",
                "staff": {"name": STAFF_NAME, "pin": STAFF_PIN},
            }
        )

    async def _live(self, _: web.Request) -> web.Response:
        truth = await self.harness.world.truth()
        truth["motions"] = truth["motions"][-6:]
        messages = await self.harness.inbox.messages()
        office = self.harness.office
        told = {"letters": await office.letters(), "reviews": await office.open_reviews()}
        return web.json_response({"truth": truth, "messages": messages[-30:], "dark": self.dark, **told})

    async def _act(self, request: web.Request) -> web.Response:
        """Hand one act on to the machine; answers what it answers."""
        url = f"http://{self.harness.setting.addresses.control}/act"
        try:
            async with self.harness.session.post(url, json=await request.json()) as answer:
                return web.json_response(await answer.json(), status=answer.status)
        except json.JSONDecodeError:
            raise web.HTTPBadRequest(text="the body is not JSON") from None
        except aiohttp.ClientError as error:
            return web.json_response({"error": f"the machine does not answer: {error}"}, status=502)

    # Letters, collectors and reviewers: the office's part

    async def _write_letter(self, request: web.Request) -> web.Response:
        """The office writes to whom the card `claim` waits for."""
        code = await self.harness.office.write_letter(await _word(request, "claim"))
        return web.json_response({"letter_code": code})

    async def _scan(self, request: web.Request) -> web.Response:
        """Hold the letter to the machine's scanner, which types what the QR code holds into the first page.

        From here the digits go to the machine as the page would send them: a frame of another origin takes no keys.
        """
        letters = await self.harness.office.letters()
        claim = await _word(request, "claim")
        if claim not in letters:
            raise Refused("no letter was written about this card")
        try:
            page = await self.kiosk.page("the first page", SCAN_SECONDS, lambda page: page.view == "code")
            await self.kiosk.tap(page, "letter_code", letters[claim])
        except TooLate:
            raise Refused("the scanner is read on the first page only") from None
        return web.json_response({"ok": True})

    async def _entrust(self, request: web.Request) -> web.Response:
        """The office names the holder of the card `to` as a `relation` who may collect the card `claim`."""
        words = [await _word(request, name) for name in ("claim", "to", "relation")]
        await self.harness.office.entrust(*words)
        return web.json_response({"ok": True})

    async def _picture(self, request: web.Request) -> web.Response:
        picture = await self.harness.office.picture(int(request.match_info["n"]))
        return web.Response(body=picture, content_type="image/jpeg")

    async def _review(self, request: web.Request) -> web.Response:
        """Decide an open review."""
        decision, number = await _word(request, "decision"), await _word(request, "n")
        await self.harness.office.decide(int(number), decision, REVIEWER)
        return web.json_response({"ok": True})

    async def _power(self, _: web.Request) -> web.Response:
        """Take the power from machine and daemon, and give it back a little later."""
        if self.dark:
            return web.json_response({"error": "it is dark already"}, status=409)
        self.dark = True
        self.run_in_background(self._darkness())
        return web.json_response({"ok": True}, status=202)

    async def _darkness(self) -> None:
        try:
            await self.harness.cut_power()
            await asyncio.sleep(DARK_SECONDS)
            await self.harness.restore_power()
        finally:
            self.dark = False


async def _word(request: web.Request, name: str) -> str:
    """One value of the body, a JSON object. Raises HTTPBadRequest where it is missing."""
    try:
        body = await request.json()
        return str(body[name])
    except (ValueError, KeyError, TypeError):
        raise web.HTTPBadRequest(text=f"{name} is missing") from None


def portrait(person: Citizen) -> bytes:
    """The person's application photo as JPEG; the office announces the same."""
    import numpy as np

    from sim.faces import Person, draw_portrait, encode

    return encode(draw_portrait(Person.from_seed(person.face_seed), np.random.default_rng(person.face_seed)))


def _text(name: str) -> str:
    return resources.files("sim").joinpath("dock_page", name).read_text("utf-8")


def people_of(truth: dict[str, Any], town: tuple[Citizen, ...]) -> tuple[Citizen, ...]:
    """Those of the town who have a card in the machine's world."""
    present = {card["person"] for card in truth["cards"]}
    return tuple(person for person in town if person.person_id in present)
