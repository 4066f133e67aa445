"""The cabinet's lights: one write each while all is well, and seen to their end when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from firmware_protocol.blocks import CABINET_LIGHTS
from firmware_protocol.units import Light, UnitKind
from lockerd.devices.mailbox import MailboxUnit
from lockerd.devices.units import MailboxCabinet
from lockerd.errors import DeviceError
from sim.firmware import UnitFirmware
from tests.modbus_rig import BenchMechanism, Flash, MemoryLine, identity, running, until


class Bench:
    def __init__(self) -> None:
        self.mechanism = BenchMechanism()
        self.firmware = UnitFirmware(identity(UnitKind.CABINET, 0), self.mechanism, Flash(), poll_interval=0.001)
        self.line = MemoryLine({UnitKind.CABINET: self.firmware})
        self.cabinet = MailboxCabinet(MailboxUnit(self.line, UnitKind.CABINET, "cabinet", poll_interval=0.001))
        self.firmware.power_on(100)

    async def lit(self, light: Light) -> None:
        await until(lambda: not self.firmware.moving and self.mechanism.registers[CABINET_LIGHTS] == light)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    async with running(made.firmware):
        await made.cabinet.light("reader")
        await made.lit(Light.READER)
        yield made


async def test_a_light_is_one_write(bench: Bench) -> None:
    looks, writes = bench.line.reads, len(bench.line.writes)
    for name, light in (("exit", Light.EXIT), ("camera", Light.CAMERA), ("throat", Light.THROAT)):
        await bench.cabinet.light(name)
        await bench.lit(light)
    assert (bench.line.reads, len(bench.line.writes)) == (looks, writes + 3)
    assert len(set(bench.line.writes)) == writes + 3


@pytest.mark.parametrize("lost", ["request", "reply"])
async def test_a_light_without_an_acknowledgement_is_seen_to_its_end(bench: Bench, lost: str) -> None:
    bench.line.script = [lost]
    await bench.cabinet.light("exit")
    assert bench.mechanism.registers[CABINET_LIGHTS] == Light.EXIT


async def test_a_cabinet_that_booted_is_asked_anew(bench: Bench) -> None:
    bench.firmware.power_off()
    bench.firmware.power_on(101)
    await bench.cabinet.light("exit")
    assert bench.mechanism.registers[CABINET_LIGHTS] == Light.EXIT


async def test_a_light_that_comes_before_the_last_one_ended_is_told_again(bench: Bench) -> None:
    bench.mechanism.pause = asyncio.Event()
    await bench.cabinet.light("exit")
    refused = len(bench.line.writes) + 1
    telling = asyncio.get_running_loop().create_task(bench.cabinet.light("throat"))
    await until(lambda: len(bench.line.writes) == refused)
    bench.mechanism.pause.set()
    await telling
    assert bench.mechanism.registers[CABINET_LIGHTS] == Light.THROAT


async def test_a_silent_cabinet_is_a_device_error(bench: Bench) -> None:
    bench.firmware.mute(True)
    with pytest.raises(DeviceError):
        await bench.cabinet.light("exit")
    bench.firmware.mute(False)
    await bench.cabinet.light("exit")
    assert bench.mechanism.registers[CABINET_LIGHTS] == Light.EXIT
