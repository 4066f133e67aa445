"""`python -m tests.bench.codes`: can a stranger tell by the time of the answer whether a card waits for a number?

Wrong codes for known and for unknown numbers take turns by chance through `lockerd.store.codes.check`, on a database file on the
disk. Welch's t-test compares the two means of the time that passed, and of the processor's time of the whole process, which
other work on the machine spoils less; each once of all tries and once without the slowest tenth, for outliers hide a difference.
Beside p stand the difference with its 95 % interval and the effect size (Cohen's d). Exit status 1 when any of the four is
significant at ALPHA. The waits after wrong tries are the same for both by count, and are left out. `--light` puts a cheap hash in
the place of Argon2id: what is left shows more sharply. `--record FILE` keeps each pair of times as it is measured: a run that was
stopped goes on with those that are left.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
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

EVERY = 250
"""Pairs between two lines that say how far it is."""

Spent = tuple[float, float]
"""Seconds that passed, and of the processor."""
Pair = tuple[Spent, Spent]
"""Of a known and of an unknown number."""


@dataclass(frozen=True, slots=True)
class Welch:
    """Two means in seconds; of their difference (known less unknown) the standard error, Cohen's d, t, degrees of freedom, p.

    p is two-sided.
    """

    known: float
    unknown: float
    error: float
    effect: float
    t: float
    degrees: float
    p: float

    def __str__(self) -> str:
        apart, error = (self.known - self.unknown) * 1e6, self.error * 1e6
        return (
            f"known {self.known * 1e3:.3f} ms, unknown {self.unknown * 1e3:.3f} ms,"
            f" difference {apart:+.1f} us ({apart - 1.96 * error:+.1f} to {apart + 1.96 * error:+.1f}), d = {self.effect:+.4f},"
            f" t = {self.t:+.2f} ({self.degrees:.0f} degrees of freedom), p = {self.p:.4f}"
        )


def welch(known: Sequence[float], unknown: Sequence[float]) -> Welch:
    """Welch's t-test; p by the normal distribution, which t is with hundreds of degrees of freedom."""
    means = statistics.fmean(known), statistics.fmean(unknown)
    spreads = statistics.variance(known), statistics.variance(unknown)
    shares = spreads[0] / len(known), spreads[1] / len(unknown)
    total = sum(shares)
    degrees = total**2 / (shares[0] ** 2 / (len(known) - 1) + shares[1] ** 2 / (len(unknown) - 1))
    t = (means[0] - means[1]) / total**0.5
    effect = (means[0] - means[1]) / (sum(spreads) / 2) ** 0.5
    return Welch(*means, total**0.5, effect, t, degrees, 2 * statistics.NormalDist().cdf(-abs(t)))


def cropped(known: Sequence[float], unknown: Sequence[float]) -> Welch:
    """The test without the times that are among the slowest of all."""
    limit = sorted([*known, *unknown])[int(KEPT * (len(known) + len(unknown))) - 1]
    return welch([one for one in known if one <= limit], [one for one in unknown if one <= limit])


async def measure(path: Path, pairs: int, done: Callable[[Pair], None]) -> None:
    """Tell of the times of so many pairs of wrong tries: for a known and for an unknown number, by turns of chance."""
    people = -(-pairs // (TRIES * DAYS))
    vault = Vault(os.urandom(32))
    known, unknown = ([f"{side}{n:017}" for n in range(people)] for side in (1, 2))
    db = Database(path)
    async with asyncio.TaskGroup() as group:
        owner = group.create_task(db.run())
        await db.ready()
        for number in known:
            await db.transaction(partial(_stock, vault=vault, number=number))
        order = random.Random(1)
        gc.collect()
        gc.disable()
        for day, _turn, person in islice(product(range(DAYS), range(TRIES), range(people)), pairs):
            sides = [known[person], unknown[person]]
            order.shuffle(sides)
            stamp = Stamp(BEGAN + day * A_DAY, 0.0, "bench")
            spent = {number: await _timed(db, vault, number, stamp) for number in sides}
            done((spent[known[person]], spent[unknown[person]]))
        owner.cancel()


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


class Record:
    """The pairs measured so far; in a file, where one is named, so that a later run goes on with them."""

    def __init__(self, wanted: int, file: Path | None, kind: str) -> None:
        self.wanted = wanted
        self.pairs: list[Pair] = []
        self._file = file
        self._kind = kind

    def load(self) -> None:
        """Take up what an earlier run left. Raises SystemExit for times of another hash."""
        if self._file is None:
            return
        if not self._file.exists():
            self._file.write_text(json.dumps(self._kind) + "\n")
        first, *lines = self._file.read_text().splitlines()
        if json.loads(first) != self._kind:
            raise SystemExit(f"{self._file} holds times of another hash: {json.loads(first)}")
        self.pairs = [((a, b), (c, d)) for a, b, c, d in map(json.loads, lines)][: self.wanted]

    def add(self, pair: Pair) -> None:
        """Keep one more pair."""
        self.pairs.append(pair)
        if self._file is not None:
            with self._file.open("a") as lines:
                lines.write(json.dumps([*pair[0], *pair[1]]) + "\n")
        if len(self.pairs) % EVERY == 0 and len(self.pairs) < self.wanted:
            print(f"{len(self.pairs)} of {self.wanted} pairs; time passed: {welch(*sides(self.pairs, 0))}", flush=True)


def sides(pairs: Sequence[Pair], clock: int) -> tuple[list[float], list[float]]:
    """The times of known and of unknown numbers by one of the two clocks."""
    return [known[clock] for known, _ in pairs], [unknown[clock] for _, unknown in pairs]


def main() -> int:
    """Measure and print; 1 when known and unknown numbers can be told apart."""
    parser = argparse.ArgumentParser(prog="tests.bench.codes", description=__doc__)
    parser.add_argument("--tries", type=int, default=10_000)
    parser.add_argument("--light", action="store_true", help="a cheap hash in the place of Argon2id")
    parser.add_argument("--folder", type=Path, help="where the database is made")
    parser.add_argument("--record", type=Path, help="a file of times: kept as they are measured, and gone on with")
    arguments = parser.parse_args()
    if arguments.light:
        opening.argon2id = _cheap  # type: ignore[attr-defined]  # put in its place
    kind = f"{'none (--light)' if arguments.light else hashing.ALGORITHM}, one a try"
    record = Record(arguments.tries // 2, arguments.record, kind)
    record.load()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        asyncio.run(measure(Path(folder) / "lockerd.db", record.wanted - len(record.pairs), record.add))
    found = {}
    for clock, name in enumerate(("time passed", "processor's time")):
        times = sides(record.pairs, clock)
        found[f"{name}, all"] = welch(*times)
        found[f"{name}, quickest {KEPT:.0%}"] = cropped(*times)
    print(f"hash: {kind}")
    print(f"wrong codes: N = {record.wanted} known and {record.wanted} unknown, in {time.monotonic() - began:.0f} s")
    for name, test in found.items():
        print(f"{name}: {test}")
    apart = any(test.p < ALPHA for test in found.values())
    print("they can be told apart" if apart else f"they cannot be told apart at p < {ALPHA}")
    return int(apart)


if __name__ == "__main__":
    sys.exit(main())
