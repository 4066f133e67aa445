"""The simulated central office: the HTTP interface that lockers dial, over the books of `sim.office_books`.

Lockers: `POST /v1/hello`, `POST /v1/lockers/{id}/events`, `GET /v1/lockers/{id}/down`, `PUT /v1/lockers/{id}/status`.
The simulator's own: `GET /sim/ledger`, `GET /sim/status`, `POST /sim/announce`, `POST /sim/withdraw`, `POST /sim/absent`,
`POST /sim/code`, `POST /sim/entrust`, `POST /sim/lost`, `GET /sim/events`, `GET /sim/letters` (codes by claim),
`GET /sim/letters/{claim}` (as it is printed); the reviewer's are in `sim.office_reviewer`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from sim.office_books import Books, Unplaceable
from sim.office_letters import HEADERS as LETTER_HEADERS
from sim.office_letters import letter, qr_content
from sim.office_reviewer import ReviewDesk
from sim.serving import serve

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_BODY = 1 << 20
"""Bytes of a request after decompression; more is answered with 413."""
MAX_EVENTS = 500
"""Events of one batch; more is answered with 413."""
MAX_WAIT = 60.0
"""Seconds that a long-poll is held at most."""
RETRY_AFTER = 1
"""Seconds that an absent office asks to wait: it does not know for how long it will be gone."""
COMMAND_SECONDS = 3600.0
"""For how long a locker may carry out a command."""
STATUS_INTERVAL = 30.0
PEOPLE = 12
"""How many people's cards are announced at the first start."""

_LOCKER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EPOCH = re.compile(r"[A-Za-z0-9-]{1,64}")


