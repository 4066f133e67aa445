"""The Modbus master: one owner task per line, guarding against what pymodbus 3.16.1 lets through.

Guarded here: a late reply taken for the next answer, an answer of another shape taken for this one, an echo taken for an
answer, stray bytes before an answer (all four in `answers`), writes repeated by the library, frames without a gap, a lost
line that stays lost, a dead one that looks alive, errors of the terminal that come out raw. Function codes 3 and 16 only.
docs/wires.md lists them with their tests.
"""

from __future__ import annotations

import asyncio
import logging
import termios
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse

from lockerd.devices.answers import AnswerFilter, Miss, Request
from lockerd.errors import DeviceError

MAX_READ = 125
MAX_WRITE = 123
FIRST_BACK_OFF = 0.2
"""Seconds before a lost line is opened again; doubled up to `LAST_BACK_OFF` until somebody answers on it."""
LAST_BACK_OFF = 5.0
SILENCES = 5
"""Requests in a row without any byte from anybody after which the line is opened anew: an adapter that hangs says nothing."""
_PRECISE = 0.005  # seconds; the gaps, not the waits for late answers
_LONGEST_EXCHANGE = 263  # bytes: a read of 125 registers, or a write of 123


class DeviceSilent(DeviceError):
    """No answer that fits the request came in time; whether the device acted is unknown unless `sent` is False."""

    def __init__(self, device: str, message: str, *, sent: bool = True) -> None:
        super().__init__(device, message)
        self.sent = sent


