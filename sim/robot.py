"""A scripted citizen and a scripted member of staff. They see what people see and do what hands can do.

The citizen answers whatever page the machine shows, so a visit is told by what the citizen brings and does differently,
not by a list of steps. Every hesitation and every act is noted with its times, as the citizen's own share.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sim.clients import Console, Impossible, Inbox, Kiosk, Page, Refused, TooLate, World, eventually
from sim.people import Citizen
from sim.timeline import Interval

HESITATION = (0.25, 0.6)
"""Least and most seconds that the citizen looks at a page before acting, at speed 1."""

PAGE_SECONDS = 45.0
"""Longest wait for a page that the machine owes."""

TAP_AGAIN = 2.0
"""Seconds after which an unanswered act is repeated."""

LETTER_DIGITS = 16

ANNOUNCED_SECONDS = 60.0
"""How long the office may take to announce cards that staff load already."""

_CODE = re.compile(r"(?<!\d)(\d{4}) ?(\d{4})(?!\d)")


@dataclass(slots=True)
class Body:
    """The citizen's time: hesitates (seeded, shortened by `speed`) and notes every stretch that is the citizen's own."""

    random: Random
    speed: float
    intervals: list[Interval] = field(default_factory=list)

    @contextmanager
    def own_time(self) -> Iterator[None]:
        """Count what happens inside as the citizen's."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.intervals.append(Interval(began, time.monotonic()))

    async def hesitate(self) -> None:
        """Look, read, move a hand."""
        with self.own_time():
            await asyncio.sleep(self.random.uniform(*HESITATION) / self.speed)


@dataclass(frozen=True, slots=True)
class Visit:
    """What one visit brings to the machine.

    `codes`, of SMS or letter, are typed in turn, one per code page; none at all means "no code". `card` is held to the reader;
    without one the citizen's number is typed. `wants_code` has a new code sent instead of going on. `face` is the person before
    the camera. `old_cards` are inserted in turn; `found` is handed in on the last page. `takes` False leaves the new card
    standing in the exit; `leaves_at` names the page on which the citizen cancels.

    `beside` stands before the camera, too, until the page says that one person only should, or, with `stays`, all the time.
    With `printed` it is a print of `face`. `shows_face` False asks for another way on the camera's page; `agrees` says
    whether one picture may go to the office. `waits` says whether they wait for staff when a card is stuck, or take a ticket.
    `finger` is whose finger comes to the sensor, their own without a word.
    """

    person: Citizen
    face: str
    codes: tuple[str, ...] = ()
    card: str | None = None
    old_cards: tuple[str, ...] = ()
    found: str | None = None
    wants_code: bool = False
    takes: bool = True
    leaves_at: str | None = None
    beside: str | None = None
    stays: bool = False
    printed: bool = False
    shows_face: bool = True
    agrees: bool = True
    waits: bool = True
    finger: str | None = None


def visit_of(person: Citizen, code: str | None) -> Visit:
    """An honest visit: the own code, card and face, and the old card where there is one."""
    old = person.old_card.card_id if person.old_card else None
    return Visit(person, person.person_id, (code,) if code else (), old, (old,) if old else ())


