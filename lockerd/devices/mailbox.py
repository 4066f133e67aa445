"""The host's side of the mailbox: one command, written until it is accepted once, then followed to its end.

Every conclusion is drawn from a whole status with a good CRC by `firmware_protocol.mailbox.conclude`, never from the answer
to a write. In doubt is a result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from firmware_protocol import units as wire
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
from firmware_protocol.mailbox import Conclusion, conclude, next_seq
from lockerd.devices.bus import DeviceRefused, DeviceSilent
from lockerd.errors import DeviceError
from lockerd.model.custody import Result
from lockerd.model.polling import LATELY_SECONDS, MOVING_SECONDS

T = TypeVar("T")

_READS = 3
_SENDS = 4


class Registers(Protocol):
    """The line, as `lockerd.devices.bus.ModbusBus` gives it."""

    async def read(self, unit: int, address: int, count: int) -> tuple[int, ...]:
        """Read holding registers. Raises DeviceSilent, DeviceRefused."""

    async def write(self, unit: int, address: int, values: Sequence[int]) -> None:
        """Write registers, sent at most once. Raises DeviceSilent, DeviceRefused."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a command: `status` is the last good one; `fault` is the firmware's for FAILED, else NONE."""

    result: Result
    fault: wire.Fault
    status: StatusBlock | None


