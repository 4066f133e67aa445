"""How a wire is declared: enumerations whose members carry their meaning, registers, and blocks of registers.

Encoder, decoder, C header, register reference and test vectors all read these same values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag, auto
from functools import cached_property
from typing import NamedTuple, Self

from firmware_protocol.crc import crc16_of_registers

MAGIC = 0x4C4B  # "LK"
MAX_ANSWER_MS = 500


class Version(NamedTuple):
    """A version of the protocol. Another major is another wire; a newer minor only adds what an older side may pass over.

    A minor may add registers in reserved places, sensor and light bits, opcodes and fault codes; never a state, a result,
    a position or a meaning.
    """

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


V1_0 = Version(1, 0)
V1_1 = Version(1, 1)
VERSION = V1_1


class Described(IntEnum):
    """A number on the wire with its meaning and the version that brought it: `NAME = number, "meaning"[, since]`."""

    meaning: str
    since: Version

    def __new__(cls, value: int, meaning: str = "", since: Version = V1_0) -> Self:
        """Make one member."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.since = since
        return member


class DescribedFlag(IntFlag):
    """A bit on the wire with its meaning and the version that brought it: `NAME = bit, "meaning"[, since]`."""

    meaning: str
    since: Version

    def __new__(cls, value: int, meaning: str = "", since: Version = V1_0) -> Self:
        """Make one member."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.since = since
        return member


class Flaw(Enum):
    """Why registers are no block, in the order in which they are looked at."""

    COUNT = auto()  # not as many registers as the block has
    RANGE = auto()  # a value is outside 16 bits; cannot come from a wire
    CRC = auto()
    MAGIC = auto()
    MAJOR = auto()  # another major version
    VALUE = auto()  # an undefined or forbidden value


class BlockError(ValueError):
    """The registers are no block of this protocol; `flaw` is the first thing wrong with them."""

    def __init__(self, flaw: Flaw, message: str) -> None:
        super().__init__(message)
        self.flaw = flaw


class Access(Enum):
    """What a host may do with a block, always whole."""

    READ = "read (FC3)"
    WRITE = "write (FC16)"


class WireType(Enum):
    """How a value lies in registers; 32 bits stand high word first."""

    U16 = "u16"
    S16 = "s16"  # two's complement
    U32 = "u32"

    @property
    def words(self) -> int:
        """Registers that one value takes."""
        return 2 if self is WireType.U32 else 1

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and greatest value."""
        match self:
            case WireType.U16:
                return 0, 0xFFFF
            case WireType.S16:
                return -0x8000, 0x7FFF
            case WireType.U32:
                return 0, 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Register:
    """One value of a block. `offset` counts registers from the block's address; `unit` is the unit of measure.

    `count` values of the type follow each other. `values` names an enumeration: of numbers, where all others are flaws
    (`stand_in` takes the place of one that a newer minor may have brought), or of bits, where unknown ones are dropped.
    """

    name: str
    offset: int
    wire_type: WireType
    meaning: str
    unit: str = ""
    low: int | None = None
    high: int | None = None
    values: type[Described] | type[DescribedFlag] | None = None
    stand_in: int | None = None
    count: int = 1
    since: Version = V1_0

    @property
    def words(self) -> int:
        """Registers that it takes in all."""
        return self.wire_type.words * self.count

    @property
    def range(self) -> tuple[int, int]:
        """Least and greatest value allowed."""
        low, high = self.wire_type.bounds
        return low if self.low is None else self.low, high if self.high is None else self.high


class _Field(NamedTuple):
    """A register as `encode` and `decode` run over it."""

    name: str
    offset: int
    times: int
    words: int
    wide: bool
    signed: bool
    low: int
    high: int
    known: frozenset[int] | None
    mask: int | None
    stand_in: int | None
    since: Version


@dataclass(frozen=True)
class Block:
    """Registers that travel together: magic, version, `registers`, and at the end a CRC-16/MODBUS over all before it.

    `address` is 0-based, as on the wire; registers that no entry covers are reserved: written 0, read and ignored.
    """

    name: str
    address: int
    count: int
    access: Access
    meaning: str
    registers: tuple[Register, ...]

    @cached_property
    def fields(self) -> tuple[_Field, ...]:
        """What the codec does with each register, worked out once."""
        return tuple(_field(one) for one in self.registers)


HEADER = (
    Register("magic", 0, WireType.U16, 'The letters "LK".', low=MAGIC, high=MAGIC),
    Register(
        "version", 1, WireType.U16, "Protocol version of who wrote the block: major in the high byte, minor in the low."
    ),
)


