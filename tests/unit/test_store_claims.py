"""Claims: found by number, chip and collector, announced, withdrawn, collected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from lockerd.errors import StoreError
from lockerd.model.cards import ClaimKind, ClaimState
from lockerd.model.custody import Place
from lockerd.model.identity import FaceTemplate
from lockerd.model.policy import THE_OWNER, Collector, Relation
from lockerd.store import claims, codes, collectors, journeys, ledger, lookups
from lockerd.store.codes import CodeResult
from lockerd.store.collectors import Named
from lockerd.store.database import Database, Transaction
from tests.store_stocked import (
    CLAIM,
    CODE,
    NUMBER,
    TEMPLATE,
    UNKNOWN,
    everything_in,
    hand_out,
    no_pause,
    stock,
    stocked,
    try_code,
)
from tests.store_support import CODE_LIFE, NOW, STAMP, item, vault

GUARDIAN, ANOTHER = "99010119850101002X", "N000002"


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with stocked(tmp_path) as database:
        yield database


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


async def test_a_claim_tells_where_its_card_lies_and_whether_that_is_frozen(db: Database) -> None:
    async def found(tx: Transaction) -> tuple[int | None, bool]:
        claim = await claims.by_id(tx, vault(), CLAIM)
        assert claim is not None
        return claim.slot, claim.slot_blocked

    assert await db.read(found) == (0, False)
    await db.transaction(lambda tx: ledger.block_slot(tx, 0, "another card lay in it", STAMP))
    assert await db.read(found) == (0, True)
    await db.transaction(lambda tx: ledger.move(tx, CLAIM, Place.IN_DOUBT, STAMP, "not seen"))
    assert await db.read(found) == (None, False)


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
