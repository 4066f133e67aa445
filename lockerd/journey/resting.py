"""What a unit's account of itself says of rest: whether its card path wants some, and whether it is as the last try left it."""

from __future__ import annotations

from lockerd.model.custody import Fault, Observation, Place, Sensor

State = tuple[int, Fault | None, Place | None, bool]
"""What a try to bring a path to rest leaves: the unit's start, its fault, where it sees a card, and a gate that stays open."""


def state_of(seen: Observation) -> State:
    """The state that the unit is in."""
    return seen.boot_id, seen.fault, seen.place, gate_left_open(seen)


def restless(seen: Observation) -> bool:
    """Whether the unit was interrupted, has a fault, sees a card in its path or is not home."""
    return seen.interrupted or seen.fault is not None or seen.place is not None or Sensor.HOME not in seen.sensors


def gate_left_open(seen: Observation) -> bool:
    """Whether the exit gate is open and no card is seen: what keeps it open may be one, within everybody's reach."""
    return Sensor.GATE_OPEN in seen.sensors and seen.place is None


def wants_rest(seen: Observation, left: State | None) -> bool:
    """Whether the path is to be brought to rest, after a try that left it so; None for no try.

    A jam waits for staff. A gate that stayed open is looked after again when it has shut.
    """
    return state_of(seen) != left and (restless(seen) or gate_left_open(seen) or (left is not None and left[3]))
