"""Which records may rest on a lie: of a sensor in the card's own path, or of two people who both looked wrongly."""

from __future__ import annotations

from sim.world import World

PATH_SENSORS = {
    "dispenser": frozenset({"transport", "exit", "slot", "load"}),
    "recycler": frozenset({"throat", "escrow"}),
}
"""Sensors by which a unit, and so the ledger, knows where a card is."""

_INFERRED = frozenset({"in_doubt", "slot", "taken", "removed", "tray"})
"""Places that may be recorded because a card is nowhere else: after a lie such a record is no better than the lie."""


class Lies:
    """`world` has the sensors that are stuck now. A unit's lie excuses records of its own cards only."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._about: set[str] = set()
        self._carried: dict[str, str] = {}  # by unit, the card of its latest motion
        self.misjudged: set[str] = set()  # cards that two people said to be where they are not
        self.since_totals: set[str] = set()  # units that may have counted what never was

    def told_by(self, unit: str) -> bool:
        """Whether a path sensor of the unit is stuck now."""
        stuck = self._world.stuck
        return bool(stuck) and not PATH_SENSORS[unit].isdisjoint(stuck)

    def look(self) -> None:
        """Something moved or was recorded: who lies now may have been believed."""
        if self._world.stuck:
            lying = [unit for unit in PATH_SENSORS if self.told_by(unit)]
            self.since_totals.update(lying)
            self._about.update(self._carried[unit] for unit in lying if unit in self._carried)

    def carries(self, unit: str, card: str | None) -> None:
        """A motion of the unit is intended, for a card or none: a lie at its end may leave the record as it was."""
        if card is not None:
            self._carried[unit] = card

    def recorded(self, card: str, unit: str, place: str) -> None:
        """A card of the unit is recorded at another place."""
        if self.told_by(unit):
            self._about.add(card)
        elif place not in _INFERRED:
            self.seen(card)

    def seen(self, card: str) -> None:
        """Somebody truthful saw this very card where it is recorded."""
        self._about.discard(card)
        self.misjudged.discard(card)

    def misjudge(self, card: str) -> None:
        """Two people said the same about a card, and it is not so."""
        self.misjudged.add(card)

    def about(self, card: str) -> bool:
        """Whether the record of a card may rest on a lie."""
        return card in self._about or card in self.misjudged

    def forget(self, card: str) -> None:
        """A card leaves the story."""
        self.seen(card)
