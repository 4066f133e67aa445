"""What only staff can end, and they come and look: nothing of it stays for ever."""

from __future__ import annotations

from collections.abc import Callable

from sim.soak.seams import Fetch

MANY_VISITS = 20
TRAY_SECONDS = 2 * 86400.0
"""A card in doubt that was found outside waits for a tray to go back with."""

_OPEN = (
    "SELECT 'slot ' || slot AS what, 'blocked' AS state FROM slot WHERE state = 'blocked'"
    " AND NOT EXISTS (SELECT 1 FROM card WHERE card.card_id = slot.card_id AND place = 'in_doubt')"
    " UNION ALL SELECT card_id, 'in doubt' FROM card WHERE place = 'in_doubt' ORDER BY 1"
)


class Waiting:
    """`wrong` is told of what stays while staff come MANY_VISITS times: a slot blocked for more than its card's doubt, a doubt.

    `now` is in virtual seconds; for a card TRAY_SECONDS have to pass, too.
    """

    def __init__(self, wrong: Callable[[str], None], now: Callable[[], float]) -> None:
        self._wrong = wrong
        self._now = now
        self._visits = 0
        self._since: dict[str, tuple[int, float]] = {}  # by slot or card: visits before, and when it was first seen so

    def visited(self) -> None:
        """Two of the staff have dealt with what they were shown."""
        self._visits += 1

    def power_is_back(self) -> None:
        """Nobody could bring a tray in the dark."""
        self._since = {what: (visits, self._now()) for what, (visits, _) in self._since.items()}

    async def check(self, fetch: Fetch) -> None:
        """While nothing moves."""
        states = {row["what"]: row["state"] for row in await fetch(_OPEN)}
        self._since = {what: self._since.get(what, (self._visits, self._now())) for what in states}
        for what, (visits, since) in self._since.items():
            waits = states[what] == "in doubt" and self._now() - since < TRAY_SECONDS
            if self._visits - visits >= MANY_VISITS and not waits:
                self._wrong(f"{what} is {states[what]}, and staff came {self._visits - visits} times")
