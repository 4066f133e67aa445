"""The daemon's drivers and the simulated units over real wires: a pseudo-terminal and a TCP port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from firmware_protocol.blocks import STATUS_ADDRESS, STATUS_COUNT, StatusBlock
from firmware_protocol.units import Position, UnitKind
from firmware_protocol.units import Sensor as WireSensor
from lockerd.devices.bus import DeviceSilent, ModbusBus, RtuSettings, TcpSettings
from lockerd.devices.mailbox import MailboxUnit
from lockerd.devices.units import MailboxCabinet, MailboxMover
from lockerd.errors import DeviceError
from lockerd.model.custody import Fault, Motion, Order, Place, Result, Sensor, Unit
from lockerd.ports import Cabinet, Mover
from sim.bus import tcp_bus
from sim.firmware import UnitFirmware
from sim.modbus_slave import RtuSlave
from sim.ptys import serve_pty
from tests.modbus_rig import BenchMechanism, Flash, identity, running, until

Wire = RtuSettings | TcpSettings


class Machine:
    """Three units and the daemon's drivers for them."""

    def __init__(self) -> None:
        self.mechanisms = {
            UnitKind.DISPENSER: BenchMechanism(stocked=[3]),
            UnitKind.RECYCLER: BenchMechanism(at=Position.THROAT),
            UnitKind.CABINET: BenchMechanism(),
        }
        self.mechanisms[UnitKind.CABINET].levels |= WireSensor.MAINS | WireSensor.DOOR_OPEN
        self.mechanisms[UnitKind.CABINET].registers[:2] = [0x10000 - 55, 80]
        self.units: dict[int, UnitFirmware] = {
            kind: UnitFirmware(
                identity(kind, 8 if kind is UnitKind.DISPENSER else 0), mechanism, Flash(), poll_interval=0.01
            )
            for kind, mechanism in self.mechanisms.items()
        }

    def power_on(self, boot_id: int) -> None:
        for unit in self.units.values():
            unit.power_on(boot_id)

    def power_off(self) -> None:
        for unit in self.units.values():
            unit.power_off()


class Drivers:
    def __init__(self, bus: ModbusBus) -> None:
        self.bus = bus
        self.dispenser: Mover = MailboxMover(
            MailboxUnit(bus, UnitKind.DISPENSER, "dispenser", poll_interval=0.01), Unit.DISPENSER, motion_seconds=5.0
        )
        self.recycler: Mover = MailboxMover(
            MailboxUnit(bus, UnitKind.RECYCLER, "recycler", poll_interval=0.01), Unit.RECYCLER, motion_seconds=5.0
        )
        self.cabinet: Cabinet = MailboxCabinet(MailboxUnit(bus, UnitKind.CABINET, "cabinet", poll_interval=0.01))


@asynccontextmanager
async def served(machine: Machine, wire: str, directory: Path) -> AsyncIterator[Wire]:
    if wire == "tcp":
        async with tcp_bus(machine.units, "127.0.0.1", 0) as port:
            yield TcpSettings("127.0.0.1", port)
        return
    slave = RtuSlave(machine.units)
    link = directory / "bus"
    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve_pty(link, lambda data, send: send(slave.feed(data))))
        await until(link.exists)
        yield RtuSettings(str(link))
        task.cancel()


@pytest.fixture(params=["rtu", "tcp"])
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    made = Machine()
    made.power_on(7)
    async with running(*made.units.values()):
        yield made


@asynccontextmanager
async def driven(machine: Machine, wire: str, directory: Path) -> AsyncIterator[Drivers]:
    async with served(machine, wire, directory) as settings:
        bus = ModbusBus(settings, timeout=0.2, latency=0.25)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(bus.run())
            yield Drivers(bus)
            task.cancel()


async def test_a_card_is_picked_presented_and_taken(machine: Machine, wire: str, tmp_path: Path) -> None:
    mechanism = machine.mechanisms[UnitKind.DISPENSER]
    async with driven(machine, wire, tmp_path) as drivers:
        dispenser = drivers.dispenser
        seen = await dispenser.observe()
        assert (dispenser.capacity, seen.place, seen.busy, seen.dispensed) == (8, None, False, 0)
        picked = await dispenser.carry_out(await dispenser.plan(Order(Unit.DISPENSER, Motion.PICK, 3)))
        assert picked.result is Result.DONE
        assert picked.observation is not None
        assert (picked.observation.place, picked.observation.slot) == (Place.TRANSPORT, 3)
        presented = await dispenser.carry_out(await dispenser.plan(Order(Unit.DISPENSER, Motion.PRESENT)))
        assert presented.observation is not None
        assert presented.observation.place is Place.EXIT
        assert Sensor.EXIT in presented.observation.sensors
        mechanism.at = None
        taken = await dispenser.observe()
        assert (taken.place, taken.dispensed) == (None, 1)
        failed = await dispenser.carry_out(await dispenser.plan(Order(Unit.DISPENSER, Motion.CAPTURE)))
        assert (failed.result, failed.fault) == (Result.FAILED, Fault.NO_CARD)


