"""How a wire is declared: enumerations whose members carry their meaning, registers, and blocks of registers.

Encoder, decoder, C header, register reference and test vectors all read these same values.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag, auto
from functools import cached_property
from struct import Struct
from typing import Any, NamedTuple, Self

from firmware_protocol.crc import crc16_of_words

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
_VERSION_WORD = VERSION.major << 8 | VERSION.minor


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


_CODES = {WireType.U16: "H", WireType.S16: "h", WireType.U32: "I"}  # of `struct`


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


class _Layout(NamedTuple):
    """A block as `encode` and `decode` run over it; places are counted in the block's `registers`."""

    words: Struct  # every register
    body: Struct  # every number before the CRC, magic and version first
    repeated: tuple[tuple[int, int, str], ...]  # place, how many numbers, name
    narrow: tuple[tuple[int, str, int, int], ...]  # place, name, least and greatest where the type allows more
    numbers: tuple[tuple[int, str, Mapping[int, Described], Described | None], ...]  # place, name, members, stand-in
    bits: tuple[tuple[int, type[DescribedFlag], int], ...]  # place, flags, the known ones together
    younger: tuple[tuple[int, Version], ...]  # place, since when


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
    def layout(self) -> _Layout:
        """What the codec does with the registers, worked out once."""
        return _layout(self)


HEADER = (
    Register("magic", 0, WireType.U16, 'The letters "LK".', low=MAGIC, high=MAGIC),
    Register(
        "version", 1, WireType.U16, "Protocol version of who wrote the block: major in the high byte, minor in the low."
    ),
)


def encode(block: Block, values: Iterable[int | Sequence[int] | None], version: Version = VERSION) -> list[int]:
    """All registers of the block, header and CRC included; `values` are in the order of `block.registers`.

    None stands for a value that `version` does not have. Raises BlockError for a value outside its range.
    """
    layout = block.layout
    given: list[Any] = [0 if value is None else value for value in values]
    for at, name, low, high in layout.narrow:
        _hold(name, given[at], low, high)
    for at, count, name in layout.repeated:
        if len(given[at]) != count:
            raise BlockError(Flaw.COUNT, f"{name} has {count} values, not {len(given[at])}")
        given[at : at + 1] = given[at]
    try:
        body = layout.body.pack(MAGIC, version.major << 8 | version.minor, *given)
    except struct.error:
        _tell_outside(block, given)
        raise
    registers = list(layout.words.unpack(body + bytes(2)))
    registers[-1] = crc16_of_words(body)
    return registers


def decode(block: Block, registers: Sequence[int]) -> tuple[Any, ...]:
    """The values in a block in the order of its registers, members where they are of an enumeration; raises BlockError.

    None stands for a value that is newer than the version that wrote the block.
    """
    layout = block.layout
    version, body = _open(block, registers)
    found: list[Any] = list(layout.body.unpack(body))[2:]
    for at, count, _ in layout.repeated:
        found[at : at + count] = [tuple(found[at : at + count])]
    for at, name, low, high in layout.narrow:
        if not low <= found[at] <= high:
            raise BlockError(Flaw.VALUE, f"undefined value: {name} is {found[at]}, outside {low} to {high}")
    for at, name, members, stand_in in layout.numbers:
        member = members.get(found[at])
        if member is None:
            if stand_in is None or version <= VERSION:
                raise BlockError(Flaw.VALUE, f"undefined value: {name} is {found[at]}")
            member = stand_in
        found[at] = member
    for at, flags, known in layout.bits:
        found[at] = flags(found[at] & known)
    if version < VERSION:
        for at, since in layout.younger:
            if version < since:
                found[at] = None
    return tuple(found)


def version_of(registers: Sequence[int]) -> Version:
    """The version in a block's header; 0.0 where there is none."""
    return Version(registers[1] >> 8, registers[1] & 0xFF) if len(registers) > 1 else Version(0, 0)


def _open(block: Block, registers: Sequence[int]) -> tuple[Version, bytes]:
    """The version in the header and all bytes before the CRC; raises BlockError."""
    if len(registers) != block.count:
        raise BlockError(Flaw.COUNT, f"{len(registers)} registers instead of {block.count}")
    try:
        body = block.layout.words.pack(*registers)[:-2]
    except struct.error:
        raise BlockError(Flaw.RANGE, "a register is outside 16 bits") from None
    if crc16_of_words(body) != registers[-1]:
        raise BlockError(Flaw.CRC, "CRC is wrong")
    if registers[0] != MAGIC:
        raise BlockError(Flaw.MAGIC, f"magic is {registers[0]:#06x} instead of {MAGIC:#06x}")
    version = VERSION if registers[1] == _VERSION_WORD else version_of(registers)
    if version.major != VERSION.major:
        raise BlockError(Flaw.MAJOR, f"firmware speaks protocol {version.major}, this side speaks {VERSION.major}")
    return version, body


def _layout(block: Block) -> _Layout:
    form = ">HH"
    end = len(HEADER)
    for one in block.registers:
        form += "2x" * (one.offset - end) + _CODES[one.wire_type] * one.count
        end = one.offset + one.words
    placed = tuple(enumerate(block.registers))
    numbers, bits = [], []
    for at, one in placed:
        if one.values is None:
            continue
        if issubclass(one.values, DescribedFlag):
            bits.append((at, one.values, sum(int(flag) for flag in one.values)))
        else:
            members = {int(member): member for member in one.values}
            numbers.append((at, one.name, members, None if one.stand_in is None else members[one.stand_in]))
    return _Layout(
        words=Struct(f">{block.count}H"),
        body=Struct(form + "2x" * (block.count - 1 - end)),
        repeated=tuple((at, one.count, one.name) for at, one in placed if one.count > 1),
        narrow=tuple((at, one.name, *one.range) for at, one in placed if one.range != one.wire_type.bounds),
        numbers=tuple(numbers),
        bits=tuple(bits),
        younger=tuple((at, one.since) for at, one in placed if one.since > V1_0),
    )


def _hold(name: str, number: int, low: int, high: int) -> None:
    if not low <= number <= high:
        raise BlockError(Flaw.VALUE, f"{name} is {int(number)}, outside {low} to {high}")


def _tell_outside(block: Block, numbers: Sequence[int]) -> None:
    """Raise BlockError for the first of a block's numbers that its type cannot hold."""
    kinds = [one for one in block.registers for _ in range(one.count)]
    for one, number in zip(kinds, numbers, strict=True):
        _hold(one.name, number, *one.range)
