"""One visit or one fault of a run, with a source of its own for all that it draws."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

VISIT = "visit"
CUSTODY = "custody"  # two of the staff look at what only people can end
FAULT = "fault"
_TOLD = {CUSTODY: "two of the staff come"}


@dataclass(frozen=True, slots=True)
class Item:
    """One visit of a citizen or of staff, or one fault of a kind, at a virtual second.

    `number` is its own source's; `who`, `how` and `other` are a citizen's.
    """

    at: float
    kind: str
    number: int
    who: str = ""
    how: str = ""
    other: str = ""

    @property
    def source(self) -> str:
        """VISIT, CUSTODY or FAULT: what draws it."""
        return self.kind if self.kind in {VISIT, CUSTODY} else FAULT

    def random(self, seed: int) -> Random:
        """The source of everything that this item draws."""
        return Random(f"{seed}:{self.source}:{self.number}")

    def told(self) -> str:
        """One line for people: when, what, who."""
        minutes, seconds = divmod(self.at, 60.0)
        days, minutes = divmod(int(minutes), 24 * 60)
        other = f", {self.other}" if self.other else ""
        what = (
            f"{self.who} comes ({self.how}{other})" if self.who else _TOLD.get(self.kind, self.kind.replace("_", " "))
        )
        return f"day {days} {minutes // 60:02}:{minutes % 60:02}:{seconds:04.1f}  {what}"
