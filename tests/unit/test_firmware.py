"""The unit's firmware: once per command, durable before motor power, honest after a power cut, taken seen by sensors."""

from __future__ import annotations

import asyncio

import pytest

from firmware_protocol.blocks import COMMAND_ADDRESS, STATUS_ADDRESS, STATUS_COUNT, CommandBlock, StatusBlock
from firmware_protocol.units import Fault, Opcode, Position, Result, Sensor, State, UnitKind
from sim.firmware import UnitFirmware
from tests.modbus_rig import BenchMechanism, Flash, identity, running, until


class Bench:
    """A unit with its memory and mechanism; `boot` numbers its boots."""

    def __init__(self, mechanism: BenchMechanism, kind: UnitKind = UnitKind.DISPENSER) -> None:
        self.mechanism = mechanism
        self.flash = Flash()
        self.unit = UnitFirmware(identity(kind), mechanism, self.flash, poll_interval=0.001)
        self.boot = 100
        self.unit.power_on(self.boot)

    def status(self) -> StatusBlock:
        registers = self.unit.read(STATUS_ADDRESS, STATUS_COUNT)
        assert isinstance(registers, list)
        return StatusBlock.from_registers(registers)

    def command(self, opcode: Opcode, arg0: int = 0, *, seq: int | None = None) -> int | None:
        number = self.status().accepted_seq + 1 if seq is None else seq
        return self.unit.write(COMMAND_ADDRESS, CommandBlock(self.boot, number, opcode, arg0).to_registers())

    async def make(self, opcode: Opcode, arg0: int = 0) -> StatusBlock:
        assert self.command(opcode, arg0) is None
        await until(lambda: self.status().state is State.READY)
        return self.status()

    async def cut_midway(self, opcode: Opcode, arg0: int = 0) -> None:
        self.mechanism.pause = asyncio.Event()
        self.mechanism.midway.clear()
        assert self.command(opcode, arg0) is None
        await self.mechanism.midway.wait()
        self.unit.power_off()
        self.mechanism.pause.set()  # without power nothing goes on
        self.mechanism.pause = None
        for _ in range(3):
            await asyncio.sleep(0)

    def restore(self) -> None:
        self.boot += 1
        self.unit.power_on(self.boot)


async def test_a_command_is_durable_before_the_motor_and_its_outcome_after() -> None:
    bench = Bench(BenchMechanism(stocked=[3]))
    before_motor: list[dict[str, int]] = []
    bench.mechanism.before = lambda: before_motor.append(bench.flash.record)
    async with running(bench.unit):
        status = await bench.make(Opcode.PICK, 3)
    assert (before_motor[0]["accepted_seq"], before_motor[0]["done_seq"], before_motor[0]["opcode"]) == (1, 0, 0x13)
    assert bench.flash.record["done_seq"] == 1
    assert (status.result, status.position, status.slot) == (Result.DONE, Position.TRANSPORT, 3)


async def test_a_repeated_command_moves_once() -> None:
    bench = Bench(BenchMechanism(stocked=[3]))
    async with running(bench.unit):
        await bench.make(Opcode.PICK, 3)
        assert bench.command(Opcode.PICK, 3, seq=1) is None
        await bench.make(Opcode.ALIGN, 5)
    assert bench.mechanism.motions == [(Opcode.PICK, 3), (Opcode.ALIGN, 5)]


async def test_a_power_cut_midway_is_interrupted_and_never_resumed() -> None:
    bench = Bench(BenchMechanism(stocked=[3]))
    async with running(bench.unit):
        await bench.cut_midway(Opcode.PICK, 3)
        assert bench.unit.silent
        assert bench.mechanism.at is None
        bench.restore()
        status = bench.status()
        assert (status.state, status.accepted_seq, status.done_seq) == (State.INTERRUPTED, 1, 0)
        assert status.position is Position.UNKNOWN
        assert bench.command(Opcode.PICK, 3) == 6
        assert bench.command(Opcode.PICK, 3, seq=1) is None
        bench.mechanism.at = Position.TRANSPORT  # homing draws the card in
        status = await bench.make(Opcode.RESET)
    assert (status.state, status.position, status.done_seq) == (State.READY, Position.TRANSPORT, 2)
    assert [motion for motion, _ in bench.mechanism.motions] == [Opcode.PICK, Opcode.RESET]


