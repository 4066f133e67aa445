"""Real database files for tests, with seeded randomness and a clock that the test sets."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from lockerd.errors import StoreError
from lockerd.issuing import Issuing
from lockerd.model.cards import ClaimKind, ManifestItem
from lockerd.model.custody import Motion, Order, Outcome, Plan, Result, Unit
from lockerd.store import ledger
from lockerd.store.codes import CodeKind
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

CODE_LIFE = 7 * 86400.0
NOW = 1_800_000_000.0
STAMP = Stamp(NOW, 12.5, "boot-1")
DONE = Outcome(Result.DONE)
RECYCLER = {Motion.OPEN, Motion.CLOSE, Motion.ACCEPT, Motion.RETURN, Motion.RETAIN, Motion.EMPTY_BIN}


def stamp(wall: float) -> Stamp:
    return Stamp(wall, wall - NOW, "boot-1")


def vault(seed: int = 1) -> Vault:
    return Vault(bytes(range(32)), entropy=random.Random(seed).randbytes)


def item(claim_id: str = "N000001", **changes: str) -> ManifestItem:
    values = {
        "name": "测试甲",
        "id_number": "990101199001010018",
        "valid_from": "20260101",
        "valid_to": "20460101",
        "phone": "+8619900000001",
    } | changes
    return ManifestItem(claim_id=claim_id, kind=ClaimKind.RENEWAL, photo=b"photo", **values)  # type: ignore[arg-type]  # texts only


def issuing(db: Database, code: str = "20482048") -> Issuing:
    lifetimes = {CodeKind.PICKUP: CODE_LIFE, CodeKind.LETTER: 30 * 86400.0}
    return Issuing(db, vault(int(code) % 1000), lambda: STAMP, lambda: code, lifetimes)


@asynccontextmanager
async def opened(path: Path, seed: int = 7) -> AsyncIterator[Database]:
    """The database with its owner running, closed at the end."""
    db = Database(path, entropy=random.Random(seed).randbytes)
    owner = asyncio.create_task(db.run())
    try:
        await db.ready()
        yield db
    finally:
        owner.cancel()
        with suppress(asyncio.CancelledError):
            await owner


def plan(motion: Motion, slot: int | None = None) -> Plan:
    unit = Unit.RECYCLER if motion in RECYCLER else Unit.DISPENSER
    return Plan(Order(unit, motion, slot), f"token-{motion}")


async def carry(tx: Transaction, motion: Motion, card_id: str, slot: int | None = None) -> None:
    """One motion of the ledger that ends well."""
    intent = await ledger.open_intent(tx, plan(motion, slot), card_id, "journey-1", STAMP)
    await ledger.settle_intent(tx, intent, DONE, STAMP)


async def put(tx: Transaction, key: str) -> None:
    """One row of `meta`."""
    await tx.execute("INSERT INTO meta (key, value) VALUES (?, 1)", (key,))


async def keys(db: Database) -> set[str]:
    """The keys that `put` wrote."""

    async def read(tx: Transaction) -> set[str]:
        return {row["key"] for row in await tx.all("SELECT key FROM meta")} - {"epoch", "last_seq"}

    return await db.transaction(read)


async def refused(path: Path) -> str:
    """What the owner says when it refuses the file."""
    db = Database(path, entropy=os.urandom)
    owner = asyncio.create_task(db.run())
    with pytest.raises(StoreError) as found:
        await db.ready()
    with pytest.raises(StoreError):
        await owner
    with pytest.raises(StoreError):
        await db.transaction(keys)  # type: ignore[arg-type]  # never gets so far
    return str(found.value)
