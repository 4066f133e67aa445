"""Values of staff work: what became of a tray, and of an emptied bin."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lockerd.model.custody import Place


class RejectReason(StrEnum):
    """Why a card of a tray goes back to the staff."""

    UNREADABLE = "unreadable"
    READER_SILENT = "reader_silent"
    NOT_ANNOUNCED = "not_announced"
    MACHINE_FULL = "machine_full"


@dataclass(frozen=True, slots=True)
class LoadLine:
    """What became of the n-th card of a tray: its slot, or why it was rejected."""

    n: int
    slot: int | None = None
    reason: RejectReason | None = None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """A tray as far as it is loaded; `fault` says in words why loading stopped early.

    `waiting` is True while the first card waits for what the office announced; loading begins by itself.
    """

    running: bool = False
    lines: tuple[LoadLine, ...] = ()
    fault: str | None = None
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class BinReport:
    """One emptying of the recycling bin: what a person counted blind, and what the ledger expected."""

    counted: int
    expected: int

    @property
    def agreed(self) -> bool:
        """Whether both say the same."""
        return self.counted == self.expected


class Grounds(StrEnum):
    """How a member of staff knows where a card is. No free words: they might name a person."""

    SEEN = "seen"  # with the eyes, in the machine
    CHIP = "chip"  # its chip was read at the counter
    COUNT = "count"  # all cards were counted
    RECORDING = "recording"  # of a camera


WHERE_FOUND: dict[str, tuple[Place, ...]] = {
    "new": (Place.SLOT, Place.RETRACT, Place.REMOVED, Place.TAKEN),
    "old": (Place.BIN, Place.REMOVED, Place.TAKEN),
}
"""Where staff may find a card in doubt, by its role: elsewhere the machine itself sees it when it settles."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a member of staff found a card that is in doubt; `slot` is set exactly for SLOT."""

    card_id: str
    place: Place
    slot: int | None
    grounds: Grounds


class Ruling(StrEnum):
    """What became of a finding: it waits for that of another person, contradicts it, or both agree and the doubt is over."""

    AWAITS = "awaits"
    DIFFERS = "differs"
    DECIDED = "decided"


@dataclass(frozen=True, slots=True)
class BlockedSlot:
    """A slot that staff have to look into: why it is blocked, since when (UTC seconds), and the card recorded there."""

    slot: int
    reason: str
    card_id: str | None
    since: float


@dataclass(frozen=True, slots=True)
class DoubtfulCard:
    """A card in doubt: its kind ("new" or "old"), the slot it may be in, and who has found it somewhere already."""

    card_id: str
    role: str
    slot: int | None
    since: float
    found_by: str | None


@dataclass(frozen=True, slots=True)
class LostCard:
    """A card in the machine that was reported lost: where it is, since when (UTC seconds), and the report or claim that says so."""

    card_id: str
    place: Place
    since: float
    report_id: str


@dataclass(frozen=True, slots=True)
class OpenMatters:
    """What only staff can end."""

    doubtful: tuple[DoubtfulCard, ...] = ()
    blocked: tuple[BlockedSlot, ...] = ()
    lost: tuple[LostCard, ...] = ()


@dataclass(frozen=True, slots=True)
class CardFile:
    """All that the ledger knows of one card, without its owner; `chain` has the oldest link first.

    `report_id` is what says that it was reported lost, None for all others.
    """

    card_id: str
    role: str
    place: Place
    slot: int | None
    responsible: str
    chain: tuple[ChainLink, ...]
    report_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One link of a card's chain: when (UTC seconds), from where to where, why, and who is responsible from then on."""

    at: float
    origin: Place | None
    target: Place
    slot: int | None
    reason: str
    responsible: str
