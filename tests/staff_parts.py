"""A desk for staff decisions that only remembers what was asked."""

from __future__ import annotations

from lockerd.errors import LockerError
from lockerd.model.custody import Place
from lockerd.model.staffing import (
    BinReport,
    BlockedSlot,
    CardFile,
    ChainLink,
    DoubtfulCard,
    Finding,
    OpenMatters,
    Ruling,
)

MATTERS = OpenMatters(
    (DoubtfulCard("N000001", "new", 7, 1.76e9, None), DoubtfulCard("old-000031", "old", None, 1.76e9, "wang.min")),
    (
        BlockedSlot(7, "in_doubt", "N000001", 1.76e9),
        BlockedSlot(40, "occupied_unrecorded", None, 1.76e9),
    ),
)
FILE = CardFile(
    "N000001",
    "new",
    Place.IN_DOUBT,
    7,
    "session:9f2c",
    (
        ChainLink(1.75e9, None, Place.TRAY, None, "announced", "office"),
        ChainLink(1.751e9, Place.TRAY, Place.TRANSPORT, None, "chip read while loading", "staff:li.wei"),
        ChainLink(1.751e9, Place.TRANSPORT, Place.SLOT, 7, "store", "staff:li.wei"),
        ChainLink(1.76e9, Place.SLOT, Place.IN_DOUBT, 7, "pick", "session:9f2c"),
    ),
)


class PlayedDesk:
    """Two matters are open; every finding gets `ruling`. With `refusal` everything is refused."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.refusal: str | None = None
        self.ruling = Ruling.AWAITS

    async def open_matters(self) -> OpenMatters:
        self._refuse()
        return MATTERS

    async def card(self, wanted: str) -> CardFile | None:
        self._refuse()
        return FILE if wanted in ("N000001", "7") else None

    async def find(self, name: str, finding: Finding) -> Ruling:
        self._refuse()
        self.asked.append(("find", name, finding))
        return self.ruling

    async def unblock(self, name: str, slot: int) -> None:
        self._refuse()
        self.asked.append(("unblock", name, slot))

    async def empty_retract(self, name: str, counted: int) -> BinReport:
        self._refuse()
        self.asked.append(("retract", name, counted))
        return BinReport(counted, 2)

    def _refuse(self) -> None:
        if self.refusal is not None:
            raise LockerError(self.refusal)
