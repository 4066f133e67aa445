"""Values of staff work: what became of a tray, and of an emptied bin."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RejectReason(StrEnum):
    """Why a card of a tray goes back to the staff."""

    UNREADABLE = "unreadable"
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
    """A tray as far as it is loaded; `fault` says in words why loading stopped early."""

    running: bool = False
    lines: tuple[LoadLine, ...] = ()
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class BinReport:
    """One emptying of the recycling bin: what a person counted blind, and what the ledger expected."""

    counted: int
    expected: int

    @property
    def agreed(self) -> bool:
        """Whether both say the same."""
        return self.counted == self.expected
