"""Citizens at the machine: they see the page and the openings, and act by hand after a moment."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from sim.soak.checker import Checker
from sim.soak.door import Page
from sim.soak.remedies import GUESSES
from sim.soak.stage import Stage
from sim.soak.town import Resident
from sim.world import Impossible, Place

LOOK_SECONDS = 3.0  # between two looks at the machine when nothing changes on the page
LONGEST_VISIT = 1500.0


@dataclass(frozen=True, slots=True)
class Temper:
    """How somebody acts. Chances are 0 to 1; times are seconds.

    `face` is who stands before the camera if not oneself, `instead` the card that goes into the throat if not one's own.
    """

    name: str = "honest"
    reaction: tuple[float, float] = (0.8, 4.0)
    look: float = LOOK_SECONDS  # between two looks at the openings while something moves
    in_the_dark: float = 240.0  # how long a dark or busy machine is waited for
    wrong_code: float = 0.0
    no_code: float = 0.0
    types_number: float = 0.3
    walks_away: float = 0.0  # on each page
    leaves_card: float = 0.0  # walks away from the open exit
    pulls_back: float = 0.0  # takes the card out of the throat while it is drawn in
    leaves_old: float = 0.0  # walks away from a card that is given back
    guesses: int = 0  # codes that are tried at random, and the power is cut meanwhile
    cuts_once: bool = False  # after one of the guesses only
    face: str | None = None
    instead: str | None = None
    hands_in: bool = False  # the lost card, where one was lost: it is found


HONEST = Temper()
SLOW = Temper("slow", reaction=(5.0, 45.0), types_number=0.8, in_the_dark=600.0, hands_in=True)
CONFUSED = Temper(
    "confused",
    reaction=(1.0, 20.0),
    wrong_code=0.3,
    no_code=0.2,
    walks_away=0.04,
    leaves_card=0.08,
    pulls_back=0.2,
    leaves_old=0.2,
)


QUICK = Temper("quick", reaction=(0.0, 0.3), look=0.1)
ABSENT_MINDED = Temper("absent-minded", reaction=(1.0, 8.0), leaves_card=0.5, leaves_old=0.5)
GUESSER = Temper("guesser", reaction=(0.8, 3.0), wrong_code=1.0, guesses=12)
PASSING_GUESSER = Temper("guesser in passing", reaction=(0.8, 3.0), wrong_code=1.0, guesses=12, cuts_once=True)
_CUT_WITHIN = 24  # crossings after a guess was worked out
_PLUG_SECONDS = 10.0


class Visit:
    """One visit of one resident to the machine, from the first look at the page until they go."""

    def __init__(self, stage: Stage, resident: Resident, temper: Temper, random: Random, checker: Checker) -> None:
        self._stage = stage
        self._world = stage.machine.world
        self._resident = resident
        self._temper = temper
        self._random = random
        self._checker = checker
        self._begun = False
        self._right = False  # the code typed last, if any
        self._restarts = False
        self._compared_right = False  # the right one, and one's own number or card with it
        self._mine = False  # what the screen tells is of one's own journey, not of one that a recovery goes on with
        self._answered: Page | None = None
        self._codes = 0
        self._guess = ""
        self._compared = 0
        self._cut_at = random.randint(1, GUESSES) if temper.cuts_once else 0
        self._inserted: str | None = None
        self._given: list[str] = []  # cards, in this visit
        self._drawn_in = False
        self._took = False
        self._handed_in = False
        self._dark_since: float | None = None

    @property
    def person(self) -> str:
        """Who it is."""
        return self._resident.who.person_id

    @property
    def took(self) -> bool:
        """Whether the new card is in their hand."""
        return self._took

    async def run(self) -> None:
        """The visit."""
        loop = asyncio.get_running_loop()
        self._resident.visits += 1
        self._checker.note(f"{self.person} ({self._temper.name}) comes")
        until = loop.time() + LONGEST_VISIT
        self._stage.daemon.on_hash = self._on_hash
        self._stage.daemon.pulse.watch = self._saw
        try:
            while loop.time() < until and not await self._act():
                page = self._stage.daemon.page
                await self._stage.daemon.changed(self._temper.look if page and page.progress else LOOK_SECONDS)
        finally:
            self._go()

    def _on_hash(self, secret: bytes) -> None:
        """The machine works a code out: a wrong one was guessed, and whoever means harm pulls the plug before the answer."""
        if secret != self._guess.encode():
            return
        self._checker.remedies.guessed(self.person)
        self._compared += 1
        if self._temper.guesses and self._cut_at in (0, self._compared):
            seams = self._stage.daemon.seams
            seams.at(seams.crossings + self._random.randrange(1, _CUT_WITHIN), self._pull_the_plug)

    def _saw(self, page: Page | None) -> None:
        """A journey that ended, and one that a restart may have ended, is one's own no more."""
        if page is None:
            self._restarts = True
            self._mine = self._mine and self._inserted is not None
        elif page.screen != "out_of_service":
            self._restarts = False
            self._mine = self._mine and page.screen != "code"
        else:
            self._mine = self._mine and self._restarts

    def _go(self) -> None:
        self._stage.daemon.pulse.watch = lambda _page: None
        if self._world.on_reader is not None:
            self._world.take_from_reader()
        self._world.look(None)
        who = self._resident.who
        old = who.old_card is not None and self._world.spots[who.old_card.card_id].place is Place.PERSON
        new = self._world.spots[who.new_card.card_id].place is Place.PERSON
        self._checker.left(self.person, has_old=old, has_new=new)

    async def _act(self) -> bool:
        """Do one thing; True to leave."""
        if await self._hands():
            return True
        page = self._stage.daemon.page
        if page is None or page.screen == "out_of_service":
            self._answered = None
            return self._in_the_dark()
        self._dark_since = None
        if page.ticket:
            self._resident.ticket = page.ticket
        if page.screen == "face" and self._world.looking is None:
            await self._pause()
            self._world.look(self._temper.face or self.person)
        if page == self._answered or page.progress:
            return False
        if self._chance(self._temper.walks_away):
            return True
        await self._pause()
        if self._stage.daemon.page != page:
            return False
        self._answered = page
        match page.screen:
            case "code":
                return self._code(page)
            case "identify":
                self._identify(page)
            case "confirm":
                self._stage.daemon.tap("confirm")
            case "old_card":
                self._insert()
            case "take":
                self._answered = None
            case "fault" | "done":
                return self._last_page(page)
        return False

    async def _hands(self) -> bool:
        """Take what is offered. The exit first: the new card is what one came for."""
        world = self._world
        if world.card_at(Place.EXIT) is not None and world.gate_open and self._begun and not self._took:
            if self._chance(self._temper.leaves_card):
                return True
            await self._pause()
            card = world.card_at(Place.EXIT)
            with suppress(Impossible):
                world.take_new()
                self._took = True
                self._stage.machine.changed()
                owner = next(p for p, r in self._stage.town.residents.items() if r.who.new_card.card_id == card)
                self._resident.collected = owner == self.person
                self._checker.took_new(self.person, str(card), owner, self._temper.face or "")
        mine = self._resident.who.old_card
        if self._inserted is None and mine is not None and world.card_at(Place.THROAT) == mine.card_id:
            self._inserted, self._drawn_in = mine.card_id, True  # from an earlier visit
        if self._inserted is not None and world.spots[self._inserted].place is Place.BIN:
            self._inserted, self._drawn_in, self._answered = None, False, None  # the machine keeps it
        if self._inserted is None:
            return False
        at_throat = world.card_at(Place.THROAT) == self._inserted
        page = self._stage.daemon.page
        offered = page is not None and page.progress == "returning_old_card"
        self._drawn_in = self._drawn_in or not at_throat or offered
        if at_throat and world.shutter_open and (self._drawn_in or self._chance(self._temper.pulls_back)):
            if self._drawn_in and self._chance(self._temper.leaves_old):
                return True
            await self._pause()
            with suppress(Impossible):
                if world.card_at(Place.THROAT) == self._inserted:
                    world.take_old()
                    self._checker.took_old(self.person, self._inserted)
                    self._stage.machine.changed()
                    self._inserted, self._drawn_in = None, False
                    self._answered = None
        return False

    def _in_the_dark(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._dark_since = now if self._dark_since is None else self._dark_since
        return now - self._dark_since > self._temper.in_the_dark

    def _code(self, page: Page) -> bool:
        guesses = self._temper.guesses
        if self._compared_right and page.notice == "code_wrong":
            self._checker.pages.refused(self._resident)
        self._compared_right = False
        if self._begun and page.notice != "code_wrong" and not guesses:
            return True
        if self._codes >= max(guesses, 3):
            return True
        self._begun = self._right = True
        self._mine = False
        self._codes += 1
        code = self._resident.code
        if code is None or self._chance(self._temper.no_code):
            self._stage.daemon.tap("no_code")
        elif self._chance(self._temper.wrong_code):
            self._right = False
            self._guess = f"{self._random.randrange(10**8):08}"
            self._stage.daemon.tap("code", self._guess)
        else:
            self._stage.daemon.tap("code", code)
        return False

    def _identify(self, page: Page) -> None:
        self._mine = self._right
        self._compared_right = self._right and self._resident.code is not None
        old = self._resident.who.old_card
        with_card = old is not None and self._world.spots[old.card_id].place is Place.PERSON
        if self._temper.guesses:
            with_card = False
        if page.notice in {"code_locked", "card_needed"} and not with_card:
            self._stage.daemon.tap("cancel")
        elif old is not None and with_card and (page.notice or not self._chance(self._temper.types_number)):
            with suppress(Impossible):
                self._world.put_on_reader(old.card_id)
        else:
            self._stage.daemon.tap("number", self._resident.who.id_number)

    def _pull_the_plug(self) -> None:
        if self._world.powered:
            self._checker.note(f"{self.person} pulls the plug")
            self._checker.doubts.disturbed()
            self._stage.power_off()
            asyncio.get_running_loop().call_later(_PLUG_SECONDS, self._stage.power_on)

    def _insert(self) -> None:
        if self._world.on_reader is not None:
            self._world.take_from_reader()
        mine = self._resident.who.old_card
        found = self._resident.who.lost_card
        held = (self._temper.instead, mine and mine.card_id, found and found.card_id)
        card = next((one for one in held if one and self._world.spots[one].place is Place.PERSON), None)
        if card is None or self._inserted is not None:
            return
        try:
            self._world.insert_old(card)
        except Impossible:
            self._answered = None
            return
        self._inserted, self._drawn_in = card, False
        self._given.append(card)
        self._checker.inserted(self.person, card)
        self._stage.machine.changed()

    def _last_page(self, page: Page) -> bool:
        """Read, close and go; somebody else's page is closed only. A lost card that was found is handed in before."""
        found = self._resident.who.lost_card
        if self._mine:
            self._checker.pages.read(self._resident, page, self._given)
        if page.screen == "done" and self._temper.hands_in and found and self._inserted is None and not self._handed_in:
            self._handed_in = True
            self._stage.daemon.tap("hand_in")
            return False
        self._stage.daemon.tap("close")
        return self._begun

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.uniform(*self._temper.reaction))

    def _chance(self, of: float) -> bool:
        return of > 0 and self._random.random() < of