class Office:
    """The office's handlers; `now` is wall time in UTC seconds, `monotonic` is for its own absences."""

    def __init__(self, books: Books, now: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._books = books
        self._now = now
        self._monotonic = monotonic
        self._absent_until = 0.0
        self._news = asyncio.Event()
        self._closing = False

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._present])
        app.add_routes(
            [
                web.post("/v1/hello", self._hello),
                web.post("/v1/lockers/{locker}/events", self._events),
                web.get("/v1/lockers/{locker}/down", self._down),
                web.put("/v1/lockers/{locker}/status", self._status),
                web.get("/sim/ledger", self._ledger),
                web.get("/sim/status", self._statuses),
                web.post("/sim/announce", self._announce),
                web.post("/sim/withdraw", self._withdraw),
                web.post("/sim/absent", self._absent),
                web.post("/sim/code", self._code),
                web.post("/sim/entrust", self._entrust),
                web.post("/sim/lost", self._lost),
                web.get("/sim/events", self._told),
                web.get("/sim/letters", self._letters),
                web.get("/sim/letters/{claim}", self._letter),
                *ReviewDesk().routes(),
            ]
        )
        app.on_shutdown.append(self._close)
        return app

    @web.middleware
    async def _present(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/v1/") and self._is_absent():
            return self._nobody_here()
        return await handler(request)

    def _is_absent(self) -> bool:
        return self._monotonic() < self._absent_until

    def _nobody_here(self) -> web.Response:
        return web.json_response({"error": "absent"}, status=503, headers={"Retry-After": str(RETRY_AFTER)})

    def _wake(self) -> None:
        """End every held long-poll once."""
        self._news.set()
        self._news = asyncio.Event()

    async def _close(self, _: web.Application) -> None:
        self._closing = True
        self._wake()

    async def _hello(self, request: web.Request) -> web.Response:
        hello = await _object(request)
        locker, epoch = hello.get("locker"), hello.get("epoch")
        if not isinstance(locker, str) or not _LOCKER.fullmatch(locker):
            raise _refusal("locker is missing or not a name")
        if not isinstance(epoch, str) or not _EPOCH.fullmatch(epoch):
            raise _refusal("epoch is missing or not a name")
        greeting = self._books.greet(locker, epoch, _count(hello, "last_seq"), _count(hello, "oldest_retained"), hello)
        return web.json_response(
            {
                "registration": greeting.registration,
                "reason": greeting.reason,
                "acked": greeting.acked,
                "now": self._now(),
                "intervals": {"status": STATUS_INTERVAL, "wait": MAX_WAIT / 2},
            }
        )

    async def _events(self, request: web.Request) -> web.Response:
        batch = await _json(request)
        if not isinstance(batch, list) or not batch:
            raise _refusal("a batch is a JSON array of at least one event")
        if len(batch) > MAX_EVENTS:
            return web.json_response({"error": f"at most {MAX_EVENTS} events"}, status=413)
        try:
            receipt = self._books.take(request.match_info["locker"], batch, self._now())
        except Unplaceable as unplaceable:
            raise _refusal(str(unplaceable)) from unplaceable
        if receipt.refused is not None:
            return web.json_response({"acked": receipt.acked, "reason": receipt.refused}, status=409)
        if receipt.news:
            self._wake()
        return web.json_response({"acked": receipt.acked})

    async def _down(self, request: web.Request) -> web.Response:
        try:
            after = int(request.query.get("after", "0"))
            wait = min(float(request.query.get("wait", "0")), MAX_WAIT)
        except ValueError:
            raise _refusal("after and wait are numbers") from None
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            news = self._news
            page = self._books.page(after)
            if page.items or self._closing:
                break
            try:
                async with asyncio.timeout_at(deadline):
                    await news.wait()
            except TimeoutError:
                break
            if self._is_absent():
                return self._nobody_here()
        return web.json_response({"items": page.items, "cursor": page.cursor, "has_more": page.has_more})

    async def _status(self, request: web.Request) -> web.Response:
        if not self._books.put_status(request.match_info["locker"], await _object(request), self._now()):
            return web.json_response({"error": "say hello first"}, status=403)
        return web.json_response({"now": self._now()})

    async def _ledger(self, _: web.Request) -> web.Response:
        return web.json_response(self._books.ledger())

    async def _statuses(self, _: web.Request) -> web.Response:
        return web.json_response(self._books.statuses())

    async def _announce(self, request: web.Request) -> web.Response:
        told = await _json(request)
        items = [item for item in (told if isinstance(told, list) else [told]) if isinstance(item, dict)]
        if not items:
            raise _refusal("an announcement is one manifest item or an array of them")
        cursor = self._books.announce(items)
        self._wake()
        return web.json_response({"cursor": cursor})

    async def _withdraw(self, request: web.Request) -> web.Response:
        claim_id = (await _object(request)).get("claim_id")
        if not isinstance(claim_id, str) or not self._books.withdraw(claim_id):
            return web.json_response({"error": "no such claim, or already collected"}, status=409)
        self._wake()
        return web.json_response({"ok": True})

    async def _code(self, request: web.Request) -> web.Response:
        """Have a claim's code reissued or extended; `wish` is pickup, letter or extend. A letter is answered as it is printed."""
        body = await _object(request)
        claim_id, wish = body.get("claim_id"), body.get("wish")
        if not isinstance(claim_id, str) or wish not in ("pickup", "letter", "extend"):
            raise _refusal("claim_id and wish (pickup, letter, extend) are needed")
        code = letter_code(claim_id) if wish == "letter" else ""
        kind = "code.extend" if wish == "extend" else "code.reissue"
        command: Json = {"type": kind, "claim_id": claim_id, "not_after": self._now() + COMMAND_SECONDS}
        self._books.command({**command, "letter_code": code} if code else command)
        self._wake()
        return web.json_response({"letter_code": code, "qr": qr_content(code)} if code else {})

    async def _entrust(self, request: web.Request) -> web.Response:
        told = await _object(request)
        if not self._books.entrust(str(told.get("claim_id")), str(told.get("to")), str(told.get("relation"))):
            return web.json_response({"error": "no such claim"}, status=409)
        self._wake()
        return web.json_response({"ok": True})

    async def _letters(self, _: web.Request) -> web.Response:
        return web.json_response({claim_id: code for claim_id, (_item, code) in self._books.letters().items()})

    async def _letter(self, request: web.Request) -> web.Response:
        """The letter as the citizen gets it, a page to be read or printed."""
        found = self._books.letters().get(request.match_info["claim"])
        if found is None:
            raise web.HTTPNotFound(text="no letter was written about this card")
        return web.Response(text=letter(*found), content_type="text/html", headers=LETTER_HEADERS)

    async def _lost(self, request: web.Request) -> web.Response:
        """Tell the lockers of a card that was reported lost."""
        told = await _object(request)
        names = ("report_id", "id_number", "valid_from")
        if any(not isinstance(told.get(name), str) for name in names):
            raise _refusal("report_id, id_number and valid_from are needed")
        self._books.command({"type": "card.lost", **{name: told[name] for name in names}})
        self._wake()
        return web.json_response({"ok": True})

    async def _told(self, request: web.Request) -> web.Response:
        return web.json_response(self._books.events(request.query.get("type", "")))

    async def _absent(self, request: web.Request) -> web.Response:
        seconds = (await _object(request)).get("seconds")
        if not isinstance(seconds, (int, float)):
            raise _refusal("seconds is a number")
        self._absent_until = self._monotonic() + seconds
        self._wake()
        return web.json_response({"ok": True})


async def _json(request: web.Request) -> object:
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise _refusal("the body is not JSON") from error


async def _object(request: web.Request) -> Json:
    body = await _json(request)
    if not isinstance(body, dict):
        raise _refusal("the body is not a JSON object")
    return body


def _count(body: Json, key: str) -> int:
    value = body.get(key)
    if not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise _refusal(f"{key} is missing or not a count")
    return value


def _refusal(reason: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=json.dumps({"error": reason}), content_type="application/json")


def letter_code(claim_id: str) -> str:
    """What the office prints for a claim: 14 digits and their check digits (ISO/IEC 7064, MOD 97-10)."""
    digits = int.from_bytes(hashlib.sha256(f"letter {claim_id}".encode()).digest()) % 10**14
    return f"{digits:014}{98 - digits * 100 % 97:02}"


@dataclass(frozen=True, slots=True)
class Announcement:
    """What of the announced cards is not as usual. `faceless`: photos that show nobody; `damaged`: the people whose old card is
    damaged, not ended; `templates`: the people whom the office sends its own face template of, by whether it is of the models
    in the simulator's pack; `photoless`: those of whom there is no photo.
    """

    faceless: bool = False
    damaged: frozenset[str] = frozenset()
    templates: Mapping[str, bool] = field(default_factory=dict)
    photoless: frozenset[str] = frozenset()


def manifest(seed: int, n: int, announcement: Announcement = Announcement()) -> list[Json]:
    """The announcement of the first `n` people's new cards, photo included."""
    import numpy as np

    from sim.faces import Person, draw_frame, draw_portrait, encode
    from sim.office_templates import template
    from sim.people import population

    items: list[Json] = []
    for citizen in population(seed, n):
        rng = np.random.default_rng(citizen.face_seed)
        faceless, who = announcement.faceless, citizen.person_id
        drawn = draw_frame(None, rng) if faceless else draw_portrait(Person.from_seed(citizen.face_seed), rng)
        photo = b"" if who in announcement.photoless else encode(drawn)
        card = citizen.new_card
        item: Json = {
            "claim_id": card.card_id,
            "kind": "damaged" if who in announcement.damaged else citizen.kind,
            "name": card.name,
            "id_number": card.id_number,
            "valid_from": card.valid_from,
            "valid_to": card.valid_to,
            "phone": citizen.phone,
            "photo": base64.b64encode(photo).decode("ascii"),
        }
        if who in announcement.templates:
            item["template"] = template(citizen.face_seed, ours=announcement.templates[who])
        items.append(item)
    return items


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `python -m sim office`."""
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="folder of the office's database")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    parser.add_argument("--faceless", action="store_true", help="announce photos that show nobody")
    for flag, whom in (
        ("--damaged", "whose old card is damaged"),
        ("--template", "of whom the office sends its own face template"),
        ("--foreign-template", "of whom it sends one of other models"),
        ("--photoless", "of whom there is no photo"),
    ):
        parser.add_argument(flag, nargs="*", default=[], metavar="PERSON", help=whom)
    parser.add_argument("--seed", type=int, required=True, help="whose cards are announced at the first start")
    parser.add_argument(
        "--people", type=int, default=PEOPLE, metavar="N", help="how many (default %(default)s; 0: none)"
    )


def announcement(arguments: argparse.Namespace) -> Announcement:
    """What the arguments ask for."""
    return Announcement(
        faceless=arguments.faceless,
        damaged=frozenset(arguments.damaged),
        templates=dict.fromkeys(arguments.template, True) | dict.fromkeys(arguments.foreign_template, False),
        photoless=frozenset(arguments.photoless),
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the office; returns the exit status."""
    with Books(arguments.state) as books:
        if arguments.people and not books.announced():
            books.announce(manifest(arguments.seed, arguments.people, announcement(arguments)))
        asyncio.run(serve("office", Office(books, time.time, time.monotonic).app(), arguments.listen))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="sim office", description="the simulated central office")
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
