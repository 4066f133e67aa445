"""One machine with its daemon, office and town, all in memory: what scenario tests and the simulated year both play on."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TextIO, cast

import structlog

from sim.assembly import Machine, fresh_world
from sim.kept import Kept
from sim.soak.harness import Daemon
from sim.soak.office import Office
from sim.soak.seams import Fetch
from sim.soak.senses import Clock
from sim.soak.town import Town
from sim.virtual_time import VirtualLoop

BEGAN = 1_800_000_000.0  # UTC seconds at virtual time 0
FIRMWARE_LOOK_SECONDS = 3600.0  # each request makes a unit look at its sensors, too


class MemoryKept(Kept):
    """The machine's memory, kept in memory; `on_change` is called after each change of the world."""

    on_change: Callable[[], None] = staticmethod(lambda: None)

    def save(self) -> None:
        """Nothing to write."""
        self.on_change()


@dataclass(slots=True)
class Stage:
    """All parts. `on_power` is told when the mains come back: what a cut left comes to light only then."""

    machine: Machine
    office: Office
    town: Town
    daemon: Daemon
    clock: Clock
    on_power: Callable[[], None] = lambda: None

    def power_off(self) -> None:
        """The whole machine loses its power."""
        self.machine.cut_power()
        self.daemon.power_off()

    def power_on(self) -> None:
        """And gets it back, if it has not yet."""
        if self.machine.world.powered:
            return
        self.on_power()
        self.machine.restore_power()
        self.daemon.start()

    def serving(self, unit: str) -> bool:
        """Whether somebody could begin a journey now, and this unit answers and is not jammed."""
        page, machine = self.daemon.page, self.machine
        jammed = machine.units[unit].kind in machine.world.jammed
        return page is not None and page.screen == "code" and not jammed and not machine.silenced(unit)


class Witness:
    """What watches a stage: nothing here; `sim.soak.checker` sees everything."""

    def moved(self) -> None:
        """Something physical changed."""

    async def committed(self, fetch: Fetch, into: frozenset[str] | None) -> None:
        """The daemon made something durable: see `sim.soak.seams.Committed`."""

    def told(self, seq: int, kind: str, data: dict[str, object]) -> None:
        """The office learned of an event."""


@asynccontextmanager
async def staged(
    folder: Path, seed: int, *, slots: int = 20, witness: Witness | None = None, bought: bool = False
) -> AsyncIterator[Stage]:
    """A machine with power whose daemon starts, with a `bought` dispenser or not; an empty carousel, a town without people."""
    loop: VirtualLoop = asyncio.get_running_loop()  # type: ignore[assignment]
    sees = witness or Witness()
    kept = MemoryKept(folder / "world", seed, fresh_world((), slots))
    kept.on_change = sees.moved
    machine = Machine((), kept, clock=loop.time, poll_interval=FIRMWARE_LOOK_SECONDS, bought=bought)
    clock = Clock(loop, BEGAN)
    office = Office(clock.true, sees.told)
    town = Town(seed, machine, office, Random(f"{seed}:town"))
    daemon = Daemon(
        machine,
        office,
        folder,
        Random(f"{seed}:daemon"),
        clock=clock,
        deliver=town.deliver,
        committed=sees.committed,
    )
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(machine.run()), group.create_task(daemon.run())]
        await asyncio.sleep(0)
        machine.boot()
        daemon.start()
        yield Stage(machine, office, town, daemon, clock)
        for one in running:
            one.cancel()


@contextmanager
def quiet() -> Iterator[None]:
    """No log meanwhile: a year of it would be the slowest part."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        structlog.configure(**before)
        logging.disable(logging.NOTSET)


class Counted(io.TextIOBase):
    """A stream that keeps nothing but how many bytes were written to it."""

    written = 0

    def write(self, text: str) -> int:
        """Count."""
        self.written += len(text.encode())
        return len(text)


@contextmanager
def counted_log() -> Iterator[Counted]:
    """The log meanwhile as it is written under the service manager, but only counted."""
    before = structlog.get_config()
    counted = Counted()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", counted)),
    )
    try:
        yield counted
    finally:
        structlog.configure(**before)
