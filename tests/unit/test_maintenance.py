"""Staff work when whoever asked has gone before it began."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from lockerd.errors import FloorTaken
from lockerd.maintenance import Maintenance
from lockerd.model.staffing import LoadReport


class Floor:
    """A session's floor that is given when `free` is set; `refuse` says that a citizen has it."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.refuse = False

    @asynccontextmanager
    async def staff_at_work(self) -> AsyncIterator[None]:
        await self.free.wait()
        if self.refuse:
            raise FloorTaken("a citizen is at the machine")
        yield


class Trays:
    def __init__(self) -> None:
        self.report = LoadReport()
        self.loaded: list[str] = []

    async def tray(self, staff: str) -> None:
        self.loaded.append(staff)


@pytest.mark.parametrize("refuse", [False, True])
async def test_a_caller_that_went_away_does_not_end_the_loading_of_later_trays(refuse: bool) -> None:
    floor, trays = Floor(), Trays()
    parts: dict[str, Any] = dict.fromkeys(("db", "vault", "motions", "stamp", "issuing"))
    staff = Maintenance(session=cast(Any, floor), loading=cast(Any, trays), **parts)
    running = asyncio.create_task(staff.run())
    first = asyncio.create_task(staff.load("li.wei"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    floor.refuse = refuse
    floor.free.set()
    await asyncio.sleep(0)
    floor.refuse = False
    await asyncio.wait_for(staff.load("wang.min"), 5)
    assert trays.loaded[-1] == "wang.min"
    assert trays.loaded == (["wang.min"] if refuse else ["li.wei", "wang.min"])
    running.cancel()
    await asyncio.wait([running])
