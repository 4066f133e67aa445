"""How long a page waits for the citizen, and how they are warned before it ends and get more time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from lockerd.pickup.state import Patience

WARN_SECONDS = 20  # WCAG 2.2.1: warn at least 20 s before a time-out …
EXTENSIONS = 10  # … and let it be extended ten times


class PageTime:
    """The time of the page that stands, by the running loop's clock; `warned` once its last seconds have begun."""

    def __init__(self, patience: Mapping[Patience, float]) -> None:
        self._seconds = patience
        self._patience = Patience.ENDLESS
        self._deadline: float | None = None
        self._extensions = 0
        self.warned = False

    def enter(self, patience: Patience) -> None:
        """Another page: its time begins, and it can be extended anew."""
        self._patience = patience
        self._extensions = 0
        self._begin()

    def extend(self) -> bool:
        """Begin the page's time again, as the citizen wants; False where it has none or was extended often enough."""
        if self._deadline is None or self._extensions >= EXTENSIONS:
            return False
        self._extensions += 1
        self._begin()
        return True

    def next_wake(self) -> float | None:
        """The loop's time at which to warn or to end; None for a page that waits for ever."""
        if self._deadline is None:
            return None
        return self._deadline if self.warned else max(self._deadline - WARN_SECONDS, 0.0)

    def over(self) -> bool:
        """At `next_wake`: whether the page's time is over; if not, the warning has begun."""
        if self._deadline is not None and not self.warned:
            self.warned = True
            return False
        return True

    def seconds_left(self) -> int | None:
        """Whole seconds until the page ends; None for one that waits for ever."""
        return None if self._deadline is None else max(0, round(self._deadline - asyncio.get_running_loop().time()))

    def _begin(self) -> None:
        seconds = self._seconds.get(self._patience)
        self._deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
        self.warned = False
