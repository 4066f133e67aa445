"""Frames of bought card dispensers on a serial line: the Creator CRT-571/591-M and Mutek MTK-F3x family.

    host -> module   F2 | address | length u16 | 'C' CM PM | data                | 03 | BCC
    module -> host   F2 | address | length u16 | 'P' CM PM | st0 st1 st2 | data  | 03 | BCC      (done)
                     F2 | address | length u16 | 'N' CM PM | e1 e0 | data        | 03 | BCC      (refused or failed)
    both             ACK 06, NAK 15, EOT 04, alone on the line

`length` is big-endian and counts from the head ('C', 'P', 'N') to the last byte of data; BCC is the XOR of everything from
F2 to 03. UART 8N1; the module finds the rate by itself on the first INITIALISE. Sequence: command -> ACK within 300 ms ->
motion -> response -> ACK of the host. Source: "CRT-591-M001 communication protocol" 1.0 and "MTK-F31 protocol"; they print
the head of an error reply once as 'N' and 45 ('E'), so both are accepted. No command carries a number of its own: what
became of a motion is told by status, sensors and counter, never by sending it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from firmware_protocol.crc import xor_of
from firmware_protocol.framing import FrameError, FrameT, Framing, Parser

STX = 0xF2
ETX = 0x03
PREFIX_LENGTH = 4
_TAIL_LENGTH = 2  # ETX, BCC

DATA_LIMIT = 512
REQUEST_LENGTHS = (3, 3 + DATA_LIMIT)
"""Least and greatest `length` of a request."""
REPLY_LENGTHS = (5, 6 + DATA_LIMIT)
"""Least and greatest `length` of a reply; the least is an error's."""

ADDRESSES = range(16)
ACK_SECONDS = 0.3
RESPONSE_SECONDS = 20.0
"""How long a motion may take to its response. The CRT-591 document prints 20 ms, the MTK-F31 20 s; only the longer is safe."""

_REQUEST_HEAD = ord("C")
_DONE_HEAD = ord("P")
ERROR_HEADS = (ord("N"), 0x45)


class CrtError(FrameError):
    """The bytes are no frame of this family, or a reply's data has not the layout of its command."""


class Control(IntEnum):
    """Bytes that travel alone."""

    ACK = 0x06
    NAK = 0x15
    EOT = 0x04  # clears the line; the module gives up what it is doing, a motor included


class Command(IntEnum):
    """CM."""

    INITIALISE = 0x30  # first after power on, all else is refused with NOT_RESET; clears errors, forbids entry
    STATUS = 0x31
    MOVE = 0x32
    ENTRY = 0x33
    VERSION = 0xA4
    BIN_COUNTER = 0xA5


class Initialise(IntEnum):
    """PM of INITIALISE: what to do with a card inside; from 0x34 on the bin counter works."""

    TO_GATE = 0x30
    CAPTURE = 0x31
    LEAVE = 0x33
    TO_GATE_COUNTING = 0x34
    CAPTURE_COUNTING = 0x35
    LEAVE_COUNTING = 0x37


class Inquiry(IntEnum):
    """PM of STATUS."""

    STATUS = 0x30
    SENSORS = 0x31  # the status too


class Move(IntEnum):
    """PM of MOVE. With no card in the channel it takes the next one out of the stacker."""

    HOLD_AT_GATE = 0x30
    IC_POSITION = 0x31
    RF_POSITION = 0x32
    ERROR_BIN = 0x33
    EJECT = 0x39  # out of the gate, not held


class Entry(IntEnum):
    """PM of ENTRY: whether a card put into the gate is drawn in to the RF position."""

    ALLOW = 0x30
    FORBID = 0x31


class Counter(IntEnum):
    """PM of BIN_COUNTER."""

    READ = 0x30
    SET = 0x31  # data: three digits


class Card(StrEnum):
    """st0: where the card in the channel is."""

    NONE = "0"
    GATE = "1"
    READER = "2"  # RF or IC position


class Stacker(StrEnum):
    """st1."""

    EMPTY = "0"
    FEW = "1"
    ENOUGH = "2"


class Bin(StrEnum):
    """st2."""

    OK = "0"
    FULL = "1"


