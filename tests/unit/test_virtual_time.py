from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.virtual_time import Stalled, run

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio, random
from sim.virtual_time import run

async def main():
    loop = asyncio.get_running_loop()
    order = []
    async def worker(name):
        for turn in range(3):
            await asyncio.sleep(random.Random(name).random())
            order.append((name, turn, loop.time()))
    group_order = []
    async def waits(name):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            group_order.append(name)
            raise
    async def fails():
        await asyncio.sleep(5)
        raise ValueError
    try:
        async with asyncio.TaskGroup() as group:
            for name in map(str, range(20)):
                group.create_task(worker(name))
                group.create_task(waits(name))
            group.create_task(fails())
    except* ValueError:
        pass
    print(order, group_order)

run(main())
"""


def test_time_stands_still_and_jumps_to_the_exact_timer() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        seen = []
        for delay in (0.1, 0.2, 86400.0 * 365):
            await asyncio.sleep(delay)
            seen.append(loop.time())
        return seen

    began = time.monotonic()
    assert run(main()) == [0.1, 0.1 + 0.2, 0.1 + 0.2 + 86400.0 * 365]
    assert time.monotonic() - began < 60, "a year takes no year"


def test_equal_timers_run_in_the_order_in_which_they_were_asked_for_and_those_that_are_due_after_what_is_ready() -> (
    None
):
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        seen: list[str] = []
        loop.call_at(5.0, seen.append, "first at 5")
        loop.call_at(5.0, seen.append, "second at 5")
        loop.call_soon(seen.append, "soon")
        loop.call_at(-1.0, seen.append, "long due")
        loop.call_soon(seen.append, "sooner")
        await asyncio.sleep(6.0)
        return seen

    assert run(main()) == ["soon", "long due", "sooner", "first at 5", "second at 5"]


def test_a_call_that_was_given_up_never_runs_and_moves_no_time() -> None:
    async def main() -> tuple[list[str], float]:
        loop = asyncio.get_running_loop()
        seen: list[str] = []
        for call in [
            loop.call_soon(seen.append, "soon"),
            *(loop.call_later(9.0, seen.append, "later") for _ in range(999)),
        ]:
            call.cancel()
            assert call.cancelled()
        loop.call_later(99.0, seen.append, "kept")
        await asyncio.sleep(100.0)
        return seen, loop.time()

    assert run(main()) == (["kept"], 100.0)


def test_whoever_waits_for_what_is_left_until_a_deadline_comes_to_it_after_half_a_year_too() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(14_759_878.85128728)
        deadline = loop.time() + 1.0
        await asyncio.sleep(0.999999998)
        for _ in range(10):
            if (left := deadline - loop.time()) <= 0:
                break
            await asyncio.sleep(left)
        return loop.time() - deadline

    assert run(main()) == 0.0


def test_a_program_that_waits_for_ever_is_told_so() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stalled):
        run(main())


def test_executors_are_refused() -> None:
    async def main() -> None:
        await asyncio.to_thread(lambda: None)

    with pytest.raises(RuntimeError, match="no executor"):
        run(main())


def test_tasks_are_cancelled_in_the_same_order_in_every_process() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(told) == 1
    assert "'19'" in told.pop()