async def test_a_power_cut_after_done_keeps_the_result() -> None:
    bench = Bench(BenchMechanism(stocked=[3]))
    async with running(bench.unit):
        await bench.make(Opcode.PICK, 3)
        bench.unit.power_off()
        bench.restore()
        status = bench.status()
    assert (status.state, status.done_seq, status.done_opcode, status.result) == (
        State.READY, 1, Opcode.PICK, Result.DONE,
    )  # fmt: skip


@pytest.mark.parametrize("off", [False, True])
async def test_a_card_taken_at_the_exit_is_counted_once_also_without_power(off: bool) -> None:
    bench = Bench(BenchMechanism(at=Position.TRANSPORT))
    async with running(bench.unit):
        status = await bench.make(Opcode.PRESENT)
        assert (status.position, status.dispensed) == (Position.EXIT, 0)
        if off:
            bench.unit.power_off()
        bench.mechanism.at = None
        if off:
            bench.restore()
        assert (bench.status().position, bench.status().dispensed) == (Position.NONE, 1)
        bench.unit.power_off()
        bench.restore()
        assert bench.status().dispensed == 1


async def test_a_hand_quicker_than_the_end_of_the_motion_is_counted() -> None:
    bench = Bench(BenchMechanism(at=Position.TRANSPORT))
    async with running(bench.unit):
        bench.mechanism.pause = asyncio.Event()
        assert bench.command(Opcode.PRESENT) is None
        await bench.mechanism.midway.wait()
        original = bench.unit._mechanism.sensors
        bench.unit._mechanism.sensors = lambda: original() & ~Sensor.EXIT  # type: ignore[method-assign]
        bench.mechanism.pause.set()
        await until(lambda: bench.status().state is State.READY)
        assert (bench.status().dispensed, bench.status().position) == (1, Position.NONE)


async def test_a_hand_quicker_than_the_retraction_is_counted_and_nothing_moves() -> None:
    bench = Bench(BenchMechanism(at=Position.TRANSPORT))
    async with running(bench.unit):
        await bench.make(Opcode.PRESENT)
        accepted = bench.status().accepted_seq
        bench.mechanism.at = None  # between two polls
        assert bench.command(Opcode.RETRACT, seq=accepted + 1) is None
        await until(lambda: bench.status().state is State.READY)
        status = bench.status()
    assert (status.result, status.fault, status.dispensed) == (Result.FAULT, Fault.NO_CARD, 1)
    assert status.position is Position.NONE
    assert [motion for motion, _ in bench.mechanism.motions] == [Opcode.PRESENT]


async def test_a_hand_quicker_than_the_rollers_of_the_retraction_is_counted() -> None:
    bench = Bench(BenchMechanism(at=Position.TRANSPORT))
    async with running(bench.unit):
        await bench.make(Opcode.PRESENT)
        bench.mechanism.pause = asyncio.Event()
        bench.mechanism.midway.clear()
        bench.mechanism.fault = Fault.NO_CARD
        assert bench.command(Opcode.RETRACT) is None
        await bench.mechanism.midway.wait()
        bench.mechanism.at = None
        bench.mechanism.pause.set()
        await until(lambda: bench.status().state is State.READY)
        status = bench.status()
    assert (status.fault, status.dispensed, status.position) == (Fault.NO_CARD, 1, Position.NONE)


