"""Whose time it was: the wall time of a pickup, partitioned between machine, mechanics and citizen by interval arithmetic."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

STEP_OF_SCREEN = {
    "code": "code",
    "identify": "identify",
    "face": "face",
    "fingerprint": "fingerprint",
    "review": "review",
    "confirm": "confirm",
    "old_card": "old card",
    "take": "take",
    "done": "finish",
    "fault": "fault",
    "out_of_service": "out of service",
}


class Owner(StrEnum):
    """Who a stretch of time belongs to."""

    MACHINE = "machine"
    MECHANICS = "mechanics"
    CITIZEN = "citizen"


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of CLOCK_MONOTONIC, in seconds; `ended` is not before `began`."""

    began: float
    ended: float

    def covers(self, other: Interval) -> bool:
        """Whether all of `other` lies inside."""
        return self.began <= other.began and other.ended <= self.ended


@dataclass(frozen=True, slots=True)
class Mark:
    """From `at` (CLOCK_MONOTONIC seconds) on, until the next mark, the pickup is in the step `name`."""

    at: float
    name: str


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one step that belong to one owner."""

    name: str
    seconds: float
    owner: Owner


def step_of(view: str, progress: str) -> str:
    """Name of the step that a page of the citizen's screen belongs to; `view` and `progress` as the kiosk sends them.

    Raises KeyError for a page that is not known.
    """
    if progress == "fetching":
        return "dispense"
    if progress == "finishing":
        return "finish"
    return STEP_OF_SCREEN[view]


def attribute(
    whole: Interval, marks: Sequence[Mark], citizen: Iterable[Interval], mechanics: Iterable[Interval]
) -> tuple[StepTime, ...]:
    """Partition `whole`: one entry per step and owner, steps in order of appearance, that make up its length.

    Citizen is where the robot deliberately waits or acts, mechanics where a simulated motor turns and the citizen does
    not, machine is everything else. `marks` are in order of time; the first step reaches back to the beginning of
    `whole`. Raises ValueError when there is no mark.
    """
    if not marks:
        raise ValueError("a pickup without a single page cannot be told apart into steps")
    hands, motors = tuple(citizen), tuple(mechanics)
    parts: dict[tuple[str, Owner], list[float]] = {}
    for piece in _pieces(whole, [*hands, *motors], marks):
        if any(held.covers(piece) for held in hands):
            owner = Owner.CITIZEN
        elif any(motion.covers(piece) for motion in motors):
            owner = Owner.MECHANICS
        else:
            owner = Owner.MACHINE
        name = next((mark.name for mark in reversed(marks) if mark.at <= piece.began), marks[0].name)
        parts.setdefault((name, owner), []).append(piece.ended - piece.began)
    order = {name: place for place, (name, _) in reversed(list(enumerate(parts)))}
    found = [StepTime(name, math.fsum(seconds), owner) for (name, owner), seconds in parts.items()]
    return tuple(sorted(found, key=lambda step: order[step.name]))


def seconds_of(owner: Owner, steps: Iterable[StepTime]) -> float:
    """Seconds of all steps that belong to `owner`."""
    return math.fsum(step.seconds for step in steps if step.owner is owner)


def _pieces(whole: Interval, intervals: Iterable[Interval], marks: Iterable[Mark]) -> Iterable[Interval]:
    cuts = {whole.began, whole.ended}
    for interval in intervals:
        cuts.update((interval.began, interval.ended))
    cuts.update(mark.at for mark in marks)
    ordered = sorted(cut for cut in cuts if whole.began <= cut <= whole.ended)
    return (Interval(began, ended) for began, ended in itertools.pairwise(ordered))
