"""HTTP clients of everything a run touches: the world, the office, the inbox, and lockerd's own three listeners."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp

T = TypeVar("T")

POLL = 0.02
"""Seconds between two looks at a condition that nothing announces."""


class Impossible(Exception):
    """The world refuses an act because it is physically impossible; the message is the world's."""


class Refused(Exception):
    """lockerd or the office refuses a request; the message names the request, the status and the answer."""


class TooLate(Exception):
    """A condition did not come true before its deadline; the message names it and what was seen instead."""


STALE_SECONDS = 2.0
"""How long a tap that was refused as stale waits for the same page under a newer number."""


async def eventually(what: str, seconds: float, look: Callable[[], Awaitable[T | None]]) -> T:
    """Poll `look` until it answers anything but None, and return that.

    Raises TooLate after `seconds`, naming `what`.
    """
    deadline = time.monotonic() + seconds
    while (found := await look()) is None:
        if time.monotonic() > deadline:
            raise TooLate(f"{what}: not within {seconds:g} s")
        await asyncio.sleep(POLL)
    return found


@dataclass(frozen=True, slots=True)
class World:
    """The simulated machine's control interface at `address` (HOST:PORT)."""

    session: aiohttp.ClientSession
    address: str

    async def truth(self) -> dict[str, Any]:
        """Physical truth: where every card is, and every motion with its times."""
        found: dict[str, Any] = await _json(self.session, "GET", f"http://{self.address}/truth")
        return found

    async def act(self, do: str, **arguments: object) -> None:
        """Do one thing to the world. Raises Impossible."""
        async with self.session.post(f"http://{self.address}/act", json={"do": do, **arguments}) as answer:
            if answer.status == 409:
                raise Impossible(f"{do}: {(await answer.json())['error']}")
            if answer.status != 200:
                raise Refused(f"{do}: {answer.status} {await answer.text()}")


@dataclass(frozen=True, slots=True)
class Office:
    """The simulated central office at `address`; only its own test interface, never the link."""

    session: aiohttp.ClientSession
    address: str

    async def ledger(self) -> dict[str, Any]:
        """What the office knows of every claim, and whether events came twice or were left out."""
        found: dict[str, Any] = await _json(self.session, "GET", f"http://{self.address}/sim/ledger")
        return found

    async def entrust(self, claim_id: str, to: str, relation: str) -> None:
        """Let the holder of the claim `to` collect a claim as a "guardian" or as "authorised"."""
        body = {"claim_id": claim_id, "to": to, "relation": relation}
        await _json(self.session, "POST", f"http://{self.address}/sim/entrust", body)

    async def report_lost(self, report_id: str, id_number: str, valid_from: str) -> None:
        """Tell the lockers that the card with this number and start of validity was reported lost."""
        body = {"report_id": report_id, "id_number": id_number, "valid_from": valid_from}
        await _json(self.session, "POST", f"http://{self.address}/sim/lost", body)

    async def events(self, kind: str) -> list[dict[str, Any]]:
        """The data of all events of one type that the office has."""
        found: list[dict[str, Any]] = await _json(self.session, "GET", f"http://{self.address}/sim/events?type={kind}")
        return found

    async def reviewer(self, decision: str | None, reviewer: str = "", after: float = 0.5) -> None:
        """Have a reviewer decide so after so many seconds; None: nobody is there."""
        body = {"decision": decision, "reviewer": reviewer, "after": after}
        await _json(self.session, "POST", f"http://{self.address}/sim/reviewer", body)

    async def reviews(self) -> list[dict[str, Any]]:
        """What the reviewers were asked, with a sample out of each picture's bytes (base64)."""
        found: list[dict[str, Any]] = await _json(self.session, "GET", f"http://{self.address}/sim/reviews")
        return found

    async def letters(self) -> dict[str, str]:
        """The letter codes of all letters written so far, by claim."""
        found: dict[str, str] = await _json(self.session, "GET", f"http://{self.address}/sim/letters")
        return found

    async def open_reviews(self) -> list[dict[str, Any]]:
        """The reviews that wait for somebody to decide by hand."""
        found: list[dict[str, Any]] = await _json(self.session, "GET", f"http://{self.address}/sim/reviews/open")
        return found

    async def picture(self, review: int) -> bytes:
        """The picture of an open review (JPEG). Raises Refused when it is over."""
        async with self.session.get(f"http://{self.address}/sim/reviews/open/{review}") as answer:
            if answer.status != 200:
                raise Refused(f"review {review}: {answer.status}")
            return await answer.read()

    async def decide(self, review: int, decision: str, reviewer: str) -> None:
        """Decide an open review: "approved" or "refused". Raises Refused when it is over."""
        body = {"decision": decision, "reviewer": reviewer}
        await _json(self.session, "POST", f"http://{self.address}/sim/reviews/open/{review}", body)

    async def absent(self, seconds: float) -> None:
        """Let the office answer 503 for `seconds` from now on; 0 brings it back."""
        await _json(self.session, "POST", f"http://{self.address}/sim/absent", {"seconds": seconds})

    async def write_letter(self, claim_id: str) -> str:
        """Let the office write to somebody without a telephone; returns the letter code."""
        body = {"claim_id": claim_id, "wish": "letter"}
        letter = await _json(self.session, "POST", f"http://{self.address}/sim/code", body)
        return str(letter["letter_code"])


@dataclass(frozen=True, slots=True)
class Inbox:
    """The telephones of the simulated town at `address`."""

    session: aiohttp.ClientSession
    address: str

    async def messages(self) -> list[dict[str, Any]]:
        """Every SMS so far: id, phone, text, at."""
        found: list[dict[str, Any]] = await _json(self.session, "GET", f"http://{self.address}/messages")
        return found


