"""A machine that serves nobody any more: no card is lost by it, and still it is broken."""

from __future__ import annotations

from collections.abc import Callable

DAY = 86400.0
QUIET_SECONDS = 2 * 3600.0  # after a fault: longer than any burns, and than staff need to come
IN_VAIN = 10


class Standstill:
    """Says `wrong` when a day has passed since the last pickup, and who did all right came IN_VAIN times while nothing burned.

    A machine that is dark for longer than an ordinary fault burns serves nobody, and the day begins when it has power again.
    """

    def __init__(self, now: Callable[[], float], wrong: Callable[[str], None]) -> None:
        self._now = now
        self._wrong = wrong
        self._faults = 0
        self._quiet_since = now()
        self._last_pickup = now()
        self._in_vain = 0
        self._dark_since: float | None = None

    def visited(self, *, took: bool, does_right: bool, faults: int, dark: bool) -> None:
        """A visit ended; `faults` is how many there were since the beginning, `dark` whether the mains are away."""
        now = self._now()
        if faults != self._faults:
            self._faults, self._quiet_since = faults, now
        self._dark_since = None if not dark else now if self._dark_since is None else self._dark_since
        if took or (self._dark_since is not None and now - self._dark_since >= QUIET_SECONDS):
            self._last_pickup, self._in_vain = now, 0
        elif does_right and now - self._quiet_since >= QUIET_SECONDS:
            self._in_vain += 1
        if self._in_vain >= IN_VAIN and now - self._last_pickup >= DAY:
            self._wrong(f"no pickup for a day, and {self._in_vain} visits in vain while no fault burned")