async def test_an_old_card_is_kept_and_the_cabinet_follows(machine: Machine, wire: str, tmp_path: Path) -> None:
    async with driven(machine, wire, tmp_path) as drivers:
        for motion, place in ((Motion.ACCEPT, Place.ESCROW), (Motion.RETAIN, None)):
            outcome = await drivers.recycler.carry_out(await drivers.recycler.plan(Order(Unit.RECYCLER, motion)))
            assert outcome.observation is not None
            assert (outcome.result, outcome.observation.place) == (Result.DONE, place)
        assert (await drivers.recycler.observe()).retained == 1
        await drivers.cabinet.light("exit", "camera")
        await drivers.cabinet.light("exit", "camera")
        cabinet = await drivers.cabinet.observe()
        assert cabinet.lights == {"exit", "camera"}
        assert (cabinet.temperature, cabinet.battery, cabinet.mains, cabinet.door_open) == (-5.5, 80, True, True)
        assert len(machine.mechanisms[UnitKind.CABINET].motions) == 1


async def test_a_power_cut_in_motion_is_in_doubt_until_a_reset(machine: Machine, wire: str, tmp_path: Path) -> None:
    mechanism = machine.mechanisms[UnitKind.DISPENSER]
    mechanism.pause = asyncio.Event()
    async with driven(machine, wire, tmp_path) as drivers:
        plan = await drivers.dispenser.plan(Order(Unit.DISPENSER, Motion.PICK, 3))
        motion = asyncio.get_running_loop().create_task(drivers.dispenser.carry_out(plan))
        await mechanism.midway.wait()
        machine.power_off()
        with pytest.raises(DeviceSilent):
            await drivers.dispenser.observe()
        machine.power_on(8)
        outcome = await motion
        assert outcome.observation is not None
        assert (outcome.result, outcome.observation.place) == (Result.IN_DOUBT, Place.IN_DOUBT)
        assert outcome.observation.interrupted
        with pytest.raises(DeviceError, match="RESET"):
            await drivers.dispenser.plan(Order(Unit.DISPENSER, Motion.PICK, 3))
        assert (await drivers.dispenser.settle(plan)).result is Result.IN_DOUBT
        mechanism.pause = None
        reset = await drivers.dispenser.carry_out(await drivers.dispenser.plan(Order(Unit.DISPENSER, Motion.RESET)))
        assert reset.result is Result.DONE
    assert len(mechanism.motions) == 2


async def test_lights_come_back_after_a_power_cut_in_their_command(machine: Machine, wire: str, tmp_path: Path) -> None:
    mechanism = machine.mechanisms[UnitKind.CABINET]
    mechanism.pause = asyncio.Event()
    async with driven(machine, wire, tmp_path) as drivers:
        command = asyncio.get_running_loop().create_task(drivers.cabinet.light("reader"))
        await mechanism.midway.wait()
        machine.power_off()
        mechanism.pause = None
        machine.power_on(8)
        await command
        assert (await drivers.cabinet.observe()).lights == {"reader"}


async def test_bare_pymodbus_reads_the_units(machine: Machine, wire: str, tmp_path: Path) -> None:
    async with served(machine, wire, tmp_path) as settings:
        client: AsyncModbusSerialClient | AsyncModbusTcpClient
        match settings:
            case RtuSettings():
                client = AsyncModbusSerialClient(
                    settings.port, framer=FramerType.RTU, baudrate=settings.baudrate, retries=0, reconnect_delay=0
                )
            case TcpSettings():
                client = AsyncModbusTcpClient(settings.host, port=settings.port, retries=0, reconnect_delay=0)
        assert await client.connect()
        for kind in UnitKind:
            answer = await client.read_holding_registers(STATUS_ADDRESS, count=STATUS_COUNT, device_id=kind)
            assert StatusBlock.from_registers(answer.registers).boot_id == 7
        assert (await client.read_holding_registers(0x300, count=1, device_id=1)).exception_code == 2
        assert (await client.read_coils(0, count=1, device_id=1)).exception_code == 1
        assert (await client.write_register(0x100, 1, device_id=1)).exception_code == 1
        client.close()


async def test_a_swapped_address_is_told_by_name(machine: Machine, tmp_path: Path) -> None:
    machine.units[UnitKind.DISPENSER] = machine.units[UnitKind.RECYCLER]
    async with driven(machine, "tcp", tmp_path) as drivers:
        with pytest.raises(DeviceError, match="a recycler answers; check the unit addresses"):
            await drivers.dispenser.observe()


@pytest.mark.parametrize(
    "order", [Order(Unit.RECYCLER, Motion.OPEN), Order(Unit.DISPENSER, Motion.PICK), Order(Unit.DISPENSER, Motion.OPEN)]
)
async def test_an_order_that_makes_no_sense_is_refused(machine: Machine, tmp_path: Path, order: Order) -> None:
    async with driven(machine, "tcp", tmp_path) as drivers:
        with pytest.raises(DeviceError):
            await drivers.dispenser.plan(order)
