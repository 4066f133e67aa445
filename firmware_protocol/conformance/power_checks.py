"""Checks across a loss of power: boot id, what is persisted, a card taken meanwhile, and a motion cut in two."""

from __future__ import annotations

from dataclasses import replace

from firmware_protocol.blocks import CommandBlock, StatusBlock
from firmware_protocol.conformance import motion_checks as motions
from firmware_protocol.conformance.bench import Bench
from firmware_protocol.conformance.board import must_refuse
from firmware_protocol.conformance.findings import Defect, Finding, Skipped
from firmware_protocol.conformance.hands import Act
from firmware_protocol.mailbox import ExceptionCode, next_seq
from firmware_protocol.units import Opcode, Position, Sensor, State, UnitKind

_TRIES = 3
_BOOT_LIMIT = 5.0  # seconds
_WATCH = 1.0  # seconds in which an interrupted motion must not be taken up again


def idle(bench: Bench) -> str:
    """A loss of power while nothing moves changes the boot id and nothing else."""
    bench.board.settled()
    command = bench.board.begin(Opcode.RESET)
    before = bench.board.follow(command)
    bench.power_off()
    after = bench.power_on()
    _booted_anew(before, after)
    if after.accepted_seq != before.accepted_seq or after.done_seq != before.done_seq:
        raise Finding(
            Defect.SEQ_RESET_AFTER_BOOT,
            f"accepted {before.accepted_seq} -> {after.accepted_seq}, done {before.done_seq} -> {after.done_seq}",
        )
    if after.state is not State.READY or (after.done_opcode, after.result) != (before.done_opcode, before.result):
        raise Finding(
            Defect.WRONG_STATUS,
            f"after the boot: {after.state.name}, done_opcode {after.done_opcode:#04x}, result {after.result.name}",
        )
    _repeat_is_acknowledged(bench, command, after)
    what = "the boot id of before the power cut, with the next seq"
    refusal = bench.board.send(replace(command, seq=next_seq(command.seq)))
    must_refuse(refusal, ExceptionCode.SERVER_DEVICE_FAILURE, Defect.IGNORES_BOOT_ID, what)
    return f"boot id {before.boot_id:#010x} -> {after.boot_id:#010x}; sequence, result and totals kept"


def taken_meanwhile(bench: Bench) -> str:
    """A card that is taken while the power is off is counted once at the boot."""
    act, before = Act.TAKE_FROM_EXIT, _held_for_a_hand(bench)
    if bench.kind is UnitKind.RECYCLER:
        act = Act.TAKE_FROM_THROAT
    bench.power_off()
    try:
        bench.hands.do(act)
    finally:
        after = bench.power_on()
    _booted_anew(before, replace(after, dispensed=min(before.dispensed, after.dispensed)))
    if after.dispensed != before.dispensed + 1 or after.position is not Position.NONE:
        raise Finding(
            Defect.MISSES_TAKEN_WITHOUT_POWER if after.dispensed == before.dispensed else Defect.MISCOUNTS,
            f"dispensed {before.dispensed} -> {after.dispensed}, position {after.position.name}",
        )
    return f"dispensed {before.dispensed} -> {after.dispensed}"


def _held_for_a_hand(bench: Bench) -> StatusBlock:
    if bench.kind is UnitKind.RECYCLER:
        motions.escrowed(bench)
        return bench.done(Opcode.RETURN, at=Position.THROAT)
    motions.fed(bench)
    return bench.done(Opcode.PRESENT, at=Position.EXIT)


def interrupted(bench: Bench) -> str:
    """A motion that a loss of power stops is INTERRUPTED, not resumed, and only RESET is accepted."""
    for attempt in range(_TRIES):
        before, opcode, slot = _before_a_long_motion(bench)
        origin = Sensor.ESCROW if opcode is Opcode.RETAIN else Sensor.SLOT
        command, after = bench.cut_during(opcode, slot, leaving=origin if attempt == 0 else None)
        if after.done_seq != command.seq or after.state is State.RUNNING:
            return _judge_interruption(bench, command, before, after)
        _booted_anew(replace(before, dispensed=after.dispensed, retained=after.retained), after)
    raise Skipped(f"{opcode.name} was always over before the power was cut")


def boot_time(bench: Bench) -> str:
    """After each boot of this run the unit answered in time."""
    if not bench.boot_seconds:
        raise Skipped("the power was never given back")
    seen = f"the longest boot took {bench.boot_seconds:.1f} s"
    if bench.boot_seconds > _BOOT_LIMIT:
        raise Finding(Defect.SLOW_BOOT, seen)
    return seen


