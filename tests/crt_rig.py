"""Bench for the bought dispenser: the module's model over a world of cards, a bare carousel board, and time that jumps."""

from __future__ import annotations

import asyncio
import selectors
from contextlib import asynccontextmanager, suppress
from random import Random

from firmware_protocol.units import UnitKind
from lockerd.devices.crt import CrtMover
from lockerd.devices.crt_module import CrtModule, Timing
from lockerd.devices.crt_tally import TallyFile
from lockerd.devices.serial_line import open_serial
from lockerd.model.custody import Motion, Observation, Order, Outcome, Place, Plan, Result, Sensor, Unit, place_after
from sim.crt_dispenser import CrtDispenser
from sim.motions import MotionLog
from sim.ptys import serve_pty
from sim.world import Place as Spot
from sim.world import World

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
    def __init__(self):
        self.record = {}

    def load(self):
        return dict(self.record)

    def save(self, record):
        self.record = dict(record)


class CountingLog(MotionLog):
    """Counts how many times a motor carried a card, or tried to."""

    count = 0

    def running(self, unit, motion):
        self.count += 1
        return super().running(unit, motion)


class BenchBoard:
    """A carousel board that never fails: a `Mover` straight over the world."""

    capacity = SLOTS

    def __init__(self, world):
        self.world = world

    async def observe(self):
        world = self.world
        sensors = {Sensor.HOME}
        if world.aligned is not None and world.card_in_slot(world.aligned):
            sensors.add(Sensor.SLOT)
        place = Place.TRANSPORT if world.card_at(Spot.TRANSPORT) else None
        return Observation(Unit.DISPENSER, 1, False, False, place, world.aligned, frozenset(sensors), None, 0, 0, 0)

    async def plan(self, order):
        return Plan(order, f"{order.motion}")

    async def carry_out(self, plan):
        order = plan.order
        if order.motion in (Motion.ALIGN, Motion.STORE):
            self.world.aligned = order.slot
        if order.motion is Motion.STORE:
            self.world.leave(UnitKind.DISPENSER, Spot.TRANSPORT)
            self.world.arrive(UnitKind.DISPENSER, Spot.SLOT, order.slot)
        return Outcome(Result.DONE, None, await self.observe())

    async def settle(self, plan):
        return Outcome(Result.IN_DOUBT, None, await self.observe())


class MemoryLine:
    """A `Line` straight into the model."""

    def __init__(self, device):
        self.device = device
        self.waiting = bytearray()
        self.something = asyncio.Event()

    async def read(self, limit, timeout):
        if not self.waiting and timeout > 0:
            self.something.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self.something.wait()
        data = bytes(self.waiting[:limit])
        del self.waiting[:limit]
        return data

    async def write(self, data, timeout):
        self.device.handle(data, self._send)

    def _send(self, data):
        self.waiting += data
        self.something.set()

    def close(self):
        self.something.set()


class Bench:
    """World, module and driver. `slots` says which card lies where at first."""

    def __init__(self, folder, *, seed=1, speed=100.0, timing=None, keeper=None):
        self.world = World(SLOTS, dict.fromkeys(CARDS, Spot.TRAY))
        for slot, card in enumerate(CARDS):
            self.put(card, slot)
        self.flash = Flash()
        self.random = Random(seed)
        self.folder = folder
        self.speed = speed
        self.timing = timing or Timing(answer=0.3, motion=0.8, quiet=0.05)
        self.keeper = keeper or TallyFile(folder / "tally.json", "dispenser")
        self.device = None
        self.open_line = None
        self.mover = None

    def put(self, card, slot):
        """A hand puts a card into a slot, from wherever it is."""
        spot = self.world.spots[card]
        self.world._put(card, type(spot)(Spot.SLOT, slot))

    @asynccontextmanager
    async def running(self, *, over_pty=False):
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
                self.open_line = lambda: open_serial(str(link), 38_400, device="dispenser")
            else:
                self.open_line = self.open_memory
            self.restart()
            await self.make(Motion.RESET)
            try:
                yield self
            finally:
                self.module.close()
                for task in tasks:
                    task.cancel()

    async def open_memory(self):
        return MemoryLine(self.device)

    def restart(self):
        """The daemon dies and comes back."""
        if self.mover is not None:
            self.module.close()
        self.module = CrtModule("dispenser", self.open_line, self.timing)
        self.mover = CrtMover(self.module, BenchBoard(self.world), self.keeper)

    def cut_power(self):
        self.device.power_off()
        self.device.power_on()

    async def make(self, motion, slot=None):
        order = Order(Unit.DISPENSER, motion, slot)
        return await self.mover.carry_out(await self.mover.plan(order))

    async def bring(self, card, place):
        """Move a card to where a test begins."""
        slot = self.world.spots[card].slot
        for motion in {Place.SLOT: (), Place.TRANSPORT: ("pick",), Place.EXIT: ("pick", "present")}[place]:
            outcome = await self.make(Motion(motion), slot if motion == "pick" else None)
            assert outcome.result is Result.DONE, outcome

    def truth(self, card):
        """Where the card is in the words of custody; None on its way, where nothing but doubt is right."""
        return PLACES.get(self.world.spots[card].place)

    def contradiction(self, card, motion, outcome):
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

    def __init__(self):
        self._now = 0.0
        super().__init__(_Jumping(self))

    def time(self):
        return self._now

    def jump(self, seconds):
        self._now += seconds


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout:
            self._loop.jump(timeout)
        return ready


def in_jumping_time(story):
    """Run a coroutine function in time that jumps."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(story())


async def until(holds):
    """Poll in the loop's time."""
    while not holds():
        await asyncio.sleep(0.0005)
