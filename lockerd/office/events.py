"""What the office is told: one CloudEvents 1.0 event for each row of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec


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


def cloud_event(
    *, locker_id: str, epoch: str, seq: int, kind: str, at: float, boot_id: str, monotime: float, data: bytes
) -> bytes:
    """The event of a journal row as JSON; equal rows give equal bytes. Source: CloudEvents 1.0.2, Sequence extension.

    `epoch` names the database and `seq` counts from 1 in it without gaps, so `id` "EPOCH:SEQ" is unique for good; `kind` is the
    type with its prefix ("lockerd.card.stocked"); `at` is UTC seconds; `monotime` is seconds of the boot clock of `boot_id`;
    `data` is a JSON object without personal data: `claim_id`, `card_id`, `slot`, `journey_id` and the like.
    """
    return msgspec.json.encode(
        _CloudEvent(
            specversion="1.0",
            id=f"{epoch}:{seq}",
            source=f"/lockers/{locker_id}",
            type=kind,
            time=datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            datacontenttype="application/json",
            sequence=str(seq),
            bootid=boot_id,
            monotime=f"{monotime:.3f}",
            data=msgspec.Raw(data),
        )
    )


def batch(events: Sequence[bytes]) -> bytes:
    """The CloudEvents batch (`application/cloudevents-batch+json`) of events that are JSON already."""
    return b"[" + b",".join(events) + b"]"
