"""The unit under test as the checks see it: blocks, commands, and what becomes of them, with every answer timed."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_protocol.blocks import (
    COMMAND_ADDRESS,
    IDENTITY_ADDRESS,
    IDENTITY_COUNT,
    STATUS_ADDRESS,
    STATUS_COUNT,
    BlockError,
    CommandBlock,
    IdentityBlock,
    StatusBlock,
)
from firmware_protocol.conformance.findings import Defect, Finding
from firmware_protocol.conformance.lines import Answer, Line
from firmware_protocol.crc import crc16_of_registers
from firmware_protocol.declaration import version_of
from firmware_protocol.mailbox import ExceptionCode, next_seq
from firmware_protocol.units import Opcode, State

READ = 3
WRITE = 16
SPARE = 0.2  # seconds that a line and this computer may add to the unit's own longest answer time
_LOOKS = 3
_POLL = 0.01


@dataclass(frozen=True, slots=True)
class Refusal:
    """The unit answered with a Modbus exception."""

    code: int

    def __str__(self) -> str:
        return f"exception {self.code}"


class Board:
    """One unit at one address. `patience` is how long an answer is waited for, `motion_seconds` how long a motion may take."""

    def __init__(self, line: Line, unit: int, *, motion_seconds: float) -> None:
        self.line = line
        self.unit = unit
        self.motion_seconds = motion_seconds
        self.patience = 2.0
        self.protocol = ""  # version that the identity block says
        self.times: list[float] = []
        self.whole = 0
        self.torn = 0

    # Requests

    def ask(self, pdu: bytes, *, unit: int | None = None) -> Answer | None:
        """One request; None for silence. Raises LineError."""
        answer = self.line.ask(self.unit if unit is None else unit, pdu, self.patience)
        if answer is not None and unit is None:
            self.times.append(answer.seconds)
        return answer

    def read(self, address: int, count: int) -> tuple[int, ...] | Refusal:
        """Holding registers, or the refusal. Raises Finding for silence and for an answer of another shape."""
        request = struct.pack(">BHH", READ, address, count)
        pdu = self._answered(request, f"read of {count} registers from {address:#06x}")
        if isinstance(pdu, Refusal):
            return pdu
        if len(pdu) != 2 + 2 * count or pdu[1] != 2 * count:
            raise Finding(Defect.BAD_ANSWER, f"read of {count} registers: {pdu[:20].hex(' ')}")
        return struct.unpack(f">{count}H", pdu[2:])

    def write(self, address: int, values: Sequence[int]) -> Refusal | None:
        """Write registers; None is an acknowledgement. Raises Finding as `read` does."""
        count = len(values)
        request = struct.pack(f">BHHB{count}H", WRITE, address, count, 2 * count, *values)
        pdu = self._answered(request, f"write of {count} registers to {address:#06x}")
        if isinstance(pdu, Refusal):
            return pdu
        if pdu != struct.pack(">BHH", WRITE, address, count):
            raise Finding(Defect.BAD_ANSWER, f"write of {count} registers: {pdu[:20].hex(' ')}")
        return None

    def _answered(self, request: bytes, what: str) -> bytes | Refusal:
        answer = self.ask(request)
        if answer is None:
            raise Finding(Defect.NO_ANSWER, f"{what}: no answer within {self.patience:g} s")
        if answer.broken:
            raise Finding(Defect.BAD_ANSWER, f"{what}: {answer.broken}")
        function = request[0]
        if answer.pdu[0] == function | 0x80 and len(answer.pdu) == 2:
            return Refusal(answer.pdu[1])
        if answer.pdu[0] != function:
            raise Finding(Defect.BAD_ANSWER, f"{what}: function {answer.pdu[0]:#04x} in the answer")
        return answer.pdu

    # Blocks

    def identity(self) -> IdentityBlock:
        """The identity block. Raises Finding."""
        values = self.read(IDENTITY_ADDRESS, IDENTITY_COUNT)
        if isinstance(values, Refusal):
            raise Finding(Defect.READ_REFUSED, f"identity block: {values}")
        try:
            self.protocol = str(version_of(values))
            return IdentityBlock.from_registers(values)
        except BlockError as error:
            raise Finding(Defect.WRONG_IDENTITY, str(error)) from error

    def status_registers(self) -> tuple[int, ...]:
        """The status block's registers as they came; counts whole and torn ones. Raises Finding."""
        values = self.read(STATUS_ADDRESS, STATUS_COUNT)
        if isinstance(values, Refusal):
            raise Finding(Defect.READ_REFUSED, f"status block: {values}")
        if crc16_of_registers(values[:-1]) == values[-1]:
            self.whole += 1
        else:
            self.torn += 1
        return values

    def status(self) -> StatusBlock:
        """A whole status; one with a wrong CRC is read again twice. Raises Finding."""
        for _ in range(_LOOKS):
            values = self.status_registers()
            if crc16_of_registers(values[:-1]) == values[-1]:
                try:
                    return StatusBlock.from_registers(values)
                except BlockError as error:
                    raise Finding(Defect.WRONG_STATUS, str(error)) from error
        raise Finding(
            Defect.WRONG_CRC_IN_STATUS,
            f"{values[-1]:#06x} in the block, {crc16_of_registers(values[:-1]):#06x} over its registers",
        )

    # Commands

    def next_command(self, opcode: int, arg0: int = 0) -> CommandBlock:
        """The command that is in order now. Raises Finding."""
        status = self.status()
        return CommandBlock(status.boot_id, next_seq(status.accepted_seq), opcode, arg0)

    def send(self, command: CommandBlock) -> Refusal | None:
        """Write a command block."""
        return self.write(COMMAND_ADDRESS, command.to_registers())

    def begin(self, opcode: Opcode, arg0: int = 0) -> CommandBlock:
        """Have a command accepted. Raises Finding."""
        command = self.next_command(opcode, arg0)
        refusal = self.send(command)
        if refusal is not None:
            raise Finding(Defect.REFUSES_GOOD_COMMAND, f"{opcode.name} {arg0}, seq {command.seq}: {refusal}")
        return command

    def follow(self, command: CommandBlock) -> StatusBlock:
        """The first status in which an accepted command is done. Raises Finding when that takes too long."""
        name = Opcode(command.opcode).name
        end = time.monotonic() + self.motion_seconds
        while (status := self.status()).done_seq != command.seq:
            if time.monotonic() > end:
                raise Finding(
                    Defect.WRONG_MOTION,
                    f"{name}, seq {command.seq}: not done within {self.motion_seconds:g} s (state {status.state.name},"
                    f" accepted {status.accepted_seq}, done {status.done_seq})",
                )
            time.sleep(_POLL)
        return status

    def make(self, opcode: Opcode, arg0: int = 0) -> StatusBlock:
        """One command from acceptance to its end, whatever the result. Raises Finding."""
        return self.follow(self.begin(opcode, arg0))

    def settled(self) -> StatusBlock:
        """Wait for the end of whatever runs; what was interrupted is reset. Raises Finding."""
        end = time.monotonic() + self.motion_seconds
        while (status := self.status()).state is State.RUNNING:
            if time.monotonic() > end:
                raise Finding(Defect.WRONG_MOTION, f"RUNNING for more than {self.motion_seconds:g} s")
            time.sleep(_POLL)
        if status.state is State.INTERRUPTED:
            return self.make(Opcode.RESET)
        return status

    def unchanged(self, before: StatusBlock, seconds: float) -> StatusBlock | None:
        """Watch that nothing is accepted or moved for so long; the first status that shows otherwise, or None."""
        end = time.monotonic() + seconds
        while True:
            now = self.status()
            if _moves(before, now):
                return now
            if time.monotonic() > end:
                return None
            time.sleep(_POLL)


def _moves(before: StatusBlock, now: StatusBlock) -> bool:
    """Whether a command was taken between two statuses, as far as they tell."""
    keys = ("state", "accepted_seq", "done_seq", "done_opcode", "result", "slot", "position", "dispensed", "retained")
    return any(getattr(before, key) != getattr(now, key) for key in keys) or before.detail[2:3] != now.detail[2:3]


def must_refuse(
    given: Refusal | None, code: ExceptionCode, accepted: Defect, what: str, *, others: Sequence[int] = ()
) -> str:
    """What was seen of a refusal; raises Finding when there is none (`accepted`), or one for another reason."""
    if given is None:
        raise Finding(accepted, f"{what}: acknowledged")
    if given.code not in {int(code), *others}:
        raise Finding(Defect.WRONG_EXCEPTION_CODE, f"{what}: exception {given.code}, not {int(code)} ({code.name})")
    return f"{what}: exception {given.code}"
