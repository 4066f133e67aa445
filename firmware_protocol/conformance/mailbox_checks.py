"""Checks of the mailbox rule: what is accepted, acknowledged and refused. They home the unit or switch its lights."""

from __future__ import annotations

from dataclasses import replace

from firmware_protocol.blocks import CABINET_LIGHTS, COMMAND_ADDRESS, MAGIC, VERSION, CommandBlock, StatusBlock
from firmware_protocol.conformance.bench import Bench, told
from firmware_protocol.conformance.board import Refusal, must_refuse
from firmware_protocol.conformance.findings import Defect, Finding, Skipped
from firmware_protocol.crc import crc16_of_registers
from firmware_protocol.mailbox import ExceptionCode, next_seq
from firmware_protocol.units import OPCODES, RULES, Argument, Opcode, Result, Sensor, State, UnitKind

_WATCH = 0.3  # seconds in which a motion that should not be must not be seen
_TRIES = 3

_VERSION = VERSION.major << 8 | VERSION.minor


def _harmless(bench: Bench) -> tuple[Opcode, int, Opcode, int]:
    """Two commands of the unit with different, visible effects, and which carry no card."""
    match bench.kind:
        case UnitKind.DISPENSER:
            return Opcode.ALIGN, 0, Opcode.ALIGN, bench.identity.capacity // 2
        case UnitKind.RECYCLER:
            return Opcode.CLOSE, 0, Opcode.OPEN, 0
        case _:
            return Opcode.LIGHT, 0, Opcode.LIGHT, 1


def _after(bench: Bench) -> tuple[StatusBlock, CommandBlock]:
    """A settled unit, and the command that is in order."""
    return bench.board.settled(), bench.board.next_command(_harmless(bench)[0])


def _write(bench: Bench, registers: list[int]) -> Refusal | None:
    return bench.board.write(COMMAND_ADDRESS, registers)


def _resealed(registers: list[int]) -> list[int]:
    return [*registers[:-1], crc16_of_registers(registers[:-1])]


def _not_taken(bench: Bench, before: StatusBlock, defect: Defect, what: str) -> None:
    now = bench.board.status()
    if now.accepted_seq != before.accepted_seq:
        raise Finding(
            defect, f"{what}: refused, but accepted_seq went from {before.accepted_seq} to {now.accepted_seq}"
        )


def accepted(bench: Bench) -> str:
    """A command in order is acknowledged, shown at once, and done."""
    bench.board.settled()
    command = bench.board.begin(Opcode.RESET)
    shown = bench.board.status()
    if shown.accepted_seq != command.seq:
        raise Finding(
            Defect.STALE_STATUS, f"seq {command.seq} was acknowledged, the status still says {shown.accepted_seq}"
        )
    status = bench.board.follow(command)
    if status.result is not Result.DONE or status.done_opcode != Opcode.RESET or status.state is not State.READY:
        raise Finding(
            Defect.WRONG_MOTION,
            f"RESET: result {status.result.name}, fault {status.fault.name}, state {status.state.name}",
        )
    if status.accepted_opcode is not None and (status.accepted_opcode, status.done_arg0) != (Opcode.RESET, 0):
        raise Finding(
            Defect.WRONG_STATUS,
            f"RESET 0 done: accepted_opcode {status.accepted_opcode:#04x}, done_arg0 {status.done_arg0}",
        )
    if bench.kind is not UnitKind.CABINET and not status.sensors & Sensor.HOME:
        later = bench.wait(lambda now: bool(now.sensors & Sensor.HOME))
        raise Finding(
            Defect.WRONG_MOTION if later is None else Defect.DONE_BEFORE_MOTION, "RESET done, sensor HOME is clear"
        )
    return f"RESET, seq {command.seq}: acknowledged, accepted, done"


def newer_minor(bench: Bench) -> str:
    """A command of a newer minor version is accepted."""
    _, command = _after(bench)
    registers = command.to_registers()
    registers[1] = _VERSION + 1
    refusal = _write(bench, _resealed(registers))
    if refusal is not None:
        raise Finding(Defect.REFUSES_GOOD_COMMAND, f"minor version {registers[1] & 0xFF}: {refusal}")
    bench.board.follow(command)
    return f"minor version {registers[1] & 0xFF}: acknowledged"


def bad_crc(bench: Bench) -> str:
    """A command block with a wrong CRC is refused, whichever bit is wrong."""
    before, command = _after(bench)
    good = command.to_registers()
    for index, bit in ((11, 0x0001), (11, 0x8000), (7, 0x0001), (5, 0x0100), (10, 0x0001)):
        registers = list(good)
        registers[index] ^= bit
        what = f"register {index} of the block with bit {bit:#06x} wrong"
        must_refuse(_write(bench, registers), ExceptionCode.ILLEGAL_DATA_VALUE, Defect.ACCEPTS_BAD_CRC, what)
        _not_taken(bench, before, Defect.ACCEPTS_BAD_CRC, what)
    return "5 blocks with one wrong bit: exception 3"


def foreign_version(bench: Bench) -> str:
    """A command block with another magic or major version is refused."""
    before, command = _after(bench)
    for index, value in ((0, MAGIC ^ 0x0001), (1, _VERSION + 0x0100), (1, _VERSION - 0x0100)):
        registers = command.to_registers()
        registers[index] = value
        what = f"register {index} is {value:#06x}"
        must_refuse(
            _write(bench, _resealed(registers)),
            ExceptionCode.ILLEGAL_DATA_VALUE,
            Defect.ACCEPTS_FOREIGN_VERSION,
            what,
        )
        _not_taken(bench, before, Defect.ACCEPTS_FOREIGN_VERSION, what)
    return "foreign magic, newer and older major version: exception 3"


