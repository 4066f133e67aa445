"""What people see of the daemon and can do to it, in plain words: the citizen's page and the staff's answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
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


@dataclass(frozen=True, slots=True)
class Loaded:
    """A tray's report: one entry a card, the slot or None for a rejected one; `fault` "" when all went well."""

    slots: tuple[int | None, ...]
    fault: str


class Door(Protocol):
    """The daemon as people meet it. `page` is None while the screen is dark."""

    page: Page | None

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


class Pulse:
    """An event that everybody who waits hears once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        """Wake all who wait now."""
        self._event.set()
        self._event = asyncio.Event()

    def wait(self) -> Awaitable[object]:
        """Until the next beat."""
        return self._event.wait()
