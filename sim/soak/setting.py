"""What a soak simulates: for how long, how busy, under how many faults, and who comes."""

from __future__ import annotations

from dataclasses import dataclass

from sim.soak.citizens import ABSENT_MINDED, CONFUSED, GUESSER, HONEST, PASSING_GUESSER, QUICK, SLOW

DAY = 86400.0
CROWDS = {
    "town": {
        "honest": 43,
        "quick": 8,
        "slow": 12,
        "confused": 16,
        "absent-minded": 9,
        "impostor": 4,
        "with a foreign card": 4,
        "guesser in passing": 4,
    },
    "hostile": {"impostor": 1, "with a foreign card": 1, "guesser": 4},
    "careless": {"confused": 1, "absent-minded": 2},
    "finders": {"slow": 2, "absent-minded": 1, "with a foreign card": 3},
}
"""Who comes how often, by the name of the crowd."""
DISPENSERS = ("mailbox", "crt")
"""In the words of the configuration: a board on the bus, or a bought module before it."""
TEMPERS = {temper.name: temper for temper in (HONEST, QUICK, SLOW, CONFUSED, ABSENT_MINDED, GUESSER, PASSING_GUESSER)}
WITH_ANOTHERS = ("impostor", "with a foreign card")  # with somebody else's face or card


@dataclass(frozen=True, slots=True)
class Setting:
    """What is simulated. `visits`, `faults` and `custody` (visits of two of the staff) are a day's average.

    `crowd` says who comes, see CROWDS; `only` which kinds of faults, by a space; empty for all. `dispenser` is one of
    DISPENSERS, or "" to let the seed decide: every fourth has a bought one.
    """

    days: float
    slots: int = 300
    visits: float = 20.0
    faults: float = 12.0
    crowd: str = "town"
    only: str = ""
    custody: float = 6.0
    dispenser: str = ""

    def dispenser_of(self, seed: int) -> str:
        """The dispenser that a seed plays with."""
        return self.dispenser or DISPENSERS[seed % 4 == 0]
