"""One visit or one fault of a run, with a source of its own for all that it draws."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

VISIT = "visit"


@dataclass(frozen=True, slots=True)
class Item:
    """One visit, or one fault of a kind, at a virtual second; `number` is its own source's, `who`, `how` and `other` a visit's."""

    at: float
    kind: str
    number: int
    who: str = ""
    how: str = ""
    other: str = ""

    def random(self, seed: int) -> Random:
        """The source of everything that this item draws."""
        return Random(f"{seed}:{'visit' if self.kind == VISIT else 'fault'}:{self.number}")

    def told(self) -> str:
        """One line for people: when, what, who."""
        minutes, seconds = divmod(self.at, 60.0)
        days, minutes = divmod(int(minutes), 24 * 60)
        other = f", {self.other}" if self.other else ""
        what = f"{self.who} comes ({self.how}{other})" if self.who else self.kind.replace("_", " ")
        return f"day {days} {minutes // 60:02}:{minutes % 60:02}:{seconds:04.1f}  {what}"
