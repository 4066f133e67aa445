"""Makes the story of a violation as short as it goes: visits and faults are left out while the same kind of violation stays.

A long story is first told afresh (`sim.soak.afresh`), which makes a try cost seconds. What then fails is shortened by delta
debugging (Zeller and Hildebrandt 2002): halves first, then quarters, down to single items, within a time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from sim.soak.afresh import afresh, ends
from sim.soak.item import Item
from sim.soak.script import Kept
from sim.soak.setting import DAY, Setting
from sim.soak.year import Report, play

SECONDS = 60.0  # of the processor's, and as many more
SECONDS_A_DAY = 10.0  # for each day of the story
_AFTER = 3600.0  # virtual seconds that a shorter story may take longer
_NAMES = re.compile(r"\b[\w-]*\d[\w-]*\b")


def kind_of(what: str) -> str:
    """What a violation is apart from whom it concerns: its text without numbers, people and cards."""
    return _NAMES.sub("#", what)


def shrunk(report: Report, setting: Setting, *, seconds: float | None = None) -> tuple[Kept, Report]:
    """The shortest story found that ends in the same kind of violation, and its own report; `report` must have one.

    `seconds` of the processor's are spent; None: the more, the longer the story is.
    """
    assert report.violation is not None
    minute, what = report.violation
    end = minute * 60.0 + _AFTER
    tries = _Tries(report, what, time.process_time() + (seconds or SECONDS + SECONDS_A_DAY * end / DAY))
    items = list(report.script)
    for part in ends(items, what):
        told, fresh, earlier = afresh(part, setting)
        if tries.fails(told, fresh, end - earlier):
            items, setting, end = told, fresh, end - earlier
            break
    items = minimal(items, lambda kept: tries.fails(kept, setting, end))
    told, fresh, earlier = afresh(items, setting) if items else (items, setting, 0.0)
    if tries.fails(told, fresh, end - earlier):  # fewer people are enough now
        items, setting, end = told, fresh, end - earlier
    best = tries.best
    found = best.violation[1] if best.violation else what
    return Kept(report.seed, asdict(setting), end, found, tuple(items)), best


class _Tries:
    """Plays stories until its time is over; `best` is the last report with the same kind of violation."""

    def __init__(self, report: Report, what: str, deadline: float) -> None:
        self.best = report
        self._wanted = kind_of(what)
        self._deadline = deadline

    def fails(self, items: Sequence[Item], setting: Setting, end: float) -> bool:
        if time.process_time() > self._deadline:
            return False
        found = play(self.best.seed, setting, end=end, kept=items)
        same = found.violation is not None and kind_of(found.violation[1]) == self._wanted
        if same:
            self.best = found
        return same


def minimal(items: list[Item], fails: Callable[[Sequence[Item]], bool]) -> list[Item]:
    """Items of which, as far as was tried, none can be left out and `fails` still hold."""
    for last in (1, 2, 4, 8, 16, 32, 64):  # most stories are short: what is long past seldom matters
        if last < len(items) and fails(items[-last:]):
            items = items[-last:]
            break
    parts = 2
    while len(items) >= 2:
        size = -(-len(items) // parts)
        chunks = [items[start : start + size] for start in range(0, len(items), size)]
        for chunk in chunks:
            rest = [item for item in items if item not in chunk]
            if fails(rest):
                items, parts = rest, max(parts - 1, 2)
                break
        else:
            if parts >= len(items):
                return items
            parts = min(parts * 2, len(items))
    return items if not items or not fails([]) else []