class ErrorCode(StrEnum):
    """e1 e0; others exist on the wire."""

    UNDEFINED_COMMAND = "00"
    PARAMETER = "01"
    SEQUENCE = "02"
    UNSUPPORTED = "03"
    DATA = "04"
    CONTACT_NOT_RELEASED = "05"
    JAM = "10"
    SENSOR = "12"
    LONG_CARD = "13"
    SHORT_CARD = "14"
    RECYCLE_FAILED = "40"
    MAGNET = "41"
    IC_POSITION = "43"
    MOVED_BY_HAND = "45"
    COUNTER_OVERFLOW = "50"
    MOTOR = "51"
    CHIP_POWER = "60"
    CHIP_SILENT = "61"
    CHIP_COMMAND = "62"
    CHIP_NOT_ACTIVE = "65"
    CHIP_UNSUPPORTED = "66"
    CHIP_TRANSMISSION = "67"
    CHIP_TIME_OUT = "68"
    CHIP_NOT_EMV = "69"
    STACKER_EMPTY = "A0"
    BIN_FULL = "A1"
    NOT_RESET = "B0"  # no INITIALISE since power on


COMMAND_ERRORS = frozenset(
    {
        ErrorCode.UNDEFINED_COMMAND,
        ErrorCode.PARAMETER,
        ErrorCode.SEQUENCE,
        ErrorCode.UNSUPPORTED,
        ErrorCode.DATA,
        ErrorCode.CONTACT_NOT_RELEASED,
        ErrorCode.NOT_RESET,
    }
)
"""Refusals of the command itself: nothing was begun."""

CHANNEL_SENSORS = range(4)
"""Which of the reported sensors (from 0) look into the card channel: S1-S4. Which is where differs between models and is
drawn in each model's own document, so what they see may only weaken a conclusion, never make one."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the host asks; `cm` and `pm` are those above or any other byte."""

    cm: int
    pm: int
    data: bytes = b""
    address: int = 0

    def to_bytes(self) -> bytes:
        """The whole frame; raises CrtError when a part is out of range."""
        return _frame(self.address, _bytes(_REQUEST_HEAD, self.cm, self.pm) + self.data, REQUEST_LENGTHS)


