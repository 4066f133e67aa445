"""What the store knows of cards that were reported lost, and how one in the machine is flagged."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lockerd.model.cards import Chip, ClaimKind, LostReport
from lockerd.store import claims, findings, ledger, lookups, lost
from lockerd.store.database import Transaction
from tests.store_stocked import CLAIM, NUMBER, UNKNOWN, everything_in, stocked
from tests.store_support import STAMP, item, vault


def chip(number: str, valid_from: str) -> Chip:
    return Chip("", number, valid_from, "20461101", "throat")


async def test_a_report_names_one_card_until_it_is_withdrawn(tmp_path: Path) -> None:
    async with stocked(tmp_path) as db:

        async def work(tx: Transaction) -> None:
            await lost.report(tx, vault(), "L-7", UNKNOWN, "20061101", STAMP)
            assert await lost.report_of(tx, vault(), chip(UNKNOWN, "20061101")) == LostReport("L-7", None)
            for other in (chip(UNKNOWN, "20071101"), chip(NUMBER, "20061101"), None):
                assert await lost.report_of(tx, vault(), other) is None
            await lost.report(tx, vault(), "L-8", NUMBER, "20061101", STAMP)
            assert await lost.report_of(tx, vault(), chip(NUMBER, "20061101")) == LostReport("L-8", CLAIM)
            for _ in range(2):
                await lost.withdraw(tx, "L-7", STAMP)
            assert await lost.report_of(tx, vault(), chip(UNKNOWN, "20061101")) is None

        await db.transaction(work)
        kinds = await db.read(
            lambda tx: tx.all("SELECT type FROM journal WHERE type GLOB 'lockerd.lost.*' ORDER BY seq")
        )
        assert [row["type"] for row in kinds] == ["lockerd.lost.reported"] * 2 + ["lockerd.lost.withdrawn"]
    assert UNKNOWN.encode() not in everything_in(tmp_path)


async def test_a_replacement_says_that_its_predecessors_are_lost_and_nothing_of_itself(tmp_path: Path) -> None:
    async with stocked(tmp_path) as db:

        async def work(tx: Transaction) -> None:
            replacement = msgspec.structs.replace(
                item("N000002", id_number=UNKNOWN, valid_from="20261101"), kind=ClaimKind.REPLACEMENT
            )
            await claims.put_item(tx, vault(), replacement, None, STAMP)
            found = await lost.report_of(tx, vault(), chip(UNKNOWN, "20061101"))
            assert found == LostReport("N000002", "N000002")
            assert await lost.report_of(tx, vault(), chip(UNKNOWN, "20261101")) is None

        await db.transaction(work)


async def test_a_flagged_card_is_told_once_and_shown_to_staff(tmp_path: Path) -> None:
    async with stocked(tmp_path) as db:

        async def work(tx: Transaction) -> None:
            card_id = await ledger.add_old_card(tx, CLAIM, "j1", STAMP)
            assert await lost.flagged(tx, card_id) is None
            for _ in range(2):
                await lost.flag(tx, card_id, LostReport("L-7", CLAIM), "j1", STAMP)
            assert await lost.flagged(tx, card_id) == LostReport("L-7", CLAIM)
            file = await lookups.card_file(tx, card_id)
            assert file is not None
            assert file.report_id == "L-7"
            (shown,) = (await findings.open_matters(tx)).lost
            assert (shown.card_id, shown.report_id) == (card_id, "L-7")

        await db.transaction(work)
        told = await db.read(lambda tx: tx.all("SELECT data FROM journal WHERE type = 'lockerd.old.reported_lost'"))
        assert len(told) == 1
        assert '"report_id":"L-7"' in told[0]["data"]
