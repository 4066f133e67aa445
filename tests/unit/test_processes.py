"""A child process of the simulator: who ends it, and who is told that it ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sim.processes import Child, ProcessDied


async def test_a_child_that_is_stopped_did_not_die(tmp_path: Path) -> None:
    child = Child("child", ["-c", "import time; time.sleep(60)"], tmp_path / "child.log")
    await child.start()
    stopping = asyncio.ensure_future(child.stop())
    while not stopping.done():
        child.check()  # in every turn of the loop: also between its end and its being put away
        await asyncio.sleep(0)
    await stopping


async def test_a_child_that_ends_by_itself_died(tmp_path: Path) -> None:
    child = Child("child", ["-c", ""], tmp_path / "child.log")
    await child.start()

    async def watched() -> None:
        while True:
            child.check()
            await asyncio.sleep(0.01)

    with pytest.raises(ProcessDied, match="child ended with status 0"):
        await asyncio.wait_for(watched(), 30.0)
    await child.kill()
