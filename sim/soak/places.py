"""Where a card may really be, by its recorded place."""

from __future__ import annotations

from sim.world import Place, Spot

NEW: dict[str, frozenset[Place]] = {
    "tray": frozenset({Place.TRAY, Place.LOAD, Place.REJECT_LANE}),
    "load": frozenset({Place.LOAD}),
    "transport": frozenset({Place.TRANSPORT}),
    "slot": frozenset({Place.SLOT}),
    "exit": frozenset({Place.EXIT, Place.PERSON}),  # a hand is quicker than any record
    "retract": frozenset({Place.RETRACT}),
    "taken": frozenset({Place.PERSON}),
    "removed": frozenset({Place.TRAY}),
}
OLD: dict[str, frozenset[Place]] = {
    "throat": frozenset({Place.THROAT, Place.PERSON}),
    "escrow": frozenset({Place.ESCROW}),
    "bin": frozenset({Place.BIN}),
    "taken": frozenset({Place.PERSON}),
    "removed": frozenset({Place.TRAY}),
}
"""Where a card may really be, by its recorded place, while nothing moves it; in_doubt may be anywhere."""

OUTSIDE = frozenset({Place.TRAY, Place.PERSON, Place.REJECT_LANE, Place.LOAD})
UNLOADED = frozenset({Place.TRANSPORT, Place.BETWEEN})
"""Where a card of a tray is that nobody has read yet."""


def fits(spot: Spot, place: str, slot: int | None, *, old: bool) -> bool:
    """Whether a card that is really at `spot` may be recorded at that place and slot."""
    allowed = (OLD if old else NEW)[place]
    return spot.place in allowed and (spot.place is not Place.SLOT or slot is None or spot.slot == slot)


def at(slot: int | None) -> str:
    """How a slot is told."""
    return "" if slot is None else f" {slot}"


def where(spot: Spot) -> str:
    """How a spot is told."""
    return f"{spot.place}{at(spot.slot)}"
