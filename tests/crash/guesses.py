"""A guesser at the machine: wrong codes for one ID number, as many a day as the store allows, on its real database file.

`python -m tests.crash.guesses FOLDER`: each guess is one JSON line in `FOLDER/marks` before it is compared:
{"guess": code, "day": n}; a day begins with one without a code. `guess` goes on with a database that is there.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path

from lockerd.model.custody import Motion
from lockerd.store import claims, codes, database, opening
from lockerd.store.codes import CodeResult
from lockerd.store.database import Transaction
from tests.crash.story import without_sync
from tests.store_support import NOW, carry, item, opened, stamp, vault

CLAIM = "N000001"
NUMBER = "990101199001010018"
RIGHT = "00000000"
DAY = 86400.0

Seen = Callable[[str], None]


def watched(seen: Seen) -> Callable[[bytes, bytes], bytes]:
    """A cheap hash in the place of Argon2id (40 ms) that tells of each secret before it is compared."""

    def hashed(secret: bytes, salt: bytes) -> bytes:
        seen(secret.decode())
        return hashlib.sha256(salt + secret).digest()

    return hashed


async def at_once(_seconds: float) -> None:
    """No wait before a comparison: the pulls come sooner."""


async def guess(path: Path, day: int, guesses: Iterable[str], seen: Seen) -> None:
    """Try the guesses one after the other, on a day of the story, until the number is locked."""
    opening.argon2id = watched(seen)  # type: ignore[assignment, attr-defined]  # put in its place
    async with opened(path, random.randrange(1 << 30)) as db:
        moment = stamp(NOW + day * DAY)
        for code in guesses:
            if (await codes.check(db, vault(day), NUMBER, code, moment, at_once)).result is CodeResult.LOCKED:
                break


async def stock(path: Path) -> None:
    """One card that can be collected with the right code."""
    opening.argon2id = watched(lambda _: None)  # type: ignore[assignment, attr-defined]  # put in its place

    async def work(tx: Transaction) -> None:
        await claims.put_item(tx, vault(), item(CLAIM), None, stamp(NOW))
        await tx.execute("INSERT INTO slot (slot, state, since) VALUES (0, 'free', ?)", (NOW,))
        await carry(tx, Motion.LOAD, CLAIM)
        await carry(tx, Motion.STORE, CLAIM, 0)
        await claims.stocked(tx, CLAIM, 0, stamp(NOW))
        await codes.issue(tx, vault(), CLAIM, RIGHT, NOW + 400 * DAY)

    async with opened(path) as db:
        await db.transaction(vault().verify)
        await db.transaction(work)


def of_day(day: int) -> list[str]:
    """What is guessed on a day: the right code among wrong ones, and more wrong ones than may be tried."""
    wrong = [f"{day:03}{number:05}" for number in range(1, 9)]
    return [*wrong[:2], RIGHT, *wrong[2:]]


def main() -> None:
    """Guess in the folder that is named."""
    parser = argparse.ArgumentParser(prog="tests.crash.guesses", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--unsynced", action="store_true", help="break the promise: synchronous=OFF")
    arguments = parser.parse_args()
    if arguments.unsynced:
        database.open_database = without_sync(opening.open_database)  # type: ignore[attr-defined]  # put in its place
    marks = os.open(arguments.folder / "marks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    asyncio.run(stock(arguments.folder / "lockerd.db"))
    for day in range(1, arguments.days + 1):

        def seen(code: str | None, day: int = day) -> None:
            os.write(marks, json.dumps({"guess": code, "day": day}).encode() + b"\n")

        seen(None)
        asyncio.run(guess(arguments.folder / "lockerd.db", day, of_day(day), seen))


if __name__ == "__main__":
    main()
