"""What happened in a run, line by line, its hash, and what of it was wrong."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable

_LINES = 400


class Story:
    """`violations` are (virtual seconds, what is wrong); `violated` is set with the first. `now` is in virtual seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.violations: list[tuple[float, str]] = []
        self.violated = asyncio.Event()
        self.story: deque[str] = deque(maxlen=_LINES)
        self.echo: Callable[[str], None] | None = None
        self._seen_at = 0.0
        self._hash = hashlib.sha256()

    @property
    def trace(self) -> str:
        """Hash of all that happened."""
        return self._hash.hexdigest()[:16]

    def note(self, what: str) -> None:
        """One line of the story."""
        self._seen_at = self._now()
        line = f"{self._seen_at:.3f} {what}"
        self._hash.update(line.encode())
        self.story.append(line)
        if self.echo is not None:
            self.echo(line)

    def wrong(self, what: str) -> None:
        """One violation, now."""
        self.found(self._now(), what)

    def found(self, at: float, what: str) -> None:
        """One violation that was so at that virtual second, and is known only now."""
        self.note(f"VIOLATION {what}")
        self.violations.append((at, what))
        self.violated.set()

    def broke(self, what: str, lines: list[str]) -> None:
        """The run cannot go on: an exception that nobody expected, with the last `lines` of its traceback."""
        at = self.violations[-1][0] if self.violations else self._seen_at
        self.story.extend(lines)
        self.violations.append((at, what))
        self.violated.set()
