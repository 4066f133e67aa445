"""The Modbus master: one owner task per line, guarding against what pymodbus 3.16.1 lets through.

Guarded here: a late reply taken for the next answer, an answer of another shape taken for this one, an echo taken for an
answer, stray bytes before an answer, writes repeated by the library, frames without a gap. Function codes 3 and 16 only.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import termios
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse

from firmware_protocol.crc import crc16
from lockerd.errors import DeviceError

MAX_READ = 125
MAX_WRITE = 123
_READ = 3
_WRITE = 16
_EXCEPTION = 0x80
_FIRST_BACK_OFF = 0.2
_LAST_BACK_OFF = 5.0


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
    """A serial line, 8N1."""

    port: str
    baudrate: int = 115200


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """A Modbus TCP server or gateway."""

    host: str
    port: int = 502


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """Counters of one unit since start. `bad_answers` are waits in which bytes came but no fitting answer; `reconnects` and
    `stale` (receptions while nothing was asked, dropped) count for the whole line."""

    requests: int = 0
    timeouts: int = 0
    bad_answers: int = 0
    exceptions: int = 0
    reconnects: int = 0
    stale: int = 0


@dataclass(frozen=True, slots=True)
class _Request:
    unit: int
    address: int
    count: int
    values: tuple[int, ...] | None  # None for a read
    answer: asyncio.Future[tuple[int, ...]]

    @property
    def function(self) -> int:
        return _READ if self.values is None else _WRITE


class ModbusBus:
    """All requests to one line, one at a time, through `run`. Requests wait until `run` runs and fail when it has ended.

    `timeout` is how long an answer is waited for, `latency` the longest time after a whole request at which a device may
    still answer; both in seconds. After a missing answer the line stays silent until `latency` has passed.
    """

    def __init__(
        self, settings: RtuSettings | TcpSettings, *, timeout: float = 0.5, latency: float = 1.0, name: str = "bus"
    ) -> None:
        self._settings = settings
        self._timeout = timeout
        self._latency = max(timeout, latency)
        self._name = name
        self._gap = max(3.5 * 11 / settings.baudrate, 0.00175) if isinstance(settings, RtuSettings) else 0.0
        self._queue: asyncio.Queue[_Request] = asyncio.Queue()
        self._client: AsyncModbusSerialClient | AsyncModbusTcpClient | None = None
        self._filter: _AnswerFilter = _AnswerFilter(rtu=isinstance(settings, RtuSettings))
        self._ended = False
        self._quiet_until = 0.0
        self._retry_at = 0.0
        self._back_off = _FIRST_BACK_OFF
        self._connections = 0
        self._statistics: dict[int, LinkStatistics] = {}

    def statistics(self, unit: int) -> LinkStatistics:
        """Counters of the link to `unit`."""
        counted = self._statistics.get(unit, LinkStatistics())
        return replace(counted, reconnects=max(0, self._connections - 1), stale=self._filter.stale)

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
        request: _Request | None = None
        try:
            while True:
                request = await self._queue.get()
                if not request.answer.cancelled():
                    await self._serve(request)
        finally:
            self._ended = True
            self._disconnect()
            if request is not None:
                _fail(request, DeviceSilent(self._label(request.unit), "the bus was stopped"))
            while not self._queue.empty():
                waiting = self._queue.get_nowait()
                _fail(waiting, DeviceSilent(self._label(waiting.unit), "the bus was stopped", sent=False))

    async def _ask(self, unit: int, address: int, count: int, values: tuple[int, ...] | None) -> tuple[int, ...]:
        if self._ended:
            raise DeviceSilent(self._label(unit), "the bus was stopped", sent=False)
        answer: asyncio.Future[tuple[int, ...]] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Request(unit, address, count, values, answer))
        return await answer

    async def _serve(self, request: _Request) -> None:
        try:
            registers = await self._exchange(request)
        except DeviceError as error:
            _fail(request, error)
        else:
            if not request.answer.done():
                request.answer.set_result(registers)

    async def _exchange(self, request: _Request) -> tuple[int, ...]:
        loop = asyncio.get_running_loop()
        label = self._label(request.unit)
        client = await self._connected(label)
        await self._keep_quiet()
        if self._broken(client):
            raise DeviceSilent(label, "the line broke", sent=False)
        self._count(request.unit, requests=1)
        self._filter.expect(request)
        sent = loop.time() + self._wire_seconds(request)
        try:
            if request.values is None:
                response = await client.read_holding_registers(
                    request.address, count=request.count, device_id=request.unit
                )
            else:
                response = await client.write_registers(request.address, list(request.values), device_id=request.unit)
        except (ModbusException, OSError) as error:
            heard = self._filter.heard
            self._count(request.unit, **({"bad_answers": 1} if heard else {"timeouts": 1}))
            self._quiet_until = sent + self._latency
            self._broken(client)
            raise DeviceSilent(label, "no fitting answer" if heard else "no answer") from error
        finally:
            self._filter.rest()
        self._quiet_until = loop.time() + self._gap
        if isinstance(response, ExceptionResponse):
            self._count(request.unit, exceptions=1)
            raise DeviceRefused(label, response.exception_code)
        fits = response.function_code == request.function and response.dev_id == request.unit
        if request.values is None:
            fits = fits and len(response.registers) == request.count
        else:
            fits = fits and (response.address, response.count) == (request.address, request.count)
        if not fits:
            self._count(request.unit, bad_answers=1)
            self._quiet_until = sent + self._latency
            raise DeviceSilent(label, "the answer does not fit the request")
        return tuple(response.registers) if request.values is None else ()

    async def _keep_quiet(self) -> None:
        """Wait until the line may be used: the gap between frames, or the end of a device's latency and of its last bytes."""
        loop = asyncio.get_running_loop()
        limit = self._quiet_until + self._latency
        while True:
            wait = min(max(self._quiet_until, self._filter.last_byte + self._gap), limit) - loop.time()
            if wait <= 0:
                return
            await asyncio.sleep(wait)
            await asyncio.sleep(0)  # bytes that came with the timer are read, and dropped, before the next request

    async def _connected(self, label: str) -> AsyncModbusSerialClient | AsyncModbusTcpClient:
        if self._client is not None and self._client.connected:
            return self._client
        self._disconnect()
        loop = asyncio.get_running_loop()
        if loop.time() < self._retry_at:
            raise DeviceSilent(label, f"{self._where()} is not connected", sent=False)
        client = self._new_client()
        try:
            connected = await client.connect()
        except (ModbusException, OSError, ValueError, termios.error):
            connected = False
        if not connected:
            client.close()
            self._retry_at = loop.time() + self._back_off
            self._back_off = min(2 * self._back_off, _LAST_BACK_OFF)
            raise DeviceSilent(label, f"{self._where()} cannot be opened", sent=False)
        await asyncio.sleep(0)  # the serial transport starts to read one turn later
        self._client = client
        self._connections += 1
        self._back_off = _FIRST_BACK_OFF
        self._retry_at = 0.0
        return client

    def _wire_seconds(self, request: _Request) -> float:
        """Time that the request itself takes on a serial line."""
        if not isinstance(self._settings, RtuSettings):
            return 0.0
        return (8 if request.values is None else 9 + 2 * request.count) * 10 / self._settings.baudrate

    def _new_client(self) -> AsyncModbusSerialClient | AsyncModbusTcpClient:
        match self._settings:
            case RtuSettings(port=port, baudrate=baudrate):
                return AsyncModbusSerialClient(
                    port,
                    framer=FramerType.RTU,
                    baudrate=baudrate,
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
        if self._client is not None:
            self._client.close()
            self._client = None
            self._retry_at = asyncio.get_running_loop().time() + _FIRST_BACK_OFF

    def _count(self, unit: int, **more: int) -> None:
        counted = self._statistics.get(unit, LinkStatistics())
        self._statistics[unit] = replace(
            counted, **{counter: getattr(counted, counter) + n for counter, n in more.items()}
        )

    def _label(self, unit: int) -> str:
        return f"{self._name} unit {unit}"

    def _where(self) -> str:
        match self._settings:
            case RtuSettings(port=port):
                return port
            case TcpSettings(host=host, port=number):
                return f"{host}:{number}"


class _AnswerFilter:
    """Shows pymodbus nothing but the one whole frame that answers the request in flight."""

    def __init__(self, *, rtu: bool) -> None:
        self._rtu = rtu
        self._expected: _Request | None = None
        self._transaction = b""
        self.heard = False
        self.stale = 0
        self.last_byte = 0.0

    def expect(self, request: _Request) -> None:
        self._expected = request
        self.heard = False

    def rest(self) -> None:
        self._expected = None

    def on_packet(self, sending: bool, data: bytes) -> bytes:
        """pymodbus' trace hook: `data` is the frame sent, or all that was received since; the return value replaces it."""
        if sending:
            self._transaction = data[:2]
            return data
        self.last_byte = asyncio.get_running_loop().time()
        if self._expected is None:
            self.stale += 1
            return b""
        self.heard = True
        return self._in_rtu(data, self._expected) if self._rtu else self._in_tcp(data, self._expected)

    def _in_rtu(self, data: bytes, request: _Request) -> bytes:
        for begin, length in _shapes(request):
            start = -1
            while (start := data.find(bytes((request.unit, *begin)), start + 1)) >= 0:
                frame = data[start : start + length + 3]
                if len(frame) == length + 3 and crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little"):
                    return frame
        return b""

    def _in_tcp(self, data: bytes, request: _Request) -> bytes:
        start = 0
        while len(data) >= start + 7:
            protocol, length, unit = struct.unpack_from(">HHB", data, start + 2)
            frame = data[start : start + 6 + length]
            if protocol != 0 or len(frame) < 6 + length:
                return b""
            fits = any(frame[7:].startswith(begin) and length - 1 == size for begin, size in _shapes(request))
            if frame[:2] == self._transaction and unit == request.unit and fits:
                return frame
            start += 6 + length
        return b""


def _shapes(request: _Request) -> tuple[tuple[bytes, int], ...]:
    """How the PDU of an answer may begin, and how long it then is: the result, or an exception."""
    if request.values is None:
        good = (bytes((_READ, 2 * request.count)), 2 + 2 * request.count)
    else:
        good = (struct.pack(">BHH", _WRITE, request.address, request.count), 5)
    return good, (bytes((request.function | _EXCEPTION,)), 2)


def _fail(request: _Request, error: DeviceError) -> None:
    if not request.answer.done():
        request.answer.set_exception(error)