def repeats(bench: Bench) -> str:
    """The accepted sequence number is acknowledged again and moves nothing, whatever else stands in the block."""
    bench.board.settled()
    first, first_arg, second, second_arg = _harmless(bench)
    bench.board.make(second, second_arg)
    command = bench.board.begin(first, first_arg)
    before = bench.board.follow(command)
    others = (command, replace(command, opcode=second, arg0=second_arg), replace(command, opcode=Opcode.RESET))
    for repeat in others:
        what = f"seq {command.seq} again, as {Opcode(repeat.opcode).name} {repeat.arg0}"
        refusal = bench.board.send(repeat)
        if refusal is not None:
            raise Finding(Defect.REFUSES_REPEAT, f"{what}: {refusal}")
        moved = bench.board.unchanged(before, _WATCH)
        if moved is not None:
            raise Finding(
                Defect.EXECUTES_REPEAT,
                f"{what}: state {moved.state.name}, opcode {moved.done_opcode:#04x}, slot {moved.slot},"
                f" lights {moved.detail[CABINET_LIGHTS]}",
            )
    return f"seq {command.seq} again, 3 times: acknowledged, nothing moved"


def order(bench: Bench) -> str:
    """A sequence number other than the accepted one and the next is refused."""
    before, command = _after(bench)
    second = next_seq(command.seq)
    seqs = [second, next_seq(second), (command.seq + 1000) & 0xFFFFFFFF, command.seq ^ 0x80000000]
    if before.accepted_seq > 1:
        seqs.append(before.accepted_seq - 1)
    for seq in seqs:
        what = f"seq {seq} after {before.accepted_seq}"
        refusal = bench.board.send(replace(command, seq=seq))
        must_refuse(refusal, ExceptionCode.SERVER_DEVICE_BUSY, Defect.SKIPS_ORDER, what)
        _not_taken(bench, before, Defect.SKIPS_ORDER, what)
    return f"{len(seqs)} numbers out of order: exception 6"


def boot_ids(bench: Bench) -> str:
    """A new command with another boot id is refused."""
    before, command = _after(bench)
    for boot_id in (command.boot_id ^ 1, command.boot_id ^ 0x80000000, 0 if command.boot_id else 1):
        what = f"boot id {boot_id:#010x} in the boot {command.boot_id:#010x}"
        refusal = bench.board.send(replace(command, boot_id=boot_id))
        must_refuse(refusal, ExceptionCode.SERVER_DEVICE_FAILURE, Defect.IGNORES_BOOT_ID, what)
        _not_taken(bench, before, Defect.IGNORES_BOOT_ID, what)
    return "3 foreign boot ids: exception 4"


def opcodes(bench: Bench) -> str:
    """Opcodes that are not the unit's are refused."""
    before, command = _after(bench)
    foreign = sorted(set(Opcode) - OPCODES[bench.kind])
    for opcode in (0, 0x7F, 0xFFFF, foreign[0], foreign[-1]):
        what = f"opcode {opcode:#06x}"
        refusal = bench.board.send(replace(command, opcode=opcode))
        must_refuse(refusal, ExceptionCode.ILLEGAL_DATA_VALUE, Defect.ACCEPTS_BAD_OPCODE, what)
        _not_taken(bench, before, Defect.ACCEPTS_BAD_OPCODE, what)
    return "5 opcodes of no or another unit: exception 3"


def arguments(bench: Bench) -> str:
    """Arguments beyond what their opcode takes are refused: slots beyond the capacity, values above the highest."""
    before, command = _after(bench)
    seen = []
    for opcode in sorted(OPCODES[bench.kind]):
        argument = RULES[opcode].argument
        high = bench.identity.capacity - 1 if argument is Argument.SLOT else argument.high
        defect = Defect.ACCEPTS_BAD_SLOT if argument is Argument.SLOT else Defect.ACCEPTS_BAD_ARGUMENT
        for arg0 in () if high is None else (high + 1, 0xFFFF):
            what = f"{opcode.name} {arg0}, of at most {high}"
            refusal = bench.board.send(replace(command, opcode=opcode, arg0=arg0))
            must_refuse(refusal, ExceptionCode.ILLEGAL_DATA_VALUE, defect, what)
            _not_taken(bench, before, defect, what)
            seen.append(f"{opcode.name} {arg0}")
    return f"{', '.join(seen)}: exception 3"


def busy(bench: Bench) -> str:
    """While a motion runs, the next command is refused and the repeated one acknowledged."""
    bench.board.settled()
    for _ in range(_TRIES):
        command = bench.board.begin(Opcode.RESET)
        following = replace(command, seq=next_seq(command.seq))
        refusal = bench.board.send(following)
        if refusal is None:
            now = bench.board.status()
            if now.accepted_seq == following.seq and now.done_seq not in {command.seq, following.seq}:
                raise Finding(
                    Defect.NO_BUSY_REFUSAL,
                    f"seq {following.seq} was accepted, although seq {command.seq} was not done: done is {now.done_seq}",
                )
            bench.board.follow(following)
            continue  # the motion may have been over in time
        must_refuse(refusal, ExceptionCode.SERVER_DEVICE_BUSY, Defect.NO_BUSY_REFUSAL, "a command in a running RESET")
        repeat = bench.board.send(command)
        bench.board.follow(command)
        if repeat is not None:
            raise Finding(Defect.REFUSES_REPEAT, f"seq {command.seq} again while it runs: {repeat}")
        return f"a command in a running RESET: {told(refusal)}"
    raise Skipped("RESET was always over before the next command came")