def encode(block: Block, values: Mapping[str, int | Sequence[int] | None], version: Version = VERSION) -> list[int]:
    """All registers of the block, header and CRC included; None stands for a value that `version` does not have.

    Raises BlockError for a value outside its range, KeyError for one that is missing.
    """
    registers = [0] * block.count
    registers[0] = MAGIC
    registers[1] = version.major << 8 | version.minor
    for name, offset, count, words, wide, _, low, high, *_ in block.fields:
        given = values[name]
        if given is None:
            continue
        if count == 1 and isinstance(given, int):
            numbers: Sequence[int] = (int(given),)  # of a flag, arithmetic takes many times as long
        else:
            numbers = [given] if isinstance(given, int) else list(given)
            if len(numbers) != count:
                raise BlockError(Flaw.COUNT, f"{name} has {count} values, not {len(numbers)}")
        for at, number in zip(range(offset, offset + count * words, words), numbers, strict=True):
            if not low <= number <= high:
                raise BlockError(Flaw.VALUE, f"{name} is {int(number)}, outside {low} to {high}")
            if wide:
                registers[at] = number >> 16 & 0xFFFF
                registers[at + 1] = number & 0xFFFF
            else:
                registers[at] = number & 0xFFFF
    registers[-1] = crc16_of_registers(registers[:-1])
    return registers


def decode(block: Block, registers: Sequence[int]) -> dict[str, int | tuple[int, ...] | None]:
    """The values in a block, None for those newer than the version that wrote it; raises BlockError."""
    version = _open(block, registers)
    found: dict[str, int | tuple[int, ...] | None] = {}
    for field in block.fields:
        if version < field.since:
            found[field.name] = None
        elif field.times == 1:
            found[field.name] = _value(field, registers, field.offset, version)
        else:
            ends = range(field.offset, field.offset + field.times * field.words, field.words)
            found[field.name] = tuple(_value(field, registers, at, version) for at in ends)
    return found


def version_of(registers: Sequence[int]) -> Version:
    """The version in a block's header; 0.0 where there is none."""
    return Version(registers[1] >> 8, registers[1] & 0xFF) if len(registers) > 1 else Version(0, 0)


def _open(block: Block, registers: Sequence[int]) -> Version:
    if len(registers) != block.count:
        raise BlockError(Flaw.COUNT, f"{len(registers)} registers instead of {block.count}")
    try:
        crc = crc16_of_registers(registers[:-1])
    except OverflowError:
        raise BlockError(Flaw.RANGE, "a register is outside 16 bits") from None
    if not 0 <= registers[-1] <= 0xFFFF:
        raise BlockError(Flaw.RANGE, "a register is outside 16 bits")
    if crc != registers[-1]:
        raise BlockError(Flaw.CRC, "CRC is wrong")
    if registers[0] != MAGIC:
        raise BlockError(Flaw.MAGIC, f"magic is {registers[0]:#06x} instead of {MAGIC:#06x}")
    version = version_of(registers)
    if version.major != VERSION.major:
        raise BlockError(Flaw.MAJOR, f"firmware speaks protocol {version.major}, this side speaks {VERSION.major}")
    return version


def _value(field: _Field, registers: Sequence[int], at: int, version: Version) -> int:
    name, _, _, _, wide, signed, low, high, known, mask, stand_in, _ = field
    number = registers[at]
    if wide:
        number = number << 16 | registers[at + 1]
    elif signed:
        number -= (number & 0x8000) << 1
    if not low <= number <= high:
        raise BlockError(Flaw.VALUE, f"undefined value: {name} is {number}, outside {low} to {high}")
    if mask is not None:
        return number & mask
    if known is None or number in known:
        return number
    if stand_in is not None and version > VERSION:
        return stand_in
    raise BlockError(Flaw.VALUE, f"undefined value: {name} is {number}")


def _field(one: Register) -> _Field:
    low, high = one.range
    numbers = None if one.values is None else frozenset(int(member) for member in one.values)
    bits = one.values is not None and issubclass(one.values, DescribedFlag)
    return _Field(
        name=one.name,
        offset=one.offset,
        times=one.count,
        words=one.wire_type.words,
        wide=one.wire_type is WireType.U32,
        signed=one.wire_type is WireType.S16,
        low=low,
        high=high,
        known=None if bits else numbers,
        mask=sum(numbers) if bits and numbers is not None else None,
        stand_in=one.stand_in,
        since=one.since,
    )
