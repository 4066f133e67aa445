"""Reading the chip of a card that should be there: which reader stands where, and how often it is asked."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from lockerd.errors import DeviceError, UnreadableCard
from lockerd.model.cards import Chip
from lockerd.pickup.state import ChipRead
from lockerd.ports import IdReader

log = structlog.get_logger(__name__)

CHIP_READS = 3  # tries before a chip counts as unreadable


async def look_at_chip(reader: IdReader) -> ChipRead:
    """Read a chip that should be there, CHIP_READS tries; `silent` where the reader answered none of them."""
    silent = True
    for _ in range(CHIP_READS):
        try:
            chip = await reader.read()
        except DeviceError as error:
            log.warning("chip not read", error=str(error))
            silent = silent and not isinstance(error, UnreadableCard)
            continue
        if chip is not None:
            return ChipRead(chip)
        silent = False
    return ChipRead(None, silent=silent)


async def read_chip(reader: IdReader) -> Chip | None:
    """Read a chip that should be there, CHIP_READS tries; None when it cannot be read."""
    return (await look_at_chip(reader)).chip


@dataclass(frozen=True, slots=True)
class Readers:
    """The three readers by where they stand."""

    counter: IdReader
    throat: IdReader
    exit: IdReader
