"""A bought card dispenser (Creator CRT-571/591-M, Mutek MTK-F3x) as a model that speaks bytes.

The module takes cards out of whatever stands in its stacker's place (here: the slot of the carousel at the picker), brings
them to the RF position (`Place.TRANSPORT`), to the gate (`EXIT`) or to its error bin (`RETRACT`). What moves, moves in the
`World`; what the module believes, it believes by its sensors and its memory. Where the documents are silent the model does
what is worst for the host: while a motor runs it hears nothing but EOT, EOT stops the motor where it is, and a card between
two positions is no card in the status, and often none for the sensors either.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random

from firmware_protocol import crt
from firmware_protocol.crt import (
    Bin,
    Card,
    Command,
    Control,
    Counter,
    CrtError,
    Done,
    Entry,
    ErrorCode,
    Initialise,
    Inquiry,
    Move,
    Refusal,
    Reply,
    Request,
    Stacker,
    Status,
)
from firmware_protocol.units import Opcode, UnitKind
from sim.firmware import Memory
from sim.mechanisms import SECONDS
from sim.motions import MotionLog
from sim.world import CAPACITY, Impossible, Place, World

Send = Callable[[bytes], None]
Sleep = Callable[[float], Awaitable[None]]

VERSION = b"SIM-CRT-V1.0"
_UNIT = UnitKind.DISPENSER
_LEAVES, _MIDWAY = 0.3, 0.6  # fractions of a motion at which its card leaves, and at which a jam stops it
_GAP = 0.05  # seconds of silence after which an unfinished frame is dropped
_SENSORS = 8
_GATE, _FRONT, _READER, _REAR, _STACKER, _BIN = 0, 1, 2, 3, 5, 6  # S1-S4, S6, S7

_POSITIONS = {"exit": Place.EXIT, "transport": Place.TRANSPORT}

_TARGETS = {
    Move.HOLD_AT_GATE: Place.EXIT,
    Move.EJECT: Place.EXIT,  # there is no floor to fall on
    Move.IC_POSITION: Place.TRANSPORT,
    Move.RF_POSITION: Place.TRANSPORT,
    Move.ERROR_BIN: Place.RETRACT,
}
_ON_INITIALISE = {
    Initialise.TO_GATE: Place.EXIT,
    Initialise.TO_GATE_COUNTING: Place.EXIT,
    Initialise.CAPTURE: Place.RETRACT,
    Initialise.CAPTURE_COUNTING: Place.RETRACT,
}
_COUNTING = frozenset({Initialise.TO_GATE_COUNTING, Initialise.CAPTURE_COUNTING, Initialise.LEAVE_COUNTING})
_NAMES: dict[tuple[Place | None, Place], Opcode] = {
    (Place.TRANSPORT, Place.EXIT): Opcode.PRESENT,
    (Place.TRANSPORT, Place.RETRACT): Opcode.CAPTURE,
    (Place.EXIT, Place.TRANSPORT): Opcode.RETRACT,
    (Place.EXIT, Place.RETRACT): Opcode.CAPTURE,
}


class Failed(Exception):
    """The module gave a command up; `code` is what it answers."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code.name)
        self.code = code


