"""What the composition root tells the office's link: each row of the journal as an event, the status, and that there is news."""

from __future__ import annotations

import asyncio

from lockerd.office.events import cloud_event
from lockerd.office.link import OfficeLink
from lockerd.store.database import Database, News
from lockerd.store.journal import JournalRow
from lockerd.web.health import HealthReport


def envelope(row: JournalRow, locker_id: str) -> bytes:
    """A row of the journal as the office's event."""
    return cloud_event(
        locker_id=locker_id,
        epoch=row.epoch,
        seq=row.seq,
        kind=row.type,
        at=row.stamp.wall,
        boot_id=row.stamp.boot_id,
        monotime=row.stamp.mono,
        data=row.data,
    )


def office_status(report: HealthReport) -> dict[str, object]:
    """The status that the office sees: the health answer in short."""
    return {
        "serving": report.serving,
        "status": report.status.value,
        "checks": {check.name: check.status.value for check in report.checks},
    }


async def wake_link(db: Database, link: OfficeLink, gathered: float) -> None:
    """Tell the link of new events, `gathered` seconds after the first of them was written."""
    seen = 0
    while True:
        await db.more(News.EVENT, seen)
        await asyncio.sleep(gathered)
        seen = db.heard(News.EVENT)
        link.notify()
