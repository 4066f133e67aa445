from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from lockerd.errors import StoreError
from lockerd.model.cards import ClaimKind, ClaimState
from lockerd.model.custody import Motion, Place
from lockerd.model.identity import FaceTemplate
from lockerd.model.policy import THE_OWNER, Collector, Relation
from lockerd.store import claims, codes, collectors, hashing, housekeeping, journeys, ledger, lookups, messages, staff
from lockerd.store.backup import back_up, erase_in_backups
from lockerd.store.codes import CodeKind, CodeResult
from lockerd.store.collectors import Named
from lockerd.store.database import Database, Transaction
from lockerd.store.vault import Sealing, Vault, erase, sm4_works
from tests.store_support import CODE_LIFE, NOW, STAMP, carry, item, opened, stamp, vault

CLAIM, NUMBER, UNKNOWN, CODE = "N000001", "990101199001010018", "990101199001010026", "04271234"
TEMPLATE = FaceTemplate("simulator-1", b"\x01\x02\x03\x04" * 128)
HOUR, DAY = 3600.0, 86400.0


async def stock(tx: Transaction, claim_id: str = CLAIM, slot: int = 0, **changes: str) -> None:
    await claims.put_item(tx, vault(), item(claim_id, **changes), TEMPLATE, STAMP)
    await ledger.move(tx, claim_id, Place.TRANSPORT, STAMP, "read")
    await carry(tx, Motion.STORE, claim_id, slot)
    await claims.stocked(tx, claim_id, slot, STAMP)


async def hand_out(tx: Transaction, wall: float) -> None:
    await carry(tx, Motion.PICK, CLAIM, 0)
    await carry(tx, Motion.PRESENT, CLAIM)
    await ledger.move(tx, CLAIM, Place.TAKEN, STAMP, "exit sensor")
    await claims.collected(tx, CLAIM, stamp(wall))


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    """One card stocked in slot 0, with a code."""
    async with opened(tmp_path / "lockerd.db") as database:

        async def prepare(tx: Transaction) -> None:
            await ledger.configure_slots(tx, 3)
            await stock(tx)
            await codes.issue(tx, vault(), CLAIM, CODE, NOW + CODE_LIFE)

        await database.transaction(prepare)
        yield database


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def no_pause(_seconds: float) -> None:
    """Time is the test's."""


async def try_code(db: Database, code: str, wall: float = NOW, number: str = NUMBER) -> tuple[CodeResult, int]:
    answer = await codes.check(db, vault(), number, code, stamp(wall), no_pause)
    assert (answer.claim is not None) == (answer.result is CodeResult.MATCH)
    return answer.result, answer.attempts_left


# --- the vault


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


# --- claims


