"""Codes by wish of citizen, staff and office: who gets one, what is told, and what is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from lockerd.errors import StaffWorkFailed
from lockerd.issuing import MACHINE, OFFICE, SENT_TO_CITIZEN, IssueResult, Issuing
from lockerd.maintenance import said
from lockerd.model import lettercode
from lockerd.model.custody import Motion, Place
from lockerd.model.policy import Relation
from lockerd.office.sms import corrected_text
from lockerd.stocking import Stocking
from lockerd.store import attempts, claims, codes, ledger, messages
from lockerd.store.codes import CodeKind, CodeResult
from lockerd.store.collectors import Named
from lockerd.store.database import Database, Transaction
from lockerd.store.retention import DAY
from tests.store_support import NOW, STAMP, carry, issuing, item, opened, stamp, vault

CLAIM, NUMBER, LETTER = "N000001", item().id_number, "0000000000000001"
GUARDIAN = "99010119850101002X"


async def no_pause(_seconds: float) -> None:
    """Time is the test's."""


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
    (first,) = await texts(db)
    assert await issuing(db, "33334444").reissue(CLAIM, "staff:li") is IssueResult.DONE
    assert [await tried(db, code) for code in ("11112222", "33334444")] == [CodeResult.WRONG, CodeResult.MATCH]
    (second,) = await texts(db)
    assert ("1111 2222" in first, "作废" in first) == (True, False)
    assert ("3333 4444" in second, "以前的取件码作废" in second) == (True, True)
    assert await told(db) == [("reissued", {"claim_id": CLAIM, "kind": "pickup", "by": "staff:li"})]


@pytest.mark.parametrize("end", ["another code", "withdrawn", "collected"])
async def test_what_no_network_took_is_not_sent_once_it_is_not_true_any_more(db: Database, end: str) -> None:
    """A network that is gone for weeks takes what waits, whatever became of the card, and phone numbers are personal."""
    await stock(db, issuing(db, "11112222"))
    await issuing(db).extend(CLAIM, "staff:li")
    match end:
        case "another code":
            await issuing(db, "33334444").reissue(CLAIM, "staff:li")
        case "withdrawn":
            await db.transaction(lambda tx: claims.withdraw(tx, CLAIM, STAMP))
        case _:
            await db.transaction(lambda tx: claims.collected(tx, CLAIM, STAMP))
    keys = await db.transaction(lambda tx: tx.all("SELECT 1 FROM data_key WHERE record LIKE 'message|%'"))
    assert len(keys) == (end == "another code")
    assert ["3333 4444" in text for text in await texts(db)] == [True] * len(keys)


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
    await db.transaction(lambda tx: desk.on_command(tx, CLAIM, NOW, "9700000000000001"))
    assert [await tried(db, code) for code in (LETTER, "9700000000000001")] == [CodeResult.WRONG, CodeResult.MATCH]
    assert [event for event, _ in await told(db)] == ["refused", "reissued"]


@pytest.mark.parametrize("latest", ["", "9700000000000001"])
async def test_the_letter_code_is_that_of_the_latest_announcement(db: Database, latest: str) -> None:
    desk = issuing(db)

    async def announced(tx: Transaction) -> None:
        await claims.put_item(tx, vault(), item(), None, STAMP)
        await desk.letter(tx, CLAIM, LETTER)

    await db.transaction(announced)
    await stock(db, desk, letter_code=latest)
    assert await tried(db, LETTER) is CodeResult.WRONG
    assert not latest or await tried(db, latest) is CodeResult.MATCH
    await db.transaction(lambda tx: desk.letter(tx, CLAIM, LETTER))
    await db.transaction(lambda tx: desk.letter(tx, CLAIM, ""))
    assert not latest or await tried(db, latest) is CodeResult.MATCH, "its card waits, with the code of its letter"


async def test_a_command_that_comes_too_late_is_journalled_only(db: Database) -> None:
    await stock(db, issuing(db, "11112222"))
    for letter_code in (None, "", LETTER):
        await db.transaction(
            partial(issuing(db).on_command, claim_id=CLAIM, not_after=NOW - 1, letter_code=letter_code)
        )
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
    await issuing(db).look_after()
    assert len(await told(db)) == 1


@pytest.mark.parametrize("days", [0, 400])
async def test_an_end_that_a_clock_was_ahead_for_is_set_right_once_the_clock_is(db: Database, days: int) -> None:
    made = NOW + days * DAY
    desk = replace(issuing(db, "11112222"), stamp=lambda: stamp(made))
    await stock(db, desk)
    await texts(db)
    await desk.look_after()
    assert await texts(db) == [], "nobody knows yet that the clock is wrong"
    await db.transaction(lambda tx: attempts.set_right(tx, STAMP))
    for _ in range(2):
        await issuing(db).look_after()
    rows = await db.transaction(lambda tx: tx.all("SELECT expires FROM code"))
    lifetime = desk.lifetimes[CodeKind.PICKUP]
    assert [row["expires"] for row in rows] == [NOW + lifetime]
    assert await texts(db) == ([corrected_text(NOW + lifetime)] if days else [])
    assert await tried(db, "11112222") is CodeResult.MATCH


async def test_an_end_that_was_told_while_the_clock_was_ahead_is_told_when_it_comes(db: Database) -> None:
    desk = issuing(db)
    await stock(db, desk)
    end = NOW + desk.lifetimes[CodeKind.PICKUP]
    await replace(desk, stamp=lambda: stamp(end + DAY)).look_after()
    await db.transaction(lambda tx: attempts.set_right(tx, STAMP))
    await desk.look_after()
    assert [event for event, _ in await told(db)] == ["expired"]
    await replace(desk, stamp=lambda: stamp(end)).look_after()
    assert [event for event, _ in await told(db)] == ["expired", "expired"]


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


