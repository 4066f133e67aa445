"""When the link hears of new events: once for all that one step writes."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from lockerd.telling import wake_link
from sim.virtual_time import run


class Written:
    """A database that writes when it is told to, and a link that notes when it is woken."""

    def __init__(self) -> None:
        self.count = 0
        self.woken: list[float] = []
        self._wrote = asyncio.Event()

    def write(self) -> None:
        self.count += 1
        self._wrote.set()

    def heard(self, _news: object) -> int:
        return self.count

    async def more(self, _news: object, than: int) -> None:
        while self.count <= than:
            self._wrote.clear()
            await self._wrote.wait()

    def notify(self) -> None:
        self.woken.append(asyncio.get_running_loop().time())


def test_events_that_come_soon_behind_each_other_wake_the_link_once() -> None:
    async def story() -> list[float]:
        written = Written()
        waking = asyncio.create_task(wake_link(cast(Any, written), cast(Any, written), 20.0))
        for at in (10.0, 15.0, 29.0, 100.0):
            await asyncio.sleep(at - asyncio.get_running_loop().time())
            written.write()
        await asyncio.sleep(60.0)
        waking.cancel()
        return written.woken

    assert run(story()) == [30.0, 120.0]
