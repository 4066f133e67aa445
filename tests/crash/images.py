"""`python -m tests.crash.images`: cut the power after every operation of the running daemon on its database, and open what is left.

A story of the real daemon is recorded with its system calls (strace). After each operation images are made of what a disk may
hold then (`tests.crash.disk`), and the store opens each. The rows of every table must be exactly those of the last commit that
was acknowledged, or of the one then under way: nothing lost, nothing torn, no number given twice. Exit status 1 otherwise.
Images are counted by what database, log and journal hold: equal ones count once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

from tests.crash.disk import Disk, Files, Names
from tests.crash.judging import DATABASE, Bench, Commit, Moment, Tally
from tests.crash.recording import Mark, Op, record

SHARED_MEMORY = Path("/dev/shm")
STORY = "tests.crash.story"
PARTS = 16
"""So many parts of the story have their images made apart, on as many cores as there are jobs."""
EACH = 10
"""Images of a moment, at least; with few to make, moments are left out."""
IN_VAIN = 30
"""Equal images in a row after which a moment is taken to have no others; later moments make up for it."""
MAPPED = ("-shm", ".lock", "marks", "ballast")
"""Never synced, or never read: an image holds none of them as they were."""


def moments(ops: Sequence[Op]) -> Iterator[tuple[Op, Moment]]:
    """Each operation on the database's files, with what must hold after it."""
    said = [op.said for op in ops if isinstance(op, Mark) and "commit" in op.said]
    commits = [Commit(one["commit"], one["digest"], one["at"]) for one in said]
    done, machine, moves = 0, None, 0
    for op in ops:
        if isinstance(op, Mark):
            moves += "machine" in op.said
            machine = op.said.get("machine", machine)
            done = op.said.get("commit", done)
        elif not op.path.endswith(MAPPED):
            last = commits[done - 1] if done else None
            yield op, Moment(last, commits[done] if done < len(commits) else None, machine, moves)


def run(ops: Sequence[Op], folder: Path, *, images: int, seed: int, daemon_every: int, jobs: int = 1) -> Tally:
    """Make and check at least so many distinct images of a recording, spread evenly over its operations.

    The whole daemon starts as often as `Bench` says. The same recording and seed make the same images with any number of jobs.
    """
    story = list(moments(ops))
    digests = [op.said["digest"] for op in ops if isinstance(op, Mark) and "commit" in op.said]
    tally = Tally(operations=len(story), commits=len(digests))
    parts = max(1, min(PARTS, images // 1000))
    work = partial(_part, story, digests, folder, seed, daemon_every, -(-images * 105 // (parts * 100)), parts)
    began = time.monotonic()
    if parts == 1:
        tally.add(work(0))
        return tally
    forked = multiprocessing.get_context("fork")  # the children have the recording without a copy of it
    with ProcessPoolExecutor(jobs, forked, initializer=_take, initargs=(work,)) as pool:
        for number, found in enumerate(pool.map(_work, range(parts)), start=1):
            tally.add(found)
            told = f"{number}/{parts} parts, {len(tally.images)} distinct images, {tally.wrong.total()} violations"
            print(f"{time.monotonic() - began:6.0f} s  {told}", file=sys.stderr, flush=True)
    return tally


def _part(
    story: Sequence[tuple[Op, Moment]],
    digests: Sequence[str],
    folder: Path,
    seed: int,
    daemon_every: int,
    images: int,
    parts: int,
    part: int,
) -> Tally:
    """The images of one part of the story: the operations before it are made without a look."""
    tally = Tally()
    place = folder / f"part-{part}"
    place.mkdir()
    bench = Bench(place, tally, seed, digests, daemon_every)
    disk, names = Disk(), Names()
    begin, end = (len(story) * border // parts for border in (part, part + 1))
    for number, (op, moment) in enumerate(story[:end]):
        disk.apply(op)
        if number < begin:
            continue
        wanted = min(images * (number - begin + 1) * 51 // ((end - begin) * 50), images)  # some moments leave few
        if wanted - len(tally.images) < min(EACH, images - len(tally.images)):
            continue
        random, noise = Random(f"{seed}:{number}"), Random(f"{seed}:{number}:mapped")
        in_vain = 0
        for turn, image in enumerate(disk.images(random)):
            if len(tally.images) >= wanted or in_vain >= IN_VAIN:
                break
            bench.check_backups(image)
            name = names.of(_of_database(image))
            if name in tally.images:
                tally.equal += 1
                in_vain += 1
                continue
            in_vain = 0
            tally.images.add(name)
            bench.check(image, moment, noise, f"operation {number}, image {turn}")
    return tally


_inherited: list[partial[Tally]] = []


def _take(work: partial[Tally]) -> None:
    _inherited.append(work)


def _work(part: int) -> Tally:
    return _inherited[-1](part)


def _of_database(image: Files) -> Files:
    return {path: content for path, content in image.items() if path.startswith(DATABASE)}


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder in memory where there is one: no image is worth a disk's time."""
    with tempfile.TemporaryDirectory(prefix="crash-", dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as name:
        yield Path(name)


def _cpu_seconds() -> float:
    """User and system time of this process and of the children that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main(argv: Sequence[str] | None = None) -> int:
    """Record, cut, open; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tests.crash.images", description=__doc__)
    parser.add_argument(
        "--images", type=int, default=100_000, metavar="N", help="distinct images, at least (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the story and of the cuts")
    parser.add_argument("--days", type=int, default=2, metavar="N", help="length of the story (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, metavar="J", help="processes (default %(default)s)")
    parser.add_argument(
        "--daemon-every",
        type=int,
        default=1,
        metavar="N",
        help="start the whole daemon on every Nth pair of rows and machine that was not met before (0: never)",
    )
    parser.add_argument("--unsynced", action="store_true", help="record with synchronous=OFF: the run must find losses")
    parser.add_argument("--json", action="store_true", help="print one object")
    arguments = parser.parse_args(argv)
    began = time.monotonic()
    with workplace() as place:
        story = ["--seed", str(arguments.seed), "--days", str(arguments.days)]
        ops = record(place / "story", STORY, *story, *(["--unsynced"] if arguments.unsynced else []))
        asked = {name: getattr(arguments, name) for name in ("images", "seed", "daemon_every", "jobs")}
        tally = run(ops, place, **asked)
    summary = tally.summary | {"seconds": round(time.monotonic() - began), "cpu_seconds": round(_cpu_seconds())}
    if arguments.json:
        print(json.dumps(summary))
    else:
        for name, value in summary.items():
            print(f"{name.replace('_', ' '):<26}{value}")
    few = len(tally.images) < arguments.images
    if few:
        print("the story leaves fewer distinct images: give it more days", file=sys.stderr)
    if tally.first:
        print(f"first: {tally.first}", file=sys.stderr)
    return 1 if tally.wrong or few else 0


if __name__ == "__main__":
    sys.exit(main())
