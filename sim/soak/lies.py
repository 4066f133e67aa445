"""Which records may rest on a lie: of a sensor in the card's own path, or of two people who both looked wrongly.

What stays excused, and why, stands in docs/reliability.md ("The daemon under fire").
"""

from __future__ import annotations

from collections.abc import Callable

from sim.world import Place, Spot, World

PATH_SENSORS = {
    "dispenser": frozenset({"transport", "exit", "slot"}),
    "recycler": frozenset({"throat", "escrow"}),
}
"""Sensors by which a unit, and so the ledger, knows where a card is; each bears the name of its place."""

PATIENCE = 1800.0
"""Seconds within which a unit that tells the truth again sets right what is recorded in its path."""

_INFERRED = frozenset({"in_doubt", "slot", "taken", "removed", "tray"})
"""Places that may be recorded because a card is nowhere else: after a lie such a record is no better than the lie."""

_IN_A_PATH = frozenset({"transport", "exit", "throat", "escrow"})
_BY_A_SENSOR = _IN_A_PATH | {"slot", "taken"}
"""Places that a lie alone can make the daemon record. All others follow from a motion that ended, a total, a chip or people."""


class Lies:
    """`world` has the sensors that are stuck now; `serving` tells whether a unit answers and the machine goes on.

    A unit's lie excuses records of its own cards only.
    """

    def __init__(self, world: World, serving: Callable[[str], bool]) -> None:
        self._world = world
        self._serving = serving
        self._about: dict[str, str] = {}  # card -> unit that lied
        self._carried: dict[str, str] = {}  # by unit, the card of its latest motion
        self._wrong_since: dict[
            str, float
        ] = {}  # card recorded wrongly in a path, though its unit tells the truth again
        self.misjudged: set[str] = set()  # cards that two people said to be where they are not
        self.may_have_counted: set[str] = set()  # units that may have counted what never was

    def told_by(self, unit: str) -> bool:
        """Whether a path sensor of the unit says now what is not so; one that is stuck at the truth does not lie."""
        return any(
            sensor in PATH_SENSORS[unit] and level is not self._sees(sensor)
            for sensor, level in self._world.stuck.items()
        )

    def _sees(self, sensor: str) -> bool:
        """What the sensor would see."""
        world = self._world
        if sensor == "slot":
            return world.aligned is not None and world.card_in_slot(world.aligned) is not None
        return bool(world.spots.at(Place(sensor)))

    def look(self) -> None:
        """Something moved, got stuck or was recorded: who lies now may have been believed."""
        if self._world.stuck:
            lying = [unit for unit in PATH_SENSORS if self.told_by(unit)]
            self.may_have_counted.update(lying)
            self._about.update({self._carried[unit]: unit for unit in lying if unit in self._carried})

    def carries(self, unit: str, card: str | None) -> None:
        """A motion of the unit is intended, for a card or none: a lie at its end may leave the record as it was."""
        if card is not None:
            self._carried[unit] = card

    def recorded(self, card: str, unit: str, place: str) -> None:
        """A card of the unit is recorded at another place."""
        self._wrong_since.pop(card, None)
        if self.told_by(unit):
            self._about[card] = unit
        elif place not in _INFERRED:
            self.seen(card)

    def seen(self, card: str) -> None:
        """Somebody truthful saw this very card where it is recorded."""
        self._about.pop(card, None)
        self._wrong_since.pop(card, None)
        self.misjudged.discard(card)

    def right(self, card: str) -> None:
        """The record is true: while its unit does not lie, whatever is wrong later has another cause."""
        if card in self.misjudged or (card in self._about and not self.told_by(self._about[card])):
            self.seen(card)

    def misjudge(self, card: str) -> None:
        """Two people said the same about a card, and it is not so."""
        self.misjudged.add(card)

    def about(self, card: str) -> bool:
        """Whether the record of a card may rest on a lie."""
        return card in self._about or card in self.misjudged

    def excuse(self, card: str, place: str, spot: Spot, now: float) -> bool:
        """Whether it may still be that a card is really at `spot` and recorded at `place`, because of a lie.

        Not where no sensor is asked, not in another slot, and not in a path for longer than PATIENCE after its unit tells
        the truth again.
        """
        if card in self.misjudged:
            return True
        unit = self._about.get(card)
        if unit is None or place not in _BY_A_SENSOR or (place == "slot" and spot.place is Place.SLOT):
            return False
        if place not in _IN_A_PATH:
            return True
        if not self._serving(unit) or self.told_by(unit):
            self._wrong_since.pop(card, None)
            return True
        return now - self._wrong_since.setdefault(card, now) <= PATIENCE

    def forget(self, card: str) -> None:
        """A card leaves the story."""
        self.seen(card)
