"""The end of a daemon that is cut off: none of its tasks is left."""

from __future__ import annotations

import asyncio

from sim.virtual_time import Family, name_of


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