async def test_a_claim_is_found_by_number_once_stocked(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        found = await claims.for_id(tx, vault(), NUMBER)
        assert found is not None
        assert (found.claim_id, found.state, found.slot) == (CLAIM, ClaimState.STOCKED, 0)
        assert found.person.name == "测试甲"
        assert await claims.by_id(tx, vault(), CLAIM) == found
        assert await claims.for_id(tx, vault(), UNKNOWN) is None
        assert await claims.template(tx, vault(), CLAIM) == TEMPLATE

    await db.transaction(work)


async def test_an_expected_claim_is_found_by_its_chip_only(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await claims.put_item(tx, vault(), item("N000002", id_number="99010119900101003X"), None, STAMP)
        assert await claims.for_id(tx, vault(), "99010119900101003X") is None
        found = await claims.for_chip(tx, vault(), "99010119900101003x", "20260101")
        assert found is not None
        assert found.claim_id == "N000002"
        assert await claims.for_chip(tx, vault(), "99010119900101003X", "20160101") is None
        inside = await claims.for_chip(tx, vault(), NUMBER, "20260101")
        assert inside is not None
        assert inside.claim_id == CLAIM
        assert await claims.template(tx, vault(), "N000002") is None

    await db.transaction(work)


async def test_an_announcement_is_replaced_until_stocked(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        assert await claims.put_item(tx, vault(), item("N000002", phone="+8619900000002"), TEMPLATE, STAMP)
        assert await claims.put_item(tx, vault(), item("N000002", phone="+8619900000003"), None, STAMP)
        claim = await claims.by_id(tx, vault(), "N000002")
        assert claim is not None
        assert claim.person.phone == "+8619900000003"
        assert await claims.template(tx, vault(), "N000002") is None
        assert not await claims.put_item(tx, vault(), item(CLAIM, name="别人"), None, STAMP)
        assert len(await lookups.chain(tx, "N000002")) == 1

    await db.transaction(work)


async def test_a_withdrawn_claim_is_not_collectable(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        assert await claims.withdraw(tx, CLAIM, STAMP)
        assert not await claims.withdraw(tx, CLAIM, STAMP)
        assert not await claims.withdraw(tx, "N000009", STAMP)
        assert await claims.for_id(tx, vault(), NUMBER) is None
        assert not await claims.put_item(tx, vault(), item(), None, STAMP)

    await db.transaction(work)
    assert await try_code(db, CODE) == (CodeResult.WRONG, 4)


async def test_states_follow_custody(db: Database) -> None:
    async def not_there(tx: Transaction) -> None:
        await claims.put_item(tx, vault(), item("N000002"), None, STAMP)
        await claims.stocked(tx, "N000002", 1, STAMP)

    with pytest.raises(StoreError, match="does not have its card in slot 1"):
        await db.transaction(not_there)
    with pytest.raises(StoreError, match="is stocked, not expected"):
        await db.transaction(lambda tx: claims.stocked(tx, CLAIM, 0, STAMP))
    await db.transaction(lambda tx: hand_out(tx, NOW))
    with pytest.raises(StoreError, match="is collected, not stocked"):
        await db.transaction(lambda tx: claims.collected(tx, CLAIM, STAMP))
    with pytest.raises(StoreError, match="no claim N000009"):
        await db.transaction(lambda tx: claims.old_card_kept(tx, "N000009"))
    await db.transaction(lambda tx: claims.old_card_kept(tx, CLAIM))
    claim = await db.transaction(lambda tx: claims.by_id(tx, vault(), CLAIM))
    assert claim is not None
    assert (claim.old_card_kept, claim.slot) == (True, None)
    assert await db.transaction(lambda tx: claims.template(tx, vault(), CLAIM)) is None


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
        await erase_in_backups(db, tmp_path / "backup")
        assert key["wrapped"] not in everything_in(tmp_path), "nor in a free page, the log or a backup"


# --- codes


def test_a_new_code_has_eight_digits() -> None:
    assert codes.new_code(lambda _below: 427) == "00000427"
    assert codes.new_code(lambda below: below - 1) == "99999999"


async def test_a_right_code_matches_until_consumed(db: Database) -> None:
    assert await try_code(db, CODE) == (CodeResult.MATCH, 5)
    await db.transaction(lambda tx: codes.consume(tx, CLAIM, STAMP))
    assert await try_code(db, CODE) == (CodeResult.WRONG, 4)
    await db.transaction(lambda tx: codes.reinstate(tx, CLAIM))
    assert await try_code(db, CODE) == (CodeResult.MATCH, 4)


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


# --- who collects for another

GUARDIAN, CHILD, ANOTHER = "99010119850101002X", "990102201301010014", "N000002"


def guardian(template: FaceTemplate | None = TEMPLATE) -> Named:
    return Named(Relation.GUARDIAN, GUARDIAN, template)


async def test_a_guardian_opens_the_minors_card_and_their_own_with_its_own_code_only(db: Database) -> None:
    async def prepare(tx: Transaction) -> None:
        await stock(tx, ANOTHER, 1, id_number=GUARDIAN)
        await codes.issue(tx, vault(), ANOTHER, "11112222", NOW + CODE_LIFE)
        assert await claims.put_item(tx, vault(), item(CLAIM), None, STAMP, [guardian()])
        assert await codes.lacks_for_someone(tx, CLAIM)
        await codes.issue(tx, vault(), CLAIM, CODE, NOW + CODE_LIFE)
        assert not await codes.lacks_for_someone(tx, CLAIM)

    await db.transaction(prepare)
    answer = await codes.check(db, vault(), GUARDIAN, CODE, STAMP)
    assert answer.claim is not None
    assert (answer.claim.claim_id, answer.collector) == (CLAIM, Collector(Relation.GUARDIAN, f"{CLAIM}.1"))
    own = await codes.check(db, vault(), GUARDIAN, "11112222", STAMP)
    assert own.claim is not None
    assert (own.claim.claim_id, own.collector) == (ANOTHER, THE_OWNER)
    assert await try_code(db, CODE, number=UNKNOWN) == (CodeResult.WRONG, 4)
    by_card = await db.transaction(lambda tx: claims.for_id(tx, vault(), GUARDIAN))
    assert by_card is not None
    assert by_card.claim_id == ANOTHER, "without a code nobody collects for another"

    async def guardians_hashes(tx: Transaction) -> list[str]:
        rows = await tx.all("SELECT claim_id FROM code_hash WHERE id_index = ?", (vault().blind(GUARDIAN),))
        return [row["claim_id"] for row in rows]

    assert await db.transaction(guardians_hashes) == [CLAIM, ANOTHER]
    await db.transaction(lambda tx: claims.put_item(tx, vault(), item(CLAIM), None, STAMP))
    assert await db.transaction(guardians_hashes) == [ANOTHER], "who is no more named keeps no code"
    assert (await codes.check(db, vault(), GUARDIAN, CODE, STAMP, no_pause)).result is CodeResult.WRONG
    assert await try_code(db, CODE) == (CodeResult.MATCH, 5)


async def test_collectors_are_replaced_by_the_office_and_gone_with_the_card(db: Database, tmp_path: Path) -> None:
    async def name(named: list[Named], **changes: str) -> bool:
        return await db.transaction(lambda tx: claims.put_item(tx, vault(), item(CLAIM, **changes), None, STAMP, named))

    async def template() -> FaceTemplate | None:
        return await db.transaction(lambda tx: collectors.template(tx, vault(), f"{CLAIM}.1"))

    assert await name([guardian()])
    assert await template() == TEMPLATE
    assert not await name([guardian(None)], id_number=UNKNOWN), "another person's card is no re-announcement"
    assert await template() == TEMPLATE
    assert await name([guardian(None)])
    assert await template() is None
    assert await name([guardian()])
    data = everything_in(tmp_path)
    assert GUARDIAN.encode() not in data
    assert TEMPLATE.vector not in data
    await db.transaction(lambda tx: hand_out(tx, NOW))
    assert await template() is None
    left = await db.transaction(lambda tx: tx.all("SELECT record FROM data_key WHERE record LIKE 'collector%'"))
    assert left == []


async def test_the_journey_remembers_who_was_there_to_collect(db: Database) -> None:
    async def work(tx: Transaction) -> list[Collector | None]:
        found = [await journeys.collector_of(tx, CLAIM)]
        for journey, who in (("j1", THE_OWNER), ("j2", Collector(Relation.GUARDIAN, "N000001.1")), ("j3", None)):
            await journeys.begin(tx, journey, STAMP)
            await journeys.attach(tx, journey, CLAIM, who)
            found.append(await journeys.collector_of(tx, CLAIM))
        return found

    guardian_there = Collector(Relation.GUARDIAN, "N000001.1")
    assert await db.transaction(work) == [None, THE_OWNER, guardian_there, guardian_there]


async def test_a_card_may_be_made_because_the_old_one_was_damaged(db: Database) -> None:
    damaged = msgspec.structs.replace(item(ANOTHER, id_number=UNKNOWN), kind=ClaimKind.DAMAGED)
    await db.transaction(lambda tx: claims.put_item(tx, vault(), damaged, None, STAMP))
    with pytest.raises(StoreError, match="CHECK"):
        await db.transaction(lambda tx: tx.execute("UPDATE claim SET kind = 'stolen'"))


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
    assert (await try_code(db, letter))[0] is CodeResult.WRONG


async def test_an_expired_code_is_told_once_and_opens_again_when_it_is_extended(db: Database) -> None:
    end = NOW + CODE_LIFE
    assert await db.transaction(lambda tx: codes.ended(tx, end - 1)) == []
    assert await db.transaction(lambda tx: codes.ended(tx, end)) == [(CLAIM, CodeKind.PICKUP)]
    assert await db.transaction(lambda tx: codes.ended(tx, end)) == []
    assert (await try_code(db, CODE, end))[0] is CodeResult.WRONG
    await db.transaction(lambda tx: codes.extend(tx, CLAIM, CodeKind.PICKUP, end + DAY))
    assert (await try_code(db, CODE, end))[0] is CodeResult.MATCH


async def test_a_clock_set_back_does_not_shorten_the_lock(db: Database) -> None:
    for _ in range(5):
        await try_code(db, "00000000", NOW + HOUR)
    assert await try_code(db, CODE, NOW) == (CodeResult.LOCKED, 0)
    assert await try_code(db, CODE, NOW + DAY) == (CodeResult.LOCKED, 0)


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


# --- messages


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


# --- staff


async def test_staff_log_in_with_bounded_tries(db: Database) -> None:
    keys = vault()
    await db.transaction(lambda tx: staff.add(tx, keys, "li", "135790", STAMP))
    assert await staff.check_pin(db, keys, "li", "135790", NOW) == staff.StaffMember("li", staff.ROLE)
    for _ in range(5):
        assert await staff.check_pin(db, keys, "li", "000000", NOW) is None
    assert await staff.check_pin(db, keys, "li", "135790", NOW) is None
    assert await staff.check_pin(db, keys, "li", "135790", NOW + staff.WINDOW) is not None
    assert await staff.check_pin(db, keys, "wang", "135790", NOW) is None
    await db.transaction(lambda tx: staff.add(tx, keys, "li", "246801", STAMP))
    assert await staff.check_pin(db, keys, "li", "246801", NOW + DAY) is not None


@pytest.mark.parametrize(("name", "pin"), [(" ", "135790"), ("li", "12345")])
async def test_bad_accounts_are_refused(db: Database, name: str, pin: str) -> None:
    with pytest.raises(StoreError):
        await db.transaction(lambda tx: staff.add(tx, vault(), name, pin, STAMP))
