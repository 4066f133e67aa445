"""Values about cards and claims: what the office announces, what a chip says, who may collect what."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import msgspec

from lockerd.model.custody import Place


class ClaimKind(StrEnum):
    """Why the card was made."""

    RENEWAL = "renewal"  # the predecessor is about to end
    REPLACEMENT = "replacement"  # the predecessor is lost
    DAMAGED = "damaged"  # the predecessor is there, but perhaps no longer readable


HANDED_IN = frozenset({ClaimKind.RENEWAL, ClaimKind.DAMAGED})
"""The kinds whose predecessor is handed in."""


class ClaimState(StrEnum):
    """Life of a claim from the office's announcement to the citizen's hand."""

    EXPECTED = "expected"  # announced, not yet stocked
    STOCKED = "stocked"
    COLLECTED = "collected"
    WITHDRAWN = "withdrawn"  # the office called it back


class ManifestTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A face template that the office made with the same models; `vector` (see `FaceTemplate`) is base64 on the wire."""

    model_id: str
    vector: bytes


class ManifestCollector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody beside its owner who may collect an announced card: a guardian, or whom the owner authorised.

    `photo` is a JPEG, base64 on the wire; it may be empty beside a `template`. Personal data; of the number a keyed hash is
    kept, of the photo a template.
    """

    relation: Literal["guardian", "authorised"]
    id_number: str
    photo: bytes = b""
    template: ManifestTemplate | None = None


class ManifestItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One announced card, as the office sends it.

    `claim_id` is the production number of the new card. Dates are YYYYMMDD, `valid_to` may be 长期. `photo` is the
    application photo (JPEG), base64 on the wire; it may be empty beside a `template`. `phone` is E.164, empty only where the
    office writes a letter instead, whose code is `letter_code` (`lockerd.model.lettercode`). Announced again, a stocked card
    keeps all but its templates and its collectors.
    """

    claim_id: str
    kind: ClaimKind
    name: str
    id_number: str
    valid_from: str
    valid_to: str
    phone: str
    photo: bytes = b""
    template: ManifestTemplate | None = None
    collectors: tuple[ManifestCollector, ...] = ()
    letter_code: str = ""


class Person(msgspec.Struct, frozen=True):
    """Who a claim belongs to; personal data, encrypted at rest."""

    name: str
    id_number: str
    phone: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim as the store has it. Times are UTC seconds; `old_card_kept` tells that the predecessor is already in the bin.

    `slot` is where its card lies, None while it lies in none; `slot_blocked` whether that is frozen, and only the counter can help.
    `old_inside` is where the predecessor was left by an earlier journey: throat, escrow or in doubt.
    """

    claim_id: str
    kind: ClaimKind
    state: ClaimState
    person: Person
    valid_from: str
    valid_to: str
    slot: int | None
    old_card_kept: bool
    slot_blocked: bool = False
    old_inside: Place | None = None


@dataclass(frozen=True, slots=True)
class Chip:
    """What a reader saw on a resident ID card's chip. `reader` is the reader's name in the configuration.

    `photo` is 1,024 bytes that a decoder can read, empty where the chip holds none; it is never kept. `fingerprint` is the
    chip's opaque block (512 or 1024 bytes) where the reader was asked for it and there is one, else empty.
    """

    name: str
    id_number: str
    valid_from: str
    valid_to: str
    reader: str
    photo: bytes = field(default=b"", repr=False, compare=False)
    fingerprint: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class LostReport:
    """What says that a card was reported lost: the office's report, or the claim of the replacement under its own id.

    `claim_id` is the claim whose new card takes its place, None where the machine knows none.
    """

    report_id: str
    claim_id: str | None


def masked_name(name: str) -> str:
    """First and last character of a name with stars between: 李*明; two characters: 李*."""
    if len(name) <= 1:
        return "*"
    if len(name) == 2:
        return name[0] + "*"
    return name[0] + "*" * (len(name) - 2) + name[-1]


def masked_number(id_number: str) -> str:
    """First four and last four characters of an ID number with stars between."""
    if len(id_number) <= 8:
        return "*" * len(id_number)
    return id_number[:4] + "*" * (len(id_number) - 8) + id_number[-4:]