class CrtDispenser:
    """One module. It is off until `power_on`, and moves nothing unless `run` is running.

    `sleep` and `clock` (seconds) are time, `random` decides which sensor sees a card on its way, `changed` is called after
    each change of the world, `memory` outlives power. `advance` is called when a card has left the stacker (a hopper lets
    the next one fall). `hear` and `say` may spoil what comes and goes: bytes in, bytes out.
    """

    def __init__(
        self,
        world: World,
        log: MotionLog,
        memory: Memory,
        *,
        random: Random,
        changed: Callable[[], None] = lambda: None,
        advance: Callable[[], None] = lambda: None,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        speed: float = 1.0,
        address: int = 0,
    ) -> None:
        self.world = world
        self.hear: Callable[[bytes], bytes] = lambda data: data
        self.say: Callable[[bytes], bytes] = lambda data: data
        self._log = log
        self._memory = memory
        self._random = random
        self._changed = changed
        self._advance = advance
        self._sleep = sleep
        self._clock = clock
        self._speed = speed
        self._address = address
        self._parser = crt.request_parser()
        self._heard_at = clock()
        self._on_the_way: int | None = None  # sensor that sees the card between two positions
        self.carried = 0  # cards that a motor pulled out of their place
        self.latest: tuple[Place | None, Place, int | None] | None = None  # of the last one: whence, where to, its slot
        self._powered = False
        self._group: asyncio.TaskGroup | None = None
        self._work: asyncio.Task[None] | None = None
        self._forget()

    def _forget(self) -> None:
        self._initialised = False
        self._counting = False
        self._entry = Entry.FORBID
        self._left: Place | None = None  # where the module believes its card
        self._last = b""

    # Power and time

    @property
    def counted(self) -> int:
        """The error bin's counter; outlives power."""
        return self._memory.load().get("counted", 0)

    @property
    def powered(self) -> bool:
        """Whether it is switched on."""
        return self._powered

    @property
    def moving(self) -> bool:
        """Whether a motor runs."""
        return self._work is not None

    def power_on(self) -> None:
        """Boot: everything but INITIALISE is refused until that came."""
        self._powered = True
        self._forget()

    def power_off(self) -> None:
        """Cut the power: a running motion stops where it is."""
        self._powered = False
        self._stop()

    async def run(self) -> None:
        """Own the motions until cancelled; its end is a power cut."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None
            self.power_off()

    def _stop(self) -> None:
        if self._work is not None:
            self._work.cancel()
            self._work = None

    # The line

    def handle(self, data: bytes, send: Send) -> None:
        """Take bytes from the host in any split; answers by `send`, now and when a motion has ended."""
        if not self._powered or self._group is None:
            return
        now = self._clock()
        if now - self._heard_at > _GAP:
            self._parser.flush()
        self._heard_at = now
        bad_before = self._parser.bad_frames
        for frame in self._parser.feed(self.hear(data)):
            self._on_frame(frame, send)
        if self._parser.bad_frames > bad_before and not self.moving:
            self._send(bytes([Control.NAK]), send)

    def _on_frame(self, frame: Request | Control, send: Send) -> None:
        if not self._powered:
            return
        match frame:
            case Control.EOT:
                self._stop()
                self._send(bytes([Control.EOT]), send)
            case Control.NAK if self._last and not self.moving:
                self._send(self._last, send)
            case Request(address=self._address) if not self.moving:
                self._send(bytes([Control.ACK]), send)
                if frame.cm in {Command.MOVE, Command.INITIALISE} and self._group is not None:
                    self._work = self._group.create_task(self._carry_out(frame, send))
                else:
                    self._respond(self._answer(frame), send)

    async def _carry_out(self, request: Request, send: Send) -> None:
        try:
            reply: Reply = await self._motion(request)
        except Failed as failed:
            reply = Refusal(request.cm, request.pm, failed.code, address=self._address)
        self._work = None
        self._respond(reply, send)

    def _respond(self, reply: Reply, send: Send) -> None:
        self._last = reply.to_bytes()
        self._send(self._last, send)

    def _send(self, data: bytes, send: Send) -> None:
        spoiled = self.say(data)
        if spoiled:
            send(spoiled)

    # What it answers at once

    def _answer(self, request: Request) -> Reply:
        match request.cm, request.pm:
            case _ if not self._initialised:
                return self._refused(request, ErrorCode.NOT_RESET)
            case Command.STATUS, Inquiry.STATUS:
                return self._done(request)
            case Command.STATUS, Inquiry.SENSORS:
                return self._done(request, self._sensors())
            case Command.BIN_COUNTER, Counter.READ:
                return self._done(request, crt.encode_count(self.counted))
            case Command.BIN_COUNTER, Counter.SET:
                try:
                    self._memory.save({"counted": crt.decode_count(request.data)})
                except CrtError:
                    return self._refused(request, ErrorCode.DATA)
                return self._done(request)
            case Command.ENTRY, (Entry.ALLOW | Entry.FORBID) as entry:
                self._entry = Entry(entry)
                return self._done(request)
            case Command.VERSION, _:
                return self._done(request, VERSION)
            case ((Command.STATUS | Command.BIN_COUNTER | Command.ENTRY), _):
                return self._refused(request, ErrorCode.PARAMETER)
        return self._refused(request, ErrorCode.UNDEFINED_COMMAND)

    def _done(self, request: Request, data: bytes = b"") -> Done:
        return Done(request.cm, request.pm, self._status().to_bytes(), data, self._address)

    def _refused(self, request: Request, code: ErrorCode) -> Refusal:
        return Refusal(request.cm, request.pm, code, address=self._address)

    def _status(self) -> Status:
        card = {Place.EXIT: Card.GATE, Place.TRANSPORT: Card.READER, None: Card.NONE}[self._position()]
        stacked, full = self.sees("slot"), self.sees("retract_full")
        return Status(card, Stacker.FEW if stacked else Stacker.EMPTY, Bin.FULL if full else Bin.OK)

    def sees(self, sensor: str) -> bool:
        """Level of a sensor, by the name that the board's has (False where the module has none); one may be stuck.

        Where both have one they are stuck together, which is worse than one of them alone: nothing contradicts it.
        """
        world = self.world
        match sensor:
            case "exit" | "transport":
                level = world.card_at(_POSITIONS[sensor]) is not None
            case "slot":
                level = world.aligned is not None and world.card_in_slot(world.aligned) is not None
            case "retract_full":
                level = len(world.spots.at(Place.RETRACT)) >= CAPACITY[Place.RETRACT]
            case _:
                return False
        return world.stuck.get(sensor, level)

    def _sensors(self) -> bytes:
        status = self._status()
        seen = {
            _GATE: status.card is Card.GATE,
            _READER: status.card is Card.READER,
            _STACKER: status.stacker is not Stacker.EMPTY,
            _BIN: status.bin is Bin.FULL,
        }
        if self._on_the_way is not None and self.world.card_between(_UNIT) is not None:
            seen[self._on_the_way] = True
        return "".join("1" if seen.get(index) else "0" for index in range(_SENSORS)).encode("ascii")

    def _position(self) -> Place | None:
        """Where the position sensors see a card."""
        return next((place for sensor, place in _POSITIONS.items() if self.sees(sensor)), None)

    # What it does

    async def _motion(self, request: Request) -> Done:
        if request.cm == Command.INITIALISE:
            return await self._initialise(request)
        if not self._initialised:
            raise Failed(ErrorCode.NOT_RESET)
        target = _TARGETS.get(Move(request.pm)) if request.pm in set(Move) else None
        if target is None:
            raise Failed(ErrorCode.PARAMETER)
        origin = self._position()
        taken = self._left is Place.EXIT and origin is None
        if origin is not self._left and not taken:
            raise Failed(ErrorCode.MOVED_BY_HAND)
        self._left = origin
        if origin is not target:
            await self._carry(origin or Place.SLOT, target)
        return self._done(request)

    async def _initialise(self, request: Request) -> Done:
        if request.pm not in set(Initialise):
            raise Failed(ErrorCode.PARAMETER)
        self._entry = Entry.FORBID
        if _UNIT in self.world.jammed:
            raise Failed(ErrorCode.JAM)
        self._initialised = True
        self._counting = request.pm in _COUNTING
        await self._pass(SECONDS[Opcode.RESET])
        target = _ON_INITIALISE.get(Initialise(request.pm))
        origin = self._position()
        self._left = origin
        if target is not None and (origin not in {None, target} or self.world.card_between(_UNIT)):
            await self._carry(origin, target)
        return self._done(request, VERSION)

    async def _carry(self, origin: Place | None, target: Place) -> None:
        """Move one card; `origin` None is the card that is on its way already."""
        opcode = Opcode.PICK if origin is Place.SLOT else _NAMES.get((origin, target), Opcode.RESET)
        with self._log.running(_UNIT.name.lower(), opcode.name.lower()):
            try:
                await self._drive(opcode, origin, target)
            finally:
                self._changed()

    async def _drive(self, opcode: Opcode, origin: Place | None, target: Place) -> None:
        world, seconds = self.world, SECONDS[opcode]
        slot = world.aligned if origin is Place.SLOT else None
        if _UNIT in world.jammed:
            raise Failed(ErrorCode.JAM)
        if origin is Place.SLOT and not self.sees("slot"):
            raise Failed(ErrorCode.STACKER_EMPTY)
        if target is Place.RETRACT and self.sees("retract_full"):
            raise Failed(ErrorCode.BIN_FULL)
        await self._pass(seconds * _LEAVES)
        try:
            if origin is not None:
                if origin is Place.SLOT and (slot is None or world.card_in_slot(slot) is None):
                    raise Failed(ErrorCode.STACKER_EMPTY)  # its sensor lied
                if origin is not Place.SLOT and world.card_at(origin) is None:
                    raise Failed(ErrorCode.MOVED_BY_HAND)  # a hand was quicker than the rollers, or a sensor lied
                world.leave(_UNIT, origin, slot)
                self.carried += 1
                self.latest = (origin, target, slot)
                self._on_the_way = self._random.choice((_FRONT, _REAR, None))
                self._changed()
            await self._pass(seconds * (_MIDWAY - _LEAVES))
            self._may_jam(opcode)
            await self._pass(seconds * (1 - _MIDWAY))
            world.arrive(_UNIT, target)
        except Impossible as error:
            world.jammed.add(_UNIT)
            raise Failed(ErrorCode.JAM) from error
        self._left = self._position()
        world.gate_open = target is Place.EXIT
        if origin is Place.SLOT:
            self._advance()
        if target is Place.RETRACT and self._counting:
            self._count()
        if self._left is not target and target is not Place.RETRACT:
            raise Failed(ErrorCode.SENSOR)  # which did not tell the motor to stop

    def _count(self) -> None:
        if self.counted >= 999:
            raise Failed(ErrorCode.COUNTER_OVERFLOW)
        self._memory.save({"counted": self.counted + 1})

    def _may_jam(self, opcode: Opcode) -> None:
        armed = self.world.armed
        if armed.get(_UNIT.name.lower()) == opcode.name.lower():
            del armed[_UNIT.name.lower()]
            self.world.jammed.add(_UNIT)
            raise Failed(ErrorCode.JAM)

    async def _pass(self, seconds: float) -> None:
        await self._sleep(seconds / self._speed)
