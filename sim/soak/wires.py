"""The lines in memory: what noise does to frames on the bus, and the bytes of a card reader."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextvars import Context
from enum import Enum, auto
from random import Random

from firmware_protocol.mailbox import ExceptionCode
from sim.assembly import Line, Machine
from sim.soak.seams import Seams, Step

BYTE_SECONDS = 10 / 115200
SHORT_ANSWER = 64
ANSWER_SECONDS = 0.5  # the bus driver's wait for an answer, and how long it then keeps the line quiet
QUIET_SECONDS = 1.0


class Mishap(Enum):
    """What can become of one exchange on the bus."""

    NONE = auto()
    LOST = auto()  # the request never arrives
    MUTE = auto()  # the answer never arrives
    LATE = auto()  # the request arrives after the answer was given up
    TWICE = auto()  # the request arrives twice
    GARBLED = auto()  # a bit of the answer's data is wrong though its frame is good


class Noise:
    """Mishaps on the bus at a `rate` (0 to 1 an exchange), and lost answers of the readers at the same rate."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.rate = 0.0
        self.counts: dict[str, int] = {}

    def next(self) -> Mishap:
        """What becomes of the next exchange."""
        if not self.rate or self.random.random() >= self.rate:
            return Mishap.NONE
        mishap = self.random.choice(list(Mishap)[1:])
        self.count(f"frame {mishap.name.lower()}")
        return mishap

    def count(self, what: str) -> None:
        """One mishap more."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def garble(self, registers: list[int]) -> list[int]:
        """One bit of one register flipped."""
        place = self.random.randrange(len(registers))
        return [value ^ (1 << self.random.randrange(16)) if i == place else value for i, value in enumerate(registers)]


class NoAnswer(Exception):
    """Nothing that fits the request came in time."""


class NotAccepted(Exception):
    """The unit answered with the exception `code`."""

    def __init__(self, code: ExceptionCode) -> None:
        super().__init__(code.name)
        self.code = code


class BusLine:
    """The units as registers, with the timing and the failures of a bus. `outside` is the world's own context."""

    def __init__(self, machine: Machine, noise: Noise, seams: Seams, outside: Context) -> None:
        self._units = machine.bus()
        self._noise = noise
        self._seams = seams
        self._outside = outside
        self._turn = asyncio.Lock()
        self._quiet_until = 0.0

    def read(self, unit: int, address: int, count: int) -> Awaitable[list[int]]:
        """Read holding registers. Raises NoAnswer, NotAccepted."""
        return self._exchange(unit, address, count, None)

    def write(self, unit: int, address: int, values: list[int]) -> Awaitable[object]:
        """Write registers. Raises NoAnswer, NotAccepted."""
        self._seams.ordered()
        return self._exchange(unit, address, 0, values)

    async def _exchange(self, unit: int, address: int, count: int, values: list[int] | None) -> list[int]:
        """One request and its answer. It lets everybody else go first, but takes no time unless there is no answer."""
        loop = asyncio.get_running_loop()
        line = self._units[unit]
        async with self._turn:
            await asyncio.sleep(max(self._quiet_until - loop.time(), 0.0))
            await self._seams.cross(Step.ASK if values is None else Step.ORDER)
            mishap = self._noise.next()
            if line.silent:
                mishap = Mishap.LOST
            answer: list[int] | ExceptionCode = []
            if mishap is Mishap.LATE and values is not None:
                late = self._noise.random.uniform(ANSWER_SECONDS, QUIET_SECONDS)
                self._outside.run(loop.call_later, late, self._late, line, address, values)
            elif mishap is not Mishap.LOST and mishap is not Mishap.LATE:
                answer = self._arrives(line, address, count, values)
                if mishap is Mishap.TWICE:
                    self._arrives(line, address, count, values)
            if mishap is Mishap.LOST or mishap is Mishap.LATE or mishap is Mishap.MUTE:
                self._quiet_until = loop.time() + QUIET_SECONDS
                await asyncio.sleep(ANSWER_SECONDS)
                raise NoAnswer
        await self._seams.cross(Step.ASK if values is None else Step.ORDERED)
        if isinstance(answer, ExceptionCode):
            raise NotAccepted(answer)
        if mishap is Mishap.GARBLED:
            if values is not None:
                raise NoAnswer
            return self._noise.garble(answer)
        return answer

    def _arrives(self, line: Line, address: int, count: int, values: list[int] | None) -> list[int] | ExceptionCode:
        """What the unit makes of a request; a motion is the world's own."""
        if values is None:
            return line.read(address, count)
        return self._outside.run(line.write, address, values) or []

    @staticmethod
    def _late(line: Line, address: int, values: list[int]) -> None:
        if not line.silent:
            line.write(address, values)


class ReaderLine:
    """Bytes to and from one reader of the machine; shaped as the daemon's `Line`. `outside` is the world's own context."""

    def __init__(self, machine: Machine, name: str, noise: Noise, seams: Seams, outside: Context) -> None:
        self._machine = machine
        self._name = name
        self._noise = noise
        self._seams = seams
        self._outside = outside
        self._answer = b""
        self._there = 0.0
        self._chip: str | None = None  # of which card, where the answer on its way is its chip and nothing else

    async def read(self, limit: int, timeout: float) -> bytes:
        """What has arrived, or does within `timeout` seconds."""
        left = self._there - asyncio.get_running_loop().time()
        if self._answer and left <= max(timeout, 0.0):
            if left > 0:
                await asyncio.sleep(left)
            data, self._answer = self._answer[:limit], self._answer[limit:]
            if self._chip is not None and not self._answer:
                self._machine.heard(self._name, self._chip)
                self._chip = None
            return data
        if timeout > 0:
            await asyncio.sleep(timeout)
        return b""

    async def write(self, data: bytes, timeout: float) -> None:
        """All of `data` goes to the reader at once; its answer takes the time of its bytes, a short one none."""
        await self._seams.cross()
        answer = self._outside.run(self._machine.reader_feed, self._name, data)
        whole = len(answer) > SHORT_ANSWER and not self._answer
        self._chip = self._machine.last_read.get(self._name) if whole else None
        if answer and self._noise.rate and self._noise.random.random() < self._noise.rate:
            self._noise.count("bytes of a reader spoilt")
            self._chip = None
            cut = self._noise.random.randrange(len(answer))
            answer = answer[:cut] + self._noise.random.randbytes(3) + answer[cut + 1 :]
        self._answer += answer
        self._there = asyncio.get_running_loop().time()
        if len(answer) > SHORT_ANSWER:
            self._there += len(answer) * BYTE_SECONDS

    def close(self) -> None:
        """Nothing to release."""
