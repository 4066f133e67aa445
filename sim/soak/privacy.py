"""Personal data: none in an event, and none left in the database two days after a card was collected."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable

from sim.soak.seams import Fetch

KEPT_SECONDS = 2 * 86400.0
"""A day by the machine's clock, which may be a day wrong."""

START_SECONDS = 1200.0
"""In which a machine that was dark until then has erased it: at most a quarter of an hour it waits for the cards in its paths."""

_PERSONAL = re.compile(r"(?<!\w)\d{17}[\dX](?!\w)|\+861\d{10}|[\u4e00-\u9fff]")
"""An ID number, a telephone number, or what a name is written in: events are told in English words."""

_LEFT = """
SELECT claim_id FROM claim WHERE (person IS NOT NULL OR id_index IS NOT NULL) AND claim_id IN (SELECT value FROM json_each(?1))
UNION SELECT claim_id FROM face_template WHERE claim_id IN (SELECT value FROM json_each(?1))
UNION SELECT claim_id FROM collector WHERE claim_id IN (SELECT value FROM json_each(?1))
UNION SELECT claim_id FROM code WHERE claim_id IN (SELECT value FROM json_each(?1)) ORDER BY 1
"""


class Privacy:
    """`wrong` is told of each breach; `now` is in virtual seconds, which no clock of the machine's changes.

    `starts` tells which life of the daemon this is.
    """

    def __init__(self, wrong: Callable[[str], None], now: Callable[[], float], starts: Callable[[], int]) -> None:
        self._wrong = wrong
        self._now = now
        self._starts = starts
        self._collected: deque[tuple[float, str]] = deque()
        self._left: dict[str, tuple[int, float]] = {}  # in which life it was first seen to be there, and when

    def event(self, seq: int, text: str) -> None:
        """One event as it is written down, before the office has it."""
        if _PERSONAL.search(text):
            self._wrong(f"event {seq} holds personal data")

    def collected(self, claim: str) -> None:
        """A claim is recorded as collected."""
        self._collected.append((self._now(), claim))

    async def check(self, fetch: Fetch) -> None:
        """Of claims that were collected long enough ago nothing is left that tells whose they were."""
        due, now = list(self._left), self._now()
        while self._collected and now - self._collected[0][0] > KEPT_SECONDS:
            due.append(self._collected.popleft()[1])
        left = [row["claim_id"] for row in await fetch(_LEFT, json.dumps(due))] if due else []
        seen, self._left = self._left, {}
        for claim in left:
            life, since = seen.get(claim, (0, now))
            self._left[claim] = (self._starts(), since if life == self._starts() else now)
            if now - self._left[claim][1] > START_SECONDS:
                self._wrong(f"{claim} was collected two days ago, and whose it was is still there")
