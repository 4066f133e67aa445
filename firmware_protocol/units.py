"""The units on the bus: what each can be told, where a card can be, what the sensors and faults mean.

Words follow XFS4IoT (CEN) for card machines. Numbers are part of the wire and never change their meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from firmware_protocol.declaration import V1_1, Described, DescribedFlag

MAX_SLOTS = 1000
NO_SLOT = 0xFFFF


class UnitKind(Described):
    """Which unit answers; equals the Modbus unit address on a machine's bus."""

    DISPENSER = 1, "carousel of up to 1,000 slots, picker, load throat, exit gate and retract position"
    RECYCLER = 2, "old-card throat with shutter, escrow position, bin with a counter, and return path"
    CABINET = 3, "doors, tamper contact, key switch, lights, temperature, fan, heater, mains and battery"


class Opcode(Described):
    """One motion or setting; `RULES` says who has it, what `arg0` is, and what it needs."""

    RESET = (
        0x01,
        "home the mechanics; a card in the path stays in it, where a sensor sees it; a cabinet switches all off",
    )
    ALIGN = 0x10, "turn the carousel so that slot arg0 stands at the picker; no card moves"
    LOAD = 0x11, "draw the top card of the load throat in"
    STORE = 0x12, "put the card into slot arg0, turning the carousel first"
    PICK = 0x13, "take the card out of slot arg0, turning the carousel first"
    PRESENT = 0x14, "open the gate and hold the card out for the citizen"
    RETRACT = 0x15, "draw a card that was not taken back in and close the gate"
    CAPTURE = 0x16, "put the card into the retract position, from where only staff take it"
    REJECT = 0x17, "put the card into the staff's reject lane, out of the machine"
    OPEN = 0x20, "open the shutter and let a card be inserted"
    CLOSE = 0x21, "close the shutter of an empty throat"
    ACCEPT = 0x22, "draw the inserted card in and close the shutter"
    RETURN = 0x23, "give the card in escrow back: open the shutter and hold it out for the citizen"
    RETAIN = 0x24, "drop the card in escrow into the bin"
    EMPTY_BIN = 0x25, "staff emptied the bin: its counter starts again at 0"
    LIGHT = 0x30, "switch on exactly the lights in arg0; bits without a lamp are ignored"
    FAN = 0x31, "run the fan at arg0 per cent, 0 is off", V1_1
    HEATER = 0x32, "switch the heater off (0) or on (1)", V1_1


class State(Described):
    """What the firmware is doing."""

    READY = 1, "nothing runs; the last command is done, or there was none"
    RUNNING = 2, "the accepted command runs"
    INTERRUPTED = (
        3,
        "booted with accepted_seq != done_seq: a command was begun and its end is unknown; only RESET is accepted",
    )


class Result(Described):
    """How the last finished command ended."""

    NONE = 0, "no command has ever finished"
    DONE = 1, "the sensors confirm it"
    FAULT = 2, "it ended early; `fault` and the sensors say where the card is"


class Position(Described):
    """Where the unit's path sensors see its one card outside the storage."""

    NONE = 0, "no card is in the path"
    LOAD = 1, "in the load throat; never reported in `position`"
    TRANSPORT = 2, "before the exit reader, behind the gate"
    EXIT = 3, "held at the open gate"
    RETRACT = 4, "in the retract position; never reported in `position`"
    THROAT = 5, "in the old-card throat"
    ESCROW = 6, "before the throat reader, behind the shutter"
    BIN = 7, "in the bin; never reported in `position`"
    UNKNOWN = 8, "the non-volatile memory says that a card is in the path and no sensor sees it, or two sensors see one"


PATH = frozenset({Position.TRANSPORT, Position.EXIT, Position.THROAT, Position.ESCROW})
"""Positions that a path sensor sees: those that `StatusBlock.position` can name, besides NONE and UNKNOWN."""


