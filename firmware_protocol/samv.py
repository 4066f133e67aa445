"""Frames of the resident-ID-card reader module (SAM-V) on its serial line; UART 8N1, 115200 baud by default.

    host -> reader   AA AA AA 96 69 | length u16 | command u16 (CMD PARA) | data | check
    reader -> host   AA AA AA 96 69 | length u16 | SW1 SW2 SW3 | data | check

Numbers are big-endian. `length` counts everything behind itself; `check` is the XOR of everything between the header and
itself. SW1 SW2 repeat what the card said, SW3 is the reader's own word. Source: vendors' descriptions of GA 450 modules,
which do not agree everywhere, so unknown commands, status words and data are frames too and judged by whoever reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from firmware_protocol.crc import xor_of
from firmware_protocol.declaration import Described
from firmware_protocol.framing import FrameError, FrameT, Framing, Parser

HEADER = bytes.fromhex("AAAAAA9669")
PREFIX_LENGTH = len(HEADER) + 2
BAUD_RATE = 115200

TEXT_LENGTH = 256
PHOTO_LENGTH = 1024
FINGERPRINT_LENGTHS = (0, 512, 1024)
ADDED_ADDRESS_LENGTH = 70
SAM_ID_LENGTH = 16
FIND_FOUND_LENGTH = 4
SELECT_OK_LENGTH = 8

REQUEST_LENGTHS = (3, 16)
"""Least and greatest `length` of a request; the longest known is 4, the rest is room. A small bound ends a false frame soon."""
REPLY_LENGTHS = (4, 4 + 6 + TEXT_LENGTH + PHOTO_LENGTH + FINGERPRINT_LENGTHS[-1])
"""Least and greatest `length` of a reply; the longest is text, photo and 1024 bytes of fingerprint."""


_REMEMBERED = 32
"""Decoded requests that are remembered: a host has few, and they say nothing of a card."""


class SamvError(FrameError):
    """The bytes are no frame, or a reply's data has not the layout of its command."""


class Command(Described):
    """CMD and PARA of a request as one number."""

    RESET_SAM = 0x10FF, "reset the SAM"
    SAM_STATUS = 0x11FF, "status of the SAM"
    SAM_ID = 0x12FF, "identification of the SAM: 16 bytes"
    FIND = 0x2001, "find a card; FOUND with 4 bytes of 0, or FIND_FAILED"
    SELECT = 0x2002, "select the card found; OK with 8 bytes of 0, or SELECT_FAILED"
    READ_TEXT_PHOTO = 0x3001, "read text (256 bytes) and photo (1024 bytes), two lengths before them"
    READ_ADDED_ADDRESS = 0x3003, "read the added address: 70 bytes, no length before them"
    READ_TEXT_PHOTO_FINGERPRINT = (
        0x3010,
        "the same and the fingerprint (0, 512 or 1024 bytes), three lengths before them",
    )
    SET_MAX_RF_BYTES = 0x61FF, "set the greatest number of bytes on the radio; one byte of data: 0x50"


class Status(Described):
    """SW3, the reader's own status. 0x01-0x06 belong to PC libraries and never travel."""

    OK = 0x90, "done"
    FOUND = 0x9F, "a card is found"
    NO_CONTENT = 0x91, "the card has no such content"
    BAD_CHECKSUM = 0x10, "the request's check is wrong"
    BAD_LENGTH = 0x11, "the request's length is wrong"
    BAD_COMMAND = 0x21, "no such command"
    UNAUTHORISED = 0x23, "not allowed"
    UNKNOWN = 0x24, "unknown error"
    CARD_TO_SAM_FAILED = 0x31, "the card did not accept the SAM"
    SAM_TO_CARD_FAILED = 0x32, "the SAM did not accept the card"
    VERIFICATION_FAILED = 0x33, "what was read is not authentic"
    UNKNOWN_CARD = 0x40, "unknown type of card"
    READ_FAILED = 0x41, "the card could not be read"
    RANDOM_FAILED = 0x47, "no random number from the card"
    SELF_TEST_FAILED = 0x60, "the SAM's self-test failed"
    SAM_UNAUTHORISED = 0x66, "the SAM is not authorised"
    FIND_FAILED = 0x80, "no card is found"
    SELECT_FAILED = 0x81, "the card could not be selected"


