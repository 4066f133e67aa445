"""A store with one card stocked in slot 0 and its code, and what tests of identity do with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from lockerd.model.custody import Motion, Place
from lockerd.model.identity import FaceTemplate
from lockerd.store import claims, codes, ledger
from lockerd.store.codes import CodeResult
from lockerd.store.database import Database, Transaction
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


@asynccontextmanager
async def stocked(folder: Path) -> AsyncIterator[Database]:
    """One card stocked in slot 0, with a code."""
    async with opened(folder / "lockerd.db") as database:

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