@dataclass(slots=True)
class Console:
    """The staff console's JSON API at `address`. Has its own cookies: `session` must not be shared with another console."""

    session: aiohttp.ClientSession
    address: str

    async def login(self, name: str, pin: str) -> None:
        """Log in. Raises Refused for a wrong name or PIN."""
        await self._call("POST", "/api/login", {"name": name, "pin": pin})

    async def logout(self) -> None:
        """Log out."""
        await self._call("POST", "/api/logout", {})

    async def start_loading(self) -> None:
        """Load from the feeder until it is empty. Raises Refused while the machine is otherwise busy."""
        await self._call("POST", "/api/load", {})

    async def loading(self) -> dict[str, Any]:
        """How the last loading goes: running, lines, total."""
        found: dict[str, Any] = await self._call("GET", "/api/load")
        return found

    async def slots(self) -> list[dict[str, Any]]:
        """Every slot of the carousel with its state."""
        found: list[dict[str, Any]] = await self._call("GET", "/api/slots")
        return found

    async def empty_bin(self, counted: int) -> dict[str, Any]:
        """Report the count of old cards taken from the bin: counted, expected, agreed."""
        found: dict[str, Any] = await self._call("POST", "/api/bin/empty", {"counted": counted})
        return found

    async def settle(self) -> dict[str, Any]:
        """After a jam was cleared by hand: let the machine bring its card path to rest."""
        found: dict[str, Any] = await self._call("POST", "/api/settle", {})
        return found

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        origin = f"http://{self.address}"
        return await _json(self.session, method, origin + path, body, {"Origin": origin})


async def _json(
    session: aiohttp.ClientSession, method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None
) -> Any:
    sent = {"json": body} if body is not None else {}
    async with session.request(method, url, headers=headers, **sent) as answer:  # type: ignore[arg-type]  # one key
        if answer.status >= 400:
            raise Refused(f"{method} {url}: {answer.status} {(await answer.text())[:200]}")
        if answer.content_type != "application/json":
            return None
        return await answer.json()


@dataclass(frozen=True, slots=True)
class Page:
    """One message of the citizen's screen, without its HTML. `at` is CLOCK_MONOTONIC at its arrival."""

    at: float
    boot: str
    seq: int
    view: str
    progress: str
    notice: str | None
    fault: str | None
    ticket: str | None

    @property
    def situation(self) -> tuple[str | None, ...]:
        """What tells two pages apart for a citizen; a count-down does not."""
        return (self.boot, self.view, self.progress, self.notice, self.fault, self.ticket)


@dataclass(slots=True)
class Kiosk:
    """The citizen's screen at `address`: follows /events as the browser does and taps.

    `pages` is everything shown since `follow` runs, oldest first, without the pages that only count down.
    """

    session: aiohttp.ClientSession
    address: str
    pages: list[Page] = field(default_factory=list)
    _latest: Page | None = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def follow(self) -> None:
        """Read /events for ever; connects again when the stream ends, as an EventSource does."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=2.0)
        while True:
            try:
                async with self.session.get(
                    f"http://{self.address}/events", timeout=timeout, read_bufsize=2**20
                ) as stream:
                    async for line in stream.content:
                        if line.startswith(b"data:"):
                            await self._show(json.loads(line[5:]))
            except (aiohttp.ClientError, TimeoutError):
                pass  # the daemon is down; its next life sends the page anew
            await asyncio.sleep(POLL)

    async def page(self, what: str, seconds: float, wanted: Callable[[Page], bool]) -> Page:
        """The latest page as soon as it is `wanted`. Raises TooLate, naming `what` and the page shown instead."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                while self._latest is None or not wanted(self._latest):
                    await self._changed.wait()
                return self._latest
        except TimeoutError:
            raise TooLate(f"{what}: not within {seconds:g} s; the screen shows {_words(self._latest)}") from None

    async def tap(self, page: Page, action: str, value: str = "") -> None:
        """Tap on `page`, or on the same page with a newer number when it only counted down meanwhile.

        Raises Refused when the tap is refused although the page still stands.
        """
        for _ in range(20):
            body = {"boot": page.boot, "seq": page.seq, "action": action, "value": value}
            origin = f"http://{self.address}"
            async with self.session.post(f"{origin}/tap", json=body, headers={"Origin": origin}) as answer:
                if answer.status == 204:
                    return
                refusal = f"tap {action}: {answer.status} {(await answer.text())[:200]}"
            page = await self._same_page_anew(page, refusal)
        raise Refused(refusal)

    async def _same_page_anew(self, old: Page, what: str) -> Page:
        return await self.page(what, STALE_SECONDS, lambda new: new.situation == old.situation and new.seq != old.seq)

    async def _show(self, message: Mapping[str, Any]) -> None:
        page = Page(
            at=time.monotonic(),
            boot=str(message["boot"]),
            seq=int(message["seq"]),
            view=message["view"],
            progress=message.get("progress") or "none",
            notice=message.get("notice"),
            fault=message.get("fault"),
            ticket=message.get("ticket"),
        )
        async with self._changed:
            if self._latest is None or self._latest.situation != page.situation:
                self.pages.append(page)
            self._latest = page
            self._changed.notify_all()


def _words(page: Page | None) -> str:
    if page is None:
        return "nothing"
    parts: Sequence[str | None] = (page.view, page.progress, page.notice, page.fault, page.ticket)
    return " / ".join(part for part in parts if part and part != "none")
