"""The three register blocks of every unit, declared once, and their values as dataclasses.

A block is written or read whole (FC16, FC3) and ends with a CRC-16/MODBUS over all registers before it, so a torn or
stale block is seen as such. Where each value stands is said by `IDENTITY`, `COMMAND`, `STATUS` and `DETAILS` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from firmware_protocol.declaration import (
    MAGIC,
    MAX_ANSWER_MS,
    V1_0,
    V1_1,
    VERSION,
    Access,
    Block,
    BlockError,
    Register,
    WireType,
    decode,
    encode,
)
from firmware_protocol.units import (
    MAX_SLOTS,
    NO_SLOT,
    Fault,
    Light,
    Position,
    Result,
    Sensor,
    State,
    UnitKind,
)

__all__ = [
    "BLOCKS",
    "CABINET_BATTERY",
    "CABINET_FAN",
    "CABINET_HEATER",
    "CABINET_LIGHTS",
    "CABINET_TEMPERATURE",
    "COMMAND",
    "COMMAND_ADDRESS",
    "COMMAND_COUNT",
    "DETAILS",
    "DETAIL_COUNT",
    "DISPENSER_RETRACT_COUNT",
    "IDENTITY",
    "IDENTITY_ADDRESS",
    "IDENTITY_COUNT",
    "MAGIC",
    "NO_SLOT",
    "RECYCLER_BIN_COUNT",
    "STATUS",
    "STATUS_ADDRESS",
    "STATUS_COUNT",
    "VERSION",
    "BlockError",
    "CommandBlock",
    "IdentityBlock",
    "StatusBlock",
]

IDENTITY = Block(
    "identity",
    0x0000,
    12,
    Access.READ,
    "Who answers. Constant from one boot to the next.",
    (
        Register("kind", 2, WireType.U16, "Which unit this is; equals its Modbus address.", values=UnitKind),
        Register("capacity", 3, WireType.U16, "Slots of the carousel, 0 in a unit without one.", "slots", 0, MAX_SLOTS),
        Register("serial", 4, WireType.U32, "Serial number of the board."),
        Register(
            "max_response_ms",
            6,
            WireType.U16,
            "Longest time from the end of a request to the beginning of its answer, at any load.",
            "ms",
            1,
            MAX_ANSWER_MS,
        ),
    ),
)

COMMAND = Block(
    "command",
    0x0100,
    12,
    Access.WRITE,
    "One command, written in one FC16. It cannot be read back: the status tells what became of it.",
    (
        Register("boot_id", 2, WireType.U32, "The unit's boot_id in the status that the host planned with."),
        Register("seq", 4, WireType.U32, "accepted_seq of that status + 1; after 0xFFFFFFFF comes 1."),
        Register("opcode", 6, WireType.U16, "What to do. One that the unit does not have is refused."),
        Register("arg0", 7, WireType.U16, "Its argument, see the opcodes."),
        Register("arg1", 8, WireType.U16, "Reserved, 0."),
        Register("arg2", 9, WireType.U16, "Reserved, 0."),
    ),
)

_DETAIL_OFFSET = 21
DETAIL_COUNT = 7

STATUS = Block(
    "status",
    0x0200,
    32,
    Access.READ,
    "All that a unit says of itself, of one moment.",
    (
        Register(
            "boot_id", 2, WireType.U32, "Another one at each boot: drawn at random, or counted in non-volatile memory."
        ),
        Register("state", 4, WireType.U16, "What the firmware is doing.", values=State),
        Register("accepted_seq", 5, WireType.U32, "seq of the last accepted command; non-volatile."),
        Register("done_seq", 7, WireType.U32, "seq of the last finished command; non-volatile."),
        Register("done_opcode", 9, WireType.U16, "opcode of the last finished command; non-volatile."),
        Register("result", 10, WireType.U16, "How the last finished command ended; non-volatile.", values=Result),
        Register("step", 11, WireType.U16, "Sub-steps of the running motion so far: progress, never evidence."),
        Register(
            "position",
            12,
            WireType.U16,
            "Where the path sensors see the unit's one card outside the storage.",
            values=Position,
        ),
        Register("slot", 13, WireType.U16, f"Slot that stands at the picker; {NO_SLOT:#x}: none, or not known."),
        Register("sensors", 14, WireType.U32, "Level of every sensor now.", values=Sensor),
        Register(
            "fault",
            16,
            WireType.U16,
            "Why the last finished command ended early; non-volatile.",
            values=Fault,
            stand_in=Fault.OTHER,
        ),
        Register(
            "dispensed",
            17,
            WireType.U32,
            "Cards that a hand took, at EXIT, or at THROAT after RETURN; non-volatile, never reset.",
            "cards",
        ),
        Register(
            "retained",
            19,
            WireType.U32,
            "Cards that went into the retract position or the bin; non-volatile, never reset.",
            "cards",
        ),
        Register("detail", _DETAIL_OFFSET, WireType.U16, "Values of this kind of unit, see below.", count=DETAIL_COUNT),
        Register("accepted_opcode", 28, WireType.U16, "opcode of the last accepted command; non-volatile.", since=V1_1),
        Register("accepted_arg0", 29, WireType.U16, "arg0 of the last accepted command; non-volatile.", since=V1_1),
        Register("done_arg0", 30, WireType.U16, "arg0 of the last finished command; non-volatile.", since=V1_1),
    ),
)

DETAILS: Mapping[UnitKind, tuple[Register, ...]] = MappingProxyType(
    {
        UnitKind.DISPENSER: (
            Register("retract_count", 21, WireType.U16, "Cards in the retract position now.", "cards"),
        ),
        UnitKind.RECYCLER: (
            Register("bin_count", 21, WireType.U16, "Cards in the bin since EMPTY_BIN; non-volatile.", "cards"),
        ),
        UnitKind.CABINET: (
            Register("temperature", 21, WireType.S16, "Temperature inside.", "0.1 °C", -400, 1000),
            Register("battery", 22, WireType.U16, "Charge of the battery.", "%", 0, 100),
            Register("lights", 23, WireType.U16, "Lights that are on.", values=Light),
            Register("fan", 24, WireType.U16, "Speed that the fan was told to run at.", "%", 0, 100, since=V1_1),
            Register("heater", 25, WireType.U16, "Whether the heater is on.", "", 0, 1, since=V1_1),
        ),
    }
)
"""What `detail` means in each kind of unit; offsets count from the status block's address."""

