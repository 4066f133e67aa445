"""What a run uses, month by month: memory, database, its log, and how much the daemon has to say in a day."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sim.soak.stage import counted_log

DAY = 86400.0
MONTH = 30 * DAY
_LOOK = 1800.0


@dataclass(frozen=True, slots=True)
class Month:
    """At the end of a month: resident memory and database in MB; its log's greatest size in MB; of one day, the journal's KB."""

    rss_mb: float
    database_mb: float
    wal_mb: float
    log_kb_a_day: float


class Months:
    """Measures until cancelled; `months` are the whole ones so far, and `told` is called with each."""

    def __init__(self, database: Path, told: Callable[[int, Month], None]) -> None:
        self.months: list[Month] = []
        self._database = database
        self._told = told

    async def run(self) -> None:
        """Look each half hour, in virtual time; the log is really written on the first day of each month only."""
        wal = database = 0.0
        while True:
            with counted_log() as log:
                for _ in range(int(DAY / _LOOK)):
                    await asyncio.sleep(_LOOK)
                    wal = max(wal, self._size("-wal"))
            for _ in range(int((MONTH - DAY) / _LOOK)):
                await asyncio.sleep(_LOOK)
                wal, database = max(wal, self._size("-wal")), self._size("")
            gc.collect()
            month = Month(rss_mb(), round(database, 1), round(wal, 1), round(log.written / 1000, 1))
            self.months.append(month)
            self._told(len(self.months), month)
            wal = 0.0

    def _size(self, suffix: str) -> float:
        with suppress(FileNotFoundError):
            return self._database.with_name(self._database.name + suffix).stat().st_size / 1e6
        return 0.0


def rss_mb() -> float:
    """Resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def told(seed: int, number: int, month: Month) -> str:
    """One line of progress."""
    return (
        f"seed {seed}, month {number}: {month.rss_mb} MB resident, database {month.database_mb} MB, "
        f"its log at most {month.wal_mb} MB, journal {month.log_kb_a_day} KB a day"
    )
