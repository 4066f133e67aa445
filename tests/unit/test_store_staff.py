"""Staff's accounts and their PINs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lockerd.errors import StoreError
from lockerd.store import staff
from lockerd.store.database import Database
from tests.store_stocked import (
    DAY,
    stocked,
)
from tests.store_support import NOW, STAMP, stamp, vault


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with stocked(tmp_path) as database:
        yield database


async def test_staff_log_in_with_bounded_tries(db: Database) -> None:
    keys = vault()
    await db.transaction(lambda tx: staff.add(tx, keys, "li", "135790", STAMP))
    assert await staff.check_pin(db, keys, "li", "135790", stamp(NOW)) == staff.StaffMember("li", staff.ROLE)
    for _ in range(5):
        assert await staff.check_pin(db, keys, "li", "000000", stamp(NOW)) is None
    assert await staff.check_pin(db, keys, "li", "135790", stamp(NOW)) is None
    assert await staff.check_pin(db, keys, "li", "135790", stamp(NOW + staff.WINDOW)) is not None
    assert await staff.check_pin(db, keys, "wang", "135790", stamp(NOW)) is None
    await db.transaction(lambda tx: staff.add(tx, keys, "li", "246801", STAMP))
    assert await staff.check_pin(db, keys, "li", "246801", stamp(NOW + DAY)) is not None


@pytest.mark.parametrize(
    ("name", "pin"), [("", "135790"), (" ", "135790"), ("li", "13579"), ("l\ni", "135790"), ("li", "13579\udcff")]
)
async def test_bad_accounts_are_refused(db: Database, name: str, pin: str) -> None:
    with pytest.raises(StoreError):
        await db.transaction(lambda tx: staff.add(tx, vault(), name, pin, STAMP))