class Sensor(DescribedFlag):
    """Level of each sensor; a set bit means present, open, or at home."""

    HOME = 1 << 0, "the mechanics are homed"
    LOAD = 1 << 1, "a card lies in the load throat"
    TRANSPORT = 1 << 2, "a card is at the transport position"
    EXIT = 1 << 3, "a card is at the exit"
    GATE_OPEN = 1 << 4, "the exit gate is open"
    SLOT = 1 << 5, "a card lies in the slot that stands at the picker"
    RETRACT_FULL = 1 << 6, "the retract position takes no more card"
    THROAT = 1 << 8, "a card is in the old-card throat"
    ESCROW = 1 << 9, "a card is at the escrow position"
    SHUTTER_OPEN = 1 << 10, "the shutter is open"
    BIN_FULL = 1 << 11, "the bin takes no more card"
    DOOR_OPEN = 1 << 16, "the service door is open"
    TAMPER = 1 << 17, "the tamper contact is open"
    KEY_SWITCH = 1 << 18, "the staff's key switch is on"
    MAINS = 1 << 19, "mains power is present"
    HATCH_OPEN = 1 << 20, "the staff's loading hatch is open", V1_1
    FAN_TURNS = 1 << 21, "the fan turns", V1_1


SENSORS: Mapping[UnitKind, Sensor] = MappingProxyType(
    {
        UnitKind.DISPENSER: Sensor.HOME
        | Sensor.LOAD
        | Sensor.TRANSPORT
        | Sensor.EXIT
        | Sensor.GATE_OPEN
        | Sensor.SLOT
        | Sensor.RETRACT_FULL,
        UnitKind.RECYCLER: Sensor.HOME | Sensor.THROAT | Sensor.ESCROW | Sensor.SHUTTER_OPEN | Sensor.BIN_FULL,
        UnitKind.CABINET: Sensor.HOME
        | Sensor.DOOR_OPEN
        | Sensor.TAMPER
        | Sensor.KEY_SWITCH
        | Sensor.MAINS
        | Sensor.HATCH_OPEN
        | Sensor.FAN_TURNS,
    }
)
"""Sensors that a unit has; it reads the other bits as 0."""


class Fault(Described):
    """Why a command ended with `Result.FAULT`; latched until RESET or the next good command."""

    NONE = 0, "nothing is wrong"
    JAM = 1, "the card or the mechanics stopped on the way"
    SLOT_EMPTY = 2, "no card lies in the slot"
    TARGET_OCCUPIED = 3, "a card lies where this one should go; nothing moved"
    NO_CARD = 4, "no card lies where this one should come from"
    SENSOR = 5, "the sensors contradict each other or the motion"
    MOTOR = 6, "a motor does not follow"
    GATE_BLOCKED = 7, "gate or shutter cannot close"
    BIN_FULL = 8, "the bin or the retract position takes no more card; nothing moved"
    DOOR_OPEN = 9, "a door is open, motors have no power"
    OTHER = 0xFFFF, "never sent: how a host reads a code that a newer minor brought", V1_1


class Light(DescribedFlag):
    """Lights of the cabinet, one at each place a hand goes."""

    READER = 1 << 0, "at the counter's card reader"
    THROAT = 1 << 1, "at the old-card throat"
    EXIT = 1 << 2, "at the exit"
    CAMERA = 1 << 3, "at the camera"
    LOAD = 1 << 4, "at the load throat", V1_1


class Argument(Enum):
    """What arg0 of a command is, and up to where the unit accepts it; None: it is not looked at."""

    UNUSED = "not looked at", None
    SLOT = "slot, 0 to capacity - 1", None
    LIGHTS = "bits of the lights", None
    PERCENT = "0 to 100 per cent", 100
    SWITCH = "0 off, 1 on", 1

    def __init__(self, meaning: str, high: int | None) -> None:
        self.meaning = meaning
        self.high = high


class Interlock(NamedTuple):
    """What the sensors must show before a motor is powered: `present` all set, `absent` all clear, otherwise `fault`."""

    present: Sensor
    absent: Sensor
    fault: Fault


@dataclass(frozen=True, slots=True)
class Rule:
    """All there is to say of an opcode: who has it, its argument, the card it carries, and its interlocks in order.

    `carries` is the position that a card leaves and reaches; NONE stands for a slot and for the reject lane.
    """

    units: frozenset[UnitKind]
    argument: Argument = Argument.UNUSED
    carries: tuple[Position, Position] | None = None
    interlocks: tuple[Interlock, ...] = ()


