"""Text messages wait to be sent, and are erased once they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lockerd.store import messages
from lockerd.store.database import Database, Transaction
from tests.store_stocked import (
    DAY,
    stocked,
)
from tests.store_support import NOW, vault


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with stocked(tmp_path) as database:
        yield database


async def test_messages_wait_and_are_erased_once_sent(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        keys = vault()
        await messages.queue(tx, keys, "m1", "+8619900000001", "甲")
        await messages.queue(tx, keys, "m2", "+8619900000002", "乙")
        await messages.queue(tx, keys, "m1", "+8619900000009", "again")
        first = await messages.next_due(tx, keys, NOW)
        assert first is not None
        assert (first.message_id, first.phone, first.text, first.tries) == ("m1", "+8619900000001", "甲", 0)
        assert repr(first) == "Message(m1)"
        await messages.failed(tx, "m1", NOW + 60)
        second = await messages.next_due(tx, keys, NOW)
        assert second is not None
        assert second.message_id == "m2"
        await messages.sent(tx, "m2", NOW)
        assert await messages.next_due(tx, keys, NOW + 59) is None
        later = await messages.next_due(tx, keys, NOW + 60)
        assert later is not None
        assert (later.message_id, later.tries) == ("m1", 1)
        await messages.queue(tx, keys, "m2", "+8619900000002", "乙")
        await messages.sent(tx, "m1", NOW)
        assert await messages.next_due(tx, keys, NOW + DAY) is None
        assert await tx.all("SELECT record FROM data_key WHERE record LIKE 'message|%'") == []
        assert await tx.all("SELECT 1 FROM message WHERE phone IS NOT NULL OR text IS NOT NULL") == []

    await db.transaction(work)


async def test_a_message_that_a_wrong_clock_put_off_is_due_when_the_clock_is_right(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await messages.queue(tx, vault(), "m1", "+8619900000001", "甲")
        await messages.failed(tx, "m1", NOW + 400 * DAY + 30)
        assert await messages.next_due(tx, vault(), NOW + DAY) is None
        await messages.set_right(tx, NOW)
        assert await messages.next_due(tx, vault(), NOW) is not None

    await db.transaction(work)
