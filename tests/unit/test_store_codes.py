"""Pickup and letter codes: compared after the try is durable, alike for unknown numbers, bounded, expiring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lockerd.errors import StoreError
from lockerd.store import codes, hashing, housekeeping
from lockerd.store.codes import CodeKind, CodeResult
from lockerd.store.database import Database, Transaction
from lockerd.store.vault import Vault
from tests.store_stocked import (
    CLAIM,
    CODE,
    DAY,
    HOUR,
    NUMBER,
    UNKNOWN,
    everything_in,
    stock,
    stocked,
    try_code,
)
from tests.store_support import CODE_LIFE, NOW, STAMP, stamp, vault


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with stocked(tmp_path) as database:
        yield database


def test_a_new_code_has_eight_digits() -> None:
    assert codes.new_code(lambda _below: 427) == "00000427"
    assert codes.new_code(lambda below: below - 1) == "99999999"


async def test_a_right_code_matches_until_consumed(db: Database) -> None:
    assert await try_code(db, CODE) == (CodeResult.MATCH, 5)
    await db.transaction(lambda tx: codes.consume(tx, CLAIM, STAMP))
    assert await try_code(db, CODE) == (CodeResult.WRONG, 4)
    await db.transaction(lambda tx: codes.reinstate(tx, CLAIM))
    assert await try_code(db, CODE) == (CodeResult.MATCH, 4)


async def test_a_code_made_while_the_card_is_on_its_way_opens_once_it_is_back(db: Database) -> None:
    await db.transaction(lambda tx: codes.consume(tx, CLAIM, STAMP))
    await db.transaction(lambda tx: codes.issue(tx, vault(), CLAIM, "55556666", NOW + CODE_LIFE))
    assert await try_code(db, "55556666") == (CodeResult.WRONG, 4)
    await db.transaction(lambda tx: codes.reinstate(tx, CLAIM))
    assert await try_code(db, "55556666") == (CodeResult.MATCH, 4)


async def test_five_wrong_tries_lock_for_a_day(db: Database) -> None:
    for left in (4, 3, 2, 1, 0):
        assert await try_code(db, "00000000") == (CodeResult.WRONG, left)
    assert await try_code(db, CODE) == (CodeResult.LOCKED, 0)
    await db.transaction(lambda tx: codes.issue(tx, vault(), CLAIM, "55556666", NOW + CODE_LIFE))
    assert await try_code(db, "55556666", NOW + DAY - 1) == (CodeResult.LOCKED, 0)
    assert await try_code(db, "55556666", NOW + DAY) == (CodeResult.MATCH, 5)


async def test_an_unknown_number_gets_the_same_answers(db: Database) -> None:
    for left in (4, 3, 2, 1, 0):
        assert await try_code(db, CODE, number=UNKNOWN) == (CodeResult.WRONG, left)
    assert await try_code(db, CODE, number=UNKNOWN) == (CodeResult.LOCKED, 0)
    assert await try_code(db, CODE) == (CodeResult.MATCH, 5)


async def test_an_unknown_number_costs_the_same_work(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []
    original = Transaction.all

    async def listening(self: Transaction, sql: str, params: tuple[object, ...] = ()) -> object:
        statements.append(sql)
        return await original(self, sql, params)  # type: ignore[arg-type]

    monkeypatch.setattr(Transaction, "all", listening)
    seen = []
    for number in (NUMBER, UNKNOWN):
        statements.clear()
        await try_code(db, "00000000", number=number)
        seen.append(list(statements))
    assert seen[0] == seen[1]
    assert sum("argon2id" in statement for statement in seen[0]) == 2, "one hash, and its forgetting"


async def test_the_salt_is_the_persons_and_in_no_database(db: Database, tmp_path: Path) -> None:
    async def hashes(tx: Transaction) -> list[bytes]:
        await stock(tx, "N000002", 1, id_number=UNKNOWN)
        for claim_id in (CLAIM, "N000002"):
            await codes.issue(tx, vault(), claim_id, CODE, NOW + CODE_LIFE)
        return [row["hash"] for row in await tx.all("SELECT hash FROM code_hash")]

    assert len(set(await db.transaction(hashes))) == 2, "the same code of two people looks different"
    salts = {vault().salt(vault().blind(number)) for number in (NUMBER, UNKNOWN)}
    assert {len(salt) for salt in salts} == {hashing.SALT_BYTES}
    assert len(salts) == 2
    assert Vault(bytes(32)).salt(vault().blind(NUMBER)) not in salts, "another machine's"
    assert not [salt for salt in salts if salt in everything_in(tmp_path)]


async def test_a_code_ends_and_a_clock_set_back_does_not_extend_it(db: Database) -> None:
    end = NOW + CODE_LIFE
    assert await try_code(db, CODE, end - 1) == (CodeResult.MATCH, 5)
    assert await try_code(db, CODE, end) == (CodeResult.WRONG, 4)
    assert await try_code(db, CODE, NOW) == (CodeResult.WRONG, 3)


async def test_each_wrong_try_makes_the_next_wait_longer_also_for_an_unknown_number(db: Database) -> None:
    for number in (NUMBER, UNKNOWN):
        waited: list[float] = []

        async def pause(seconds: float, waited: list[float] = waited) -> None:
            waited.append(seconds)

        for _ in range(6):
            await codes.check(db, vault(), number, "00000000", STAMP, pause)
        assert waited == [0, 1, 2, 4, 8]


async def test_a_hundred_wrong_tries_in_a_row_close_the_code_way_and_a_new_code_does_not_open_it(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "MOST_IN_A_ROW", 6)
    for day in (0, 1):
        for _ in range(3):
            assert (await try_code(db, "00000000", NOW + day * DAY))[0] is CodeResult.WRONG
    await db.transaction(lambda tx: codes.issue(tx, vault(), CLAIM, CODE, NOW + 9 * DAY))
    assert await try_code(db, CODE, NOW + 2 * DAY) == (CodeResult.LOCKED, 0)
    await housekeeping.tidy(db, NOW + 89 * DAY)
    assert await try_code(db, CODE, NOW + 3 * DAY) == (CodeResult.LOCKED, 0)
    await housekeeping.tidy(db, NOW + 200 * DAY)
    assert (await try_code(db, CODE, NOW + 200 * DAY))[0] is CodeResult.WRONG, "expired, but tried again"


async def test_a_right_code_ends_the_row_of_wrong_ones(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "MOST_IN_A_ROW", 3)
    for code in ("00000000", "00000000", CODE, "00000000", "00000000", CODE):
        assert (await try_code(db, code))[0] is not CodeResult.LOCKED


async def test_of_two_cards_each_is_opened_by_its_own_code(db: Database) -> None:
    other = "22223333"
    await db.transaction(lambda tx: stock(tx, "N000002", 1, valid_from="20270101"))
    await db.transaction(lambda tx: codes.issue(tx, vault(5), "N000002", other, NOW + CODE_LIFE))
    for code, claim_id in ((CODE, CLAIM), (other, "N000002")):
        answer = await codes.check(db, vault(), NUMBER, code, STAMP)
        assert answer.claim is not None
        assert answer.claim.claim_id == claim_id
    await db.transaction(lambda tx: codes.consume(tx, CLAIM, STAMP))
    assert (await try_code(db, CODE))[0] is CodeResult.WRONG
    assert (await try_code(db, other))[0] is CodeResult.MATCH


async def test_a_letter_code_stands_beside_the_pickup_code(db: Database) -> None:
    letter = "0000000000000097"[:-2] + "01"
    await db.transaction(lambda tx: codes.issue(tx, vault(), CLAIM, letter, None))
    assert (await try_code(db, letter))[0] is CodeResult.WRONG, "not begun"
    await db.transaction(lambda tx: codes.extend(tx, CLAIM, CodeKind.LETTER, NOW + HOUR))
    assert (await try_code(db, letter))[0] is CodeResult.MATCH
    assert (await try_code(db, CODE))[0] is CodeResult.MATCH
    assert await db.transaction(lambda tx: codes.extend(tx, CLAIM, CodeKind.LETTER, NOW)) == NOW + HOUR
    await db.transaction(lambda tx: codes.forget(tx, CLAIM, CodeKind.LETTER))
    assert (await try_code(db, letter))[0] is CodeResult.MATCH, "its card waits"


async def test_an_expired_code_is_told_once_and_opens_again_when_it_is_extended(db: Database) -> None:
    end = NOW + CODE_LIFE
    assert await db.transaction(lambda tx: codes.ended(tx, stamp(end - 1))) == []
    assert await db.transaction(lambda tx: codes.ended(tx, stamp(end))) == [(CLAIM, CodeKind.PICKUP)]
    assert await db.transaction(lambda tx: codes.ended(tx, stamp(end))) == []
    assert (await try_code(db, CODE, end))[0] is CodeResult.WRONG
    await db.transaction(lambda tx: codes.extend(tx, CLAIM, CodeKind.PICKUP, end + DAY))
    assert (await try_code(db, CODE, end))[0] is CodeResult.MATCH


async def test_a_clock_set_back_does_not_shorten_the_lock(db: Database) -> None:
    for _ in range(5):
        await try_code(db, "00000000", NOW + HOUR)
    assert await try_code(db, CODE, NOW) == (CodeResult.LOCKED, 0)
    assert await try_code(db, CODE, NOW + DAY - 1) == (CodeResult.LOCKED, 0)


async def test_the_try_is_durable_before_the_comparison(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def power_fails(*_args: object) -> bytes:
        raise ConnectionAbortedError

    with monkeypatch.context() as patched:
        patched.setattr(codes, "hashed", power_fails)
        for _ in range(5):
            with pytest.raises(ConnectionAbortedError):
                await try_code(db, CODE)
    assert await try_code(db, CODE) == (CodeResult.LOCKED, 0)


async def test_a_code_of_an_unknown_claim_is_refused(db: Database) -> None:
    with pytest.raises(StoreError, match="rule of the database"):
        await db.transaction(lambda tx: codes.issue(tx, vault(), "N000009", CODE, NOW + CODE_LIFE))


async def test_hashing_leaves_the_event_loop_free(db: Database) -> None:
    hashing_done = asyncio.create_task(try_code(db, "00000000"))
    turns = 0
    while not hashing_done.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
    assert hashing.argon2id(b"a", bytes(16)) == hashing.argon2id(b"a", bytes(16))
