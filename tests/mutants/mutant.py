"""What a mutant is, and the ways in which mutants are hunted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """In `module`, `old` stands exactly once, and becomes `new`."""

    module: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Hunt:
    """What is simulated to find a mutant: the fields of `sim.soak.year.Setting`, which imports what is to be mutated."""

    days: float
    slots: int
    visits: float
    faults: float
    crowd: str = "town"
    only: str = ""
    custody: float = 6.0
    dispenser: str = "mailbox"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A daemon with a fault on purpose. `harm` says what becomes of people and cards; it is hunted by `hunt`."""

    name: str
    harm: str
    edits: tuple[Edit, ...]
    hunt: Hunt


BUSY = Hunt(0.5, slots=40, visits=200.0, faults=200.0)
TAMPERED = Hunt(0.5, slots=8, visits=400.0, faults=300.0)
"""Few slots, so that exchanged cards are asked for soon."""

STORM = Hunt(0.5, slots=40, visits=300.0, faults=600.0)
ATTACKED = Hunt(0.5, slots=40, visits=200.0, faults=20.0, crowd="hostile")
SILENT = Hunt(0.5, slots=40, visits=300.0, faults=400.0, only="silence_offered")
DOUBTED = Hunt(0.5, slots=40, visits=300.0, faults=300.0, only="jam power_midway", custody=60.0)
"""Staff come while a slot is blocked for its card's doubt, before the machine has looked for it."""

LIED = Hunt(0.5, slots=40, visits=300.0, faults=300.0, only="stick", custody=24.0)
"""Nothing but sensors that are stuck, and staff who often end what they leave: a wrong record has no other cause than a lie."""

LIED_LONG = Hunt(1.5, slots=40, visits=300.0, faults=300.0, only="stick", custody=24.0)
"""The same for longer: a card in doubt has to lie inside while the hand that took another is counted late."""

CUT = Hunt(0.5, slots=40, visits=300.0, faults=100.0, only="power_midway unit_midway")
"""So few cuts that what one leaves is seen to stand before the next."""

CARELESS = Hunt(0.5, slots=40, visits=200.0, faults=100.0, crowd="careless")
