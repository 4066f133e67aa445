"""What the office sends down: announced cards and withdrawals, taken apart one by one so that a bad one blocks no other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from firmware_protocol import idnumber
from lockerd.model import lettercode
from lockerd.model.cards import ManifestCollector, ManifestItem

MAX_COLLECTORS = 4
"""People whom the office may name beside a card's owner."""
MAX_TEMPLATE = 16_384
"""Bytes of a template that the office made."""
MAX_PHOTO = 200_000
"""Bytes of an application photo; GA 490 photos are a tenth of this."""
LONG_TERM = "长期"

BAD_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON asked for; DecodeError includes ValidationError."""

_CLAIM_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")  # E.164
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class Announced:
    """A card that will come with a tray. `repr` shows the claim id only."""

    item: ManifestItem

    def __repr__(self) -> str:
        return f"Announced({self.item.claim_id})"


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A claim that the office calls back."""

    claim_id: str


@dataclass(frozen=True, slots=True)
class CodeReissue:
    """The office wants another code for a claim: a pickup code by SMS, or the letter code of a letter that it writes.

    `not_after` is UTC seconds. `repr` hides the code.
    """

    claim_id: str
    not_after: float
    letter_code: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class CodeExtension:
    """The office wants the codes of a claim to live longer. `not_after` is UTC seconds."""

    claim_id: str
    not_after: float


@dataclass(frozen=True, slots=True)
class CardLost:
    """A card that its owner reported lost: number and start of validity as on its chip. `repr` shows the report's id only."""

    report_id: str
    id_number: str = field(repr=False)
    valid_from: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CardFound:
    """The office takes a report of a lost card back."""

    report_id: str


DownItem = Announced | Withdrawn | CodeReissue | CodeExtension | CardLost | CardFound


class Refusal(StrEnum):
    """Why an item of the down channel is passed over."""

    UNDECODABLE = "undecodable"
    UNKNOWN_TYPE = "unknown_type"
    CLAIM_ID = "claim_id"
    NAME = "name"
    ID_NUMBER = "id_number"
    DATES = "dates"
    PHONE = "phone"
    LETTER_CODE = "letter_code"
    PHOTO = "photo"  # no JPEG, and no template
    PHOTO_SIZE = "photo_size"
    REPORT_ID = "report_id"
    COLLECTORS = "collectors"  # too many, one twice, or with a number or photo that cannot be


@dataclass(frozen=True, slots=True)
class Refused:
    """An item that is passed over. `claim_id` is None where none could be read; nothing else of the item is kept."""

    claim_id: str | None
    reason: Refusal


class Page(msgspec.Struct, frozen=True):
    """One answer of the down channel; `cursor` is that of its last item, items stay undecoded.

    The office's `has_more` is not needed: the next question is asked at once anyway.
    """

    items: list[msgspec.Raw]
    cursor: int


class _Envelope(msgspec.Struct, frozen=True):
    cursor: int
    type: str
    item: msgspec.Raw = msgspec.Raw(b"null")
    claim_id: str = ""
    not_after: float = 0.0
    letter_code: str = ""
    report_id: str = ""
    id_number: str = ""
    valid_from: str = ""


class _Named(msgspec.Struct, frozen=True):
    claim_id: str


_envelopes = msgspec.json.Decoder(_Envelope)
_items = msgspec.json.Decoder(ManifestItem)
_named = msgspec.json.Decoder(_Named)


def decode(raw: bytes) -> tuple[int | None, DownItem | Refused]:
    """One item of a page with its cursor (None where the envelope is broken); never raises for what is in `raw`."""
    try:
        envelope = _envelopes.decode(raw)
    except BAD_JSON:
        return None, Refused(None, Refusal.UNDECODABLE)
    match envelope.type:
        case "manifest.item":
            return envelope.cursor, _announced(envelope.item)
        case "manifest.withdraw" | "code.reissue" | "code.extend":
            return envelope.cursor, _command(envelope)
        case "card.lost" | "card.found":
            return envelope.cursor, _reported(envelope)
    return envelope.cursor, Refused(None, Refusal.UNKNOWN_TYPE)


