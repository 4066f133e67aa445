"""The three register blocks of every unit and their exact layout, as holding registers.

A block is written or read whole (FC16, FC3) and ends with a CRC-16/MODBUS over all registers before it, so a torn or
stale block is seen as such. 32-bit values stand high word first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firmware_protocol.crc import crc16_of_registers
from firmware_protocol.units import Fault, Position, Result, Sensor, State, UnitKind

MAGIC = 0x4C4B  # "LK"
VERSION_MAJOR = 1
VERSION_MINOR = 0
VERSION = VERSION_MAJOR << 8 | VERSION_MINOR

IDENTITY_ADDRESS = 0x0000
IDENTITY_COUNT = 12
COMMAND_ADDRESS = 0x0100
COMMAND_COUNT = 12
STATUS_ADDRESS = 0x0200
STATUS_COUNT = 32
NO_SLOT = 0xFFFF
DETAIL_COUNT = 10

# Meaning of StatusBlock.detail by unit kind; registers not named are 0.
DISPENSER_RETRACT_COUNT = 0  # cards in the retract position
RECYCLER_BIN_COUNT = 0  # cards in the bin since it was last emptied
CABINET_TEMPERATURE = 0  # 0.1 degrees Celsius, two's complement
CABINET_BATTERY = 1  # per cent
CABINET_LIGHTS = 2  # bits of `Light`


class BlockError(ValueError):
    """The registers are no block of this protocol: wrong length, magic, major version, CRC or an undefined value."""


def _high_low(value: int) -> tuple[int, int]:
    return value >> 16 & 0xFFFF, value & 0xFFFF


def _sealed(body: list[int]) -> list[int]:
    return [*body, crc16_of_registers(body)]


def _open(registers: Sequence[int], count: int) -> Sequence[int]:
    """Check length, range, CRC, magic and major version; raise BlockError."""
    if len(registers) != count:
        raise BlockError(f"{len(registers)} registers instead of {count}")
    if any(not 0 <= register <= 0xFFFF for register in registers):
        raise BlockError("a register is outside 16 bits")
    if crc16_of_registers(registers[:-1]) != registers[-1]:
        raise BlockError("CRC is wrong")
    if registers[0] != MAGIC:
        raise BlockError(f"magic is {registers[0]:#06x} instead of {MAGIC:#06x}")
    major = registers[1] >> 8
    if major != VERSION_MAJOR:
        raise BlockError(f"firmware speaks protocol {major}, this side speaks {VERSION_MAJOR}")
    return registers


@dataclass(frozen=True, slots=True)
class IdentityBlock:
    """Who answers: kind, number of slots (0 where it has none), serial number, longest answer time in ms."""

    kind: UnitKind
    capacity: int
    serial: int
    max_response_ms: int

    def to_registers(self) -> list[int]:
        """IDENTITY_COUNT registers, CRC included."""
        body = [
            MAGIC,
            VERSION,
            self.kind,
            self.capacity,
            *_high_low(self.serial),
            self.max_response_ms,
            *[0] * 4,
        ]
        return _sealed(body)

    @classmethod
    def from_registers(cls, registers: Sequence[int]) -> IdentityBlock:
        """Decode IDENTITY_COUNT registers; raises BlockError."""
        r = _open(registers, IDENTITY_COUNT)
        try:
            kind = UnitKind(r[2])
        except ValueError as error:
            raise BlockError(f"unit kind {r[2]} is not defined") from error
        return cls(kind, r[3], r[4] << 16 | r[5], r[6])


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
        """COMMAND_COUNT registers, CRC included."""
        body = [
            MAGIC,
            VERSION,
            *_high_low(self.boot_id),
            *_high_low(self.seq),
            self.opcode,
            self.arg0,
            self.arg1,
            self.arg2,
            0,
        ]
        return _sealed(body)

    @classmethod
    def from_registers(cls, registers: Sequence[int]) -> CommandBlock:
        """Decode COMMAND_COUNT registers; raises BlockError. The opcode may be one that the unit does not have."""
        r = _open(registers, COMMAND_COUNT)
        return cls(r[2] << 16 | r[3], r[4] << 16 | r[5], r[6], r[7], r[8], r[9])


@dataclass(frozen=True, slots=True)
class StatusBlock:
    """All that a unit says of itself, read in one go.

    `dispensed` counts cards taken by a hand (at EXIT, or at THROAT after RETURN); `retained` counts cards that went into
    RETRACT or BIN. Both are non-volatile and never reset. `step` counts the sub-steps of a running motion.
    `slot` is the slot at the picker or NO_SLOT.
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

    def to_registers(self) -> list[int]:
        """STATUS_COUNT registers, CRC included."""
        body = [
            MAGIC,
            VERSION,
            *_high_low(self.boot_id),
            self.state,
            *_high_low(self.accepted_seq),
            *_high_low(self.done_seq),
            self.done_opcode,
            self.result,
            self.step,
            self.position,
            self.slot,
            *_high_low(self.sensors),
            self.fault,
            *_high_low(self.dispensed),
            *_high_low(self.retained),
            *self.detail,
        ]
        return _sealed(body)

    @classmethod
    def from_registers(cls, registers: Sequence[int]) -> StatusBlock:
        """Decode STATUS_COUNT registers; raises BlockError. Unknown sensor bits of a newer minor version are dropped."""
        r = _open(registers, STATUS_COUNT)
        try:
            return cls(
                boot_id=r[2] << 16 | r[3],
                state=State(r[4]),
                accepted_seq=r[5] << 16 | r[6],
                done_seq=r[7] << 16 | r[8],
                done_opcode=r[9],
                result=Result(r[10]),
                step=r[11],
                position=Position(r[12]),
                slot=r[13],
                sensors=Sensor((r[14] << 16 | r[15]) & _KNOWN_SENSORS),
                fault=Fault(r[16]),
                dispensed=r[17] << 16 | r[18],
                retained=r[19] << 16 | r[20],
                detail=tuple(r[21:31]),
            )
        except ValueError as error:
            raise BlockError(f"undefined value: {error}") from error


_KNOWN_SENSORS = sum(Sensor)