async def test_a_card_taken_between_two_polls_is_counted_before_the_next_motion() -> None:
    bench = Bench(BenchMechanism(stocked=[3], at=Position.TRANSPORT))
    async with running(bench.unit):
        await bench.make(Opcode.PRESENT)
        accepted = bench.status().accepted_seq
        bench.mechanism.at = None
        assert bench.command(Opcode.PICK, 3, seq=accepted + 1) is None
        await until(lambda: bench.status().state is State.READY)
        assert (bench.status().dispensed, bench.status().position) == (1, Position.TRANSPORT)


async def test_an_inserted_card_pulled_back_is_not_a_dispensed_one_but_a_returned_one_is() -> None:
    bench = Bench(BenchMechanism(), UnitKind.RECYCLER)
    async with running(bench.unit):
        await bench.make(Opcode.OPEN)
        bench.mechanism.at = Position.THROAT
        assert bench.status().position is Position.THROAT
        bench.mechanism.at = None
        assert (bench.status().position, bench.status().dispensed) == (Position.NONE, 0)
        bench.mechanism.at = Position.THROAT
        await bench.make(Opcode.ACCEPT)
        await bench.make(Opcode.RETURN)
        await bench.make(Opcode.RESET)  # a reset leaves the card where it is, and it stays a returned one
        assert bench.status().dispensed == 0
        bench.mechanism.at = None
        assert bench.status().dispensed == 1
        bench.mechanism.at = Position.THROAT
        bench.status()
        bench.mechanism.at = None
        assert bench.status().dispensed == 1


async def test_retained_cards_are_counted_through_a_power_cut() -> None:
    bench = Bench(BenchMechanism(at=Position.ESCROW), UnitKind.RECYCLER)
    async with running(bench.unit):
        status = await bench.make(Opcode.RETAIN)
        assert (status.retained, status.position) == (1, Position.NONE)
        bench.mechanism.at = Position.ESCROW
        await bench.cut_midway(Opcode.RETAIN)
        bench.restore()
        assert (bench.status().retained, bench.status().position) == (1, Position.UNKNOWN)


async def test_sensors_forbid_a_motion_without_motor_power() -> None:
    bench = Bench(BenchMechanism(stocked=[3], at=Position.TRANSPORT))
    async with running(bench.unit):
        status = await bench.make(Opcode.PICK, 3)
        assert (status.result, status.fault, status.position) == (
            Result.FAULT, Fault.TARGET_OCCUPIED, Position.TRANSPORT,
        )  # fmt: skip
        bench.mechanism.at = None
        status = await bench.make(Opcode.STORE, 3)
        assert (status.result, status.fault) == (Result.FAULT, Fault.NO_CARD)
    assert bench.mechanism.motions == []


async def test_a_jam_with_the_card_still_in_its_slot_is_no_unknown_card() -> None:
    bench = Bench(BenchMechanism(stocked=[3]))
    bench.mechanism.fault = Fault.JAM
    async with running(bench.unit):
        status = await bench.make(Opcode.PICK, 3)
        assert (status.fault, status.position, Sensor.SLOT in status.sensors) == (Fault.JAM, Position.NONE, True)
        bench.mechanism.stocked.clear()
        status = await bench.make(Opcode.PICK, 4)
        assert status.position is Position.UNKNOWN
        bench.mechanism.fault = Fault.NONE
        status = await bench.make(Opcode.PICK, 4)
        assert (status.result, status.fault) == (Result.FAULT, Fault.SENSOR)
        status = await bench.make(Opcode.RESET)
        assert (status.fault, status.position) == (Fault.NONE, Position.NONE)


async def test_registers_outside_the_blocks_are_refused() -> None:
    bench = Bench(BenchMechanism())
    async with running(bench.unit):
        assert bench.unit.read(STATUS_ADDRESS, STATUS_COUNT + 1) == 2
        assert bench.unit.read(COMMAND_ADDRESS, 1) == 2
        assert bench.unit.write(STATUS_ADDRESS, [0]) == 2
        assert bench.unit.write(COMMAND_ADDRESS, [0] * 12) == 3
