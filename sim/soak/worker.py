"""Seeds side by side: each in a process of its own, and one that dies is told as that seed's failure.

So its peak of memory is its own, and nothing of one run reaches the next.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection

from sim.soak.setting import Setting
from sim.soak.year import Report, play, unplayed


def played(seeds: Sequence[int], setting: Setting, jobs: int) -> Iterator[Report]:
    """One report a seed, in order; with one job in this process."""
    if jobs <= 1:
        for seed in seeds:
            yield play(seed, setting)
        return
    with ThreadPoolExecutor(jobs) as threads:  # each waits for one process at a time
        yield from threads.map(lambda seed: _process(seed, setting), seeds)


def _process(seed: int, setting: Setting) -> Report:
    spawn = multiprocessing.get_context("spawn")
    mine, its = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_work, args=(its, seed, setting), daemon=True)
    process.start()
    its.close()
    report: Report | None = None
    with suppress(EOFError):
        report = mine.recv()
    mine.close()
    process.join()
    return report or unplayed(seed, setting, f"its process ended with status {process.exitcode} and no report")


def _work(answer: Connection, seed: int, setting: Setting) -> None:
    try:
        report = play(seed, setting)
    except KeyboardInterrupt:  # of the whole group: the parent says so
        raise SystemExit(130) from None
    sys.stdout.flush()
    answer.send(report)
