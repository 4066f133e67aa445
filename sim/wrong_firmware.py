"""Firmwares that are wrong on purpose: each is `UnitFirmware` with one thing spoiled; the right model knows nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from firmware_protocol.blocks import (
    COMMAND_ADDRESS,
    COMMAND_COUNT,
    STATUS_ADDRESS,
    STATUS_COUNT,
    BlockError,
    CommandBlock,
    StatusBlock,
)
from firmware_protocol.crc import crc16_of_registers
from firmware_protocol.mailbox import ExceptionCode, next_seq
from firmware_protocol.units import OPCODES, RULES, SLOT_OPCODES, Fault, Opcode, Result, State
from sim.firmware import Record, UnitFirmware

_STALE_SECONDS = 0.4
_BOOT_SECONDS = 6.0


def _decoded(address: int, values: Sequence[int]) -> CommandBlock | None:
    if address != COMMAND_ADDRESS:
        return None
    try:
        return CommandBlock.from_registers(values)
    except BlockError:
        return None


def _resealed(values: Sequence[int]) -> list[int]:
    return [*values[:-1], crc16_of_registers(values[:-1])]


class _Editing(UnitFirmware):
    """Edits a decodable command before the rule sees it."""

    def edit(self, command: CommandBlock) -> CommandBlock:
        """The command that the rule gets."""
        raise NotImplementedError

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        command = _decoded(address, values)
        return super().write(address, values if command is None else self.edit(command).to_registers())


class AcceptsBadCrc(UnitFirmware):
    """Never looks at the CRC of a command block."""

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        whole = address == COMMAND_ADDRESS and len(values) == COMMAND_COUNT
        return super().write(address, _resealed(values) if whole else values)


class AcceptsForeignVersion(UnitFirmware):
    """Looks at neither magic nor version."""

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        if address == COMMAND_ADDRESS and len(values) == COMMAND_COUNT:
            good = CommandBlock(0, 0, 0).to_registers()
            if crc16_of_registers(values[:-1]) == values[-1]:
                values = _resealed([*good[:2], *values[2:]])
        return super().write(address, values)


class ExecutesRepeat(UnitFirmware):
    """Takes the accepted sequence number for a new one."""

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        command = _decoded(address, values)
        repeated = command is not None and command.seq == self._record.accepted_seq
        if command and repeated and command.boot_id == self._boot_id and self._state is State.READY:
            self._record = msgspec.structs.replace(self._record, accepted_seq=command.seq - 1)
        return super().write(address, values)


class RefusesRepeat(UnitFirmware):
    """Holds a repeated sequence number for one out of order."""

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        command = _decoded(address, values)
        if command and command.seq == self._record.accepted_seq:
            return ExceptionCode.SERVER_DEVICE_BUSY
        return super().write(address, values)


class BootIdBeforeRepeat(UnitFirmware):
    """Looks at the boot id before it looks for a repetition."""

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        command = _decoded(address, values)
        if command and command.boot_id != self._boot_id:
            return ExceptionCode.SERVER_DEVICE_FAILURE
        return super().write(address, values)


class IgnoresBootId(_Editing):
    """Never looks at the boot id."""

    def edit(self, command: CommandBlock) -> CommandBlock:
        return replace(command, boot_id=self._boot_id)


class SkipsOrder(UnitFirmware):
    """Takes any sequence number but the accepted one."""

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        command = _decoded(address, values)
        if command and command.boot_id == self._boot_id and self._state is State.READY:
            accepted = self._record.accepted_seq
            if command.seq not in {accepted, next_seq(accepted)}:
                self._record = msgspec.structs.replace(self._record, accepted_seq=command.seq - 1)
        return super().write(address, values)


class NoBusyRefusal(UnitFirmware):
    """Drops the running motion for the next command."""

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        command = _decoded(address, values)
        following = command is not None and command.seq == next_seq(self._record.accepted_seq)
        if following and self._state is State.RUNNING and self._motion is not None:
            self._motion.cancel()
            self._state = State.READY
        return super().write(address, values)


class AcceptsBadSlot(_Editing):
    """Takes a slot beyond the capacity, and turns on."""

    def edit(self, command: CommandBlock) -> CommandBlock:
        capacity = self._identity.capacity
        slotted = command.opcode in SLOT_OPCODES and capacity > 0
        return replace(command, arg0=command.arg0 % capacity) if slotted else command


class AcceptsBadArgument(_Editing):
    """Takes any argument and makes the highest of it that there is."""

    def edit(self, command: CommandBlock) -> CommandBlock:
        known = command.opcode in OPCODES[self._identity.kind]
        high = RULES[Opcode(command.opcode)].argument.high if known else None
        return command if high is None else replace(command, arg0=min(command.arg0, high))


class AcceptsBadOpcode(_Editing):
    """Does something for an opcode that it does not have."""

    def edit(self, command: CommandBlock) -> CommandBlock:
        known = command.opcode in OPCODES[self._identity.kind]
        return command if known else replace(command, opcode=Opcode.RESET)


class WrongExceptionCode(UnitFirmware):
    """Says of everything that it refuses that the value was wrong."""

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        refused = super().write(address, values)
        return None if refused is None else ExceptionCode.ILLEGAL_DATA_VALUE


class AcceptsWriteElsewhere(UnitFirmware):
    """Acknowledges writes to any address outside the command block."""

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        elsewhere = not COMMAND_ADDRESS <= address < COMMAND_ADDRESS + COMMAND_COUNT
        return None if elsewhere else super().write(address, values)


class AcceptsPartialBlock(UnitFirmware):
    """Acknowledges parts of a command block."""

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        part = COMMAND_ADDRESS <= address < COMMAND_ADDRESS + COMMAND_COUNT and len(values) < COMMAND_COUNT
        return None if part else super().write(address, values)


class RangeOverrun(UnitFirmware):
    """Answers reads that run beyond a block with zeros."""

    def read(self, address: int, count: int) -> list[int] | ExceptionCode:
        values = super().read(address, count)
        if isinstance(values, ExceptionCode) and STATUS_ADDRESS <= address < STATUS_ADDRESS + STATUS_COUNT:
            inside = STATUS_ADDRESS + STATUS_COUNT - address
            first = super().read(address, inside)
            return values if isinstance(first, ExceptionCode) else first + [0] * (count - inside)
        return values


class WrongCrcInStatus(UnitFirmware):
    """Seals its status with the bytes of the CRC exchanged."""

    def _status(self) -> list[int]:
        *body, crc = super()._status()
        return [*body, crc >> 8 | (crc & 0xFF) << 8]


class TornStatus(UnitFirmware):
    """Changes a register now and then after the CRC was made."""

    _reads = 0

    def _status(self) -> list[int]:
        self._reads += 1
        registers = [*super()._status()]
        if self._reads % 7 == 0:
            registers[11] ^= 1
        return registers


class StaleStatus(UnitFirmware):
    """Makes a status only now and then, and shows the last one meanwhile."""

    _shown: list[int] | None = None
    _made = 0.0

    def _status(self) -> list[int]:
        now = asyncio.get_running_loop().time()
        if self._shown is None or now - self._made > _STALE_SECONDS:
            self._shown, self._made = super()._status(), now
        return self._shown


class DoneBeforeMotion(UnitFirmware):
    """Says that a command is done as soon as it is accepted."""

    def _status(self) -> list[int]:
        status = StatusBlock.from_registers(super()._status())
        if status.state is State.RUNNING:
            status = replace(
                status,
                state=State.READY,
                done_seq=status.accepted_seq,
                done_opcode=self._record.opcode,
                result=Result.DONE,
            )
        return status.to_registers()


class ClaimsDoneWithoutCard(UnitFirmware):
    """Says DONE although there was no card."""

    async def _move(self, opcode: Opcode, arg0: int, fault: Fault, *, held: bool) -> None:
        await super()._move(opcode, arg0, fault, held=held)
        if self._record.fault in {Fault.NO_CARD, Fault.SLOT_EMPTY}:
            self._keep(msgspec.structs.replace(self._record, result=Result.DONE, fault=Fault.NONE))


class CountsBeforeMotion(UnitFirmware):
    """Counts a retained card when the motor starts."""

    async def _move(self, opcode: Opcode, arg0: int, fault: Fault, *, held: bool) -> None:
        counting = opcode in {Opcode.CAPTURE, Opcode.RETAIN} and fault is Fault.NONE
        if counting:
            self._keep(msgspec.structs.replace(self._record, retained=self._record.retained + 1))
        await super()._move(opcode, arg0, fault, held=held)
        if counting and self._record.result == Result.DONE:
            self._keep(msgspec.structs.replace(self._record, retained=self._record.retained - 1))


class CountsPresentedAsTaken(UnitFirmware):
    """Counts a card as dispensed when it is held out."""

    async def _move(self, opcode: Opcode, arg0: int, fault: Fault, *, held: bool) -> None:
        await super()._move(opcode, arg0, fault, held=held)
        if opcode in {Opcode.PRESENT, Opcode.RETURN} and self._record.result == Result.DONE:
            self._keep(msgspec.structs.replace(self._record, dispensed=self._record.dispensed + 1))


class MissesTakenWithoutPower(UnitFirmware):
    """Forgets at a boot that it held a card out."""

    def power_on(self, boot_id: int) -> None:
        self._memory.save({**self._memory.load(), "held": 0, "carried": 0, "returning": 0})
        super().power_on(boot_id)


class CounterNotPersistent(UnitFirmware):
    """Starts its totals again at each boot."""

    def power_on(self, boot_id: int) -> None:
        self._memory.save({**self._memory.load(), "dispensed": 0, "retained": 0})
        super().power_on(boot_id)


class SeqResetAfterBoot(UnitFirmware):
    """Starts its sequence numbers again at each boot."""

    def power_on(self, boot_id: int) -> None:
        self._memory.save({**self._memory.load(), "accepted_seq": 0, "done_seq": 0})
        super().power_on(boot_id)


class SameBootIdAfterBoot(UnitFirmware):
    """Has one boot id for life."""

    def power_on(self, boot_id: int) -> None:
        super().power_on(0x20260511)


class SlowBoot(UnitFirmware):
    """Answers nothing for a while after power came back."""

    _answers_at = 0.0

    @property
    def silent(self) -> bool:
        return super().silent or asyncio.get_running_loop().time() < self._answers_at

    def power_on(self, boot_id: int) -> None:
        again = self._boot_id != 0
        super().power_on(boot_id)
        if again:
            self._answers_at = asyncio.get_running_loop().time() + _BOOT_SECONDS


class AcceptedNotPersistent(UnitFirmware):
    """Writes to its memory only when a command is done."""

    def _keep(self, record: Record) -> None:
        if record.accepted_seq == record.done_seq:
            super()._keep(record)
        else:
            self._record = record


class HidesInterruption(UnitFirmware):
    """Boots READY whatever was begun before."""

    def power_on(self, boot_id: int) -> None:
        super().power_on(boot_id)
        self._state = State.READY


class AcceptsWhileInterrupted(UnitFirmware):
    """Takes any command while INTERRUPTED."""

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        interrupted = self._state is State.INTERRUPTED
        if interrupted:
            self._state = State.READY
        refused = super().write(address, values)
        if interrupted and self._motion is None:
            self._state = State.INTERRUPTED
        return refused


class ResumesAfterPowerCut(UnitFirmware):
    """Goes on with the motion that a loss of power stopped."""

    def power_on(self, boot_id: int) -> None:
        super().power_on(boot_id)
        if self._state is State.INTERRUPTED and self._group is not None:
            self._state = State.RUNNING
            motion = self._move(Opcode(self._record.opcode), self._record.arg0, Fault.NONE, held=False)
            self._motion = self._group.create_task(motion)
