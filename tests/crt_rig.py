"""Bench for the bought dispenser: the module's model over a world of cards, a bare carousel board, and time that jumps."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from firmware_protocol.units import UnitKind
from lockerd.devices.crt import CrtMover, Keeper
from lockerd.devices.crt_module import CrtModule, Timing
from lockerd.devices.crt_tally import TallyFile
from lockerd.devices.serial_line import Line, OpenLine, open_serial
from lockerd.model.custody import Motion, Observation, Order, Outcome, Place, Plan, Result, Sensor, Unit, place_after
from sim.crt_dispenser import CrtDispenser
from sim.motions import MotionLog
from sim.ptys import serve_pty
from sim.world import Place as Spot
from sim.world import World

T = TypeVar("T")

SLOTS = 8
CARDS = ("A", "B", "C")
ORIGIN = {
    Motion.PICK: Place.SLOT,
    Motion.PRESENT: Place.TRANSPORT,
    Motion.RETRACT: Place.EXIT,
    Motion.CAPTURE: Place.TRANSPORT,
}
PLACES = {
    Spot.SLOT: Place.SLOT,
    Spot.TRANSPORT: Place.TRANSPORT,
    Spot.EXIT: Place.EXIT,
    Spot.RETRACT: Place.RETRACT,
    Spot.PERSON: Place.TAKEN,
}


class Flash:
    def __init__(self) -> None:
        self.record: dict[str, int] = {}

    def load(self) -> dict[str, int]:
        return dict(self.record)

    def save(self, record: Mapping[str, int]) -> None:
        self.record = dict(record)


class CountingLog(MotionLog):
    """Counts how many times a motor carried a card, or tried to."""

    count = 0

    @contextmanager
    def running(self, unit: str, motion: str) -> Iterator[None]:
        self.count += 1
        with super().running(unit, motion):
            yield


class BenchBoard:
    """A carousel board that never fails: a `Mover` straight over the world."""

    capacity = SLOTS

    def __init__(self, world: World) -> None:
        self.world = world

    async def observe(self) -> Observation:
        world = self.world
        sensors = {Sensor.HOME}
        if world.aligned is not None and world.card_in_slot(world.aligned):
            sensors.add(Sensor.SLOT)
        place = Place.TRANSPORT if world.card_at(Spot.TRANSPORT) else None
        return Observation(Unit.DISPENSER, 1, False, False, place, world.aligned, frozenset(sensors), None, 0, 0, 0)

    async def plan(self, order: Order) -> Plan:
        return Plan(order, f"{order.motion}")

    async def carry_out(self, plan: Plan) -> Outcome:
        order = plan.order
        if order.motion in (Motion.ALIGN, Motion.STORE):
            self.world.aligned = order.slot
        if order.motion is Motion.STORE:
            self.world.leave(UnitKind.DISPENSER, Spot.TRANSPORT)
            self.world.arrive(UnitKind.DISPENSER, Spot.SLOT, order.slot)
        return Outcome(Result.DONE, None, await self.observe())

    async def settle(self, plan: Plan) -> Outcome:
        return Outcome(Result.IN_DOUBT, None, await self.observe())


class MemoryLine:
    """A `Line` straight into the model."""

    def __init__(self, device: CrtDispenser) -> None:
        self.device = device
        self.waiting = bytearray()
        self.something = asyncio.Event()

    async def read(self, limit: int, timeout: float) -> bytes:
        if not self.waiting and timeout > 0:
            self.something.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self.something.wait()
        data = bytes(self.waiting[:limit])
        del self.waiting[:limit]
        return data

    async def write(self, data: bytes, timeout: float) -> None:
        self.device.handle(data, self._send)

    def _send(self, data: bytes) -> None:
        self.waiting += data
        self.something.set()

    def close(self) -> None:
        self.something.set()


class Bench:
    """World, module and driver. `slots` says which card lies where at first."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 1,
        speed: float = 100.0,
        timing: Timing | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.world = World(SLOTS, dict.fromkeys(CARDS, Spot.TRAY))
        for slot, card in enumerate(CARDS):
            self.put(card, slot)
        self.flash = Flash()
        self.random = Random(seed)
        self.folder = folder
        self.speed = speed
        self.timing = timing or Timing(answer=0.3, motion=0.8, quiet=0.05)
        self.keeper = keeper or TallyFile(folder / "tally.json", "dispenser")
        self.motion: Motion | None = None  # that a fault is armed for
        self.helper: asyncio.Future[None] | None = None  # what happens beside a motion
        self.module: CrtModule | None = None

    def put(self, card: str, slot: int) -> None:
        """A hand puts a card into a slot, from wherever it is."""
        spot = self.world.spots[card]
        self.world._put(card, type(spot)(Spot.SLOT, slot))

    @asynccontextmanager
    async def running(self, *, over_pty: bool = False) -> AsyncIterator[Bench]:
        loop = asyncio.get_running_loop()
        self.log = CountingLog(loop.time)
        self.device = CrtDispenser(
            self.world, self.log, self.flash, random=self.random, clock=loop.time, speed=self.speed
        )
        link = self.folder / "dispenser"
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.device.run())]
            await asyncio.sleep(0)
            self.device.power_on()
            if over_pty:
                device = self.device  # its `handle` may be replaced by a test
                handle = lambda data, send: device.handle(data, send)  # noqa: E731, PLW0108
                tasks.append(group.create_task(serve_pty(link, handle)))
                while not link.is_symlink():
                    await asyncio.sleep(0)
                self.open_line: OpenLine = lambda: open_serial(str(link), 38_400, device="dispenser")
            else:
                self.open_line = self.open_memory
            self.restart()
            await self.make(Motion.RESET)
            try:
                yield self
            finally:
                if self.module is not None:
                    self.module.close()
                for task in tasks:
                    task.cancel()

    async def open_memory(self) -> Line:
        return MemoryLine(self.device)

    def restart(self) -> None:
        """The daemon dies and comes back."""
        if self.module is not None:
            self.module.close()
        self.module = CrtModule("dispenser", self.open_line, self.timing)
        self.mover = CrtMover(self.module, BenchBoard(self.world), self.keeper)

    def cut_power(self) -> None:
        self.device.power_off()
        self.device.power_on()

    async def make(self, motion: Motion, slot: int | None = None) -> Outcome:
        order = Order(Unit.DISPENSER, motion, slot)
        return await self.mover.carry_out(await self.mover.plan(order))

    async def observe_after(self, motion: Motion, slot: int | None = None) -> Observation:
        """What the driver sees after a motion."""
        seen = (await self.make(motion, slot)).observation
        assert seen is not None
        return seen

    async def bring(self, card: str, place: Place) -> None:
        """Move a card to where a test begins."""
        slot = self.world.spots[card].slot
        for motion in {Place.SLOT: (), Place.TRANSPORT: ("pick",), Place.EXIT: ("pick", "present")}[place]:
            outcome = await self.make(Motion(motion), slot if motion == "pick" else None)
            assert outcome.result is Result.DONE, outcome

    def truth(self, card: str) -> Place | None:
        """Where the card is in the words of custody; None on its way, where nothing but doubt is right."""
        return PLACES.get(self.world.spots[card].place)

    def contradiction(self, card: str, motion: Motion, outcome: Outcome) -> str | None:
        """What is wrong with a conclusion, or None: weaker than the truth is right, contrary to it is not."""
        concluded = place_after(Order(Unit.DISPENSER, motion, 0), outcome)
        truth = self.truth(card)
        if concluded in (truth, Place.IN_DOUBT):
            return None
        if concluded is Place.EXIT and truth is Place.TAKEN:
            return None  # the next look counts it
        return f"{motion} {outcome.result} {outcome.fault}: concluded {concluded}, card is at {truth}"


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when nothing else is to be done."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self._loop.jump(timeout)
        return ready


def in_jumping_time(story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function in time that jumps."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(story())


async def until(holds: Callable[[], object]) -> None:
    """Poll in the loop's time."""
    while not holds():
        await asyncio.sleep(0.0005)