@dataclass(slots=True)
class Robot:
    """One citizen at the machine. `began` is when the first tap was made, `ended` when the last page of a visit stood; `got`
    are the new cards taken, as truth has them."""

    kiosk: Kiosk
    world: World
    body: Body
    began: float | None = None
    ended: float | None = None
    got: list[str] = field(default_factory=list)
    last: Page | None = None

    async def visit(self, visit: Visit) -> Page:
        """Go through the machine until it says done or at fault, or shows the first page again; returns that last page.

        Raises TooLate when the machine owes a page, and Impossible when an act stays impossible.
        """
        return await self._walk(visit, begun=False)

    async def collects_what_waits(self, person: Citizen) -> None:
        """After a restart of the machine: take what it gives back, read and close its page, see the first page again."""
        lost = self.last.boot if self.last else None
        await self.kiosk.page("the page of the restarted machine", PAGE_SECONDS, lambda page: page.boot != lost)
        while (await self._walk(Visit(person, person.person_id), begun=True)).view != "code":
            pass

    async def _walk(self, visit: Visit, *, begun: bool) -> Page:
        codes, old_cards, found = list(visit.codes), list(visit.old_cards), visit.found
        while True:
            page = await self._next_page()
            self.last = page
            match page.view, page.progress:
                case "code", "none":
                    if begun and not codes:
                        return page
                    await self._tap(page, *(_typed(codes.pop(0)) if codes else ("no_code", "")))
                    begun = True
                case view, "none" if view == visit.leaves_at:
                    await self._tap(page, "cancel")
                case "identify", "none":
                    if visit.wants_code and page.notice != "card_for_code":
                        await self._tap(page, "send_code")
                        continue
                    await self._identify(page, visit)
                case "face", _ if not visit.shows_face:
                    with suppress(TooLate):  # a prompt changed the page under the finger
                        await self._tap(page, "other_way")
                case "face", _:
                    await self._look(visit)
                case "fingerprint", _:
                    await self._touch(visit.finger or visit.face)
                case "review", "none" if not visit.agrees:
                    await self._tap(page, "other_way")
                case "review", "none":
                    await self._agree(page, visit)
                case "confirm", "none":
                    await self._tap(page, "confirm")
                case "done", "none" if found is not None:
                    old_cards, found = [found], None
                    await self._tap(page, "hand_in")
                case "old_card", "none":
                    if not old_cards:
                        raise TooLate("the machine asks for one more old card than the citizen brought")
                    await self._insert(page, old_cards.pop(0))
                case _, "stuck":
                    await self._stuck(page, visit.waits)
                case _, "returning_old_card":
                    await self._take_back(page)
                case "take", "none":
                    await self._take(page, visit.takes)
                case (("done" | "fault"), "none"):
                    self.ended = page.at
                    return await self._leave(page)
                case _:
                    await self._change(page, PAGE_SECONDS)

    async def _next_page(self) -> Page:
        return await self.kiosk.page("a page in service", PAGE_SECONDS, lambda page: page.view != "out_of_service")

    async def _present_page(self) -> Page:
        return await self.kiosk.page("a page", PAGE_SECONDS, lambda _: True)

    async def _change(self, page: Page, seconds: float) -> Page:
        what = f"a page after {page.view}/{page.progress}"
        return await self.kiosk.page(what, seconds, lambda new: new.situation != page.situation)

    async def _passes(self, page: Page, seconds: float) -> None:
        """Wait until the machine shows another screen or does something else; a ticket or a notice is not enough."""
        what = f"something after {page.view}/{page.progress}"
        step = (page.view, page.progress)
        await self.kiosk.page(what, seconds, lambda new: (new.view, new.progress) != step)

    async def _changes(self, page: Page) -> bool:
        """Whether the page changes soon; a person repeats an act that stays without an answer."""
        try:
            await self._change(page, TAP_AGAIN)
        except TooLate:
            return False
        return True

    async def _tap(self, page: Page, action: str, value: str = "") -> None:
        await self.body.hesitate()
        if self.began is None:
            self.began = time.monotonic()
        await self.kiosk.tap(page, action, value)
        await self._changes(page)

    async def _identify(self, page: Page, visit: Visit) -> None:
        if visit.card is None:
            await self._tap(page, "number", visit.person.id_number)
            return
        await self.body.hesitate()
        await self._act("put_on_reader", card=visit.card)
        await self._change(page, PAGE_SECONDS)
        await self.kiosk.page("an answer to the card", PAGE_SECONDS, lambda new: new.progress != "checking")
        await self.body.hesitate()
        await self._act("take_from_reader")

    async def _look(self, visit: Visit) -> None:
        await self.body.hesitate()
        await self._act("look", person=visit.face, also=visit.beside, printed=visit.printed)
        if visit.beside is not None and not visit.stays:
            await self.kiosk.page("one person asked for", PAGE_SECONDS, lambda new: new.notice == "face_several")
            await self.body.hesitate()
            await self._act("look", person=visit.face)
        await self.kiosk.page("the face decided", 3 * PAGE_SECONDS, lambda new: new.view != "face")
        await self._act("look", person=None)

    async def _touch(self, person: str) -> None:
        await self.body.hesitate()
        await self._act("touch", person=person)
        await self.kiosk.page("the finger decided", 3 * PAGE_SECONDS, lambda new: new.view != "fingerprint")
        await self._act("touch", person=None)

    async def _agree(self, page: Page, visit: Visit) -> None:
        await self._act("look", person=visit.face)
        await self._tap(page, "agree")
        await self.kiosk.page("the review decided", 3 * PAGE_SECONDS, lambda new: new.view != "review")
        await self._act("look", person=None)

    async def _insert(self, page: Page, card: str) -> None:
        await self.body.hesitate()
        await self._as_soon_as_possible(page, "insert_old", card=card)

    async def _take_back(self, page: Page) -> None:
        await self.body.hesitate()
        await self._as_soon_as_possible(page, "take_old")

    async def _take(self, page: Page, takes: bool) -> None:
        if not takes:
            with self.body.own_time():
                await self._passes(page, PAGE_SECONDS * 4)
            return
        await self.body.hesitate()
        card = (await self.world.truth())["at_exit"]
        if await self._as_soon_as_possible(page, "take_new"):
            self.got.append(card)

    async def _stuck(self, page: Page, waits: bool) -> None:
        if not waits:
            await self._tap(page, "ticket")
            return
        with self.body.own_time():  # which is the staff's
            await self._passes(page, PAGE_SECONDS * 4)

    async def _leave(self, page: Page) -> Page:
        """Read the last page to its end, close it, and return it as it was last."""
        if page.view == "fault" and page.ticket is None:
            with self.body.own_time():  # the citizen looks for one
                await self._changes(page)
        await self.body.hesitate()
        last = page = await self._present_page()
        deadline = time.monotonic() + PAGE_SECONDS
        while page.view == last.view:
            if time.monotonic() > deadline:
                raise TooLate(f"the page {page.view}/{page.progress} does not close")
            last = page
            if page.progress == "none":
                with suppress(TooLate):  # the page changed under the finger
                    await self.kiosk.tap(page, "close")
            await self._changes(page)
            page = await self._present_page()
        return last

    async def _act(self, do: str, **arguments: object) -> None:
        with self.body.own_time():
            await self.world.act(do, **arguments)

    async def _as_soon_as_possible(self, page: Page, do: str, **arguments: object) -> bool:
        """Act as soon as the machine lets it, because a shutter or a gate opens, and see it move on; the waiting is not
        the citizen's. False when it moves on without the act, because there is nothing left to do.
        """
        moved_on = asyncio.ensure_future(self._passes(page, PAGE_SECONDS))

        async def attempt() -> bool | None:
            if moved_on.done():
                return False
            began = time.monotonic()
            try:
                await self.world.act(do, **arguments)
            except Impossible:
                return None
            self.body.intervals.append(Interval(began, time.monotonic()))
            return True

        try:
            done = await eventually(do, PAGE_SECONDS, attempt)
            await moved_on
        finally:
            moved_on.cancel()
        return done


