"""The machine as a process: it serves until it is told to stop, and says why where it cannot.

Out of service for good where its database is damaged; where the disk is full, only until there is room again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import structlog

from lockerd.app import Work, make_state_dir, opened, working
from lockerd.config import Config
from lockerd.drivers import real_drivers
from lockerd.errors import DatabaseDamaged, DiskFull
from lockerd.listening import Listener, listening
from lockerd.out_of_service import OutOfService, damaged, full
from lockerd.store.ballast import Ballast
from lockerd.store.opening import set_aside
from lockerd.supervise import Standing, Supervisor

log = structlog.get_logger(__name__)

LOOK_FOR_ROOM_SECONDS = 1.0


async def run(path: Path, config: Config, device_key: bytes, *, supervisor: Supervisor) -> None:
    """Run the machine until SIGTERM or SIGINT, after `preflight`. Raises StartFailed, StoreError."""
    make_state_dir(path, config)
    _watch_children_without_threads()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set():
        drivers = real_drivers(config)
        boot = drivers.random.randbytes(8).hex()
        trouble: Exception | None = None
        try:
            async with opened(config, device_key, drivers) as machine:
                work, listeners = machine.work, machine.listeners()
                log.info("opened", boot=machine.boot)
                told = machine.standing, machine.alive
                await _serve(path, work, listeners, *told, stop=stop, until=stop, supervisor=supervisor)
        except* (DatabaseDamaged, DiskFull) as group:
            trouble = _first(group)
        if isinstance(trouble, DatabaseDamaged):
            aside = set_aside(config.database, drivers.clock.now())
            log.error("out of service", file=aside.name)
            await _closed(path, OutOfService(config, boot, damaged(aside)), stop, supervisor)
        elif trouble is not None:
            log.error("out of service", error=str(trouble))
            ballast = Ballast(config.ballast)
            await _closed(path, OutOfService(config, boot, full()), stop, supervisor, until=ballast.make)


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, Exception)
    return found


def _watch_children_without_threads() -> None:
    """The face worker's end is seen by its pidfd, as Python 3.12 does by itself; 3.11 would begin a thread for each worker."""
    if sys.version_info < (3, 12):
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(asyncio.get_running_loop())
        asyncio.set_child_watcher(watcher)


async def _closed(
    path: Path,
    instead: OutOfService,
    stop: asyncio.Event,
    supervisor: Supervisor,
    *,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Say that the machine is out of service, until it is told to stop or `until` says that it can be served again."""
    over = asyncio.Event()

    async def look() -> None:
        while True:
            # Before the look: room for a ballast may be too little to open the database.
            await asyncio.sleep(LOOK_FOR_ROOM_SECONDS)
            if stop.is_set() or until():
                break
        over.set()

    work, alive = {"look": look}, _always
    await _serve(path, work, instead.listeners(), instead.standing, alive, stop=stop, until=over, supervisor=supervisor)


async def _serve(
    path: Path,
    work: Mapping[str, Work],
    listeners: Sequence[Listener],
    standing: Callable[[], Standing],
    alive: Callable[[], Awaitable[bool]],
    *,
    stop: asyncio.Event,
    until: asyncio.Event,
    supervisor: Supervisor,
) -> None:
    """Serve until `until`. Only where that is because of `stop` does the service manager hear of an end: it kills what stays."""
    told = {"status": lambda: supervisor.tell(standing), "watchdog": lambda: supervisor.watch(alive)}
    async with listening(path, listeners), working({**work, **told}):
        log.info("listening", pid=os.getpid())
        await until.wait()
        if stop.is_set():
            supervisor.stopping()


async def _always() -> bool:
    return True
