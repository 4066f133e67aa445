"""What moved and when: the record by which a run tells the mechanics' time from the machine's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_KEPT = 2000


@dataclass(frozen=True, slots=True)
class Motion:
    """One motion of a unit, in seconds of the clock that was handed in; `ended` is None while it runs."""

    unit: str
    motion: str
    began: float
    ended: float | None = None


class MotionLog:
    """The latest motions in the order in which they began; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._motions: dict[int, Motion] = {}
        self._next = 0

    @contextmanager
    def running(self, unit: str, motion: str) -> Iterator[None]:
        """Record a motion from entry to exit, also one that power loss stops."""
        key, self._next = self._next, self._next + 1
        self._motions[key] = Motion(unit, motion, self._clock())
        self._motions.pop(key - _KEPT, None)
        try:
            yield
        finally:
            if key in self._motions:
                begun = self._motions[key]
                self._motions[key] = Motion(unit, motion, begun.began, self._clock())

    def motions(self) -> tuple[Motion, ...]:
        """All that is still remembered."""
        return tuple(self._motions.values())
