"""The 256-byte text block of a resident ID card's chip: UTF-16LE, fixed fields, the type letter at byte 248.

Each layout is one frozen dataclass, and its annotations are the one table of fields that encoder and decoder share. Source:
vendors' descriptions, which is why decoding is tolerant: it takes any characters in any field, and `wrong_fields` judges.
Dates are written YYYYMMDD; the end of validity may read 长期 (no end). Sex and ethnicity are codes of GB/T 2261.1 and
GB/T 3304.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from types import MappingProxyType
from typing import Annotated, ClassVar, get_args, get_type_hints

from firmware_protocol import idnumber

TEXT_LENGTH = 256
TYPE_OFFSET = 248
LONG_TERM = "长期"
_PADDING = " \0　"  # cards pad with spaces; some readers with zeros or full-width spaces


class CardTextError(ValueError):
    """The block is no text of a known layout, or a value does not fit its field; the message holds no personal data."""


@dataclass(frozen=True, slots=True)
class At:
    """Where a field stands: offset and length in bytes, two for each UTF-16 unit."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentText:
    """A resident's card; type letter: a space."""

    LETTER: ClassVar[str] = ""
    name: Annotated[str, At(0, 30)]
    sex: Annotated[str, At(30, 2)]
    ethnicity: Annotated[str, At(32, 4)]
    birth: Annotated[str, At(36, 16)]
    address: Annotated[str, At(52, 70)]
    id_number: Annotated[str, At(122, 36)]
    issuer: Annotated[str, At(158, 30)]
    valid_from: Annotated[str, At(188, 16)]
    valid_to: Annotated[str, At(204, 16)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitText:
    """A residence permit of people from Hong Kong, Macau or Taiwan; type letter J."""

    LETTER: ClassVar[str] = "J"
    name: Annotated[str, At(0, 30)]
    sex: Annotated[str, At(30, 2)]
    birth: Annotated[str, At(36, 16)]
    address: Annotated[str, At(52, 70)]
    id_number: Annotated[str, At(122, 36)]
    issuer: Annotated[str, At(158, 30)]
    valid_from: Annotated[str, At(188, 16)]
    valid_to: Annotated[str, At(204, 16)]
    permit_number: Annotated[str, At(220, 18)]
    issue_count: Annotated[str, At(238, 4)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignerText2017:
    """A foreigner's permanent residence card in the layout of 2017; type letter I. `name` is the Chinese one, may be empty."""

    LETTER: ClassVar[str] = "I"
    english_name: Annotated[str, At(0, 120)]
    sex: Annotated[str, At(120, 2)]
    id_number: Annotated[str, At(122, 30)]  # 15 characters
    nationality: Annotated[str, At(152, 6)]
    name: Annotated[str, At(158, 30)]
    valid_from: Annotated[str, At(188, 16)]
    valid_to: Annotated[str, At(204, 16)]
    birth: Annotated[str, At(220, 16)]
    version: Annotated[str, At(236, 4)]
    authority: Annotated[str, At(240, 8)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignerText2023:
    """A foreigner's permanent residence card in the layout of 2023 (one source); type letter Y. `name` is the Chinese one.

    A long English name goes on in `english_name_continued`.
    """

    LETTER: ClassVar[str] = "Y"
    name: Annotated[str, At(0, 30)]
    sex: Annotated[str, At(30, 2)]
    reissue_count: Annotated[str, At(32, 4)]
    birth: Annotated[str, At(36, 16)]
    english_name: Annotated[str, At(52, 70)]
    id_number: Annotated[str, At(122, 36)]  # 18 digits, the first is 9
    valid_from: Annotated[str, At(188, 16)]
    valid_to: Annotated[str, At(204, 16)]
    english_name_continued: Annotated[str, At(220, 22)]
    nationality: Annotated[str, At(242, 6)]
    old_number_link: Annotated[str, At(250, 6)]


CardText = ResidentText | PermitText | ForeignerText2017 | ForeignerText2023
LAYOUTS: tuple[type[CardText], ...] = get_args(CardText)


def _table(layout: type[CardText]) -> Mapping[str, At]:
    hints = get_type_hints(layout, include_extras=True)
    return MappingProxyType({field.name: get_args(hints[field.name])[1] for field in fields(layout)})


_TABLES: Mapping[type[CardText], Mapping[str, At]] = MappingProxyType({layout: _table(layout) for layout in LAYOUTS})


def table_of(layout: type[CardText]) -> Mapping[str, At]:
    """The fields of a layout and where they stand, in the order of the block."""
    return _TABLES[layout]


def encode(text: CardText) -> bytes:
    """The 256-byte block, padded with spaces; raises CardTextError for a value that is too long or no UTF-16."""
    block = bytearray(" ".encode("utf-16-le") * (TEXT_LENGTH // 2))
    block[TYPE_OFFSET : TYPE_OFFSET + 2] = (text.LETTER or " ").encode("utf-16-le")
    for name, at in _TABLES[type(text)].items():
        try:
            value = getattr(text, name).encode("utf-16-le")
        except UnicodeEncodeError:
            raise CardTextError(f"{name} cannot be written in UTF-16") from None
        if len(value) > at.length:
            raise CardTextError(f"{name} needs {len(value)} bytes of {at.length}")
        block[at.offset : at.offset + len(value)] = value
    return bytes(block)


def decode(block: bytes) -> CardText:
    """The text in a 256-byte block, padding removed; raises CardTextError for another length, type letter, or no UTF-16."""
    if len(block) != TEXT_LENGTH:
        raise CardTextError(f"a text block of {len(block)} bytes")
    letter = _decode(block, "type letter", At(TYPE_OFFSET, 2))
    for layout in LAYOUTS:
        if letter == layout.LETTER:
            return layout(**{name: _decode(block, name, at) for name, at in _TABLES[layout].items()})
    raise CardTextError(f"the type letter {letter!a} is not known")


def wrong_fields(text: CardText) -> tuple[str, ...]:
    """Names of the fields whose values no true card has; empty for a sound text.

    Checked: a name is there; the number is valid (18 characters: check digit; layout of 2017: 15 letters and digits; layout
    of 2023: begins with 9); dates are calendar dates; validity does not end before it begins.
    """
    sound = {
        "name": bool(display_name(text)),
        "birth": idnumber.is_date(text.birth),
        "id_number": _is_number_sound(text),
        "valid_from": idnumber.is_date(text.valid_from),
        "valid_to": text.valid_to == LONG_TERM
        or (idnumber.is_date(text.valid_to) and text.valid_to >= text.valid_from),
    }
    return tuple(name for name, is_sound in sound.items() if not is_sound)


def is_valid_on(text: CardText, day: date) -> bool:
    """Whether `day` lies within the card's validity, both ends included; False when a date is none."""
    today = f"{day:%Y%m%d}"
    if not idnumber.is_date(text.valid_from) or text.valid_from > today:
        return False
    return text.valid_to == LONG_TERM or (idnumber.is_date(text.valid_to) and today <= text.valid_to)


def display_name(text: CardText) -> str:
    """The Chinese name; a foreigner without one has the English name."""
    match text:
        case ForeignerText2017():
            return text.name or text.english_name
        case ForeignerText2023():
            return text.name or text.english_name + text.english_name_continued
        case _:
            return text.name


def _is_number_sound(text: CardText) -> bool:
    match text:
        case ForeignerText2017():
            return len(text.id_number) == 15 and text.id_number.isascii() and text.id_number.isalnum()
        case ForeignerText2023():
            return text.id_number.startswith("9") and idnumber.is_valid(text.id_number)
        case _:
            return idnumber.is_valid(text.id_number)


def _decode(block: bytes, name: str, at: At) -> str:
    try:
        return block[at.offset : at.offset + at.length].decode("utf-16-le").strip(_PADDING)
    except UnicodeDecodeError:
        raise CardTextError(f"{name} is no UTF-16") from None