@dataclass(frozen=True, slots=True)
class Done:
    """The module did it; `status` is st0 st1 st2 as they came."""

    cm: int
    pm: int
    status: bytes
    data: bytes = b""
    address: int = 0

    def to_bytes(self) -> bytes:
        """The whole frame; raises CrtError when a part is out of range."""
        if len(self.status) != 3:
            raise CrtError(f"a status of {len(self.status)} bytes")
        return _frame(self.address, _bytes(_DONE_HEAD, self.cm, self.pm) + self.status + self.data, REPLY_LENGTHS)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The module did not, or gave up; `code` is e1 e0, an `ErrorCode` or any other two characters of Latin-1."""

    cm: int
    pm: int
    code: str
    data: bytes = b""
    address: int = 0
    head: int = ERROR_HEADS[0]

    def to_bytes(self) -> bytes:
        """The whole frame; raises CrtError when a part is out of range."""
        if len(self.code) != 2 or self.head not in ERROR_HEADS:
            raise CrtError(f"error {self.code!r} with head {self.head:#04x}")
        try:
            code = self.code.encode("latin-1")
        except UnicodeEncodeError as error:
            raise CrtError(f"error {self.code!r}") from error
        return _frame(self.address, _bytes(self.head, self.cm, self.pm) + code + self.data, REPLY_LENGTHS)


Reply = Done | Refusal


@dataclass(frozen=True, slots=True)
class Status:
    """st0 st1 st2."""

    card: Card
    stacker: Stacker
    bin: Bin

    def to_bytes(self) -> bytes:
        """The three bytes."""
        return f"{self.card}{self.stacker}{self.bin}".encode("ascii")


def decode_status(status: bytes) -> Status:
    """The three status bytes of a `Done`; raises CrtError for a digit without meaning."""
    try:
        card, stacker, full = (chr(byte) for byte in status)
        return Status(Card(card), Stacker(stacker), Bin(full))
    except ValueError as error:
        raise CrtError(f"status {status!r}") from error


def decode_sensors(data: bytes) -> tuple[bool, ...]:
    """Data of a `Done` to STATUS/SENSORS: S1… in order, True where something covers them.

    The documents speak of 8, 10 and 12 of them; raises CrtError below 8 and above 12. A byte that is neither "0" nor "1"
    (some are reserved) counts as covered.
    """
    if not 8 <= len(data) <= 12:
        raise CrtError(f"{len(data)} sensors")
    return tuple(byte != ord("0") for byte in data)


def encode_count(count: int) -> bytes:
    """Data of BIN_COUNTER: three digits; raises CrtError outside 0-999."""
    if not 0 <= count <= 999:
        raise CrtError(f"count {count}")
    return f"{count:03}".encode("ascii")


def decode_count(data: bytes) -> int:
    """The number in data of BIN_COUNTER; raises CrtError."""
    if len(data) != 3 or not data.isdigit():
        raise CrtError(f"count {data!r}")
    return int(data)


def decode_request(frame: bytes) -> Request:
    """The request in exactly one whole frame; raises CrtError."""
    address, text = _text(frame, REQUEST_LENGTHS)
    if text[0] != _REQUEST_HEAD:
        raise CrtError(f"head {text[0]:#04x} is no request's")
    return Request(text[1], text[2], text[3:], address)


def decode_reply(frame: bytes) -> Reply:
    """The reply in exactly one whole frame; raises CrtError."""
    address, text = _text(frame, REPLY_LENGTHS)
    if text[0] in ERROR_HEADS:
        return Refusal(text[1], text[2], text[3:5].decode("latin-1"), text[5:], address, text[0])
    if text[0] != _DONE_HEAD or len(text) < 6:
        raise CrtError(f"head {text[0]:#04x} with {len(text)} bytes is no reply's")
    return Done(text[1], text[2], text[3:6], text[6:], address)


def request_parser() -> Parser[Request | Control]:
    """Parser of the module's side: finds requests and control bytes."""
    return Parser(_framing(decode_request, REQUEST_LENGTHS))


def reply_parser() -> Parser[Reply | Control]:
    """Parser of the host's side: finds replies and control bytes."""
    return Parser(_framing(decode_reply, REPLY_LENGTHS))


_CONTROLS = {int(control): control for control in Control}


def _framing(decode: Callable[[bytes], FrameT], lengths: tuple[int, int]) -> Framing[FrameT | Control]:
    def size_of(prefix: bytes) -> int | None:
        length = int.from_bytes(prefix[2:], "big")
        return PREFIX_LENGTH + length + _TAIL_LENGTH if lengths[0] <= length <= lengths[1] else None

    return Framing(bytes([STX]), PREFIX_LENGTH, PREFIX_LENGTH + lengths[1] + _TAIL_LENGTH, size_of, decode, _CONTROLS)


def _bytes(*values: int) -> bytes:
    try:
        return bytes(values)
    except ValueError as error:
        raise CrtError(f"{values} do not fit a byte each") from error


def _frame(address: int, text: bytes, lengths: tuple[int, int]) -> bytes:
    if not lengths[0] <= len(text) <= lengths[1]:
        raise CrtError(f"a frame of length {len(text)} cannot be")
    checked = _bytes(STX, address) + len(text).to_bytes(2, "big") + text + bytes([ETX])
    return checked + bytes([xor_of(checked)])


def _text(frame: bytes, lengths: tuple[int, int]) -> tuple[int, bytes]:
    """Address, and what stands between length and ETX of one whole frame; raises CrtError."""
    if len(frame) < PREFIX_LENGTH or frame[0] != STX:
        raise CrtError("the beginning is missing")
    length = int.from_bytes(frame[2:PREFIX_LENGTH], "big")
    if not lengths[0] <= length <= lengths[1]:
        raise CrtError(f"a frame of length {length} cannot be")
    if len(frame) != PREFIX_LENGTH + length + _TAIL_LENGTH:
        raise CrtError(f"{len(frame)} bytes where the length says {length}")
    if frame[-2] != ETX or xor_of(frame):
        raise CrtError("ETX or BCC is wrong")
    return frame[1], frame[PREFIX_LENGTH:-_TAIL_LENGTH]
