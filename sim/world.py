"""The physical truth: where each card really is, what stands open, who looks into the camera.

The world obeys physics and nothing else: it knows neither the daemon nor what any firmware believes. Two kinds of
operations change it: what hands do (staff, citizens), and what motors do (`leave`, `arrive` and the carousel). One that
cannot happen raises `Impossible` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from firmware_protocol.units import UnitKind


class Place(StrEnum):
    """Where a card can be; each is at exactly one of them."""

    TRAY = "tray"  # with the staff, outside the machine
    LOAD = "load"  # in the stack of the load feeder
    TRANSPORT = "transport"  # before the exit reader
    SLOT = "slot"
    EXIT = "exit"
    RETRACT = "retract"  # in the retract box
    THROAT = "throat"
    ESCROW = "escrow"  # before the throat reader
    BIN = "bin"
    REJECT_LANE = "reject_lane"
    PERSON = "person"  # in somebody's hand, also while held to the counter's reader
    BETWEEN = "between"  # on its way inside the machine


CAPACITY: dict[Place, int] = {
    Place.LOAD: 100,
    Place.TRANSPORT: 1,
    Place.EXIT: 1,
    Place.RETRACT: 10,
    Place.THROAT: 1,
    Place.ESCROW: 1,
    Place.BIN: 200,
    Place.REJECT_LANE: 100,
}
"""How many cards fit; a place not named has no limit, a slot takes one, and so does the path of a unit."""

PATH_END: dict[UnitKind, Place] = {UnitKind.DISPENSER: Place.TRANSPORT, UnitKind.RECYCLER: Place.ESCROW}
"""Where each path runs through, and where a homing unit draws a card that it finds on the way."""


class Impossible(Exception):
    """Physics forbids it; the message says why."""


@dataclass(frozen=True, slots=True)
class Spot:
    """The one place of a card; `slot` only with SLOT, `path` (whose) only with BETWEEN, `since` orders a stack."""

    place: Place
    slot: int | None = None
    path: UnitKind | None = None
    since: int = 0


class Spots(dict[str, Spot]):
    """Where each card is, by card, and what lies at a place or in a slot without a search of all cards."""

    def __init__(self, spots: Mapping[str, Spot]) -> None:
        super().__init__()
        self._at: dict[Place, dict[str, Spot]] = {place: {} for place in Place}
        self._in_slot: dict[int, str] = {}
        for card, spot in spots.items():
            self[card] = spot

    def __setitem__(self, card: str, spot: Spot) -> None:
        if card in self:
            self._leave(card)
        super().__setitem__(card, spot)
        self._at[spot.place][card] = spot
        if spot.slot is not None:
            self._in_slot[spot.slot] = card

    def __delitem__(self, card: str) -> None:
        self._leave(card)
        super().__delitem__(card)

    def _leave(self, card: str) -> None:
        spot = self[card]
        del self._at[spot.place][card]
        if spot.slot is not None and self._in_slot.get(spot.slot) == card:
            del self._in_slot[spot.slot]

    def at(self, place: Place) -> Mapping[str, Spot]:
        """The cards at a place."""
        return self._at[place]

    def in_slot(self, slot: int) -> str | None:
        """The card in a slot."""
        return self._in_slot.get(slot)


class World:
    """All cards, hands and mechanics of one machine; `slots` is the size of the carousel."""

    def __init__(self, slots: int, cards: Mapping[str, Place]) -> None:
        self.slots = slots
        self.spots = Spots({card: Spot(place) for card, place in cards.items()})
        self.moves = 0
        self.aligned: int | None = 0  # slot at the picker; None when the carousel stands between two
        self.unhomed: set[UnitKind] = set()
        self.jammed: set[UnitKind] = set()
        self.armed: dict[str, str] = {}  # by unit, the motion that will jam next
        self.stuck: dict[str, bool] = {}  # sensors that read the same whatever they see
        self.gate_open = False
        self.shutter_open = False
        self.lights = 0
        self.fan = 0  # per cent
        self.heater = 0
        self.bin_counter = 0  # of the switch at the bin's mouth
        self.powered = True
        self.on_reader: str | None = None
        self.looking: str | None = None
        self.also_looking: str | None = None
        self.printed = False  # who is looking is a print on paper
        self.touching: str | None = None  # whose finger is on the sensor
        self.broken: set[str] = set()  # cards whose chip answers no reader

    # What is where

    def cards_at(self, place: Place) -> list[str]:
        """Cards at a place, the one that came first in front."""
        found = self.spots.at(place)
        return sorted(found, key=lambda card: found[card].since)

    def card_at(self, place: Place) -> str | None:
        """The first card at a place, the top one of a stack; None when there is none."""
        found = self.spots.at(place)
        if len(found) < 2:
            return next(iter(found), None)
        return min(found, key=lambda card: found[card].since)

    def card_in_slot(self, slot: int) -> str | None:
        """The card in a slot of the carousel."""
        return self.spots.in_slot(slot)

    def card_between(self, path: UnitKind) -> str | None:
        """The card that is on its way in a unit."""
        return next((card for card, spot in self.spots.at(Place.BETWEEN).items() if spot.path is path), None)

    def check(self) -> None:
        """Assert that each card is at exactly one place that can hold it, and nothing passes through anything."""
        for card, spot in self.spots.items():
            assert (spot.slot is not None) == (spot.place is Place.SLOT), card
            assert (spot.path is not None) == (spot.place is Place.BETWEEN), card
            assert spot.slot is None or 0 <= spot.slot < self.slots, card
        for place, capacity in CAPACITY.items():
            assert len(self.cards_at(place)) <= capacity, place
        taken = [spot.slot for spot in self.spots.values() if spot.slot is not None]
        assert len(taken) == len(set(taken)), "two cards in one slot"
        for path, end in PATH_END.items():
            moving = [card for card, spot in self.spots.items() if spot.path is path]
            assert len(moving) <= 1, path
            assert not moving or self.card_at(end) is None, path
        assert self.on_reader is None or self.spots[self.on_reader].place is Place.PERSON
        assert self.aligned is None or 0 <= self.aligned < self.slots

    def _put(self, card: str, spot: Spot) -> None:
        self.moves += 1
        self.spots[card] = Spot(spot.place, spot.slot, spot.path, self.moves)
        if self.on_reader == card:
            self.on_reader = None

    def _room(self, place: Place, count: int = 1) -> None:
        if len(self.cards_at(place)) + count > CAPACITY.get(place, len(self.spots)):
            raise Impossible(f"no room at {place}")
        if place in PATH_END.values() and any(self.card_between(p) for p, end in PATH_END.items() if end is place):
            raise Impossible(f"a card is on its way through {place}")

    def _outside(self, card: str, *places: Place) -> None:
        if card not in self.spots:
            raise Impossible(f"there is no card {card}")
        if self.spots[card].place not in places:
            raise Impossible(f"card {card} is at {self.spots[card].place}")

    # What motors do

    def leave(self, path: UnitKind, origin: Place, slot: int | None = None) -> None:
        """The motor of a unit pulls a card out of `origin`, or out of the `slot` at the picker; it is then between."""
        if self.card_between(path) is not None:
            raise Impossible("a card is in the way")
        self._at_picker(slot)
        card = self.card_at(origin) if slot is None else self.card_in_slot(slot)
        if card is None:
            raise Impossible(f"no card at {origin}")
        if origin is not PATH_END[path]:
            self._room(PATH_END[path])
        self._put(card, Spot(Place.BETWEEN, path=path))

    def arrive(self, path: UnitKind, target: Place, slot: int | None = None) -> None:
        """The card that is between in a unit comes to rest at `target`, or in the `slot` at the picker."""
        card = self.card_between(path)
        if card is None:
            raise Impossible("no card is on its way")
        self._at_picker(slot)
        if slot is not None:
            if self.card_in_slot(slot) is not None:
                raise Impossible(f"slot {slot} is occupied")
        elif target is not PATH_END[path]:  # which is free while a card is between
            self._room(target)
        if target is Place.BIN:
            self.bin_counter += 1
        self._put(card, Spot(target, slot))

    def _at_picker(self, slot: int | None) -> None:
        if slot is not None and slot != self.aligned:
            raise Impossible(f"slot {slot} does not stand at the picker")

    # What hands do

    def place_tray(self, cards: Sequence[str]) -> None:
        """Staff put a stack into the load feeder, the first card on top (it is loaded first), below what is there."""
        if len(set(cards)) != len(cards):
            raise Impossible("a card is there only once")
        for card in cards:
            self._outside(card, Place.TRAY, Place.PERSON)
        self._room(Place.LOAD, len(cards))
        for card in cards:
            self._put(card, Spot(Place.LOAD))

    def empty_feeder(self) -> None:
        """Staff take all cards out of the feeder again."""
        self._empty(Place.LOAD)

    def take_rejects(self) -> None:
        """Staff take all cards out of the reject lane."""
        self._empty(Place.REJECT_LANE)

    def take_stuck(self, path: UnitKind) -> None:
        """Staff pull the card that got stuck in a unit's path out by hand."""
        card = self.card_between(path)
        if card is None:
            raise Impossible("no card is stuck")
        self._put(card, Spot(Place.TRAY))

    def take_out(self, card: str) -> None:
        """Staff open the machine and take one card out of wherever it lies or stands in it."""
        self._outside(card, Place.SLOT, Place.TRANSPORT, Place.EXIT, Place.THROAT, Place.ESCROW, Place.BETWEEN)
        self._put(card, Spot(Place.TRAY))

    def empty_bin(self) -> None:
        """Staff take all cards out of the bin; its counter stays until the unit is told."""
        self._empty(Place.BIN)

    def empty_retract(self) -> None:
        """Staff take all cards out of the retract box."""
        self._empty(Place.RETRACT)

    def _empty(self, place: Place) -> None:
        for card in self.cards_at(place):
            self._put(card, Spot(Place.TRAY))

    def swap_slots(self, a: int, b: int) -> None:
        """Somebody exchanges what lies in two slots."""
        if not (0 <= a < self.slots and 0 <= b < self.slots):
            raise Impossible(f"the carousel has {self.slots} slots")
        first, second = self.card_in_slot(a), self.card_in_slot(b)
        if first is not None:
            self._put(first, Spot(Place.SLOT, b))
        if second is not None:
            self._put(second, Spot(Place.SLOT, a))

    def put_on_reader(self, card: str) -> None:
        """A citizen holds a card to the counter's reader."""
        self._outside(card, Place.PERSON)
        if self.on_reader not in {None, card}:
            raise Impossible(f"card {self.on_reader} lies on the reader")
        self.on_reader = card

    def break_chip(self, card: str) -> None:
        """A card in somebody's hand is bent or washed: it looks as before, but its chip answers no reader any more."""
        self._outside(card, Place.PERSON)
        self.broken.add(card)

    def take_from_reader(self) -> None:
        """The card on the counter's reader is taken away."""
        if self.on_reader is None:
            raise Impossible("no card lies on the reader")
        self.on_reader = None

    def insert_old(self, card: str) -> None:
        """A citizen puts a card into the throat, also one that lay on the reader."""
        self._outside(card, Place.PERSON)
        if not self.shutter_open:
            raise Impossible("the shutter of the throat is closed")
        self._room(Place.THROAT)
        self._put(card, Spot(Place.THROAT))

    def take_new(self) -> None:
        """A hand takes the card out of the exit; the flap of the gate falls shut behind it."""
        card = self.card_at(Place.EXIT)
        if card is None:
            raise Impossible("no card stands in the exit")
        if not self.gate_open:
            raise Impossible("the gate is closed")
        self._put(card, Spot(Place.PERSON))
        self.gate_open = False

    def take_old(self) -> None:
        """A hand pulls the card out of the throat."""
        card = self.card_at(Place.THROAT)
        if card is None:
            raise Impossible("no card stands in the throat")
        if not self.shutter_open:
            raise Impossible("the shutter of the throat is closed")
        self._put(card, Spot(Place.PERSON))

    def look(self, person: str | None, also: str | None = None, printed: bool = False) -> None:
        """Who stands before the camera: nobody, one, or one and another beside; or a print of one is held before it."""
        if also is not None and (person is None or also == person):
            raise Impossible("nobody stands beside nobody or himself")
        if printed and (person is None or also is not None):
            raise Impossible("a print shows one person")
        self.looking, self.also_looking, self.printed = person, also, printed

    # Kept

    def to_json(self) -> dict[str, Any]:
        """The whole state in JSON's types."""
        return {
            "slots": self.slots,
            "spots": {
                card: {
                    "place": spot.place.value,
                    "slot": spot.slot,
                    "path": spot.path and spot.path.value,
                    "since": spot.since,
                }
                for card, spot in self.spots.items()
            },
            "moves": self.moves,
            "aligned": self.aligned,
            "unhomed": sorted(self.unhomed),
            "jammed": sorted(self.jammed),
            "armed": dict(self.armed),
            "stuck": dict(self.stuck),
            "gate_open": self.gate_open,
            "shutter_open": self.shutter_open,
            "lights": self.lights,
            "fan": self.fan,
            "heater": self.heater,
            "bin_counter": self.bin_counter,
            "powered": self.powered,
            "on_reader": self.on_reader,
            "looking": self.looking,
            "also_looking": self.also_looking,
            "printed": self.printed,
            "touching": self.touching,
            "broken": sorted(self.broken),
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> World:
        """The world as `to_json` wrote it; raises ValueError when it is something else."""
        state = msgspec.convert(kept, _Kept)
        world = cls(state.slots, {})
        for field in state.__struct_fields__:
            setattr(world, field, Spots(state.spots) if field == "spots" else getattr(state, field))
        return world


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    slots: int
    spots: dict[str, Spot]
    moves: int
    aligned: int | None
    unhomed: set[UnitKind]
    jammed: set[UnitKind]
    armed: dict[str, str]
    stuck: dict[str, bool]
    gate_open: bool
    shutter_open: bool
    lights: int
    bin_counter: int
    powered: bool
    on_reader: str | None
    looking: str | None
    also_looking: str | None
    printed: bool = False  # this and what follows is unknown to a machine that was kept before it
    touching: str | None = None
    broken: set[str] = set()
    fan: int = 0  # unknown to a machine that was kept before it had one
    heater: int = 0