def _command(envelope: _Envelope) -> DownItem | Refused:
    claim_id = envelope.claim_id
    if not _CLAIM_ID.fullmatch(claim_id):
        return Refused(None, Refusal.CLAIM_ID)
    if envelope.type == "manifest.withdraw":
        return Withdrawn(claim_id)
    if envelope.type == "code.extend":
        return CodeExtension(claim_id, envelope.not_after)
    if envelope.letter_code and not lettercode.is_valid(envelope.letter_code):
        return Refused(claim_id, Refusal.LETTER_CODE)
    return CodeReissue(claim_id, envelope.not_after, envelope.letter_code)


def _reported(envelope: _Envelope) -> DownItem | Refused:
    if not _CLAIM_ID.fullmatch(envelope.report_id):
        return Refused(None, Refusal.REPORT_ID)
    if envelope.type == "card.found":
        return CardFound(envelope.report_id)
    if not idnumber.is_valid(envelope.id_number):
        return Refused(None, Refusal.ID_NUMBER)
    if not idnumber.is_date(envelope.valid_from):
        return Refused(None, Refusal.DATES)
    return CardLost(envelope.report_id, envelope.id_number, envelope.valid_from)


def _announced(raw: msgspec.Raw) -> Announced | Refused:
    try:
        item = _items.decode(raw)
    except BAD_JSON:
        return Refused(_claim_id_in(raw), Refusal.UNDECODABLE)
    reason = refusal(item)
    if reason is not None:
        return Refused(item.claim_id if reason is not Refusal.CLAIM_ID else None, reason)
    return Announced(item)


def refusal(item: ManifestItem) -> Refusal | None:
    """Why an announced card cannot be accepted; None when it can."""
    if not _CLAIM_ID.fullmatch(item.claim_id):
        return Refusal.CLAIM_ID
    if not 1 <= len(item.name) <= 50 or not item.name.isprintable():
        return Refusal.NAME
    if not idnumber.is_valid(item.id_number):
        return Refusal.ID_NUMBER
    if not idnumber.is_date(item.valid_from) or not (item.valid_to == LONG_TERM or idnumber.is_date(item.valid_to)):
        return Refusal.DATES
    if not _PHONE.fullmatch(item.phone) and (item.phone or not item.letter_code):
        return Refusal.PHONE
    if item.letter_code and not lettercode.is_valid(item.letter_code):
        return Refusal.LETTER_CODE
    if len(item.photo) > MAX_PHOTO:
        return Refusal.PHOTO_SIZE
    if not _is_reference(item):
        return Refusal.PHOTO
    return None if _can_collect(item) else Refusal.COLLECTORS


def _is_reference(of: ManifestItem | ManifestCollector) -> bool:
    """Whether there is a photo or a template to compare a face with, as far as that can be seen without a model."""
    if of.template is not None and not (of.template.model_id and 0 < len(of.template.vector) <= MAX_TEMPLATE):
        return False
    return of.photo.startswith(_JPEG) or (not of.photo and of.template is not None)


def _can_collect(item: ManifestItem) -> bool:
    numbers = {one.id_number.upper() for one in item.collectors} | {item.id_number.upper()}
    return (
        len(item.collectors) <= MAX_COLLECTORS
        and len(numbers) == len(item.collectors) + 1
        and all(
            idnumber.is_valid(one.id_number) and len(one.photo) <= MAX_PHOTO and _is_reference(one)
            for one in item.collectors
        )
    )


def _claim_id_in(raw: msgspec.Raw) -> str | None:
    try:
        claim_id = _named.decode(raw).claim_id
    except BAD_JSON:
        return None
    return claim_id if _CLAIM_ID.fullmatch(claim_id) else None
