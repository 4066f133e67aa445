"""What people see of the daemon and can do to it, in plain words: the citizen's page and the staff's answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Refused(Exception):
    """The machine does not do it now, or went off in the middle."""


@dataclass(frozen=True, slots=True)
class Page:
    """The citizen's screen; every field in the words of the interface, "" for none."""

    screen: str
    progress: str = ""
    notice: str = ""
    fault: str = ""
    ticket: str = ""
    warn: bool = False
    renewal: bool = False
    renewals_open: bool = True
    whereabouts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A tray's report: one entry a card, the slot or None for a rejected one; `fault` "" when all went well."""

    slots: tuple[int | None, ...]
    fault: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """A card in doubt as the console shows it: its role ("new" or "old"), its slot if any, who has found it somewhere already."""

    card: str
    role: str
    slot: int | None
    found_by: str | None


@dataclass(frozen=True, slots=True)
class Blocked:
    """A blocked slot as the console shows it, with the card recorded in it."""

    slot: int
    reason: str
    card: str | None


class Door(Protocol):
    """The daemon as people meet it. `page` is None while the screen is dark."""

    page: Page | None
    pulse: Pulse

    def tap(self, action: str, value: str = "") -> None:
        """Tap on the page; nothing happens while it is dark."""

    async def changed(self, timeout: float) -> None:
        """Wait until the page becomes another, at most so many seconds."""

    async def load(self, staff: str) -> Loaded:
        """Have the tray loaded, to its end. Raises Refused."""

    async def settle(self) -> bool:
        """Have the card path settled; whether pickups are served again. Raises Refused."""

    async def empty_bin(self, staff: str, counted: int) -> int:
        """Tell that the bin was emptied; the number that the ledger expected. Raises Refused."""

    async def empty_retract(self, staff: str, counted: int) -> int:
        """Tell that the retract box was emptied; the number that the ledger expected. Raises Refused."""

    async def open_matters(self) -> tuple[tuple[Doubt, ...], tuple[Blocked, ...]]:
        """What only people can end. Raises Refused."""

    async def find(self, staff: str, card: str, place: str, slot: int | None) -> str:
        """Record where one person found a card: "awaits", "differs" or "decided". Raises Refused."""

    async def unblock(self, staff: str, slot: int) -> None:
        """Have a slot used again that somebody looked into. Raises Refused."""


class Pulse:
    """An event that everybody who waits hears once."""

    def __init__(self) -> None:
        self.watch: Callable[[Page | None], None] = lambda _page: (
            None
        )  # told of each page, also one that is gone at once
        self._waiting: dict[asyncio.Future[None], None] = {}

    def beat(self, page: Page | None) -> None:
        """Wake all who wait now."""
        self.watch(page)
        for one in list(self._waiting):
            _wake(one)

    async def wait(self, timeout: float) -> None:
        """Until the next beat, at most so many seconds."""
        loop = asyncio.get_running_loop()
        beat: asyncio.Future[None] = loop.create_future()
        self._waiting[beat] = None
        tired = loop.call_later(timeout, _wake, beat)
        try:
            await beat
        finally:
            tired.cancel()
            del self._waiting[beat]


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
