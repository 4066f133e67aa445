"""The host's side of the mailbox against the firmware model on a line that loses requests and replies."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from firmware_protocol.units import Fault, Opcode, Position, UnitKind
from lockerd.devices import mailbox
from lockerd.devices.mailbox import Ending, MailboxUnit
from lockerd.errors import DeviceError
from lockerd.model.custody import Result
from sim.firmware import UnitFirmware
from tests.modbus_rig import BenchMechanism, Flash, MemoryLine, identity, running, until

DISPENSER = UnitKind.DISPENSER


class Bench:
    def __init__(self) -> None:
        self.mechanism = BenchMechanism(stocked=[3, 4])
        self.flash = Flash()
        self.firmware = UnitFirmware(identity(), self.mechanism, self.flash, poll_interval=0.001)
        self.line = MemoryLine({DISPENSER: self.firmware})
        self.host = MailboxUnit(self.line, DISPENSER, "dispenser", poll_interval=0.001)
        self.firmware.power_on(100)

    @property
    def motions(self) -> list[tuple[Opcode, int]]:
        return self.mechanism.motions

    def reboot(self, boot_id: int) -> None:
        self.firmware.power_off()
        self.firmware.power_on(boot_id)

    async def in_motion(self, token: str) -> asyncio.Task[Ending]:
        """A command that stands midway."""
        self.mechanism.pause = asyncio.Event()
        self.mechanism.midway.clear()
        task = asyncio.get_running_loop().create_task(self.host.carry_out(token, 5.0))
        await self.mechanism.midway.wait()
        return task


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    async with running(made.firmware):
        yield made


async def test_a_command_is_planned_carried_out_and_observed(bench: Bench) -> None:
    token = await bench.host.plan(Opcode.PICK, 3)
    assert token == "100:1:19:3"
    ending = await bench.host.carry_out(token, 5.0)
    assert ending.result is Result.DONE
    assert ending.status is not None
    assert (ending.status.position, ending.status.slot) == (Position.TRANSPORT, 3)
    assert bench.host.identity == identity()


@pytest.mark.parametrize(
    ("script", "writes"),
    [([], 1), (["request"], 2), (["reply"], 1), (["request", "request", "reply"], 3), (["request", "reply"], 2)],
)
async def test_whatever_is_lost_the_same_number_is_sent_and_moves_once(
    bench: Bench, script: list[str | None], writes: int
) -> None:
    token = await bench.host.plan(Opcode.PICK, 3)
    bench.line.script = script
    ending = await bench.host.carry_out(token, 5.0)
    assert ending.result is Result.DONE
    assert bench.motions == [(Opcode.PICK, 3)]
    assert len(bench.line.writes) == writes
    assert len(set(bench.line.writes)) == 1


async def test_a_request_lost_every_time_is_in_doubt_and_bounded(bench: Bench) -> None:
    token = await bench.host.plan(Opcode.PICK, 3)
    bench.line.script = ["request"] * 50
    ending = await bench.host.carry_out(token, 5.0)
    assert ending.result is Result.IN_DOUBT
    assert bench.motions == []
    assert len(bench.line.writes) < 10


async def test_a_request_that_never_left_has_not_moved(bench: Bench) -> None:
    token = await bench.host.plan(Opcode.PICK, 3)
    bench.line.script = ["unsent"]
    ending = await bench.host.carry_out(token, 5.0)
    assert (ending.result, ending.status) == (Result.NOT_MOVED, None)
    assert (len(bench.line.writes), bench.motions) == (1, [])


async def test_a_fault_is_reported_with_where_the_card_is(bench: Bench) -> None:
    bench.mechanism.fault = Fault.JAM
    ending = await bench.host.carry_out(await bench.host.plan(Opcode.PICK, 3), 5.0)
    assert (ending.result, ending.fault) == (Result.FAILED, Fault.JAM)
    assert ending.status is not None
    assert ending.status.position is Position.NONE


async def test_power_lost_before_acceptance_has_not_moved_and_is_not_sent_to_the_new_boot(bench: Bench) -> None:
    token = await bench.host.plan(Opcode.PICK, 3)
    bench.reboot(101)
    ending = await bench.host.carry_out(token, 5.0)
    assert ending.result is Result.NOT_MOVED
    assert bench.motions == []
    assert len(bench.line.writes) == 1


async def test_power_lost_with_the_request_has_not_moved_either(bench: Bench) -> None:
    token = await bench.host.plan(Opcode.PICK, 3)
    bench.line.script = ["request"]
    bench.line.on_loss = lambda: bench.reboot(101)
    ending = await bench.host.carry_out(token, 5.0)
    assert ending.result is Result.NOT_MOVED
    assert len(bench.line.writes) == 1


async def test_power_lost_in_motion_is_in_doubt_never_resumed_and_only_a_reset_may_follow(bench: Bench) -> None:
    token = await bench.host.plan(Opcode.PICK, 3)
    task = await bench.in_motion(token)
    bench.reboot(101)
    ending = await task
    assert ending.result is Result.IN_DOUBT
    assert ending.status is not None
    assert ending.status.position is Position.UNKNOWN
    assert (await bench.host.settle(token, 5.0)).result is Result.IN_DOUBT
    with pytest.raises(DeviceError, match="RESET first"):
        await bench.host.plan(Opcode.PICK, 3)
    bench.mechanism.pause = None
    assert (await bench.host.carry_out(await bench.host.plan(Opcode.RESET), 5.0)).result is Result.DONE
    assert (await bench.host.settle(token, 5.0)).result is Result.IN_DOUBT
    assert bench.motions == [(Opcode.PICK, 3), (Opcode.RESET, 0)]


async def test_power_lost_after_the_end_keeps_the_result(bench: Bench) -> None:
    token = await bench.host.plan(Opcode.PICK, 3)
    bench.line.script = ["reply"]
    task = await bench.in_motion(token)
    assert bench.mechanism.pause is not None
    bench.mechanism.pause.set()
    await until(lambda: bench.flash.record["done_seq"] == 1)
    bench.reboot(101)
    assert (await task).result is Result.DONE
    assert (await bench.host.settle(token, 5.0)).result is Result.DONE
    assert bench.motions == [(Opcode.PICK, 3)]


async def test_silence_beyond_the_deadline_is_in_doubt(bench: Bench) -> None:
    token = await bench.host.plan(Opcode.PICK, 3)
    bench.firmware.mute(True)
    assert (await bench.host.carry_out(token, 0.02)).result is Result.IN_DOUBT
    with pytest.raises(DeviceError):
        await bench.host.settle(token, 0.02)
    bench.firmware.mute(False)
    assert (await bench.host.settle(token, 5.0)).result is Result.NOT_MOVED


async def test_settling_never_writes(bench: Bench) -> None:
    first = await bench.host.plan(Opcode.PICK, 3)
    assert (await bench.host.settle(first, 5.0)).result is Result.NOT_MOVED
    task = await bench.in_motion(first)
    settled = asyncio.get_running_loop().create_task(bench.host.settle(first, 5.0))
    looks = bench.line.reads
    await until(lambda: bench.line.reads > looks + 2)
    assert not settled.done()
    assert bench.mechanism.pause is not None
    bench.mechanism.pause.set()
    assert (await settled).result is Result.DONE
    await task
    assert len(bench.line.writes) == 1


async def test_what_was_read_just_now_need_not_be_read_again_to_plan(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.host.observe()  # the first after a boot reads the identity, too, and then the status is older
    await bench.host.carry_out(await bench.host.plan(Opcode.PICK, 3), 5.0)
    looks = bench.line.reads
    token = await bench.host.plan(Opcode.STORE, 3)
    assert (token, bench.line.reads) == ("100:2:18:3", looks)
    bench.line.script = ["unsent"]
    await bench.host.carry_out(token, 5.0)
    assert (await bench.host.plan(Opcode.STORE, 3), bench.line.reads) == (token, looks + 1)
    bench.reboot(101)
    assert (await bench.host.carry_out(token, 5.0)).result is Result.NOT_MOVED
    assert await bench.host.plan(Opcode.STORE, 3) == "101:2:18:3"
    looks = bench.line.reads
    monkeypatch.setattr(mailbox, "LATELY_SECONDS", -1.0)
    await bench.host.plan(Opcode.STORE, 3)
    assert bench.line.reads == looks + 1


@pytest.mark.parametrize("foreign", [Opcode.ALIGN, Opcode.PICK], ids=["another opcode", "another slot"])
async def test_a_number_used_by_somebody_else_is_in_doubt(bench: Bench, foreign: Opcode) -> None:
    mine = await bench.host.plan(Opcode.PICK, 3)
    other = MailboxUnit(bench.line, DISPENSER, "dispenser", poll_interval=0.001)
    await other.carry_out(await other.plan(foreign, 4), 5.0)
    assert (await bench.host.carry_out(mine, 5.0)).result is Result.IN_DOUBT
    await other.carry_out(await other.plan(Opcode.ALIGN, 5), 5.0)
    assert (await bench.host.carry_out(mine, 5.0)).result is Result.IN_DOUBT
    assert bench.motions == [(foreign, 4), (Opcode.ALIGN, 5)]


async def test_a_busy_unit_is_not_planned_for(bench: Bench) -> None:
    task = await bench.in_motion(await bench.host.plan(Opcode.PICK, 3))
    with pytest.raises(DeviceError, match="busy"):
        await bench.host.plan(Opcode.PICK, 4)
    assert bench.mechanism.pause is not None
    bench.mechanism.pause.set()
    await task


@pytest.mark.parametrize(("opcode", "arg0"), [(Opcode.PICK, 8), (Opcode.ACCEPT, 0), (Opcode.LIGHT, 1)])
async def test_what_the_unit_cannot_do_is_refused_before_any_intent(bench: Bench, opcode: Opcode, arg0: int) -> None:
    with pytest.raises(DeviceError):
        await bench.host.plan(opcode, arg0)


async def test_torn_and_lost_readings_are_read_again_a_few_times(bench: Bench) -> None:
    bench.line.torn_reads = 2
    await bench.host.observe()
    bench.line.lost_reads = 2
    await bench.host.observe()
    bench.line.torn_reads = 3
    with pytest.raises(DeviceError, match="CRC"):
        await bench.host.observe()


async def test_a_unit_of_another_kind_is_refused_by_name() -> None:
    firmware = UnitFirmware(identity(UnitKind.RECYCLER, 0), BenchMechanism(), Flash())
    firmware.power_on(1)
    async with running(firmware):
        host = MailboxUnit(MemoryLine({DISPENSER: firmware}), DISPENSER, "dispenser")
        with pytest.raises(DeviceError, match="a recycler answers"):
            await host.plan(Opcode.RESET)


@pytest.mark.parametrize("token", ["", "1:2:3", "a:b:c:d", "1:2:3:4:5"])
async def test_a_foreign_token_is_a_device_error(bench: Bench, token: str) -> None:
    with pytest.raises(DeviceError, match="token"):
        await bench.host.settle(token, 1.0)


async def test_ten_per_cent_loss_executes_nothing_twice_and_claims_nothing_undone(bench: Bench) -> None:
    chance = random.Random(20260)
    for number in range(300):
        bench.line.script = [chance.choices([None, "request", "reply"], [0.9, 0.05, 0.05])[0] for _ in range(4)]
        bench.line.lost_reads = int(chance.random() < 0.1)
        before = len(bench.motions)
        ending = await bench.host.carry_out(await bench.host.plan(Opcode.ALIGN, number % 8), 5.0)
        executed = len(bench.motions) - before
        assert executed == (1 if ending.result is Result.DONE else 0)


async def test_a_unit_is_never_asked_by_two_at_once(bench: Bench) -> None:
    asked = 0
    most = 0
    read = bench.line.read

    async def counted(unit: int, address: int, count: int) -> tuple[int, ...]:
        nonlocal asked, most
        asked += 1
        most = max(most, asked)
        try:
            return await read(unit, address, count)
        finally:
            asked -= 1

    bench.line.read = counted  # type: ignore[method-assign]
    seen = await asyncio.gather(*(bench.host.observe() for _ in range(5)))
    assert len(seen) == 5
    assert most == 1
