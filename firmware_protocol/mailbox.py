"""The mailbox rule: when a unit accepts a command, and what the host may conclude from a status. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from firmware_protocol.blocks import BlockError, CommandBlock, StatusBlock
from firmware_protocol.line import ExceptionCode
from firmware_protocol.units import OPCODES, RULES, Argument, Opcode, State, UnitKind

__all__ = ["Conclusion", "ExceptionCode", "Judgement", "Verdict", "conclude", "judge", "next_seq"]


class Verdict(Enum):
    """What a unit does with a written command block; `exception` is the Modbus exception code or None."""

    ACCEPT = 1, None, "persist accepted_seq, opcode and args, then power the motor"
    REPEATED = 2, None, "seq is accepted_seq: acknowledge, do nothing"
    BAD_BLOCK = 3, ExceptionCode.ILLEGAL_DATA_VALUE, "no whole block with a good CRC, magic and major version"
    BAD_ARGUMENT = 4, ExceptionCode.ILLEGAL_DATA_VALUE, "the unit has no such opcode, or arg0 is outside its range"
    FOREIGN_BOOT = 5, ExceptionCode.SERVER_DEVICE_FAILURE, "boot_id is not this boot's"
    OUT_OF_ORDER = 6, ExceptionCode.SERVER_DEVICE_BUSY, "seq is not accepted_seq + 1"
    BUSY = 7, ExceptionCode.SERVER_DEVICE_BUSY, "RUNNING; or INTERRUPTED, and the command is not RESET"

    def __init__(self, number: int, exception: ExceptionCode | None, meaning: str) -> None:
        self.number = number
        self.exception = exception
        self.meaning = meaning


def next_seq(seq: int) -> int:
    """The sequence number after `seq`: 32 bits, 0 is never used after the first command."""
    return seq + 1 if seq < 0xFFFFFFFF else 1


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, with the decoded command where there is one."""

    verdict: Verdict
    command: CommandBlock | None


def judge(
    registers: Sequence[int],
    *,
    kind: UnitKind,
    capacity: int,
    boot_id: int,
    accepted_seq: int,
    state: State,
) -> Judgement:
    """Decide what a unit does with the written registers.

    Order of the rule: whole block with a good CRC or nothing; the accepted seq is acknowledged before boot_id is looked
    at, because a host that lost the answer repeats it after the unit's restart; then boot_id; then order; then busy.
    """
    try:
        command = CommandBlock.from_registers(registers)
    except BlockError:
        return Judgement(Verdict.BAD_BLOCK, None)
    return Judgement(_verdict(command, kind, capacity, boot_id, accepted_seq, state), command)


def _verdict(
    command: CommandBlock, kind: UnitKind, capacity: int, boot_id: int, accepted_seq: int, state: State
) -> Verdict:
    if command.seq == accepted_seq:
        return Verdict.REPEATED
    if command.boot_id != boot_id:
        return Verdict.FOREIGN_BOOT
    if command.seq != next_seq(accepted_seq):
        return Verdict.OUT_OF_ORDER
    if state is State.RUNNING or (state is State.INTERRUPTED and command.opcode != Opcode.RESET):
        return Verdict.BUSY
    if command.opcode not in OPCODES[kind]:
        return Verdict.BAD_ARGUMENT
    argument = RULES[Opcode(command.opcode)].argument
    if argument is Argument.SLOT and command.arg0 >= capacity:
        return Verdict.BAD_ARGUMENT
    if argument.high is not None and command.arg0 > argument.high:
        return Verdict.BAD_ARGUMENT
    return Verdict.ACCEPT


class Conclusion(Enum):
    """What a host may conclude about its command from one good status."""

    NOT_ACCEPTED = auto()  # safe to send the same seq again
    RUNNING = auto()
    DONE = auto()  # take the result
    INTERRUPTED = auto()  # in doubt; sensors decide
    LOCKED_OUT = auto()  # the unit went past this seq, or took another command under it; in doubt


def conclude(command: CommandBlock, status: StatusBlock) -> Conclusion:
    """Conclude from `status` what became of `command`.

    Another host may have used the same seq: opcode and arg0 must be the command's own (arg0 as far as the firmware tells).
    """
    if status.done_seq == command.seq:
        own = _is_own(command, status.done_opcode, status.done_arg0)
        return Conclusion.DONE if own else Conclusion.LOCKED_OUT
    if status.accepted_seq == command.seq:
        if not _is_own(command, status.accepted_opcode, status.accepted_arg0):
            return Conclusion.LOCKED_OUT
        return Conclusion.INTERRUPTED if status.state is State.INTERRUPTED else Conclusion.RUNNING
    if next_seq(status.accepted_seq) == command.seq:
        return Conclusion.NOT_ACCEPTED
    return Conclusion.LOCKED_OUT


def _is_own(command: CommandBlock, opcode: int | None, arg0: int | None) -> bool:
    return opcode in (None, command.opcode) and arg0 in (None, command.arg0)
