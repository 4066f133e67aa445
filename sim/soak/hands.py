"""Hands that took a card, as the units counted them: no card is recorded as taken because it is nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from firmware_protocol.units import UnitKind
from sim.assembly import Machine
from sim.soak.decisions import TWO_PEOPLE

_UNITS = {"dispenser": UnitKind.DISPENSER, "recycler": UnitKind.RECYCLER}

_THROAT_CLEAR = "throat sensor clear"


class Hands:
    """A new card that is recorded as taken was presented last; each record needs a hand more than the unit had counted before.

    Not what two people found, and not what the sensor of the open throat tells alone; a bought dispenser counts no hands.
    `wrong` is told of each breach.
    """

    def __init__(self, machine: Machine, wrong: Callable[[str], None]) -> None:
        self._wrong = wrong
        bought = {"dispenser"} if machine.module is not None else set()
        self._firmware = {unit: machine.firmware[kind] for unit, kind in _UNITS.items() if unit not in bought}
        self._counted = {unit: firmware.record.dispensed for unit, firmware in self._firmware.items()}
        self._presented: str | None = None

    def intended(self, row: Any) -> None:
        """A motion is intended."""
        if row["motion"] == "present":
            self._presented = row["card_id"]

    def recorded(self, unit: str, row: Any) -> None:
        """One link of the chain of a card of this unit."""
        if row["target"] != "taken" or row["origin"] == "taken" or row["reason"] == TWO_PEOPLE:
            return
        if unit == "dispenser" and row["card_id"] != self._presented:
            self._wrong(f"{row['card_id']} is recorded as taken, and {self._presented} was presented last")
        if unit not in self._firmware:
            return
        before, now = self._counted[unit], self._firmware[unit].record.dispensed
        self._counted[unit] = now
        if now <= before and row["origin"] != "throat" and row["reason"] != _THROAT_CLEAR:
            self._wrong(f"{row['card_id']} is recorded as taken from {row['origin']}, and the {unit} counted no hand")