def _typed(code: str) -> tuple[str, str]:
    return ("letter_code" if len(code) == LETTER_DIGITS else "code"), code


@dataclass(frozen=True, slots=True)
class Staff:
    """A member of staff: stands at the machine and at the console."""

    console: Console
    world: World

    async def load(self, cards: Sequence[str], name: str, pin: str) -> None:
        """Log in, place a tray, load until the feeder is empty, log out; try cards again that the office announces later.

        Raises Refused for a card that is rejected for another reason or for too long, and TooLate.
        """
        await self.console.login(name, pin)
        deadline = time.monotonic() + ANNOUNCED_SECONDS
        tray = list(cards)
        while tray:
            await self.world.act("place_tray", cards=tray)
            await eventually("the machine free for loading", PAGE_SECONDS, self._started)
            lines = await eventually("loading ended", 60.0 + 20.0 * len(tray), self._loaded)
            reasons = {line["reason"] for line in lines if line["result"] != "stored"}
            if reasons - {"not_announced"} or (reasons and time.monotonic() > deadline):
                raise Refused(f"loading rejected cards: {', '.join(sorted(reasons))}")
            tray = (await self.world.truth())["rejects"]
            if tray:
                await self.world.act("take_rejects")
        await self.console.logout()

    async def _started(self) -> bool | None:
        try:
            await self.console.start_loading()
        except Refused:
            return None  # a visit ends; staff wait for the first page
        return True

    async def _loaded(self) -> list[dict[str, Any]] | None:
        loading = await self.console.loading()
        return None if loading["running"] else loading["lines"]

    async def clear_jam(self, unit: str, name: str, pin: str) -> None:
        """Free the mechanics of `unit` by hand, and have the machine bring its card path to rest. Raises Refused."""
        await self.world.act("clear_jam", unit=unit)
        await self.console.login(name, pin)
        await self.console.settle()
        await self.console.logout()


async def newest_code(inbox: Inbox, phone: str, seconds: float, known: frozenset[str] = frozenset()) -> str:
    """The pickup code of the newest SMS to `phone` that is not one of the `known` codes. Raises TooLate after `seconds`."""

    async def arrived() -> str | None:
        mine = [message for message in await inbox.messages() if message["phone"] == phone]
        for message in sorted(mine, key=lambda message: float(message["at"]), reverse=True):
            found = _CODE.search(message["text"])
            if found and (code := found[1] + found[2]) not in known:
                return code
        return None

    return await eventually("an SMS with a code", seconds, arrived)
