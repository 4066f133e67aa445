"""What the office is told: one CloudEvents 1.0 event for each row of the journal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

TYPE_PREFIX = "lockerd."


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One event as the journal has it.

    `seq` counts from 1 without gaps within one database; `kind` is the type without its prefix ("card.stocked"); `at` is UTC
    seconds; `monotime` is seconds of the boot clock of `boot_id`; `data` is a JSON object without personal data (claim ids,
    slots, journey ids).
    """

    seq: int
    kind: str
    at: float
    boot_id: str
    monotime: float
    data: bytes


class _CloudEvent(msgspec.Struct, frozen=True):
    """CloudEvents 1.0 JSON format, section 3; extension attributes are lower-case and their values strings."""

    specversion: str
    id: str
    source: str
    type: str
    time: str
    datacontenttype: str
    sequence: str
    bootid: str
    monotime: str
    data: msgspec.Raw


_encoder = msgspec.json.Encoder()


def cloud_event(row: JournalRow, *, locker_id: str, epoch: str) -> bytes:
    """The event of a journal row as JSON; equal rows give equal bytes.

    `epoch` names the database, so that `id` "EPOCH:SEQ" is unique for good. Source: CloudEvents 1.0.2, Sequence extension.
    """
    return _encoder.encode(
        _CloudEvent(
            specversion="1.0",
            id=f"{epoch}:{row.seq}",
            source=f"/lockers/{locker_id}",
            type=TYPE_PREFIX + row.kind,
            time=datetime.fromtimestamp(row.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            datacontenttype="application/json",
            sequence=str(row.seq),
            bootid=row.boot_id,
            monotime=f"{row.monotime:.3f}",
            data=msgspec.Raw(row.data),
        )
    )


def batch(events: list[bytes]) -> bytes:
    """The CloudEvents batch (`application/cloudevents-batch+json`) of events that are JSON already."""
    return b"[" + b",".join(events) + b"]"
