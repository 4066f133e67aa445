"""Which records may rest on a lie: of a sensor in the card's own path, or of two people who both looked wrongly.

What stays excused, and why, stands in docs/reliability.md ("The daemon under fire").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sim.world import Place, Spot, World

PATH_SENSORS = {
    "dispenser": frozenset({"transport", "exit", "slot"}),
    "recycler": frozenset({"throat", "escrow"}),
}
"""Sensors by which a unit, and so the ledger, knows where a card is; each bears the name of its place."""

PATIENCE = 1800.0
"""Seconds within which a unit that tells the truth again sets right what is recorded in its path."""

LATELY = 60.0
"""Seconds for which what a sensor said may still be on its way into the ledger."""

_INFERRED = frozenset({"in_doubt", "slot", "taken", "removed", "tray"})
"""Places that may be recorded because a card is nowhere else: after a lie such a record is no better than the lie."""

_IN_A_PATH = frozenset({"transport", "exit", "throat", "escrow"})
_BY_A_SENSOR = _IN_A_PATH | {"slot", "taken"}
"""Places that a lie alone can make the daemon record. All others follow from a motion that ended, a total, a chip or people."""

_SEEN_ELSEWHERE = frozenset({Place.EXIT, Place.RETRACT, Place.PERSON})
"""Where no card comes from a slot unseen: it was carried there, and its chip was read, or a total counted it."""

_TELLS = {"slot": "slot", "dispenser": "exit", "recycler": "throat"}
"""Sensor without whose lie a card is not recorded in a slot, or as taken out of a unit: one that a hand took is not seen there."""


@dataclass(slots=True)
class _Lie:
    """Which sensors of a unit said what was not so, while it mattered for one card."""

    unit: str
    sensors: set[str] = field(default_factory=set)


class Lies:
    """`world` has the sensors that are stuck now; `serving` tells whether a unit answers and the machine goes on.

    A unit's lie excuses records of its own cards only, and only those that the lying sensor has to do with. `now` is in seconds.
    """

    def __init__(self, world: World, serving: Callable[[str], bool], now: Callable[[], float]) -> None:
        self._world = world
        self._serving = serving
        self._now = now
        self._about: dict[str, _Lie] = {}  # by card
        self._lied: dict[str, float] = {}  # by sensor, when it was last seen to lie
        self._carried: dict[str, str] = {}  # by unit, the card of its latest motion
        self._wrong_since: dict[
            str, float
        ] = {}  # card recorded wrongly in a path, though its unit tells the truth again
        self._unseen: dict[int, str] = {}  # slot -> the card that its sensor did not see when staff said it is empty
        self.misjudged: set[str] = set()  # cards that two people said to be where they are not
        self.may_have_counted: set[str] = set()  # units that may have counted what never was

    def told_by(self, unit: str) -> bool:
        """Whether a path sensor of the unit says now what is not so; one that is stuck at the truth does not lie."""
        return bool(self._lying(unit))

    def _lying(self, unit: str) -> set[str]:
        mine = PATH_SENSORS[unit]
        return {one for one, level in self._world.stuck.items() if one in mine and level is not self._sees(one)}

    def lately(self, unit: str) -> set[str]:
        """Path sensors of the unit that lie now, or did a moment ago: what follows from what was seen takes its time."""
        since = self._now() - LATELY
        return self._lying(unit) | {one for one in PATH_SENSORS[unit] if self._lied.get(one, since - 1.0) >= since}

    def _sees(self, sensor: str) -> bool:
        """What the sensor would see."""
        world = self._world
        if sensor == "slot":
            return world.aligned is not None and world.card_in_slot(world.aligned) is not None
        return bool(world.spots.at(Place(sensor)))

    def look(self) -> None:
        """Something moved, got stuck or was recorded: who lies now may have been believed."""
        if not self._world.stuck:
            return
        for unit in PATH_SENSORS:
            lying = self._lying(unit)
            if lying:
                self.may_have_counted.add(unit)
                self._lied.update(dict.fromkeys(lying, self._now()))
                if unit in self._carried:
                    self._believed(self._carried[unit], unit, lying)

    def _believed(self, card: str, unit: str, sensors: set[str]) -> None:
        self._about.setdefault(card, _Lie(unit)).sensors.update(sensors)

    def carries(self, unit: str, card: str | None) -> None:
        """A motion of the unit is intended, for a card or none: a lie at its end may leave the record as it was."""
        if card is not None:
            self._carried[unit] = card

    def recorded(self, card: str, unit: str, place: str) -> None:
        """A card of the unit is recorded at another place."""
        self._wrong_since.pop(card, None)
        lying = self.lately(unit)
        if lying:
            self._believed(card, unit, lying)
        elif place not in _INFERRED:
            self.seen(card)

    def seen(self, card: str) -> None:
        """Somebody truthful saw this very card where it is recorded."""
        self._about.pop(card, None)
        self._wrong_since.pop(card, None)
        self.misjudged.discard(card)

    def unblocked(self, slot: int) -> None:
        """Staff use a slot again, and its sensor was asked: what lies there unseen because it lies stays unseen."""
        self._unseen.pop(slot, None)
        there = self._world.card_in_slot(slot)
        if there is not None and "slot" in self.lately("dispenser"):
            self._unseen[slot] = there

    def hides(self, slot: int, card: str) -> bool:
        """Whether a slot may count as free though this very card lies there: the last to look at it was a sensor that lied."""
        return self._unseen.get(slot) == card

    def right(self, card: str) -> None:
        """The record is true: while its unit does not lie, whatever is wrong later has another cause."""
        if card in self.misjudged or (card in self._about and not self.told_by(self._about[card].unit)):
            self.seen(card)

    def misjudge(self, card: str) -> None:
        """Two people said the same about a card, and it is not so."""
        self.misjudged.add(card)

    @property
    def suspects(self) -> set[str]:
        """All cards whose records may."""
        return self._about.keys() | self.misjudged

    def about(self, card: str) -> bool:
        """Whether the record of a card may rest on a lie."""
        return card in self._about or card in self.misjudged

    def excuse(self, card: str, place: str, spot: Spot) -> bool:
        """Whether it may still be that a card is really at `spot` and recorded at `place`, because of a lie.

        Not where no sensor is asked, not in a slot or a hand where another sensor lied than one that looks there or at the
        spot, not in another slot, and not in a path for longer than PATIENCE after its unit tells the truth again.
        """
        if card in self.misjudged:
            return True
        lie = self._about.get(card)
        if lie is None or place not in _BY_A_SENSOR or (place == "slot" and spot.place is Place.SLOT):
            return False
        if place == "slot":
            return _TELLS["slot"] in lie.sensors and spot.place not in _SEEN_ELSEWHERE
        if place == "taken":
            return not lie.sensors.isdisjoint({_TELLS[lie.unit], spot.place.value})
        if not self._serving(lie.unit) or self.told_by(lie.unit):
            self._wrong_since.pop(card, None)
            return True
        now = self._now()
        return now - self._wrong_since.setdefault(card, now) <= PATIENCE

    def forget(self, card: str) -> None:
        """A card leaves the story."""
        self.seen(card)