class DeviceRefused(DeviceError):
    """The device answered with the Modbus exception `code`."""

    def __init__(self, device: str, code: int) -> None:
        super().__init__(device, f"refused with Modbus exception {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class RtuSettings:
    """A serial line with 8 data bits, 1 stop bit and the given parity.

    `turnaround` is the least silence in seconds before each request, for converters and units that release an RS-485 pair
    late; less than the standard's 3.5 characters changes nothing. `echo`: the line repeats all that is sent.
    """

    port: str
    baudrate: int = 115200
    parity: Literal["none", "even", "odd"] = "none"
    turnaround: float = 0.0
    echo: bool = False

    @property
    def byte_seconds(self) -> float:
        """Time of one byte on the line."""
        return (10 if self.parity == "none" else 11) / self.baudrate

    @property
    def gap(self) -> float:
        """Least silence in seconds between frames: 3.5 characters, above 19200 baud 1.75 ms (Serial Line V1.02, 2.5.1.1)."""
        return max(3.5 * self.byte_seconds, 0.00175, self.turnaround)


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """A Modbus TCP server or gateway."""

    host: str
    port: int = 502


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """Counters of one unit since start. Every request ends as an answer, or as one of the other four."""

    requests: int = 0
    timeouts: int = 0  # nothing came
    crc_errors: int = 0  # bytes came, but no frame with a good CRC
    misfits: int = 0  # a good frame came that answers something else
    exceptions: int = 0  # the unit refused


@dataclass(frozen=True, slots=True)
class LineStatistics:
    """Counters of the whole line since start. `stale` counts receptions while nothing was asked, all dropped."""

    reconnects: int = 0
    stale: int = 0
    lost_echoes: int = 0


@dataclass(frozen=True, slots=True)
class _Asked:
    request: Request
    answer: asyncio.Future[tuple[int, ...]]


_COUNTED = {
    Miss.SILENCE: "timeouts",
    Miss.NO_ECHO: "timeouts",
    Miss.CRC_ERROR: "crc_errors",
    Miss.MISFIT: "misfits",
}


async def sleep_precisely(seconds: float) -> None:
    """Sleep short times to a tenth of a millisecond: the loop's timers round up to whole ones, a tenth of a fast line.

    The fraction of a millisecond holds the loop, and comes first, so that the loop reads what arrives before the end.
    """
    if seconds < _PRECISE:
        time.sleep(fraction := seconds % 0.001)  # noqa: ASYNC251 - less than a millisecond
        seconds -= fraction
    await asyncio.sleep(seconds)


class ModbusBus:
    """All requests to one line, one at a time, through `run`. Requests wait until `run` runs and fail when it has ended.

    `timeout` is how long an answer is waited for, its time on the wire not counted; `latency` is the longest time after a
    whole request at which a device may still answer; both in seconds. After a missing answer the line stays silent until
    `latency` has passed. `sleep` is how the line is kept silent; simulated time has its own.
    """

    def __init__(
        self,
        settings: RtuSettings | TcpSettings,
        *,
        timeout: float = 0.5,
        latency: float = 1.0,
        name: str = "bus",
        sleep: Callable[[float], Awaitable[None]] = sleep_precisely,
    ) -> None:
        self._settings = settings
        self._sleep = sleep
        rtu = isinstance(settings, RtuSettings)
        self._byte_seconds = settings.byte_seconds if isinstance(settings, RtuSettings) else 0.0
        self._gap = settings.gap if isinstance(settings, RtuSettings) else 0.0
        self._timeout = timeout + _LONGEST_EXCHANGE * self._byte_seconds
        self._latency = max(timeout, latency)
        self._name = name
        self._queue: asyncio.Queue[_Asked] = asyncio.Queue()
        self._client: AsyncModbusSerialClient | AsyncModbusTcpClient | None = None
        self._filter = AnswerFilter(_loop_time, rtu=rtu, echo=isinstance(settings, RtuSettings) and settings.echo)
        self._ended = False
        self._quiet_until = 0.0
        self._retry_at = 0.0
        self._back_off = FIRST_BACK_OFF
        self._silences = 0
        self._connections = 0
        self._lost_echoes = 0
        self._counters: dict[int, dict[str, int]] = {}

    def statistics(self, unit: int) -> LinkStatistics:
        """Counters of the link to `unit`."""
        return LinkStatistics(**self._counters.get(unit, {}))

    def line_statistics(self) -> LineStatistics:
        """Counters of the line, whoever was asked."""
        return LineStatistics(max(0, self._connections - 1), self._filter.stale, self._lost_echoes)

    async def read(self, unit: int, address: int, count: int) -> tuple[int, ...]:
        """Read `count` (1-125) holding registers from the 0-based `address`. Raises DeviceSilent, DeviceRefused."""
        if not 1 <= count <= MAX_READ:
            raise ValueError(f"cannot read {count} registers at once")
        return await self._ask(unit, address, count, None)

    async def write(self, unit: int, address: int, values: Sequence[int]) -> None:
        """Write 1-123 registers from the 0-based `address`, sent at most once. Raises DeviceSilent, DeviceRefused.

        A caller cancelled before its turn takes the request back; one cancelled later does not stop the exchange.
        """
        if not 1 <= len(values) <= MAX_WRITE:
            raise ValueError(f"cannot write {len(values)} registers at once")
        await self._ask(unit, address, len(values), tuple(values))

    async def run(self) -> None:
        """Own the line until cancelled."""
        logging.getLogger("pymodbus").setLevel(
            logging.CRITICAL
        )  # it dumps frames at each time-out; the statistics count them
        asked: _Asked | None = None
        try:
            while True:
                asked = await self._queue.get()
                if not asked.answer.cancelled():
                    await self._serve(asked)
        finally:
            self._ended = True
            self._disconnect()
            if asked is not None:
                _fail(asked, DeviceSilent(self._label(asked.request.unit), "the bus was stopped"))
            while not self._queue.empty():
                waiting = self._queue.get_nowait()
                _fail(waiting, DeviceSilent(self._label(waiting.request.unit), "the bus was stopped", sent=False))

    async def _ask(self, unit: int, address: int, count: int, values: tuple[int, ...] | None) -> tuple[int, ...]:
        if self._ended:
            raise DeviceSilent(self._label(unit), "the bus was stopped", sent=False)
        answer: asyncio.Future[tuple[int, ...]] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Asked(Request(unit, address, count, values), answer))
        return await answer

    async def _serve(self, asked: _Asked) -> None:
        try:
            registers = await self._exchange(asked.request)
        except DeviceError as error:
            _fail(asked, error)
        else:
            if not asked.answer.done():
                asked.answer.set_result(registers)

    async def _exchange(self, request: Request) -> tuple[int, ...]:
        label = self._label(request.unit)
        client = await self._connected(label)
        await self._keep_quiet()
        if self._broken(client):
            raise DeviceSilent(label, "the line broke", sent=False)
        self._count(request.unit, "requests")
        self._filter.expect(request)
        sent = _loop_time() + (8 if request.values is None else 9 + 2 * request.count) * self._byte_seconds
        try:
            if request.values is None:
                response = await client.read_holding_registers(
                    request.address, count=request.count, device_id=request.unit
                )
            else:
                response = await client.write_registers(request.address, list(request.values), device_id=request.unit)
        except (ModbusException, OSError) as error:
            self._quiet_until = sent + self._latency
            raise self._missed(request.unit, client) from error
        finally:
            self._filter.rest()
        self._silences = 0
        self._back_off = FIRST_BACK_OFF
        if isinstance(response, ExceptionResponse):
            self._count(request.unit, "exceptions")
            raise DeviceRefused(label, response.exception_code)
        return tuple(response.registers) if request.values is None else ()

    def _missed(self, unit: int, client: AsyncModbusSerialClient | AsyncModbusTcpClient) -> DeviceSilent:
        """Count an exchange without its answer; returns what to raise."""
        miss = self._filter.missed()
        self._count(unit, _COUNTED[miss])
        self._lost_echoes += miss is Miss.NO_ECHO
        self._silences = self._silences + 1 if miss in {Miss.SILENCE, Miss.NO_ECHO} else 0
        if not self._broken(client) and self._silences >= SILENCES:
            self._silences = 0
            self._close()
        return DeviceSilent(self._label(unit), miss.value)

    async def _keep_quiet(self) -> None:
        """Wait until the line may be used: the gap between frames, or the end of a device's latency and of its last bytes."""
        limit = max(self._quiet_until, _loop_time()) + self._latency
        while True:
            wait = min(max(self._quiet_until, self._filter.last_byte + self._gap), limit) - _loop_time()
            if wait <= 0:
                return
            await self._sleep(wait)
            await asyncio.sleep(0)  # bytes that came with the timer are read, and dropped, before the next request

    async def _connected(self, label: str) -> AsyncModbusSerialClient | AsyncModbusTcpClient:
        if self._client is not None and self._client.connected:
            return self._client
        self._disconnect()
        if _loop_time() < self._retry_at:
            raise DeviceSilent(label, f"{self._where()} is not connected", sent=False)
        client = self._new_client()
        try:
            connected = await client.connect()
        except (ModbusException, OSError, ValueError, termios.error):
            connected = False
        if not connected:
            client.close()
            self._wait_longer()
            raise DeviceSilent(label, f"{self._where()} cannot be opened", sent=False)
        await asyncio.sleep(0)  # the serial transport starts to read one turn later
        self._client = client
        self._connections += 1
        return client

    def _new_client(self) -> AsyncModbusSerialClient | AsyncModbusTcpClient:
        match self._settings:
            case RtuSettings(port=port, baudrate=baudrate, parity=parity):
                return AsyncModbusSerialClient(
                    port,
                    framer=FramerType.RTU,
                    baudrate=baudrate,
                    parity=parity[0].upper(),
                    timeout=self._timeout,
                    retries=0,
                    reconnect_delay=0,
                    trace_packet=self._filter.on_packet,
                )
            case TcpSettings(host=host, port=number):
                return AsyncModbusTcpClient(
                    host,
                    port=number,
                    timeout=self._timeout,
                    retries=0,
                    reconnect_delay=0,
                    trace_packet=self._filter.on_packet,
                )

    def _broken(self, client: AsyncModbusSerialClient | AsyncModbusTcpClient) -> bool:
        """Whether the connection is lost; a lost one is given up."""
        if client.connected:
            return False
        self._disconnect()
        return True

    def _disconnect(self) -> None:
        """Give up a lost line, to be opened again after the back-off."""
        if self._client is not None:
            self._close()
            self._wait_longer()

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _wait_longer(self) -> None:
        self._retry_at = _loop_time() + self._back_off
        self._back_off = min(2 * self._back_off, LAST_BACK_OFF)

    def _count(self, unit: int, counter: str) -> None:
        counters = self._counters.setdefault(unit, dict.fromkeys(LinkStatistics.__match_args__, 0))
        counters[counter] += 1

    def _label(self, unit: int) -> str:
        return f"{self._name} unit {unit}"

    def _where(self) -> str:
        match self._settings:
            case RtuSettings(port=port):
                return port
            case TcpSettings(host=host, port=number):
                return f"{host}:{number}"


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def _fail(asked: _Asked, error: DeviceError) -> None:
    if not asked.answer.done():
        asked.answer.set_exception(error)