@dataclass(frozen=True, slots=True)
class Request:
    """What the host asks; `command` is a `Command` or any other 16-bit number."""

    command: int
    data: bytes = b""

    def to_bytes(self) -> bytes:
        """The whole frame; raises SamvError when a part is out of range."""
        return _frame(_number(self.command, 2) + self.data, REQUEST_LENGTHS)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the reader answers; `status` (SW3) is a `Status` or any other byte, `card_status` is SW1 SW2."""

    status: int
    data: bytes = b""
    card_status: int = 0

    def to_bytes(self) -> bytes:
        """The whole frame; raises SamvError when a part is out of range."""
        return _frame(_number(self.card_status, 2) + _number(self.status, 1) + self.data, REPLY_LENGTHS)


@lru_cache(maxsize=_REMEMBERED)
def decode_request(frame: bytes) -> Request:
    """The request in exactly one whole frame; raises SamvError."""
    return _request(_body(frame, REQUEST_LENGTHS))


def decode_reply(frame: bytes) -> Reply:
    """The reply in exactly one whole frame; raises SamvError."""
    return _reply(_body(frame, REPLY_LENGTHS))


@dataclass(frozen=True, slots=True)
class CardBlocks:
    """What a read brings: 256 bytes of text, 1024 of photo (WLT, opaque here), and the fingerprint block (opaque).

    `fingerprint` is None for a read without fingerprint, and has 0, 512 or 1024 bytes for one with.
    """

    text: bytes
    photo: bytes
    fingerprint: bytes | None = None

    def to_data(self) -> bytes:
        """Data of the reply: two lengths (READ_TEXT_PHOTO) or three (…_FINGERPRINT), then the blocks."""
        blocks = [self.text, self.photo]
        if self.fingerprint is not None:
            blocks.append(self.fingerprint)
        return b"".join(_number(len(block), 2) for block in blocks) + b"".join(blocks)


def decode_card_blocks(command: Command, data: bytes) -> CardBlocks:
    """Data of an OK reply to READ_TEXT_PHOTO or READ_TEXT_PHOTO_FINGERPRINT; raises SamvError unless all lengths agree."""
    if command not in (Command.READ_TEXT_PHOTO, Command.READ_TEXT_PHOTO_FINGERPRINT):
        raise SamvError(f"a reply to {command.name} has no card blocks")
    count = 3 if command is Command.READ_TEXT_PHOTO_FINGERPRINT else 2
    lengths = [int.from_bytes(data[2 * i : 2 * i + 2], "big") for i in range(count)]
    if len(data) != 2 * count + sum(lengths):
        raise SamvError(f"{len(data)} bytes of data do not hold {count} lengths and their blocks")
    if lengths[0] != TEXT_LENGTH or lengths[1] != PHOTO_LENGTH:
        raise SamvError(f"text and photo of {lengths[0]} and {lengths[1]} bytes")
    if count == 3 and lengths[2] not in FINGERPRINT_LENGTHS:
        raise SamvError(f"fingerprint block of {lengths[2]} bytes")
    photo_start = 2 * count + TEXT_LENGTH
    photo_end = photo_start + PHOTO_LENGTH
    return CardBlocks(
        data[2 * count : photo_start], data[photo_start:photo_end], data[photo_end:] if count == 3 else None
    )


def request_parser() -> Parser[Request]:
    """Parser of the reader's side: finds requests."""
    return Parser(_framing(decode_request, REQUEST_LENGTHS))


def reply_parser() -> Parser[Reply]:
    """Parser of the host's side: finds replies."""
    return Parser(_framing(decode_reply, REPLY_LENGTHS))


def _framing(decode: Callable[[bytes], FrameT], lengths: tuple[int, int]) -> Framing[FrameT]:
    def size_of(prefix: bytes) -> int | None:
        length = int.from_bytes(prefix[len(HEADER) :], "big")
        return PREFIX_LENGTH + length if lengths[0] <= length <= lengths[1] else None

    return Framing(HEADER, PREFIX_LENGTH, PREFIX_LENGTH + lengths[1], size_of, decode)


def _number(value: int, size: int) -> bytes:
    try:
        return value.to_bytes(size, "big")
    except OverflowError as error:
        raise SamvError(f"{value} does not fit {size} bytes") from error


def _frame(body: bytes, lengths: tuple[int, int]) -> bytes:
    length = len(body) + 1
    if not lengths[0] <= length <= lengths[1]:
        raise SamvError(f"a frame of length {length} cannot be")
    checked = _number(length, 2) + body
    return HEADER + checked + bytes([xor_of(checked)])


def _body(frame: bytes, lengths: tuple[int, int]) -> bytes:
    """What stands between length and check of one whole frame; raises SamvError."""
    if not frame.startswith(HEADER):
        raise SamvError("the header is missing")
    if len(frame) < PREFIX_LENGTH:
        raise SamvError("the length is missing")
    length = int.from_bytes(frame[len(HEADER) : PREFIX_LENGTH], "big")
    if not lengths[0] <= length <= lengths[1]:
        raise SamvError(f"a frame of length {length} cannot be")
    if len(frame) != PREFIX_LENGTH + length:
        raise SamvError(f"{len(frame) - PREFIX_LENGTH} bytes where the length says {length}")
    if xor_of(frame[len(HEADER) :]):
        raise SamvError("the checksum is wrong")
    return frame[PREFIX_LENGTH:-1]


def _request(body: bytes) -> Request:
    return Request(int.from_bytes(body[:2], "big"), body[2:])


def _reply(body: bytes) -> Reply:
    return Reply(body[2], body[3:], int.from_bytes(body[:2], "big"))