class MailboxUnit:
    """One unit on the bus. Reads may come from anywhere; commands from one caller at a time.

    `poll_interval` is the pause in seconds between two looks at a running command.
    """

    def __init__(
        self, registers: Registers, kind: wire.UnitKind, name: str, *, poll_interval: float = MOVING_SECONDS
    ) -> None:
        self._registers = registers
        self._kind = kind
        self._name = name
        self._poll_interval = poll_interval
        self._asking = asyncio.Lock()
        self._known: StatusBlock | None = None  # its last status, as long as no command was written since
        self._known_at = 0.0
        self._identity: IdentityBlock | None = None
        self._identity_boot: int | None = None

    @property
    def name(self) -> str:
        """The unit's name in messages."""
        return self._name

    @property
    def identity(self) -> IdentityBlock | None:
        """Who answered since its last boot; None before the first `observe`."""
        return self._identity

    async def observe(self) -> StatusBlock:
        """Read a whole good status, trying again on doubt; after each boot of the unit its identity too.

        Raises DeviceError when the unit is silent, speaks another major version of the protocol or is of another kind.
        """
        self._known = None
        status = await self._status()
        if status.boot_id == self._identity_boot:
            self._remember(status)
        else:
            self._identity = await self._read_identity()
            self._identity_boot = status.boot_id
        return status

    async def plan(self, opcode: wire.Opcode, arg0: int = 0) -> str:
        """Name the next command for good: the token "boot:seq:opcode:arg0" from a fresh status. Moves nothing.

        The status that ended the motion before, or was looked at just now, is fresh enough. Raises DeviceError when the unit
        is silent, busy or interrupted (then only RESET), or cannot do such a thing.
        """
        status = self._known
        if (
            status is None
            or status.state is not wire.State.READY
            or asyncio.get_running_loop().time() - self._known_at > LATELY_SECONDS
        ):
            status = await self.observe()
        return self.plan_from(status, opcode, arg0)

    def plan_from(self, status: StatusBlock, opcode: wire.Opcode, arg0: int = 0) -> str:
        """As `plan`, from a status that was read before: the unit refuses the command if it has booted or obeyed since.

        Raises DeviceError.
        """
        capacity = self._identity.capacity if self._identity else 0
        if opcode not in wire.OPCODES[self._kind]:
            raise DeviceError(self._name, f"{opcode.name} is no command of a {self._kind.name.lower()}")
        if opcode in wire.SLOT_OPCODES and not 0 <= arg0 < capacity:
            raise DeviceError(self._name, f"slot {arg0} is not one of its {capacity}")
        if status.state is wire.State.RUNNING:
            raise DeviceError(self._name, "busy with another command")
        if status.state is wire.State.INTERRUPTED and opcode is not wire.Opcode.RESET:
            raise DeviceError(self._name, "interrupted by a loss of power; RESET first")
        return f"{status.boot_id}:{next_seq(status.accepted_seq)}:{int(opcode)}:{arg0}"

    def plan_after(self, token: str, opcode: wire.Opcode, arg0: int = 0) -> str:
        """The token of the command that follows one which the unit took: as `plan`, without a look.

        Raises DeviceError for a token that `plan` did not make.
        """
        before = self._command(token)
        return f"{before.boot_id}:{next_seq(before.seq)}:{int(opcode)}:{arg0}"

    async def carry_out(self, token: str, deadline: float) -> Ending:
        """Bring a planned command to its end within `deadline` seconds; never raises for what the unit did or did not do.

        The same sequence number is sent again only after a status that proves it not accepted, and only to the same boot.
        Raises DeviceError for a token that `plan` did not make.
        """
        command = self._command(token)
        end = asyncio.get_running_loop().time() + deadline
        status: StatusBlock | None = None
        for _ in range(_SENDS):
            surely_not_taken = False
            try:
                await self._write(command)
            except DeviceRefused:
                surely_not_taken = True
            except DeviceSilent as error:
                if not error.sent and status is None:
                    return Ending(Result.NOT_MOVED, wire.Fault.NONE, None)
            else:
                await asyncio.sleep(self._poll_interval)  # it has only begun
            conclusion, status = await self._follow(command, end, status)
            if conclusion is Conclusion.DONE and status is not None:
                self._remember(status)
            if conclusion is not Conclusion.NOT_ACCEPTED or status is None:
                return _ending(conclusion, status)
            if surely_not_taken or status.boot_id != command.boot_id:
                return Ending(Result.NOT_MOVED, wire.Fault.NONE, status)
        # A write without an answer may still be on its way through a gateway: not accepted yet is not never accepted.
        return Ending(Result.IN_DOUBT, wire.Fault.NONE, status)

    async def tell(self, token: str) -> bool:
        """Write a planned command once, for what nobody waits for; whether the unit acknowledged it, and so took it.

        Raises DeviceError for a token that `plan` did not make.
        """
        try:
            await self._write(self._command(token))
        except DeviceError:
            return False
        return True

    async def settle(self, token: str, deadline: float) -> Ending:
        """Tell what became of a planned command, waiting at most `deadline` seconds for its end; never writes.

        Raises DeviceError while the unit is silent, or for a token that `plan` did not make.
        """
        command = self._command(token)
        status = await self.observe()
        conclusion: Conclusion | None = conclude(command, status)
        if conclusion is Conclusion.RUNNING:
            end = asyncio.get_running_loop().time() + deadline
            conclusion, last = await self._follow(command, end, status)
            status = last or status
        return _ending(conclusion, status)

    async def _follow(
        self, command: CommandBlock, end: float, status: StatusBlock | None
    ) -> tuple[Conclusion | None, StatusBlock | None]:
        """Read the status until it tells the end of `command` or its non-acceptance; None when the time is over before."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                status = await self._status()
            except DeviceError:
                pass  # silence is no evidence; the deadline bounds it
            else:
                conclusion = conclude(command, status)
                if conclusion is not Conclusion.RUNNING:
                    return conclusion, status
            if loop.time() >= end:
                return None, status
            await asyncio.sleep(self._poll_interval)

    async def _write(self, command: CommandBlock) -> None:
        """Write it once; no status of before counts as fresh from here on. Raises DeviceSilent, DeviceRefused."""
        async with self._asking:
            self._known = None
            await self._registers.write(self._kind, COMMAND_ADDRESS, command.to_registers())

    def _remember(self, status: StatusBlock) -> None:
        self._known = status
        self._known_at = asyncio.get_running_loop().time()

    def _status(self) -> Awaitable[StatusBlock]:
        return self._block(STATUS_ADDRESS, STATUS_COUNT, StatusBlock.from_registers)

    async def _read_identity(self) -> IdentityBlock:
        identity = await self._block(IDENTITY_ADDRESS, IDENTITY_COUNT, IdentityBlock.from_registers)
        if identity.kind is not self._kind:
            raise DeviceError(self._name, f"a {identity.kind.name.lower()} answers; check the unit addresses")
        return identity

    async def _block(self, address: int, count: int, decode: Callable[[Sequence[int]], T]) -> T:
        """Read one block whole; a read is repeated on silence and on a torn block. Raises DeviceError."""
        doubt: DeviceError | None = None
        for _ in range(_READS):
            try:
                async with self._asking:
                    registers = await self._registers.read(self._kind, address, count)
                return decode(registers)
            except BlockError as error:
                doubt = DeviceError(self._name, str(error))
            except DeviceSilent as error:
                doubt = error
                if not error.sent:
                    break
        raise doubt or DeviceError(self._name, "no reading")

    def _command(self, token: str) -> CommandBlock:
        try:
            boot_id, seq, opcode, arg0 = map(int, token.split(":"))
        except ValueError as error:
            raise DeviceError(self._name, "the token is not one of this driver's") from error
        return CommandBlock(boot_id, seq, opcode, arg0)


def _ending(conclusion: Conclusion | None, status: StatusBlock | None) -> Ending:
    """The ending that a conclusion means; None stands for silence beyond the deadline."""
    match conclusion:
        case Conclusion.NOT_ACCEPTED:
            return Ending(Result.NOT_MOVED, wire.Fault.NONE, status)
        case Conclusion.DONE if status is not None:
            match status.result:
                case wire.Result.DONE:
                    return Ending(Result.DONE, wire.Fault.NONE, status)
                case wire.Result.FAULT:
                    return Ending(Result.FAILED, status.fault, status)
    return Ending(Result.IN_DOUBT, wire.Fault.NONE, status)
