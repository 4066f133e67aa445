"""Firmware of one unit as a model that speaks registers: mailbox, non-volatile memory, taken detection, interlocks.

The mechanics are handed in as a `Mechanism`; what the unit knows, it knows from sensors and from its own memory only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import asdict, replace

from firmware_protocol.blocks import (
    COMMAND_ADDRESS,
    IDENTITY_ADDRESS,
    IDENTITY_COUNT,
    STATUS_ADDRESS,
    STATUS_COUNT,
    IdentityBlock,
    StatusBlock,
)
from firmware_protocol.mailbox import ExceptionCode, Verdict, judge
from firmware_protocol.units import CARRIERS, PATH, RULES, Fault, Opcode, Position, Result, Sensor, State, UnitKind


class Mechanism(Protocol):
    """The mechanics under a firmware: what its sensors see, and what its motors do."""

    def sensors(self) -> int:
        """Level of every sensor now: bits of `Sensor`."""

    def slot(self) -> int:
        """Slot that stands at the picker, or NO_SLOT."""

    def detail(self) -> tuple[int, ...]:
        """DETAIL_COUNT registers with the meaning that `firmware_protocol.blocks` gives for the unit's kind."""

    def at_once(self, opcode: Opcode, arg0: int) -> Fault | None:
        """Do a command that takes no time, Fault.NONE when it is done; None for a motion, which is to be performed."""

    async def perform(self, opcode: Opcode, arg0: int, step: Callable[[int], None]) -> Fault:
        """Move until done (Fault.NONE) or given up; `step` reports sub-steps. Cancelled when the power is cut."""


class Memory(Protocol):
    """Non-volatile memory of one unit; what `save` took is what `load` gives, also after a power cut."""

    def load(self) -> Mapping[str, int]:
        """The last saved record; empty in a unit that was never switched on."""

    def save(self, record: Mapping[str, int]) -> None:
        """Make the record durable before returning."""


class Record(msgspec.Struct, frozen=True):
    """What the firmware keeps through a power cut; all integers.

    `carried`: a card is in the path, as far as the firmware caused it. `held`: a card is held for a hand at EXIT or, after
    RETURN, at THROAT. `returning`: a RETURN was begun and its card has not been seen to leave the throat.
    """

    accepted_seq: int = 0
    opcode: int = 0
    arg0: int = 0
    done_seq: int = 0
    done_opcode: int = 0
    done_arg0: int = 0
    result: int = Result.NONE
    fault: int = Fault.NONE
    dispensed: int = 0
    retained: int = 0
    carried: int = 0
    held: int = 0
    returning: int = 0


# Sensor bits as plain numbers: they are asked for at each look, and a flag's arithmetic takes many times as long.
_THROAT, _EXIT, _TRANSPORT = int(Sensor.THROAT), int(Sensor.EXIT), int(Sensor.TRANSPORT)
_ESCROW, _SLOT = int(Sensor.ESCROW), int(Sensor.SLOT)
_INSIDE = _TRANSPORT | _EXIT | _ESCROW
_PATH: dict[UnitKind, tuple[tuple[int, Position], ...]] = {
    UnitKind.DISPENSER: ((_TRANSPORT, Position.TRANSPORT), (_EXIT, Position.EXIT)),
    UnitKind.RECYCLER: ((_THROAT, Position.THROAT), (_ESCROW, Position.ESCROW)),
    UnitKind.CABINET: (),
}
_INTERLOCKS = {
    opcode: tuple((int(present), int(absent), fault) for present, absent, fault in rule.interlocks)
    for opcode, rule in RULES.items()
}
_RETAINING = frozenset({Opcode.CAPTURE, Opcode.RETAIN})
_HANDING_OUT = frozenset({Opcode.PRESENT, Opcode.RETURN})
_NOT_BEGUN = frozenset({Fault.NO_CARD, Fault.SLOT_EMPTY})


