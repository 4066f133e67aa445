"""Values of custody: where a card is, what moves it, and what is known afterwards.

Words follow XFS4IoT. Nothing here knows a wire; the drivers in `lockerd.devices` translate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from lockerd.model.climate import Climate


class Place(StrEnum):
    """The one recorded place of a physical card."""

    TRAY = "tray"  # announced by the office, in the hands of staff
    LOAD = "load"  # load throat of the dispenser
    TRANSPORT = "transport"  # before the exit reader, behind the gate
    SLOT = "slot"
    EXIT = "exit"  # held at the open gate
    RETRACT = "retract"  # retract position, emptied by staff
    TAKEN = "taken"  # in a citizen's hand
    THROAT = "throat"  # old-card throat
    ESCROW = "escrow"
    BIN = "bin"
    REMOVED = "removed"  # taken out by staff
    IN_DOUBT = "in_doubt"


class Unit(StrEnum):
    """The machine's units that move cards."""

    DISPENSER = "dispenser"
    RECYCLER = "recycler"


class Motion(StrEnum):
    """One motion that a unit can be ordered to make."""

    RESET = "reset"
    ALIGN = "align"
    LOAD = "load"
    STORE = "store"
    PICK = "pick"
    PRESENT = "present"
    RETRACT = "retract"
    CAPTURE = "capture"
    REJECT = "reject"
    OPEN = "open"
    CLOSE = "close"
    ACCEPT = "accept"
    RETURN = "return"
    RETAIN = "retain"
    EMPTY_BIN = "empty_bin"


MOVES: dict[Motion, tuple[Place, Place]] = {
    Motion.LOAD: (Place.TRAY, Place.TRANSPORT),
    Motion.STORE: (Place.TRANSPORT, Place.SLOT),
    Motion.PICK: (Place.SLOT, Place.TRANSPORT),
    Motion.PRESENT: (Place.TRANSPORT, Place.EXIT),
    Motion.RETRACT: (Place.EXIT, Place.TRANSPORT),
    Motion.CAPTURE: (Place.TRANSPORT, Place.RETRACT),
    Motion.REJECT: (Place.TRANSPORT, Place.TRAY),
    Motion.ACCEPT: (Place.THROAT, Place.ESCROW),
    Motion.RETURN: (Place.ESCROW, Place.THROAT),
    Motion.RETAIN: (Place.ESCROW, Place.BIN),
}
"""Motions that carry a card, with the place it leaves and the place it reaches. The others carry none."""


class Sensor(StrEnum):
    """A sensor that reads present, open or at home."""

    HOME = "home"
    LOAD = "load"
    TRANSPORT = "transport"
    EXIT = "exit"
    GATE_OPEN = "gate_open"
    SLOT = "slot"  # a card lies in the slot at the picker
    RETRACT_FULL = "retract_full"
    THROAT = "throat"
    ESCROW = "escrow"
    SHUTTER_OPEN = "shutter_open"
    BIN_FULL = "bin_full"


class Fault(StrEnum):
    """Why a unit gave a motion up."""

    JAM = "jam"
    SLOT_EMPTY = "slot_empty"
    TARGET_OCCUPIED = "target_occupied"
    NO_CARD = "no_card"
    SENSOR = "sensor"
    MOTOR = "motor"
    GATE_BLOCKED = "gate_blocked"
    BIN_FULL = "bin_full"
    DOOR_OPEN = "door_open"
    OTHER = "other"  # one that this side has no word for: of a newer firmware, or of a bought module
    SILENT = "silent"  # the unit does not answer