BLOCKS = (IDENTITY, COMMAND, STATUS)

_REMEMBERED = 32
"""Decoded status blocks that are remembered: units are asked far more often than they have something new to say."""

IDENTITY_ADDRESS, IDENTITY_COUNT = IDENTITY.address, IDENTITY.count
COMMAND_ADDRESS, COMMAND_COUNT = COMMAND.address, COMMAND.count
STATUS_ADDRESS, STATUS_COUNT = STATUS.address, STATUS.count


def _detail(kind: UnitKind, name: str) -> int:
    return next(one.offset for one in DETAILS[kind] if one.name == name) - _DETAIL_OFFSET


# Where a value stands in StatusBlock.detail.
DISPENSER_RETRACT_COUNT = _detail(UnitKind.DISPENSER, "retract_count")
RECYCLER_BIN_COUNT = _detail(UnitKind.RECYCLER, "bin_count")
CABINET_TEMPERATURE = _detail(UnitKind.CABINET, "temperature")
CABINET_BATTERY = _detail(UnitKind.CABINET, "battery")
CABINET_LIGHTS = _detail(UnitKind.CABINET, "lights")
CABINET_FAN = _detail(UnitKind.CABINET, "fan")
CABINET_HEATER = _detail(UnitKind.CABINET, "heater")


def _values_of(block: Block) -> Callable[[object], tuple[Any, ...]]:
    return attrgetter(*(one.name for one in block.registers))


# What a value dataclass holds, in the order of the registers, which is that of its fields.
_identity_values, _command_values, _status_values = _values_of(IDENTITY), _values_of(COMMAND), _values_of(STATUS)


@dataclass(frozen=True, slots=True)
class IdentityBlock:
    """Who answers: kind, number of slots (0 where it has none), serial number, longest answer time in ms."""

    kind: UnitKind
    capacity: int
    serial: int
    max_response_ms: int

    def to_registers(self) -> list[int]:
        """IDENTITY_COUNT registers, CRC included; raises BlockError for a value outside its range."""
        return encode(IDENTITY, _identity_values(self))

    @classmethod
    def from_registers(cls, registers: Sequence[int]) -> IdentityBlock:
        """Decode IDENTITY_COUNT registers; raises BlockError."""
        return cls(*decode(IDENTITY, registers))


@dataclass(frozen=True, slots=True)
class CommandBlock:
    """One command; `seq` is accepted_seq + 1 of the status it follows, `boot_id` that status's boot_id."""

    boot_id: int
    seq: int
    opcode: int
    arg0: int = 0
    arg1: int = 0
    arg2: int = 0

    def to_registers(self) -> list[int]:
        """COMMAND_COUNT registers, CRC included; raises BlockError for a value outside its range."""
        return encode(COMMAND, _command_values(self))

    @classmethod
    def from_registers(cls, registers: Sequence[int]) -> CommandBlock:
        """Decode COMMAND_COUNT registers; raises BlockError. The opcode may be one that the unit does not have."""
        return cls(*decode(COMMAND, registers))


@dataclass(frozen=True, slots=True)
class StatusBlock:
    """All that a unit says of itself, read in one go.

    `dispensed` counts cards taken by a hand (at EXIT, or at THROAT after RETURN); `retained` counts cards that went into
    RETRACT or BIN. Both are non-volatile and never reset. `step` counts the sub-steps of a running motion.
    `slot` is the slot at the picker or NO_SLOT. The last three are None from a firmware older than 1.1.
    """

    boot_id: int
    state: State
    accepted_seq: int
    done_seq: int
    done_opcode: int
    result: Result
    step: int
    position: Position
    slot: int
    sensors: Sensor
    fault: Fault
    dispensed: int
    retained: int
    detail: tuple[int, ...] = (0,) * DETAIL_COUNT
    accepted_opcode: int | None = None
    accepted_arg0: int | None = None
    done_arg0: int | None = None

    def to_registers(self) -> list[int]:
        """STATUS_COUNT registers, CRC included; raises BlockError for a value outside its range."""
        version = V1_0 if self.accepted_opcode is None else VERSION
        return encode(STATUS, _status_values(self), version)

    @classmethod
    def from_registers(cls, registers: Sequence[int]) -> StatusBlock:
        """Decode STATUS_COUNT registers; raises BlockError.

        From a newer minor version, unknown sensor bits are dropped and an unknown fault reads `Fault.OTHER`.
        """
        return _status(tuple(registers))


@lru_cache(maxsize=_REMEMBERED)
def _status(registers: tuple[int, ...]) -> StatusBlock:
    return StatusBlock(*decode(STATUS, registers))
