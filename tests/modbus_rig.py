"""Bench parts for the Modbus tests: a small dispenser mechanism, memories, a pty with a scripted peer, a lossy line."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from firmware_protocol.blocks import DETAIL_COUNT, IdentityBlock
from firmware_protocol.mailbox import ExceptionCode
from firmware_protocol.units import CARRIERS, Fault, Opcode, Position, Sensor, UnitKind
from lockerd.devices.bus import DeviceRefused, DeviceSilent
from sim.firmware import UnitFirmware

_SEEN = {
    Position.TRANSPORT: Sensor.TRANSPORT,
    Position.EXIT: Sensor.EXIT,
    Position.THROAT: Sensor.THROAT,
    Position.ESCROW: Sensor.ESCROW,
}


class Flash:
    """Non-volatile memory that outlives a firmware."""

    def __init__(self) -> None:
        self.record: dict[str, int] = {}
        self.saves: list[dict[str, int]] = []

    def load(self) -> Mapping[str, int]:
        return dict(self.record)

    def save(self, record: Mapping[str, int]) -> None:
        self.record = dict(record)
        self.saves.append(dict(record))


class BenchMechanism:
    """One card path. A motion with `pause` set stops in the middle, card between the sensors, until it is released."""

    def __init__(self, *, stocked: Sequence[int] = (), at: Position | None = None) -> None:
        self.stocked = set(stocked)
        self.at = at
        self.turned = 0
        self.levels = Sensor.HOME
        self.motions: list[tuple[Opcode, int]] = []
        self.before: Callable[[], None] = lambda: None
        self.fault = Fault.NONE
        self.pause: asyncio.Event | None = None
        self.midway = asyncio.Event()
        self.registers = [0] * DETAIL_COUNT

    def sensors(self) -> Sensor:
        levels = self.levels
        if self.at in _SEEN:
            levels |= _SEEN[self.at]
        if self.turned in self.stocked:
            levels |= Sensor.SLOT
        return levels

    def slot(self) -> int:
        return self.turned

    def detail(self) -> tuple[int, ...]:
        return tuple(self.registers)

    def at_once(self, opcode: Opcode, arg0: int) -> Fault | None:
        return None

    async def perform(self, opcode: Opcode, arg0: int, step: Callable[[int], None]) -> Fault:
        self.before()
        self.motions.append((opcode, arg0))
        step(1)
        came_from = self.at
        if opcode in {Opcode.PICK, Opcode.STORE, Opcode.ALIGN}:
            self.turned = arg0
        if opcode in CARRIERS and self.fault is Fault.NONE:
            self.at = None
            self.stocked.discard(arg0 if opcode is Opcode.PICK else -1)
        self.midway.set()
        await (self.pause.wait() if self.pause else asyncio.sleep(0))
        step(2)
        if self.fault is not Fault.NONE:
            return self.fault
        if opcode is Opcode.STORE:
            self.stocked.add(arg0)
        elif opcode is Opcode.LIGHT:
            self.registers[2] = arg0
        elif opcode in CARRIERS:
            self.at = CARRIERS[opcode][1]
        else:
            self.at = came_from
        return Fault.NONE


def identity(kind: UnitKind = UnitKind.DISPENSER, capacity: int = 8) -> IdentityBlock:
    return IdentityBlock(kind, capacity, serial=990101, max_response_ms=100)


@asynccontextmanager
async def running(*units: UnitFirmware) -> AsyncIterator[None]:
    """Run units (or anything with `run`) for the length of a test."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(unit.run()) for unit in units]
        await asyncio.sleep(0)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Poll `condition` until it holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


class MemoryLine:
    """`Registers` straight into firmwares.

    `script` tells per write what is lost: "request", "reply", "unsent" (nothing left the host) or None.
    """

    def __init__(self, units: Mapping[int, UnitFirmware]) -> None:
        self.units = units
        self.script: list[str | None] = []
        self.writes: list[tuple[int, ...]] = []
        self.on_loss: Callable[[], None] = lambda: None
        self.torn_reads = 0
        self.lost_reads = 0
        self.reads = 0

    async def read(self, unit: int, address: int, count: int) -> tuple[int, ...]:
        await asyncio.sleep(0)
        self.reads += 1
        if self.units[unit].silent or self.lost_reads > 0:
            self.lost_reads -= 1
            raise DeviceSilent("line", "no answer")
        answer = self.units[unit].read(address, count)
        if isinstance(answer, ExceptionCode):
            raise DeviceRefused("line", answer)
        if self.torn_reads > 0:
            self.torn_reads -= 1
            answer[5] ^= 0x0100
        return tuple(answer)

    async def write(self, unit: int, address: int, values: Sequence[int]) -> None:
        await asyncio.sleep(0)
        self.writes.append(tuple(values))
        lost = self.script.pop(0) if self.script else None
        if lost:
            self.on_loss()
        if lost == "unsent":
            raise DeviceSilent("line", "not connected", sent=False)
        if lost == "request" or self.units[unit].silent:
            raise DeviceSilent("line", "no answer")
        refused = self.units[unit].write(address, values)
        if lost == "reply":
            raise DeviceSilent("line", "no answer")
        if refused is not None:
            raise DeviceRefused("line", refused)


class PtyPeer:
    """The far end of a pseudo-terminal: `on_bytes` gets what the host wrote; what it returns is sent back."""

    def __init__(self, on_bytes: Callable[[bytes], bytes]) -> None:
        self.on_bytes = on_bytes
        self.received = bytearray()
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)

    def send(self, data: bytes) -> None:
        os.write(self._master, data)

    def _ready(self) -> None:
        data = os.read(self._master, 4096)
        self.received += data
        if answer := self.on_bytes(data):
            self.send(answer)

    def __enter__(self) -> PtyPeer:
        asyncio.get_running_loop().add_reader(self._master, self._ready)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            for descriptor in (self._master, self._slave):
                with suppress(OSError):
                    os.close(descriptor)
            self._master = -1