def _before_a_long_motion(bench: Bench) -> tuple[StatusBlock, Opcode, int]:
    """A unit whose next motion carries a card as far as it can, and that motion."""
    if bench.kind is UnitKind.RECYCLER:
        return motions.escrowed(bench), Opcode.RETAIN, 0
    motions.fed(bench)
    slot = motions.empty_slot(bench)
    bench.done(Opcode.STORE, slot, at=Position.NONE, present=Sensor.SLOT)
    opposite = (slot + bench.identity.capacity // 2) % bench.identity.capacity
    return bench.done(Opcode.ALIGN, opposite, slot=opposite), Opcode.PICK, slot


def _judge_interruption(bench: Bench, command: CommandBlock, before: StatusBlock, after: StatusBlock) -> str:
    name = Opcode(command.opcode).name
    if after.state is State.RUNNING:
        raise Finding(Defect.RESUMES_AFTER_POWER_CUT, f"{name}: RUNNING after the boot although nothing was commanded")
    if after.accepted_seq != command.seq:
        lost = after.accepted_seq == before.accepted_seq
        raise Finding(
            Defect.ACCEPTED_NOT_PERSISTENT if lost else Defect.SEQ_RESET_AFTER_BOOT,
            f"{name}, seq {command.seq} was acknowledged; after the boot accepted_seq is {after.accepted_seq}",
        )
    accepted = (after.accepted_opcode, after.accepted_arg0)
    if after.accepted_opcode is not None and accepted != (command.opcode, command.arg0):
        raise Finding(
            Defect.ACCEPTED_NOT_PERSISTENT, f"{name} {command.arg0}; after the boot opcode and arg0 are {accepted}"
        )
    if after.state is not State.INTERRUPTED:
        raise Finding(
            Defect.HIDES_INTERRUPTION,
            f"{after.state.name} with accepted {after.accepted_seq} and done {after.done_seq}",
        )
    _booted_anew(before, after, idle=False)
    moved = bench.board.unchanged(after, _WATCH)
    if moved is not None:
        raise Finding(Defect.RESUMES_AFTER_POWER_CUT, f"{name}: {moved.state.name} without a command")
    _repeat_is_acknowledged(bench, command, after)
    following = CommandBlock(after.boot_id, next_seq(command.seq), command.opcode, command.arg0)
    what = f"{name} while INTERRUPTED"
    refusal = bench.board.send(following)
    must_refuse(refusal, ExceptionCode.SERVER_DEVICE_BUSY, Defect.ACCEPTS_WHILE_INTERRUPTED, what)
    reset = bench.make(Opcode.RESET)
    if reset.state is not State.READY:
        raise Finding(Defect.WRONG_MOTION, f"after RESET the state is {reset.state.name}")
    bench.same_totals(before, reset, "an interrupted motion and RESET")
    return (
        f"{name} cut: INTERRUPTED, position {after.position.name}; not resumed, only RESET accepted,"
        f" then READY, position {reset.position.name}"
    )


def _booted_anew(before: StatusBlock, after: StatusBlock, *, idle: bool = True) -> None:
    """A new boot id and the same totals; `idle` tells that nothing moved when the power went. Raises Finding."""
    if after.boot_id == before.boot_id:
        raise Finding(Defect.SAME_BOOT_ID_AFTER_BOOT, f"{after.boot_id:#010x} before and after")
    if (after.dispensed, after.retained) != (before.dispensed, before.retained):
        lost = after.dispensed < before.dispensed or after.retained < before.retained
        raise Finding(
            Defect.COUNTER_NOT_PERSISTENT if lost else Defect.MISCOUNTS if idle else Defect.COUNTS_BEFORE_MOTION,
            f"dispensed {before.dispensed} -> {after.dispensed}, retained {before.retained} -> {after.retained}",
        )


def _repeat_is_acknowledged(bench: Bench, command: CommandBlock, status: StatusBlock) -> None:
    """The accepted command again, with its old boot id: acknowledged, and nothing moves."""
    refusal = bench.board.send(command)
    what = f"seq {command.seq} again after the boot, with its old boot id"
    if refusal is not None:
        foreign = refusal.code == ExceptionCode.SERVER_DEVICE_FAILURE
        raise Finding(Defect.BOOT_ID_BEFORE_REPEAT if foreign else Defect.REFUSES_REPEAT, f"{what}: {refusal}")
    moved = bench.board.unchanged(status, 0.3)
    if moved is not None:
        raise Finding(Defect.EXECUTES_REPEAT, f"{what}: state {moved.state.name}, done {moved.done_seq}")
