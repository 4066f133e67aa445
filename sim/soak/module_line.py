"""The line to the bought dispenser in memory: bytes both ways in their order, and what noise makes of them on their way.

A line of this family has no numbers and one XOR byte. What noise would make into an order that nobody gave is not played, and
counted: no host on this wire could tell it from its own (docs/devices.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from random import Random

from firmware_protocol import crt
from firmware_protocol.crt import Command, CrtError, Request
from sim.assembly import Machine
from sim.soak.seams import Seams, Step
from sim.soak.wires import Noise

BYTE_SECONDS = 10 / 38400
TURN_SECONDS = 0.005  # until the module answers
LATEST_SECONDS = 3.0  # that bytes are held up; what follows waits behind them

_ORDERS = frozenset({Command.MOVE, Command.INITIALISE})


def _cut(random: Random, data: bytearray) -> bytes:
    return bytes(data[: random.randrange(len(data))])


def _twice(_random: Random, data: bytearray) -> bytes:
    return bytes(data * 2)


def _flipped(random: Random, data: bytearray) -> bytes:
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def _burst(random: Random, data: bytearray) -> bytes:
    start = random.randrange(len(data))
    return bytes(data[:start]) + random.randbytes(random.randrange(1, 5)) + bytes(data[start + 4 :])


def _unseen(random: Random, data: bytearray) -> bytes:
    mask = 1 << random.randrange(3)
    for index in random.sample(range(len(data)), min(2, len(data))):
        data[index] ^= mask
    return bytes(data)


def _strays(random: Random, data: bytearray) -> bytes:
    return random.randbytes(random.randrange(1, 6)) + bytes(data)


_SPOILT: dict[str, Callable[[Random, bytearray], bytes]] = {
    "lost": lambda _random, _data: b"",
    "late": lambda _random, data: bytes(data),
    "twice": _twice,
    "cut": _cut,
    "flipped": _flipped,
    "burst": _burst,
    "unseen": _unseen,  # two bytes broken alike: an XOR cannot see it
    "behind strays": _strays,
}
"""What can become of bytes that were written together."""


class ModuleLine:
    """Shaped as the daemon's `Line`; it outlives the daemons that open it. `outside` is the world's own context."""

    def __init__(self, machine: Machine, noise: Noise, seams: Seams, outside: Context) -> None:
        self._machine = machine
        self._noise = noise
        self._seams = seams
        self._outside = outside
        self._arrived = bytearray()
        self._something = asyncio.Event()
        self._there = 0.0  # when what is under way to the module is there
        self._back = 0.0  # and what is under way from it

    def opened(self) -> ModuleLine:
        """Open it: what arrived while nobody had it open is gone."""
        self._arrived.clear()
        return self

    async def read(self, limit: int, timeout: float) -> bytes:
        """What has arrived, or does within `timeout` seconds."""
        if not self._arrived and timeout > 0:
            self._something.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._something.wait()
        if not self._arrived:
            return b""
        await self._seams.cross()
        data = bytes(self._arrived[:limit])
        del self._arrived[:limit]
        return data

    async def write(self, data: bytes, timeout: float) -> None:
        """All of `data` goes to the module."""
        order = _is_order(data)
        if order:
            self._seams.ordered()
        await self._seams.cross(Step.ORDER if order else Step.ASK)
        self._outside.run(self._send, data)
        if order:
            await self._seams.cross(Step.ORDERED)

    def close(self) -> None:
        """Nothing to release."""

    def _send(self, data: bytes) -> None:
        heard, late = self._spoilt(data)
        if heard != data and _orders(heard) - _orders(data):
            self._noise.count("order forged by noise, not played")
            return
        loop = asyncio.get_running_loop()
        if late or self._there > loop.time():
            self._there = max(self._there, loop.time() + late)
            loop.call_at(self._there, self._feed, heard)
        else:
            self._feed(heard)

    def _feed(self, data: bytes) -> None:
        if data:
            self._machine.module_feed(data, self._receive)

    def _receive(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        said, late = self._spoilt(data)
        self._back = max(self._back, loop.time() + TURN_SECONDS + late) + len(said) * BYTE_SECONDS
        loop.call_at(self._back, self._arrive, said)

    def _arrive(self, data: bytes) -> None:
        self._arrived += data
        self._something.set()

    def _spoilt(self, data: bytes) -> tuple[bytes, float]:
        """What becomes of bytes, and how many seconds they are held up."""
        noise, random = self._noise, self._noise.random
        if not noise.rate or random.random() >= noise.rate:
            return data, 0.0
        kind = random.choice(list(_SPOILT))
        noise.count(f"bytes of the module {kind}")
        return _SPOILT[kind](random, bytearray(data)), random.uniform(0.1, LATEST_SECONDS) if kind == "late" else 0.0


def _is_order(data: bytes) -> bool:
    try:
        return crt.decode_request(data).cm in _ORDERS
    except CrtError:
        return False


def _orders(data: bytes) -> set[Request]:
    frames = crt.request_parser().feed(data)
    return {frame for frame in frames if isinstance(frame, Request) and frame.cm in _ORDERS}
