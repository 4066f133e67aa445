"""The units on the bus: what each can be told, where a card can be, what the sensors and faults mean.

Words follow XFS4IoT (CEN) for card machines. Numbers are part of the wire and never change their meaning.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class UnitKind(IntEnum):
    """Which unit answers; equals the Modbus unit address on a machine's bus."""

    DISPENSER = 1
    RECYCLER = 2
    CABINET = 3


class Opcode(IntEnum):
    """One motion or setting; arguments are in `arg0`. Positions are those of `Position`."""

    RESET = 0x01  # any unit: home the mechanics; a card in the path stays where it is
    ALIGN = 0x10  # dispenser: turn the carousel so that slot arg0 stands at the picker; no card moves
    LOAD = 0x11  # dispenser: LOAD -> TRANSPORT
    STORE = 0x12  # dispenser: TRANSPORT -> slot arg0
    PICK = 0x13  # dispenser: slot arg0 -> TRANSPORT
    PRESENT = 0x14  # dispenser: TRANSPORT -> EXIT, gate open, held for the citizen
    RETRACT = 0x15  # dispenser: EXIT -> TRANSPORT, gate closed
    CAPTURE = 0x16  # dispenser: TRANSPORT -> RETRACT
    REJECT = 0x17  # dispenser: TRANSPORT -> the staff's reject lane, out of the machine
    OPEN = 0x20  # recycler: open the shutter and let a card be inserted
    CLOSE = 0x21  # recycler: close the shutter; refused while a card is in the throat
    ACCEPT = 0x22  # recycler: THROAT -> ESCROW, shutter closed
    RETURN = 0x23  # recycler: ESCROW -> THROAT, shutter open, held for the citizen
    RETAIN = 0x24  # recycler: ESCROW -> BIN
    EMPTY_BIN = 0x25  # recycler: staff emptied the bin; the count starts again at 0
    LIGHT = 0x30  # cabinet: switch on exactly the lights in arg0 (bits of `Light`)


OPCODES: dict[UnitKind, frozenset[Opcode]] = {
    UnitKind.DISPENSER: frozenset(
        {
            Opcode.RESET,
            Opcode.ALIGN,
            Opcode.LOAD,
            Opcode.STORE,
            Opcode.PICK,
            Opcode.PRESENT,
            Opcode.RETRACT,
            Opcode.CAPTURE,
            Opcode.REJECT,
        }
    ),
    UnitKind.RECYCLER: frozenset(
        {
            Opcode.RESET,
            Opcode.OPEN,
            Opcode.CLOSE,
            Opcode.ACCEPT,
            Opcode.RETURN,
            Opcode.RETAIN,
            Opcode.EMPTY_BIN,
        }
    ),
    UnitKind.CABINET: frozenset({Opcode.RESET, Opcode.LIGHT}),
}

SLOT_OPCODES = frozenset({Opcode.ALIGN, Opcode.STORE, Opcode.PICK})
"""Opcodes whose arg0 is a slot, 0 <= slot < capacity of the unit."""


class State(IntEnum):
    """What the firmware is doing."""

    READY = 1
    RUNNING = 2
    INTERRUPTED = 3  # booted with accepted != done; only RESET is accepted, nothing is resumed


class Result(IntEnum):
    """How the last finished command ended."""

    NONE = 0
    DONE = 1  # the sensors confirm it
    FAULT = 2  # it ended early; `fault` and the sensors say where the card is


class Position(IntEnum):
    """Where the unit's path sensors see its one card outside the storage."""

    NONE = 0
    LOAD = 1
    TRANSPORT = 2  # before the exit reader, behind the gate
    EXIT = 3
    RETRACT = 4
    THROAT = 5
    ESCROW = 6  # before the throat reader, behind the shutter
    BIN = 7
    UNKNOWN = 8  # the firmware believes a card is in the path, no sensor sees it


CARRIERS: dict[Opcode, tuple[Position, Position]] = {
    Opcode.LOAD: (Position.LOAD, Position.TRANSPORT),
    Opcode.STORE: (Position.TRANSPORT, Position.NONE),
    Opcode.PICK: (Position.NONE, Position.TRANSPORT),
    Opcode.PRESENT: (Position.TRANSPORT, Position.EXIT),
    Opcode.RETRACT: (Position.EXIT, Position.TRANSPORT),
    Opcode.CAPTURE: (Position.TRANSPORT, Position.RETRACT),
    Opcode.REJECT: (Position.TRANSPORT, Position.NONE),
    Opcode.ACCEPT: (Position.THROAT, Position.ESCROW),
    Opcode.RETURN: (Position.ESCROW, Position.THROAT),
    Opcode.RETAIN: (Position.ESCROW, Position.BIN),
}
"""Opcodes that carry a card, with the position it leaves and reaches; NONE stands for a slot and for the reject lane."""

PATH = frozenset({Position.TRANSPORT, Position.EXIT, Position.THROAT, Position.ESCROW})
"""Positions that a path sensor sees: those that `StatusBlock.position` can name, besides NONE and UNKNOWN."""


class Sensor(IntFlag):
    """Level of each sensor; a set bit means present, open, or at home."""

    HOME = 1 << 0
    LOAD = 1 << 1
    TRANSPORT = 1 << 2
    EXIT = 1 << 3
    GATE_OPEN = 1 << 4
    SLOT = 1 << 5  # a card lies in the slot that stands at the picker
    RETRACT_FULL = 1 << 6
    THROAT = 1 << 8
    ESCROW = 1 << 9
    SHUTTER_OPEN = 1 << 10
    BIN_FULL = 1 << 11
    DOOR_OPEN = 1 << 16
    TAMPER = 1 << 17
    KEY_SWITCH = 1 << 18
    MAINS = 1 << 19


class Fault(IntEnum):
    """Why a command ended with `Result.FAULT`; latched until RESET or the next good command."""

    NONE = 0
    JAM = 1
    SLOT_EMPTY = 2
    TARGET_OCCUPIED = 3
    NO_CARD = 4
    SENSOR = 5
    MOTOR = 6
    GATE_BLOCKED = 7
    BIN_FULL = 8
    DOOR_OPEN = 9


class Light(IntFlag):
    """Lights of the cabinet, one at each place the citizen's hand goes."""

    READER = 1 << 0
    THROAT = 1 << 1
    EXIT = 1 << 2
    CAMERA = 1 << 3
