"""A card that came to rest in its slot can be collected, also when nobody was left to say so at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from lockerd.journey.recovery import Recovery
from lockerd.model.cards import ClaimState
from lockerd.model.custody import Intent, Motion, Outcome, Place, Plan, Unit
from lockerd.stocking import Stocking
from lockerd.store import claims, codes, ledger, messages
from lockerd.store.database import Database, Transaction
from tests.store_support import DONE, NOW, STAMP, issuing, item, opened, plan, vault

CODE = "20482048"


class StoredIt:
    """A dispenser that says, after a restart, that it finished what it was told."""

    async def settle(self, _plan: Plan) -> Outcome:
        return DONE


async def interrupted_store(db: Database) -> Intent:
    """Staff loaded a card; the power went between the motion's end and its outcome."""

    async def work(tx: Transaction) -> Intent:
        await ledger.configure_slots(tx, 4)
        await claims.put_item(tx, vault(), item(), None, STAMP)
        await ledger.move(tx, "N000001", Place.TRANSPORT, STAMP, "chip read while loading")
        return await ledger.open_intent(tx, plan(Motion.STORE, 2), "N000001", "staff:ada", STAMP)

    return await db.transaction(work)


def recovery(db: Database) -> Recovery:
    stocking = Stocking(issuing(db, CODE))
    parts: dict[str, Any] = dict.fromkeys(("motions", "readers", "resuming"))
    units = cast(Any, {Unit.DISPENSER: StoredIt()})
    return Recovery(db=db, vault=vault(), units=units, stamp=lambda: STAMP, stocking=stocking, **parts)


async def test_a_store_settled_after_a_restart_makes_its_claim_collectable(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        intent = await interrupted_store(db)
        await recovery(db)._settle(intent)
        claim = await db.transaction(lambda tx: claims.by_id(tx, vault(), "N000001"))
        assert claim is not None
        assert (claim.state, claim.slot) == (ClaimState.STOCKED, 2)
        checked = await codes.check(db, vault(), claim.person.id_number, CODE, STAMP)
        assert checked.result is codes.CodeResult.MATCH
        message = await db.transaction(lambda tx: messages.next_due(tx, vault(), NOW))
        assert message is not None
        assert message.phone == claim.person.phone
        told = await db.transaction(lambda tx: tx.one("SELECT type FROM journal ORDER BY seq DESC LIMIT 1"))
        assert told is not None
        assert told["type"] == "lockerd.card.stocked"


async def test_a_claim_that_is_stocked_already_gets_no_second_code(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        await recovery(db)._settle(await interrupted_store(db))
        again = Stocking(issuing(db, "11111111"))
        await db.transaction(lambda tx: again.announce(tx, "N000001", 2))
        checked = await codes.check(db, vault(), item().id_number, CODE, STAMP)
        assert checked.result is codes.CodeResult.MATCH


async def test_a_claim_withdrawn_while_its_card_was_at_the_exit_is_collected_by_the_hand_that_has_it(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        await recovery(db)._settle(await interrupted_store(db))
        assert await db.transaction(lambda tx: claims.withdraw(tx, "N000001", STAMP))
        await db.transaction(lambda tx: claims.collected(tx, "N000001", STAMP))
        claim = await db.transaction(lambda tx: claims.by_id(tx, vault(), "N000001"))
        assert claim is not None
        assert claim.state is ClaimState.COLLECTED
