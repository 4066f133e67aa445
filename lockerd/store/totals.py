"""The units' non-volatile totals as last seen: what they grew by tells whether a hand or the bin has a card."""

from __future__ import annotations

from dataclasses import dataclass

from lockerd.model.custody import Observation, Unit
from lockerd.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Totals:
    """Cards taken by a hand and cards kept, counted by the unit since it was made."""

    dispensed: int
    retained: int


async def note(tx: Transaction, seen: Observation) -> None:
    """Remember the totals of an observation."""
    await tx.execute(
        "INSERT INTO unit_total (unit, dispensed, retained) VALUES (?1, ?2, ?3)"
        " ON CONFLICT (unit) DO UPDATE SET dispensed = ?2, retained = ?3",
        (seen.unit, seen.dispensed, seen.retained),
    )


async def last(tx: Transaction, unit: Unit) -> Totals | None:
    """The totals last remembered, None before the first."""
    row = await tx.one("SELECT dispensed, retained FROM unit_total WHERE unit = ?", (unit,))
    return None if row is None else Totals(row["dispensed"], row["retained"])
