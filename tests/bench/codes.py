"""`python -m tests.bench.codes`: can a stranger tell by the time of the answer whether a card waits for a number?

Wrong codes for known and for unknown numbers take turns by chance through `lockerd.store.codes.check`, on a database file on the
disk. Welch's t-test compares the two means of the time that passed, and of the processor's time of the whole process, which
other work on the machine spoils less; each once of all tries and once without the slowest tenth, for outliers hide a difference.
Exit status 1 when any of the four is significant at ALPHA. The waits after wrong tries are the same
for both by count, and are left out. `--light` puts a cheap hash in the place of Argon2id: what is left shows more sharply.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lockerd.model.cards import ClaimKind, ManifestItem
from lockerd.store import claims, codes, hashing, opening
from lockerd.store.codes import TRIES, CodeResult
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

ALPHA = 0.001
A_DAY = 86400.0
DAYS = 4
"""Days over which the tries of one number are spread: within the life of a code."""
KEPT = 0.9
BEGAN = 1_800_000_000.0

Spent = tuple[float, float]
"""Seconds that passed, and of the processor."""


@dataclass(frozen=True, slots=True)
class Welch:
    """Two means in seconds, their difference (known less unknown), t, degrees of freedom, and the two-sided p."""

    known: float
    unknown: float
    t: float
    degrees: float
    p: float

    def __str__(self) -> str:
        apart = (self.known - self.unknown) * 1e6
        return (
            f"known {self.known * 1e3:.3f} ms, unknown {self.unknown * 1e3:.3f} ms, difference {apart:+.1f} us,"
            f" t = {self.t:+.2f} ({self.degrees:.0f} degrees of freedom), p = {self.p:.3f}"
        )


def welch(known: Sequence[float], unknown: Sequence[float]) -> Welch:
    """Welch's t-test; p by the normal distribution, which t is with hundreds of degrees of freedom."""
    means = statistics.fmean(known), statistics.fmean(unknown)
    shares = statistics.variance(known) / len(known), statistics.variance(unknown) / len(unknown)
    total = sum(shares)
    degrees = total**2 / (shares[0] ** 2 / (len(known) - 1) + shares[1] ** 2 / (len(unknown) - 1))
    t = (means[0] - means[1]) / total**0.5
    return Welch(*means, t, degrees, 2 * statistics.NormalDist().cdf(-abs(t)))


def cropped(known: Sequence[float], unknown: Sequence[float]) -> Welch:
    """The test without the times that are among the slowest of all."""
    limit = sorted([*known, *unknown])[int(KEPT * (len(known) + len(unknown))) - 1]
    return welch([one for one in known if one <= limit], [one for one in unknown if one <= limit])


async def measure(path: Path, tries: int) -> tuple[list[Spent], list[Spent]]:
    """What so many wrong tries took, half of them for known numbers."""
    people = -(-tries // (2 * TRIES * DAYS))
    vault = Vault(os.urandom(32))
    known, unknown = ([f"{side}{n:017}" for n in range(people)] for side in (1, 2))
    db = Database(path)
    times: tuple[list[Spent], list[Spent]] = ([], [])
    async with asyncio.TaskGroup() as group:
        owner = group.create_task(db.run())
        await db.ready()
        for number in known:
            await db.transaction(partial(_stock, vault=vault, number=number))
        order = random.Random(1)
        gc.collect()
        gc.disable()
        for day in range(DAYS):
            for _ in range(TRIES):
                for person in range(people):
                    sides = [(known[person], times[0]), (unknown[person], times[1])]
                    order.shuffle(sides)
                    for number, kept in sides:
                        kept.append(await _timed(db, vault, number, Stamp(BEGAN + day * A_DAY, 0.0, "bench")))
        owner.cancel()
    return times[0][: tries // 2], times[1][: tries // 2]


async def _stock(tx: Transaction, vault: Vault, number: str) -> None:
    stamp = Stamp(BEGAN, 0.0, "bench")
    item = ManifestItem(number, ClaimKind.RENEWAL, "测试", number, "20260101", "20460101", "+8619900000001", b"")
    await claims.put_item(tx, vault, item, None, stamp)
    await tx.execute("UPDATE claim SET state = 'stocked' WHERE claim_id = ?", (number,))
    await codes.issue(tx, vault, number, "99999999", BEGAN + 7 * A_DAY)


async def _timed(db: Database, vault: Vault, number: str, stamp: Stamp) -> Spent:
    began, worked = time.perf_counter(), time.process_time()
    answer = await codes.check(db, vault, number, "00000000", stamp, _no_wait)
    spent = time.perf_counter() - began, time.process_time() - worked
    assert answer.result is CodeResult.WRONG
    return spent


async def _no_wait(_seconds: float) -> None:
    """The wait belongs to the count of tries."""


def _cheap(secret: bytes, salt: bytes) -> bytes:
    return (salt + secret).ljust(32)[:32]


def main() -> int:
    """Measure and print; 1 when known and unknown numbers can be told apart."""
    parser = argparse.ArgumentParser(prog="tests.bench.codes", description=__doc__)
    parser.add_argument("--tries", type=int, default=10_000)
    parser.add_argument("--light", action="store_true", help="a cheap hash in the place of Argon2id")
    parser.add_argument("--folder", type=Path, help="where the database is made")
    arguments = parser.parse_args()
    if arguments.light:
        opening.argon2id = _cheap  # type: ignore[attr-defined]  # put in its place
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        began = time.monotonic()
        known, unknown = asyncio.run(measure(Path(folder) / "lockerd.db", arguments.tries))
    found = {}
    for clock, name in enumerate(("time passed", "processor's time")):
        sides = [one[clock] for one in known], [one[clock] for one in unknown]
        found[f"{name}, all"] = welch(*sides)
        found[f"{name}, quickest {KEPT:.0%}"] = cropped(*sides)
    print(f"hash: {'none (--light)' if arguments.light else hashing.ALGORITHM}, {codes.COMPARED} a try")
    print(f"wrong codes: {len(known)} known, {len(unknown)} unknown, in {time.monotonic() - began:.0f} s")
    for name, test in found.items():
        print(f"{name}: {test}")
    apart = any(test.p < ALPHA for test in found.values())
    print("they can be told apart" if apart else f"they cannot be told apart at p < {ALPHA}")
    return int(apart)


if __name__ == "__main__":
    sys.exit(main())
