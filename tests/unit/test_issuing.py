"""Codes by wish of citizen, staff and office: who gets one, what is told, and what is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lockerd.errors import StaffWorkFailed
from lockerd.issuing import OFFICE, SENT_TO_CITIZEN, IssueResult, Issuing
from lockerd.maintenance import said
from lockerd.model import lettercode
from lockerd.model.custody import Motion, Place
from lockerd.stocking import Stocking
from lockerd.store import claims, codes, ledger, messages
from lockerd.store.codes import CodeResult
from lockerd.store.database import Database, Transaction
from tests.store_support import NOW, STAMP, carry, issuing, item, opened, vault

CLAIM, NUMBER, LETTER = "N000001", item().id_number, "0000000000000001"


async def stock(db: Database, desk: Issuing, **changes: str) -> None:
    async def work(tx: Transaction) -> None:
        await ledger.configure_slots(tx, 2)
        announced = item(**changes)
        await claims.put_item(tx, vault(), announced, None, STAMP)
        await desk.letter(tx, CLAIM, announced.letter_code)
        await ledger.move(tx, CLAIM, Place.TRANSPORT, STAMP, "read")
        await carry(tx, Motion.STORE, CLAIM, 1)
        await Stocking(desk).announce(tx, CLAIM, 1)

    await db.transaction(work)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path / "lockerd.db") as database:
        yield database


async def tried(db: Database, code: str) -> CodeResult:
    return (await codes.check(db, vault(), NUMBER, code, STAMP)).result


async def texts(db: Database) -> list[str]:
    """The messages that wait, which are then taken as sent."""
    found = []

    async def take(tx: Transaction) -> str | None:
        message = await messages.next_due(tx, vault(), NOW)
        if message is None:
            return None
        await messages.sent(tx, message.message_id, NOW)
        return message.text

    while (text := await db.transaction(take)) is not None:
        found.append(text)
    return found


async def told(db: Database) -> list[tuple[str, dict[str, str]]]:
    rows = await db.transaction(lambda tx: tx.all("SELECT type, data FROM journal WHERE type LIKE 'lockerd.code.%'"))
    return [(row["type"].removeprefix("lockerd.code."), json.loads(row["data"])) for row in rows]


async def test_another_code_takes_the_place_of_the_earlier_one(db: Database) -> None:
    await stock(db, issuing(db, "11112222"))
    assert await issuing(db, "33334444").reissue(CLAIM, "staff:li") is IssueResult.DONE
    assert [await tried(db, code) for code in ("11112222", "33334444")] == [CodeResult.WRONG, CodeResult.MATCH]
    assert ["1111 2222" in text or "3333 4444" in text for text in await texts(db)] == [True, True]
    assert await told(db) == [("reissued", {"claim_id": CLAIM, "kind": "pickup", "by": "staff:li"})]


async def test_a_card_shown_has_a_code_sent_a_few_times_a_day(db: Database) -> None:
    await stock(db, issuing(db))
    await texts(db)
    for n in range(SENT_TO_CITIZEN + 2):
        await issuing(db, f"{n:08}").to_holder(NUMBER)
        await issuing(db).to_holder("990101199001010026")
    assert len(await told(db)) == SENT_TO_CITIZEN
    assert await tried(db, f"{SENT_TO_CITIZEN - 1:08}") is CodeResult.MATCH


async def test_somebody_without_a_telephone_is_announced_with_a_letter_code(db: Database) -> None:
    desk = issuing(db)
    await stock(db, desk, phone="", letter_code=LETTER)
    assert await tried(db, LETTER) is CodeResult.MATCH
    assert await texts(db) == []
    assert await desk.reissue(CLAIM, OFFICE) is IssueResult.NO_PHONE
    await desk.on_command(CLAIM, NOW, "9700000000000001")
    assert [await tried(db, code) for code in (LETTER, "9700000000000001")] == [CodeResult.WRONG, CodeResult.MATCH]
    assert [event for event, _ in await told(db)] == ["refused", "reissued"]


async def test_a_command_that_comes_too_late_is_journalled_only(db: Database) -> None:
    await stock(db, issuing(db, "11112222"))
    for letter_code in (None, "", LETTER):
        await issuing(db).on_command(CLAIM, NOW - 1, letter_code)
    assert await tried(db, "11112222") is CodeResult.MATCH
    assert await told(db) == [("refused", {"claim_id": CLAIM, "by": OFFICE, "reason": "too_late"})] * 3


async def test_an_extension_says_so_and_names_no_code(db: Database) -> None:
    await stock(db, issuing(db, "11112222"))
    await texts(db)
    assert await issuing(db).extend(CLAIM, OFFICE) is IssueResult.DONE
    (text,) = await texts(db)
    assert "延长" in text
    assert "1111" not in text
    assert await told(db) == [("extended", {"claim_id": CLAIM, "kind": "pickup", "by": OFFICE})]
    await issuing(db).tell_ended()
    assert len(await told(db)) == 1


async def test_what_cannot_be_done_is_said_in_words(db: Database) -> None:
    assert await issuing(db).reissue("N000009", "staff:li") is IssueResult.NOT_COLLECTABLE
    assert await issuing(db).extend("N000009", "staff:li") is IssueResult.NOT_COLLECTABLE
    for result in (IssueResult.NOT_COLLECTABLE, IssueResult.NO_PHONE, IssueResult.NO_CODE):
        with pytest.raises(StaffWorkFailed):
            said(result)


@pytest.mark.parametrize(
    "text", ["", "1", "0000000000000002", "000000000000000１", "00000000000000001", "A000000000000001"]
)
def test_a_letter_code_has_sixteen_digits_that_fit(text: str) -> None:
    assert not lettercode.is_valid(text)
    assert lettercode.is_valid(LETTER)
