from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sim.virtual_time import Stalled, VirtualLoop, run

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


def test_an_announced_answer_of_a_thread_is_waited_for_before_time_moves() -> None:
    async def main() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        answer: asyncio.Future[str] = loop.create_future()
        thread = threading.Timer(0.05, loop.call_soon_threadsafe, (answer.set_result, "there"))
        thread.start()
        loop.expect()
        async with asyncio.timeout(0.001):  # virtual, and over long before the thread answers
            result = await answer
        thread.join()
        return result, loop.time()

    assert run(main()) == ("there", 0.0)


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