_D = frozenset({UnitKind.DISPENSER})
_R = frozenset({UnitKind.RECYCLER})
_C = frozenset({UnitKind.CABINET})


def _needs(sensor: Sensor, fault: Fault = Fault.NO_CARD) -> Interlock:
    return Interlock(sensor, Sensor(0), fault)


def _clear(sensor: Sensor, fault: Fault = Fault.TARGET_OCCUPIED) -> Interlock:
    return Interlock(Sensor(0), sensor, fault)


RULES: Mapping[Opcode, Rule] = MappingProxyType(
    {
        Opcode.RESET: Rule(frozenset(UnitKind)),
        Opcode.ALIGN: Rule(_D, Argument.SLOT),
        Opcode.LOAD: Rule(_D, Argument.UNUSED, (Position.LOAD, Position.TRANSPORT), (_clear(Sensor.TRANSPORT),)),
        Opcode.STORE: Rule(_D, Argument.SLOT, (Position.TRANSPORT, Position.NONE), (_needs(Sensor.TRANSPORT),)),
        Opcode.PICK: Rule(_D, Argument.SLOT, (Position.NONE, Position.TRANSPORT), (_clear(Sensor.TRANSPORT),)),
        Opcode.PRESENT: Rule(
            _D,
            Argument.UNUSED,
            (Position.TRANSPORT, Position.EXIT),
            (_needs(Sensor.TRANSPORT), _clear(Sensor.EXIT)),
        ),
        Opcode.RETRACT: Rule(
            _D,
            Argument.UNUSED,
            (Position.EXIT, Position.TRANSPORT),
            (_needs(Sensor.EXIT), _clear(Sensor.TRANSPORT)),
        ),
        Opcode.CAPTURE: Rule(
            _D,
            Argument.UNUSED,
            (Position.TRANSPORT, Position.RETRACT),
            (_needs(Sensor.TRANSPORT), _clear(Sensor.RETRACT_FULL, Fault.BIN_FULL)),
        ),
        Opcode.REJECT: Rule(_D, Argument.UNUSED, (Position.TRANSPORT, Position.NONE), (_needs(Sensor.TRANSPORT),)),
        Opcode.OPEN: Rule(_R),
        Opcode.CLOSE: Rule(_R, interlocks=(_clear(Sensor.THROAT, Fault.GATE_BLOCKED),)),
        Opcode.ACCEPT: Rule(
            _R, Argument.UNUSED, (Position.THROAT, Position.ESCROW), (_needs(Sensor.THROAT), _clear(Sensor.ESCROW))
        ),
        Opcode.RETURN: Rule(_R, Argument.UNUSED, (Position.ESCROW, Position.THROAT), (_needs(Sensor.ESCROW),)),
        Opcode.RETAIN: Rule(
            _R,
            Argument.UNUSED,
            (Position.ESCROW, Position.BIN),
            (_needs(Sensor.ESCROW), _clear(Sensor.BIN_FULL, Fault.BIN_FULL)),
        ),
        Opcode.EMPTY_BIN: Rule(_R),
        Opcode.LIGHT: Rule(_C, Argument.LIGHTS),
        Opcode.FAN: Rule(_C, Argument.PERCENT),
        Opcode.HEATER: Rule(_C, Argument.SWITCH),
    }
)

OPCODES: Mapping[UnitKind, frozenset[Opcode]] = MappingProxyType(
    {kind: frozenset(opcode for opcode, rule in RULES.items() if kind in rule.units) for kind in UnitKind}
)
"""What each unit can be told."""

SLOT_OPCODES = frozenset(opcode for opcode, rule in RULES.items() if rule.argument is Argument.SLOT)
"""Opcodes whose arg0 is a slot, 0 <= slot < capacity of the unit."""

CARRIERS: Mapping[Opcode, tuple[Position, Position]] = MappingProxyType(
    {opcode: rule.carries for opcode, rule in RULES.items() if rule.carries is not None}
)
"""Opcodes that carry a card, with the position it leaves and reaches; NONE stands for a slot and for the reject lane."""