@dataclass(frozen=True, slots=True)
class Order:
    """One motion for one unit; `slot` is set exactly for ALIGN, STORE and PICK."""

    unit: Unit
    motion: Motion
    slot: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """An order that its driver has prepared; `token` is the driver's own, stored with the intent, and names the try for good."""

    order: Order
    token: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What a unit's sensors and counters say now.

    `place` is where the unit's path sensors see its one card outside the storage, None for nowhere, IN_DOUBT when the
    firmware believes in a card that no sensor sees. `dispensed` and `retained` are non-volatile totals (cards taken by a
    hand; cards kept). `bin_count` counts cards in the recycler's bin or the dispenser's retract position.
    """

    unit: Unit
    boot_id: int
    busy: bool
    interrupted: bool
    place: Place | None
    slot: int | None
    sensors: frozenset[Sensor]
    fault: Fault | None
    dispensed: int
    retained: int
    bin_count: int


class Result(StrEnum):
    """How an order ended, as far as can be known."""

    DONE = "done"  # confirmed by the unit's sensors
    NOT_MOVED = "not_moved"  # surely never begun
    FAILED = "failed"  # given up by the unit; the observation says where the card is
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one plan. An unknown end is a value (IN_DOUBT), not an exception."""

    result: Result
    fault: Fault | None = None
    observation: Observation | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A plan made durable before its motion. `card_id` is None for motions that carry no card."""

    intent_id: int
    plan: Plan
    card_id: str | None
    journey_id: str


class SlotState(StrEnum):
    """What may be done with a slot."""

    FREE = "free"
    STOCKED = "stocked"
    BLOCKED = "blocked"  # something about it is in doubt; nothing is stored or picked until staff decide


@dataclass(frozen=True, slots=True)
class SlotRecord:
    """One slot of the carousel as the ledger has it. `since` is UTC seconds of the last change."""

    slot: int
    state: SlotState
    card_id: str | None
    since: float


@dataclass(frozen=True, slots=True)
class CabinetObservation:
    """The cabinet's sensors: doors, tamper, key switch, mains; temperature in degrees Celsius, battery in per cent.

    `climate` is what fan and heater were told; None from a firmware that has neither (protocol 1.0).
    """

    door_open: bool
    tamper: bool
    key_switch: bool
    mains: bool
    temperature: float
    battery: int
    lights: frozenset[str] = field(default_factory=frozenset)
    hatch_open: bool = False
    climate: Climate | None = None
    fan_turns: bool = False


_NEVER_BEGUN = frozenset({Fault.TARGET_OCCUPIED, Fault.BIN_FULL})
"""Faults with which a unit refuses a motion before any card moves; what its path sensors see is another card."""


def told_by_totals(order: Order, outcome: Outcome, dispensed: int, retained: int) -> Outcome:
    """An outcome in doubt as the unit's totals tell it: no card is in the path, and one more was taken, or kept, than before.

    `dispensed` and `retained` are what was accounted for before the motion. Any other outcome is given as it is.
    """
    seen = outcome.observation
    if outcome.result is not Result.IN_DOUBT or seen is None or seen.place is not None:
        return outcome
    match order.motion, seen.dispensed - dispensed, seen.retained - retained:
        case (Motion.PRESENT | Motion.RETURN, 1, 0) | (Motion.CAPTURE | Motion.RETAIN, 0, 1):
            return Outcome(Result.DONE, None, seen)
        case (Motion.RETRACT, 1, 0):
            return Outcome(Result.FAILED, Fault.NO_CARD, seen)
    return outcome


def place_after(order: Order, outcome: Outcome) -> Place:
    """Where the card carried by `order` is after `outcome`; IN_DOUBT unless evidence says otherwise.

    Raises KeyError for a motion that carries no card.
    """
    origin, target = MOVES[order.motion]
    match outcome.result:
        case Result.DONE:
            return target
        case Result.NOT_MOVED:
            return origin
        case Result.FAILED:
            if outcome.fault in _NEVER_BEGUN:
                return origin
            seen = outcome.observation.place if outcome.observation else None
            if seen in (origin, target):
                return seen
            if seen is None and order.motion is Motion.ACCEPT and outcome.fault is Fault.NO_CARD:
                return Place.TAKEN  # its owner pulled it out of the open throat
            if seen is None and order.motion is Motion.RETRACT and outcome.fault is Fault.NO_CARD:
                return Place.EXIT  # a hand was faster, and the total tells: recorded as taken with it
            if seen is None and order.motion is Motion.PICK and outcome.fault is not Fault.SLOT_EMPTY:
                sensors = outcome.observation.sensors if outcome.observation else frozenset()
                return Place.SLOT if Sensor.SLOT in sensors else Place.IN_DOUBT
            return Place.IN_DOUBT
        case Result.IN_DOUBT:
            return Place.IN_DOUBT
