"""The tasks of a daemon: born in one family, and none is left when it is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextvars import copy_context
from typing import TypeVar

from sim.virtual_time import FAMILY, Family, name_of

T = TypeVar("T")


def inside(loop: asyncio.AbstractEventLoop, family: Family, work: Awaitable[T]) -> asyncio.Task[T]:
    """A task that ends with the daemon."""

    async def wrapped() -> T:
        return await work

    context = copy_context()
    context.run(FAMILY.set, family)
    return loop.create_task(wrapped(), context=context)


async def reaped(family: Family) -> None:
    """End every task of the daemon, the database's owner last: it alone closes what the file system holds."""
    while alive := [task for task in family.values() if not task.done()]:
        store = [task for task in alive if name_of(task).startswith("Database.") or name_of(task) == "_opened"]
        for task in alive:
            if task not in store:
                task.cancel()
        if len(store) == len(alive):
            for task in store:
                if name_of(task) == "Database.run":
                    task.cancel()
        await asyncio.sleep(0)
    for task in list(family.values()):
        if not task.cancelled():
            task.exception()
