"""One module of the CRT/MTK family on its line: reads that are believed when they agree, and moves that are sent once.

The BCC is one XOR byte, which a burst can satisfy, so nothing is believed for a single answer: a look is two equal rounds
of status, sensors and counter. While a motor may run nothing is written but the move itself; the line is cleared with EOT
only when the motion's time is over, because EOT stops the motor where it is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from firmware_protocol import crt
from firmware_protocol.crt import (
    Bin,
    Card,
    Command,
    Control,
    CrtError,
    Done,
    ErrorCode,
    Refusal,
    Reply,
    Request,
    Stacker,
)
from lockerd.devices.serial_line import Line, OpenLine, Reopened
from lockerd.errors import DeviceError

_log = structlog.get_logger()

_CHUNK = 1024
_READS = 3  # tries of one request that only asks
_ROUNDS = 5  # of a look, until two in a row agree
_INITIALISES = 2
_MOST_STALE_CHUNKS = 64


@dataclass(frozen=True, slots=True)
class Timing:
    """Time-outs in seconds. `answer` bounds a reply that needs no motor; `motion` a motion or initialisation.

    `quiet` is how long the answer to EOT may take.
    """

    answer: float = 1.0
    motion: float = crt.RESPONSE_SECONDS
    quiet: float = crt.ACK_SECONDS
    first_pause: float = 0.25
    longest_pause: float = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What the module says of itself. `covered`: a channel sensor sees something although the status knows no card.

    `stacked`: a card lies in the slot at the picker, where this module's stacker would be. `counted`: cards in the error bin.
    """

    card: Card
    stacked: bool
    bin_full: bool
    counted: int
    covered: bool


Look = Seen | ErrorCode | str
"""What a look brings: the state, or the error with which the module refuses to tell (NOT_RESET after its power was cut)."""


class CrtModule:
    """The host's side of the line; one caller at a time."""

    def __init__(self, name: str, open_line: OpenLine, timing: Timing | None = None, *, address: int = 0) -> None:
        self._name = name
        self._timing = timing = timing or Timing()
        self._wire = Reopened(name, open_line, first_pause=timing.first_pause, longest_pause=timing.longest_pause)
        self._address = address
        self._parser = crt.reply_parser()

    @property
    def name(self) -> str:
        """The module's name in messages."""
        return self._name

    async def look(self) -> Look:
        """Ask for state, sensors and counter until two rounds agree; moves nothing. Raises DeviceError."""
        last: Look | None = None
        doubt = DeviceError(self._name, "gives answers that do not agree")
        for _ in range(_ROUNDS):
            try:
                now = await self._round()
            except CrtError as error:
                doubt, now = DeviceError(self._name, f"answers what it may not: {error}"), None
            if now is not None and now == last:
                return now
            last = now
        raise doubt

    async def initialise(self) -> Refusal | None:
        """Have errors cleared, entry forbidden and the bin counted; a card inside stays where it is. Returns a refusal.

        Sent again on silence: with this parameter it carries no card. Raises DeviceError.
        """
        for _ in range(_INITIALISES):
            reply = await self._ask(Request(Command.INITIALISE, crt.Initialise.LEAVE_COUNTING), self._timing.motion)
            if reply is not None:
                return reply if isinstance(reply, Refusal) else None
            await self._clear()
        raise DeviceError(self._name, "does not initialise")

    async def move(self, move: crt.Move) -> Reply | None:
        """Send one move, once, and wait for its response; None when the time was over or the line gone. Never raises.

        The ACK decides nothing: it may be lost while the motor runs, and its absence is no proof that it does not. So
        without a response nothing more is said to the module until the motion's time is over.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timing.motion
        try:
            reply = await self._ask(Request(Command.MOVE, move), self._timing.motion)
            if reply is None:
                await self._clear()
        except DeviceError as error:
            _log.warning("move without response", device=self._name, error=str(error))
            await asyncio.sleep(max(0.0, end - loop.time()))
            return None
        return reply

    async def zero_counter(self) -> None:
        """Set the bin counter back to 0; whether it was, the next look tells. Moves nothing. Raises DeviceError."""
        await self._read(Request(Command.BIN_COUNTER, crt.Counter.SET, crt.encode_count(0)))

    async def let_finish(self) -> None:
        """Wait until a motion that somebody else began is surely over: its response, or its time. Raises DeviceError."""
        line = await self._wire.line()
        await self._response(line, None, self._timing.motion)

    def close(self) -> None:
        """Release the line; the next call opens it again."""
        self._wire.close()

    async def _round(self) -> Look:
        """Status, sensors and counter, each asked once. Raises DeviceError, CrtError."""
        seen = await self._read(Request(Command.STATUS, crt.Inquiry.SENSORS))
        if isinstance(seen, Refusal):
            return seen.code
        counted = await self._read(Request(Command.BIN_COUNTER, crt.Counter.READ))
        if isinstance(counted, Refusal):
            return counted.code
        status = crt.decode_status(seen.status)
        sensors = crt.decode_sensors(seen.data)
        channel = any(sensors[index] for index in crt.CHANNEL_SENSORS)
        return Seen(
            card=status.card,
            stacked=status.stacker is not Stacker.EMPTY,
            bin_full=status.bin is Bin.FULL,
            counted=crt.decode_count(counted.data),
            covered=channel and status.card is Card.NONE,
        )

    async def _read(self, request: Request) -> Reply:
        """A request that only asks, tried again on silence and garbage. Raises DeviceError."""
        for _ in range(_READS):
            reply = await self._ask(request, self._timing.answer)
            if reply is not None:
                return reply
            await self._clear()
        self._wire.lose()
        raise DeviceError(self._name, "does not answer")

    async def _ask(self, request: Request, timeout: float) -> Reply | None:
        """Send one request once and wait for the reply to it; None when none came. Raises DeviceError for the line."""
        line = await self._wire.line()
        try:
            await self._drain(line)
            await line.write(
                Request(request.cm, request.pm, request.data, self._address).to_bytes(), self._timing.answer
            )
            reply = await self._response(line, request, timeout)
        except DeviceError:
            self._wire.lose()
            raise
        if reply is not None:
            self._wire.answered()
        return reply

    async def _response(self, line: Line, request: Request | None, timeout: float) -> Reply | None:
        """The reply to `request` (None: to anything), acknowledged; None when none came within `timeout` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while (left := deadline - loop.time()) > 0:
            chunk = await line.read(_CHUNK, min(left, self._timing.answer))
            for frame in self._parser.feed(chunk) if chunk else self._parser.flush():
                if isinstance(frame, Done | Refusal) and self._answers(frame, request):
                    await line.write(bytes([Control.ACK]), self._timing.answer)
                    return frame
        return None

    def _answers(self, reply: Reply, request: Request | None) -> bool:
        if reply.address != self._address:
            return False
        return request is None or (reply.cm, reply.pm) == (request.cm, request.pm)

    async def _clear(self) -> None:
        """Clear the line with EOT; whether it was heard, the next answer tells. Raises DeviceError for the line."""
        line = await self._wire.line()
        try:
            await line.write(bytes([Control.EOT]), self._timing.answer)
            await line.read(_CHUNK, self._timing.quiet)
            await self._drain(line)
        except DeviceError:
            self._wire.lose()
            raise

    async def _drain(self, line: Line) -> None:
        """Drop what a former request left behind: its late answer must not be taken for the next one's."""
        for _ in range(_MOST_STALE_CHUNKS):
            chunk = await line.read(_CHUNK, 0)
            if not chunk:
                break
            self._parser.feed(chunk)
        self._parser.flush()