class UnitFirmware:
    """One unit on the bus: answers reads and writes of registers, and moves its mechanism at most once per command.

    It is switched off until `power_on`, and answers nobody (`silent`) unless it is on and `run` is running.
    """

    def __init__(
        self, identity: IdentityBlock, mechanism: Mechanism, memory: Memory, *, poll_interval: float = 0.05
    ) -> None:
        self._identity = identity
        self._mechanism = mechanism
        self._memory = memory
        self._poll_interval = poll_interval
        self._record = Record()
        self._powered = False
        self._muted = False
        self._boot_id = 0
        self._state = State.READY
        self._step = 0
        self._told: tuple[object, ...] = ()  # what the `_registers` say
        self._registers: list[int] = []
        self._group: asyncio.TaskGroup | None = None
        self._motion: asyncio.Task[None] | None = None

    @property
    def powered(self) -> bool:
        """Whether the unit has power."""
        return self._powered

    @property
    def record(self) -> Record:
        """What the non-volatile memory holds, as far as the firmware has read it since it was switched on."""
        return self._record

    @property
    def silent(self) -> bool:
        """Whether the unit answers nothing: no power, a broken line, or its program does not run."""
        return not self._powered or self._muted or self._group is None

    @property
    def moving(self) -> bool:
        """Whether a motion runs."""
        return self._powered and self._state is State.RUNNING

    def mute(self, muted: bool) -> None:
        """Break or mend the unit's line to the bus; motions go on."""
        self._muted = muted

    def power_on(self, boot_id: int) -> None:
        """Boot with a new `boot_id` (32 bits): INTERRUPTED if a command was begun and not finished; nothing is resumed."""
        if self._powered:
            return
        self._record = Record(**self._memory.load())
        self._boot_id = boot_id
        self._step = 0
        self._powered = True
        finished = self._record.accepted_seq == self._record.done_seq
        self._state = State.READY if finished else State.INTERRUPTED
        sensors = self._mechanism.sensors()
        if sensors & _THROAT and not sensors & _ESCROW and not self._record.returning:
            self._keep(
                replace(self._record, carried=0)
            )  # a card in the throat is still in reach of the hand that gave it
        self.poll()

    def power_off(self) -> None:
        """Cut the power: a running motion stops where it is, nothing more is remembered."""
        self._powered = False
        if self._motion is not None:
            self._motion.cancel()
            self._motion = None

    async def run(self) -> None:
        """Poll the sensors and own the motion until cancelled; its end is a power cut for the unit."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                while True:
                    self.poll()
                    await asyncio.sleep(self._poll_interval)
        finally:
            self._group = None
            self.power_off()

    def poll(self) -> None:
        """Look at the hand's places: a held card that is there no more, while nothing moves, was taken."""
        if self._powered and self._state is not State.RUNNING:
            self._note_hand(self._mechanism.sensors())

    def _note_hand(self, sensors: int) -> None:
        record = self._look(sensors)
        if record is not self._record:
            self._keep(record)

    def _look(self, sensors: int) -> Record:
        record = self._record
        throat = bool(sensors & _THROAT)
        held = bool(sensors & _EXIT) or (throat and bool(record.returning))
        if record.held and not held:
            record = replace(record, held=0, carried=int(bool(sensors & _INSIDE)), dispensed=record.dispensed + 1)
        elif held and not record.held:
            record = replace(record, held=1)
        if record.returning and not throat and self._state is State.READY:
            record = replace(record, returning=0)
        return record

    def read(self, address: int, count: int) -> list[int] | ExceptionCode:
        """Holding registers from one block, or the exception to answer with."""
        if address >= STATUS_ADDRESS and address + count <= STATUS_ADDRESS + STATUS_COUNT:
            return self._status()[address - STATUS_ADDRESS : address - STATUS_ADDRESS + count]
        if address >= IDENTITY_ADDRESS and address + count <= IDENTITY_ADDRESS + IDENTITY_COUNT:
            return self._identity.to_registers()[address - IDENTITY_ADDRESS : address - IDENTITY_ADDRESS + count]
        return ExceptionCode.ILLEGAL_DATA_ADDRESS

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        """Take a command block; None acknowledges it. The motion, if any, begins after its record is durable."""
        if address != COMMAND_ADDRESS:
            return ExceptionCode.ILLEGAL_DATA_ADDRESS
        if self._group is None or not self._powered:
            return ExceptionCode.SERVER_DEVICE_FAILURE
        sensors = self._mechanism.sensors()
        if self._state is not State.RUNNING:
            self._note_hand(sensors)
        judgement = judge(
            values,
            kind=self._identity.kind,
            capacity=self._identity.capacity,
            boot_id=self._boot_id,
            accepted_seq=self._record.accepted_seq,
            state=self._state,
        )
        if judgement.verdict is not Verdict.ACCEPT or judgement.command is None:
            return judgement.verdict.exception
        command = judgement.command
        opcode = Opcode(command.opcode)
        fault = self._interlock(opcode, sensors)
        held = bool(self._record.held)
        changed = {"accepted_seq": command.seq, "opcode": command.opcode, "arg0": command.arg0}
        if fault is Fault.NONE and opcode in CARRIERS:
            changed.update(carried=1, held=0, returning=int(opcode is Opcode.RETURN))
        self._keep(replace(self._record, **changed))
        self._step = 0
        ended = self._mechanism.at_once(opcode, command.arg0) if fault is Fault.NONE else None
        if ended is not None:
            self._end(opcode, command.arg0, ended, begun=True, held=held)
            return None
        self._state = State.RUNNING
        self._motion = self._group.create_task(self._move(opcode, command.arg0, fault, held=held))
        return None

    async def _move(self, opcode: Opcode, arg0: int, fault: Fault, *, held: bool) -> None:
        begun = fault is Fault.NONE
        if begun:
            fault = await self._mechanism.perform(opcode, arg0, self._on_step)
        self._end(opcode, arg0, fault, begun=begun, held=held)

    def _end(self, opcode: Opcode, arg0: int, fault: Fault, *, begun: bool, held: bool) -> None:
        record = self._record
        sensors = self._mechanism.sensors()
        changed: dict[str, int] = {
            "done_seq": record.accepted_seq,
            "done_opcode": int(opcode),
            "done_arg0": arg0,
            "result": int(Result.DONE if fault is Fault.NONE else Result.FAULT),
            "fault": int(fault),
        }
        if begun:
            changed["carried"] = int(self._still_carried(opcode, arg0, fault, sensors))
        if begun and held and fault is Fault.NO_CARD:
            # It stood within reach when the command came and was gone when the rollers gripped: a hand has it.
            changed.update(carried=0, returning=0, dispensed=record.dispensed + 1)
        if fault is Fault.NONE and opcode in _RETAINING:
            changed["retained"] = record.retained + 1
        if fault is Fault.NONE and opcode in _HANDING_OUT:
            changed["held"] = 1  # a hand may have been quicker than the end of the motion
        self._keep(replace(record, **changed))
        self._state = State.READY
        self._motion = None
        self._note_hand(sensors)

    def _still_carried(self, opcode: Opcode, arg0: int, fault: Fault, sensors: int) -> bool:
        """Whether a card is in the path after a motion: seen there, or begun and seen nowhere."""
        if sensors & _INSIDE or (sensors & _THROAT and self._record.returning):
            return True
        if opcode is Opcode.RESET:
            # Homing runs the whole path; what it leaves unseen is not in the path.
            return False if fault is Fault.NONE else bool(self._record.carried)
        if opcode not in CARRIERS:
            return bool(self._record.carried)
        if fault is Fault.NONE:
            return CARRIERS[opcode][1] in PATH
        if opcode is Opcode.PICK and sensors & _SLOT and self._mechanism.slot() == arg0:
            return False
        if opcode is Opcode.ACCEPT and sensors & _THROAT:
            return False
        return not (fault in _NOT_BEGUN and opcode in {Opcode.PICK, Opcode.LOAD})

    def _interlock(self, opcode: Opcode, sensors: int) -> Fault:
        """Why the sensors forbid the motion; Fault.NONE when they allow it."""
        for present, absent, fault in _INTERLOCKS[opcode]:
            if sensors & present != present or sensors & absent:
                return fault
        if opcode in CARRIERS and self._position(sensors) is Position.UNKNOWN:
            return Fault.SENSOR
        return Fault.NONE

    def _position(self, sensors: int) -> Position:
        seen = [position for sensor, position in _PATH[self._identity.kind] if sensors & sensor]
        match len(seen):
            case 0:
                return Position.UNKNOWN if self._record.carried else Position.NONE
            case 1:
                return seen[0]
            case _:
                return Position.UNKNOWN

    def _on_step(self, step: int) -> None:
        self._step = step & 0xFFFF

    def _keep(self, record: Record) -> None:
        if record != self._record:
            self._memory.save(asdict(record))
            self._record = record

    def _status(self) -> list[int]:
        sensors = self._mechanism.sensors()
        if self._powered and self._state is not State.RUNNING:
            self._note_hand(sensors)
        record = self._record
        slot = self._mechanism.slot()
        detail = self._mechanism.detail()
        told = (self._boot_id, self._state, self._step, slot, sensors, detail, record)
        if told != self._told:
            self._registers = StatusBlock(
                boot_id=self._boot_id,
                state=self._state,
                accepted_seq=record.accepted_seq,
                done_seq=record.done_seq,
                done_opcode=record.done_opcode,
                result=Result(record.result),
                step=self._step,
                position=self._position(sensors),
                slot=slot,
                sensors=Sensor(sensors),
                fault=Fault(record.fault),
                dispensed=record.dispensed,
                retained=record.retained,
                detail=detail,
                accepted_opcode=record.opcode,
                accepted_arg0=record.arg0,
                done_arg0=record.done_arg0,
            ).to_registers()
            self._told = told
        return self._registers
