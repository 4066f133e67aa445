"""A serial line in memory and in virtual time, with seeded faults between a master and a board's firmware."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from pymodbus.transport.transport import NULLMODEM_HOST, NullModem

from firmware_protocol.blocks import DETAIL_COUNT
from firmware_protocol.units import Fault, Opcode, Sensor
from sim.firmware import UnitFirmware
from sim.modbus_slave import RtuSlave


@dataclass(frozen=True, slots=True)
class Faults:
    """Chances of one frame (loss, late, duplicate, stray) and of one motion (reset, line_break)."""

    loss: float = 0.1  # half of it in each direction
    late: float = 0.02  # the answer comes after the master gave up
    duplicate: float = 0.02  # one byte comes twice, in each direction
    stray: float = 0.02  # bytes that nobody sent, before the answer
    reset: float = 0.03  # the board loses its power for a moment, at any time
    line_break: float = 0.01  # the adapter is pulled and put back


class FaultyLine:
    """The far end of a serial line: `port` is what the bus owner opens. With `echo` the line repeats what is sent.

    An answer takes `ANSWER` seconds; a late one at most `LATENCY`. `counted` tells the faults that happened.
    """

    ANSWER = 0.005
    TIMEOUT = 0.1
    LATENCY = 0.3

    def __init__(self, number: int, board: UnitFirmware, faults: Faults, random: Random, *, echo: bool) -> None:
        self.port = f"socket://{NULLMODEM_HOST}:{number}"
        self.counted: Counter[str] = Counter()
        self._number = number
        self._slave = RtuSlave({1: board})
        self._faults = faults
        self._random = random
        self._echo = echo
        self._listening: NullModem | None = None
        self._line: NullModem | None = None

    def open(self) -> None:
        """Let masters connect."""
        self._listening = NullModem.set_listener(self._number, self)  # type: ignore[arg-type]

    def close(self) -> None:
        """Be gone."""
        self.hang_up()
        if self._listening is not None:
            self._listening.close()

    def hang_up(self) -> None:
        """Break the connection; masters may connect again."""
        if self._line is not None:
            self._line.close()

    # What pymodbus' null modem asks of a protocol.

    def handle_new_connection(self) -> FaultyLine:
        return self

    def connection_made(self, transport: NullModem) -> None:
        self._line = transport

    def connection_lost(self, _reason: Exception | None) -> None:
        self._line = None

    def data_received(self, data: bytes) -> None:
        if self._echo:
            self._send(data)
        if self._happens("request lost", self._faults.loss / 2):
            return
        self._slave.gap()
        answer = self._slave.feed(self._doubled("request byte doubled", data))
        if not answer or self._happens("answer lost", self._faults.loss / 2):
            return
        if self._happens("stray bytes", self._faults.stray):
            answer = self._random.randbytes(self._random.randint(1, 6)) + answer
        late = self._happens("answer late", self._faults.late)
        delay = self._random.uniform(self.TIMEOUT, self.LATENCY) if late else self.ANSWER
        self._later(delay, self._doubled("answer byte doubled", answer))

    def _later(self, delay: float, data: bytes) -> None:
        asyncio.get_running_loop().call_later(delay, self._send, data)

    def _send(self, data: bytes) -> None:
        if self._line is not None:
            self._line.write(data)

    def _doubled(self, name: str, data: bytes) -> bytes:
        if not self._happens(name, self._faults.duplicate):
            return data
        at = self._random.randrange(len(data))
        return data[: at + 1] + data[at:]

    def _happens(self, name: str, chance: float) -> bool:
        happens = self._random.random() < chance
        self.counted[name] += happens
        return happens


class CountingMechanism:
    """A mechanism that only counts: how often each argument was begun and finished. A power cut stops a motion midway."""

    def __init__(self, random: Random) -> None:
        self.begun: Counter[int] = Counter()
        self.finished: Counter[int] = Counter()
        self._random = random

    def sensors(self) -> Sensor:
        return Sensor.HOME

    def slot(self) -> int:
        return 0

    def detail(self) -> tuple[int, ...]:
        return (0,) * DETAIL_COUNT

    def at_once(self, opcode: Opcode, arg0: int) -> Fault | None:
        return None

    async def perform(self, opcode: Opcode, arg0: int, step: Callable[[int], None]) -> Fault:
        if opcode is Opcode.ALIGN:
            self.begun[arg0] += 1
        await asyncio.sleep(self._random.uniform(0.05, 0.8))
        if opcode is Opcode.ALIGN:
            self.finished[arg0] += 1
        return Fault.NONE
