"""`python -m tests.crash.attempts`: pull the plug around the tries of a pickup code; a day never has more than five comparisons.

Two ways. Images: the guesser's real writes, cut after every operation as `tests.crash.images` cuts them; on each image the
guesser goes on until the number is locked. Kills: one database, and kill -9 on one guessing process after the other at random
moments. Exit status 1 when a day had more comparisons of wrong codes than `lockerd.store.codes.TRIES`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from random import Random

from lockerd.errors import StoreError
from lockerd.store.codes import TRIES
from tests.crash.disk import Disk, Files, Names
from tests.crash.guesses import RIGHT, guess, of_day, stock
from tests.crash.images import MAPPED, workplace
from tests.crash.judging import DATABASE
from tests.crash.recording import Mark, Op, record

STORY = "tests.crash.guesses"
KILLS_A_DAY = 20
LONGEST_LIFE = 0.03
"""Seconds from a guesser's first statement to its kill, at most."""


@dataclass(frozen=True, slots=True)
class Found:
    """How many pulls there were, the most comparisons of wrong codes that a day had with one of them, and after how many
    the database could not be opened.
    """

    pulls: int
    most: int
    unopened: int = 0


def cut(ops: Sequence[Op], folder: Path, images: int, seed: int) -> Found:
    """Go on guessing on so many distinct images of a recording, spread over its operations."""
    story = [op for op in ops if isinstance(op, Mark) or not op.path.endswith(MAPPED)]
    disk, seen, most, day, unopened = Disk(), set[bytes](), 0, 0, 0
    before: dict[int, set[str]] = {}
    names = Names()
    for number, op in enumerate(story):
        if isinstance(op, Mark):
            day = op.said["day"]
            before.setdefault(day, {RIGHT}).add(op.said["guess"] or RIGHT)
        disk.apply(op)
        if not day:
            continue
        wanted = min(images * (number + 1) * 51 // (len(story) * 50), images)
        for image in islice(disk.images(Random(f"{seed}:{number}")), 4 * max(wanted - len(seen), 0)):
            if len(seen) < wanted and (name := names.of(image)) not in seen:
                seen.add(name)
                try:
                    compared = before[day] | _go_on(image, folder, day)
                except StoreError:
                    unopened += 1
                else:
                    most = max(most, len(compared - {RIGHT}))
    return Found(len(seen), most, unopened)


def _go_on(image: Files, folder: Path, day: int) -> set[str]:
    for left in folder.iterdir():
        left.unlink()
    for path, content in image.items():
        (folder / path).write_bytes(content)
    compared: set[str] = set()
    asyncio.run(guess(folder / DATABASE, day, (f"9{number:07}" for number in range(TRIES + 2)), compared.add))
    return compared


def kill(folder: Path, pulls: int, seed: int) -> Found:
    """Kill so many guessers, one after the other, on one database."""
    random = Random(seed)
    path = folder / DATABASE
    asyncio.run(stock(path))
    most = 0
    for day in itertools.count(1):
        guesses = itertools.cycle(of_day(day))
        compared: set[str] = set()
        for _ in range(min(KILLS_A_DAY, pulls - (day - 1) * KILLS_A_DAY)):
            compared |= _killed(path, day, list(islice(guesses, 3)), random.uniform(0.0, LONGEST_LIFE))
        most = max(most, len(compared - {RIGHT}))
        if day * KILLS_A_DAY >= pulls:
            return Found(pulls, most)
    raise AssertionError


def _killed(path: Path, day: int, guesses: list[str], life: float) -> set[str]:
    """What one guesser compared that was killed `life` seconds after it began, or had ended before."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reads)
            asyncio.run(guess(path, day, guesses, lambda code: _tell(writes, code)))
        finally:
            os._exit(0)
    os.close(writes)
    time.sleep(life)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reads) as lines:
        return set(lines.read().split())


def _tell(pipe: int, code: str) -> None:
    os.write(pipe, f"{code}\n".encode())


def main(argv: Sequence[str] | None = None) -> int:
    """Cut and kill; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tests.crash.attempts", description=__doc__)
    parser.add_argument("--pulls", type=int, default=1000, metavar="N", help="of each kind (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    arguments = parser.parse_args(argv)
    with workplace() as place:
        for name in ("image", "killed"):
            (place / name).mkdir()
        ops = record(place / "story", STORY)
        found = {
            "images": cut(ops, place / "image", arguments.pulls, arguments.seed),
            "kills": kill(place / "killed", arguments.pulls, arguments.seed),
        }
    print(json.dumps({name: asdict(one) for name, one in found.items()}))
    wrong = [name for name, one in found.items() if one.most > TRIES or one.unopened]
    if wrong:
        print(
            f"more than {TRIES} comparisons in a day, or a database that is lost: {', '.join(wrong)}", file=sys.stderr
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
