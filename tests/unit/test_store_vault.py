"""The vault: sealed values, the key file, and that nothing personal is in the bytes or outlives its day."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lockerd.errors import StoreError
from lockerd.model.custody import Place
from lockerd.store import claims, codes, housekeeping, ledger, messages, staff
from lockerd.store.backup import ERASED_EVERY, back_up, erase_in_backups
from lockerd.store.database import Database, Transaction
from lockerd.store.vault import Sealing, Vault, erase, sm4_works
from tests.store_stocked import (
    CLAIM,
    CODE,
    DAY,
    HOUR,
    NUMBER,
    TEMPLATE,
    UNKNOWN,
    everything_in,
    hand_out,
    stock,
    stocked,
    try_code,
)
from tests.store_support import CODE_LIFE, NOW, STAMP, opened, vault


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with stocked(tmp_path) as database:
        yield database


async def test_a_sealed_value_opens_in_its_own_place_only(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        keys = vault(2)
        key = await keys.create(tx, "claim", "C1")
        sealed = key.seal("person", b"secret")
        assert key.open("person", sealed) == b"secret"
        assert key.seal("person", b"secret") != sealed
        with pytest.raises(StoreError, match="cannot be opened"):
            key.open("other", sealed)
        with pytest.raises(StoreError, match="unknown algorithm"):
            key.open("person", b"\x02" + sealed[1:])
        for broken in (sealed[:-1], sealed[:5], sealed[:-1] + bytes((sealed[-1] ^ 1,))):
            with pytest.raises(StoreError, match="cannot be opened"):
                key.open("person", broken)
        again = await keys.open(tx, "claim", "C1")
        assert again is not None
        assert again.open("person", sealed) == b"secret"
        await erase(tx, "claim", "C1")
        assert await keys.open(tx, "claim", "C1") is None

    await db.transaction(work)


async def test_what_one_cipher_sealed_opens_under_the_configuration_of_the_other(db: Database) -> None:
    """Both work, and a change of the configuration loses nothing. Source: GB/T 32907-2016 for SM4."""
    assert sm4_works()
    sealed = {}

    async def work(tx: Transaction) -> None:
        vaults = {one: Vault(bytes(range(32)), sealing=one) for one in Sealing}
        for one, keys in vaults.items():
            await keys.verify(tx)
            sealed[one] = (await keys.create(tx, "claim", f"C{one}")).seal("person", b"secret")
            assert sealed[one][:1] == bytes((one,))
        for keys in vaults.values():
            for one, value in sealed.items():
                key = await keys.open(tx, "claim", f"C{one}")
                assert key is not None
                assert key.open("person", value) == b"secret"
                for broken in (value[:-1], value[:5], value[:-1] + bytes((value[-1] ^ 1,))):
                    with pytest.raises(StoreError, match="cannot be opened"):
                        key.open("person", broken)
                with pytest.raises(StoreError, match="cannot be opened"):
                    key.open("other", value)
                with pytest.raises(StoreError, match="unknown algorithm"):
                    key.open("person", b"\x09" + value[1:])

    await db.transaction(work)


async def test_a_foreign_key_file_is_named(db: Database) -> None:
    foreign = Vault(bytes(32), entropy=random.Random(2).randbytes)
    await db.transaction(vault().verify)
    await db.transaction(vault().verify)
    with pytest.raises(StoreError, match="key file"):
        await db.transaction(foreign.verify)
    with pytest.raises(StoreError, match="key file"):
        await db.transaction(lambda tx: claims.by_id(tx, foreign, CLAIM))
    with pytest.raises(StoreError, match="31 bytes"):
        Vault(bytes(31), entropy=random.Random(2).randbytes)


async def test_personal_data_is_gone_within_a_day(db: Database) -> None:
    await try_code(db, "00000000")
    await db.transaction(lambda tx: hand_out(tx, NOW))
    assert await housekeeping.tidy(db, NOW + HOUR) == 0
    assert await housekeeping.tidy(db, NOW + DAY) == 1
    assert await housekeeping.tidy(db, NOW + DAY) == 0

    async def look(tx: Transaction) -> None:
        assert await claims.by_id(tx, vault(), CLAIM) is None
        assert await tx.all("SELECT * FROM data_key") == []
        assert await tx.all("SELECT * FROM wrong_in_a_row") == []
        row = await tx.one("SELECT id_index, person FROM claim")
        assert row is not None
        assert tuple(row) == (None, None)
        assert (await ledger.place_of(tx, CLAIM))[0] is Place.TAKEN

    await db.transaction(look)


async def test_nothing_personal_is_in_the_bytes(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(lambda tx: ledger.configure_slots(tx, 1))
        await db.transaction(stock)
        await db.transaction(lambda tx: codes.issue(tx, vault(), CLAIM, CODE, NOW + CODE_LIFE))
        await db.transaction(lambda tx: messages.queue(tx, vault(), "m1", "+8619900000001", f"取件码 {CODE}"))
        await db.transaction(lambda tx: staff.add(tx, vault(), "li", "secret-pin", STAMP))
        await codes.check(db, vault(), NUMBER, CODE, STAMP)
        await codes.check(db, vault(), UNKNOWN, "11112222", STAMP)
        key = await db.transaction(lambda tx: tx.one("SELECT wrapped FROM data_key WHERE record = 'claim|N000001'"))
        assert key is not None
        in_log = (tmp_path / "lockerd.db-wal").read_bytes()
        await db.truncate_wal()
        in_file = (tmp_path / "lockerd.db").read_bytes()
        planted = (
            "测试甲".encode(),
            NUMBER.encode(),
            UNKNOWN.encode(),
            b"19900000001",
            CODE.encode(),
            b"11112222",
            b"secret-pin",
            TEMPLATE.vector,
            b"20260101",
        )
        backup = (await back_up(db, tmp_path / "backup", NOW)).read_bytes()
        assert key["wrapped"] in backup
        for content in (in_log, in_file, backup):
            assert CLAIM.encode() in content  # the search would find something
            assert [value for value in planted if value in content] == []
        assert key["wrapped"] in in_file
        await db.transaction(lambda tx: hand_out(tx, NOW - DAY))
        await housekeeping.tidy(db, NOW)
        assert await erase_in_backups(db, tmp_path / "backup", NOW + ERASED_EVERY) == []
        assert key["wrapped"] not in everything_in(tmp_path), "nor in a free page, the log or a backup"
