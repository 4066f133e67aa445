"""Makes the story of a violation as short as it goes: visits and faults are left out while the same kind of violation stays.

Delta debugging (Zeller and Hildebrandt 2002): halves first, then quarters, down to single items, within a time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from sim.soak.item import Item
from sim.soak.script import Kept
from sim.soak.year import Report, Setting, play

SECONDS = 60.0  # of the processor's
_AFTER = 3600.0  # virtual seconds that a shorter story may take longer
_NAMES = re.compile(r"\b[\w-]*\d[\w-]*\b")


def kind_of(what: str) -> str:
    """What a violation is apart from whom it concerns: its text without numbers, people and cards."""
    return _NAMES.sub("#", what)


def shrunk(report: Report, setting: Setting, *, seconds: float = SECONDS) -> tuple[Kept, Report]:
    """The shortest story found that ends in the same kind of violation, and its own report; `report` must have one."""
    assert report.violation is not None
    minute, what = report.violation
    wanted = kind_of(what)
    end = minute * 60.0 + _AFTER
    deadline = time.process_time() + seconds
    best = report

    def fails(items: Sequence[Item]) -> bool:
        nonlocal best
        if time.process_time() > deadline:
            return False
        found = play(report.seed, setting, end=end, kept=items)
        same = found.violation is not None and kind_of(found.violation[1]) == wanted
        if same:
            best = found
        return same

    items = minimal(list(report.script), fails)
    told = best.violation[1] if best.violation else what
    return Kept(report.seed, asdict(setting), end, told, tuple(items)), best


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