async def test_codes_of_another_version_are_replaced_once(db: Database) -> None:
    """As after migration 0006: what is stored of them opens nothing."""
    await stock(db, issuing(db, "11112222"), letter_code=LETTER)
    await texts(db)
    for at in ("UPDATE code SET algorithm = 'of before'", "DELETE FROM code_hash"):
        await db.transaction(lambda tx, at=at: tx.execute(at))  # type: ignore[misc]
    assert await tried(db, "11112222") is CodeResult.WRONG
    await issuing(db, "33334444").look_after()
    assert [await tried(db, code) for code in ("11112222", "33334444", LETTER)] == [
        CodeResult.WRONG,
        CodeResult.MATCH,
        CodeResult.WRONG,
    ]
    assert ["3333 4444" in text for text in await texts(db)] == [True]
    await issuing(db, "55556666").look_after()
    assert await texts(db) == []
    assert await told(db) == [
        ("expired", {"claim_id": CLAIM, "kind": "letter"}),
        ("reissued", {"claim_id": CLAIM, "kind": "pickup", "by": MACHINE}),
    ]


async def test_who_is_named_late_types_a_new_code_and_who_was_known_does_too(db: Database) -> None:
    await stock(db, issuing(db, "11112222"))
    await texts(db)

    async def name(tx: Transaction) -> None:
        await claims.put_item(tx, vault(), item(), None, STAMP, [Named(Relation.GUARDIAN, GUARDIAN, None)])
        await issuing(db, "33334444").named(tx, CLAIM)

    for _ in range(2):  # the office may say it again
        await db.transaction(name)
    (message,) = await texts(db)
    assert all(words in message for words in ("3333 4444", "已登记代领人", "以前的作废")), (
        "it says why the first one is void"
    )
    assert await told(db) == [("reissued", {"claim_id": CLAIM, "kind": "pickup", "by": OFFICE})]
    for number in (NUMBER, GUARDIAN):
        assert (await codes.check(db, vault(), number, "33334444", STAMP)).result is CodeResult.MATCH
    assert await tried(db, "11112222") is CodeResult.WRONG


async def locks(db: Database) -> list[dict[str, str]]:
    await issuing(db).tell_locked()
    rows = await db.transaction(lambda tx: tx.all("SELECT data FROM journal WHERE type = 'lockerd.claim.locked'"))
    return [json.loads(row["data"]) for row in rows]


async def test_the_office_hears_once_of_each_lock_and_whose_codes_still_open(db: Database) -> None:
    await stock(db, issuing(db, "11112222"))

    async def name(tx: Transaction) -> None:
        await claims.put_item(tx, vault(), item(), None, STAMP, [Named(Relation.GUARDIAN, GUARDIAN, None)])
        await codes.issue(tx, vault(), CLAIM, "11112222", NOW + 86400.0 * 7)

    await db.transaction(name)

    async def wrong(number: str, times: int, wall: float = NOW) -> None:
        for _ in range(times):
            await codes.check(db, vault(), number, "00000000", stamp(wall), no_pause)

    await wrong("990101199001010026", 6)  # nobody's
    await wrong(GUARDIAN, 4)
    assert await locks(db) == []
    await wrong(GUARDIAN, 1)
    of_guardian = {"claim_id": CLAIM, "relation": "guardian", "collector_id": f"{CLAIM}.1"}
    assert await locks(db) == [of_guardian]
    await wrong(GUARDIAN, 3)
    assert await locks(db) == [of_guardian]
    assert await tried(db, "11112222") is CodeResult.MATCH, "the owner's way stays open"
    await wrong(NUMBER, 5)
    of_owner = {"claim_id": CLAIM, "relation": "owner"}
    assert await locks(db) == [of_guardian, of_owner]
    await wrong(NUMBER, 5, NOW + 86400.0)  # another day, another lock

    async def a_day_later() -> None:
        later = Issuing(db, vault(), lambda: stamp(NOW + 86400.0), lambda: "", {})
        await later.tell_locked()

    await a_day_later()
    assert await locks(db) == [of_guardian, of_owner, of_owner]
    assert await db.transaction(lambda tx: claims.for_id(tx, vault(), NUMBER)) is not None, (
        "the ID card alone still finds it"
    )


async def test_a_lock_is_told_after_the_plug_was_pulled_at_the_last_try(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stock(db, issuing(db, "11112222"))

    async def power_fails(*_args: object) -> bytes:
        raise ConnectionAbortedError

    with monkeypatch.context() as patched:
        patched.setattr(codes, "hashed", power_fails)
        for _ in range(codes.TRIES):
            with pytest.raises(ConnectionAbortedError):
                await codes.check(db, vault(), NUMBER, "11112222", STAMP, no_pause)
    assert await locks(db) == [{"claim_id": CLAIM, "relation": "owner"}]


async def test_too_many_wrong_tries_in_a_row_are_a_lock_too(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "MOST_IN_A_ROW", 3)
    await stock(db, issuing(db, "11112222"))
    for _ in range(3):
        await codes.check(db, vault(), NUMBER, "00000000", STAMP, no_pause)
    assert await locks(db) == []
    await codes.check(db, vault(), NUMBER, "00000000", STAMP, no_pause)
    assert len(await locks(db)) == 1
