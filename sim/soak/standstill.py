"""A machine that serves nobody any more: no card is lost by it, and still it is broken."""

from __future__ import annotations

from collections.abc import Callable

DAY = 86400.0
QUIET_SECONDS = 2 * 3600.0  # after a fault: longer than any burns, and than staff need to come
IN_VAIN = 10


class Standstill:
    """Says `wrong` when a day has passed since the last pickup, and who did all right came IN_VAIN times while nothing burned.

    So for each kind of claim by itself: who renews a card needs more of the machine than who replaces one.
    A machine that is dark for longer than an ordinary fault burns serves nobody, and the day begins when it has power again.
    """

    def __init__(self, now: Callable[[], float], wrong: Callable[[str], None]) -> None:
        self._now = now
        self._wrong = wrong
        self._faults = 0
        self._quiet_since = now()
        self._last_pickup: dict[str, float] = {}
        self._in_vain: dict[str, int] = {}
        self._began = now()
        self._dark_since: float | None = None

    def visited(self, kind: str, *, took: bool, right: bool, faults: int, dark: bool) -> None:
        """A visit for a claim of this kind ended; `faults` is how many there were since the beginning.

        `dark` says whether the mains are away.
        """
        now = self._now()
        if faults != self._faults:
            self._faults, self._quiet_since = faults, now
        self._dark_since = None if not dark else now if self._dark_since is None else self._dark_since
        if self._dark_since is not None and now - self._dark_since >= QUIET_SECONDS:
            self._last_pickup, self._in_vain, self._began = {}, {}, now
        elif took:
            self._last_pickup[kind], self._in_vain[kind] = now, 0
        elif right and now - self._quiet_since >= QUIET_SECONDS:
            self._in_vain[kind] = self._in_vain.get(kind, 0) + 1
        if self._in_vain.get(kind, 0) >= IN_VAIN and now - self._last_pickup.get(kind, self._began) >= DAY:
            self._wrong(f"no {kind} for a day, and {self._in_vain[kind]} visits in vain while no fault burned")
