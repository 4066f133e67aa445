"""Dispenser, recycler and cabinet behind the ports `Mover` and `Cabinet`: translation between custody and the wire."""

from __future__ import annotations

import asyncio

from firmware_protocol import units as wire
from firmware_protocol.blocks import (
    CABINET_BATTERY,
    CABINET_FAN,
    CABINET_HEATER,
    CABINET_LIGHTS,
    CABINET_TEMPERATURE,
    DISPENSER_RETRACT_COUNT,
    NO_SLOT,
    RECYCLER_BIN_COUNT,
    StatusBlock,
)
from lockerd.devices.mailbox import Ending, MailboxUnit
from lockerd.errors import DeviceError
from lockerd.model.climate import Climate
from lockerd.model.custody import (
    CabinetObservation,
    Fault,
    Motion,
    Observation,
    Order,
    Outcome,
    Place,
    Plan,
    Result,
    Sensor,
    Unit,
)
from lockerd.model.polling import MOVING_SECONDS

_OPCODES = {motion: wire.Opcode[motion.name] for motion in Motion}
_SENSORS = tuple((int(wire.Sensor[sensor.name]), sensor) for sensor in Sensor)
_FAULTS = {wire.Fault[fault.name]: fault for fault in Fault if fault is not Fault.SILENT}
_PLACES: dict[wire.Position, Place | None] = {
    wire.Position.NONE: None,
    wire.Position.LOAD: Place.LOAD,
    wire.Position.TRANSPORT: Place.TRANSPORT,
    wire.Position.EXIT: Place.EXIT,
    wire.Position.RETRACT: Place.RETRACT,
    wire.Position.THROAT: Place.THROAT,
    wire.Position.ESCROW: Place.ESCROW,
    wire.Position.BIN: Place.BIN,
    wire.Position.UNKNOWN: Place.IN_DOUBT,
}
_BIN_COUNT = {Unit.DISPENSER: DISPENSER_RETRACT_COUNT, Unit.RECYCLER: RECYCLER_BIN_COUNT}
_LIGHTS = {light.name.lower(): int(light) for light in wire.Light if light.name}
_SLOT_MOTIONS = frozenset({Motion.ALIGN, Motion.STORE, Motion.PICK})
_SETTING_SECONDS = 5.0
_TRIES = 3


class MailboxMover:
    """A dispenser or recycler behind a mailbox; implements `lockerd.ports.Mover`.

    `motion_seconds` bounds the wait for one motion's end; what is unknown then is in doubt.
    """

    def __init__(self, mailbox: MailboxUnit, unit: Unit, *, motion_seconds: float = 30.0) -> None:
        self._mailbox = mailbox
        self._unit = unit
        self._motion_seconds = motion_seconds
        self._last: tuple[StatusBlock, Observation] | None = None

    @property
    def capacity(self) -> int:
        """Number of slots; 0 before the first `observe` and for a unit without storage."""
        return self._mailbox.identity.capacity if self._mailbox.identity else 0

    async def observe(self) -> Observation:
        """Read sensors and counters. Raises DeviceError."""
        return self._observation(await self._mailbox.observe())

    async def plan(self, order: Order) -> Plan:
        """Prepare an order without moving anything. Raises DeviceError."""
        if order.unit is not self._unit:
            raise DeviceError(self._mailbox.name, f"the order is for the {order.unit}")
        if (order.slot is not None) != (order.motion in _SLOT_MOTIONS):
            raise DeviceError(self._mailbox.name, f"{order.motion} with slot {order.slot} is no order")
        return Plan(order, await self._mailbox.plan(_OPCODES[order.motion], order.slot or 0))

    async def carry_out(self, plan: Plan) -> Outcome:
        """Make the motion once and wait for its end; never raises for what the unit did or did not do."""
        return self._outcome(await self._mailbox.carry_out(plan.token, self._motion_seconds))

    async def settle(self, plan: Plan) -> Outcome:
        """Tell what became of a plan; never moves anything. Raises DeviceError while the unit is silent."""
        return self._outcome(await self._mailbox.settle(plan.token, self._motion_seconds))

    def _outcome(self, ending: Ending) -> Outcome:
        if ending.status is None:
            return Outcome(ending.result, Fault.SILENT)
        return Outcome(ending.result, _FAULTS.get(ending.fault), self._observation(ending.status))

    def _observation(self, status: StatusBlock) -> Observation:
        """The status in the words of custody; the codec gives the same object as long as a unit says the same."""
        if self._last is None or self._last[0] is not status:
            self._last = (status, observation_of(self._unit, status))
        return self._last[1]


class MailboxCabinet:
    """The cabinet behind a mailbox; implements `lockerd.ports.Cabinet`."""

    def __init__(self, mailbox: MailboxUnit) -> None:
        self._mailbox = mailbox
        self._lock = asyncio.Lock()
        self._told: tuple[str, int] | None = None  # the token of what it took last, and the lights since then

    async def observe(self) -> CabinetObservation:
        """Read all sensors. Raises DeviceError."""
        status = await self._mailbox.observe()
        sensors = status.sensors
        temperature = status.detail[CABINET_TEMPERATURE]
        return CabinetObservation(
            door_open=wire.Sensor.DOOR_OPEN in sensors,
            tamper=wire.Sensor.TAMPER in sensors,
            key_switch=wire.Sensor.KEY_SWITCH in sensors,
            mains=wire.Sensor.MAINS in sensors,
            temperature=(temperature - 0x10000 if temperature & 0x8000 else temperature) / 10,
            battery=status.detail[CABINET_BATTERY],
            lights=frozenset(name for name, light in _LIGHTS.items() if status.detail[CABINET_LIGHTS] & light),
            hatch_open=wire.Sensor.HATCH_OPEN in sensors,
            climate=None
            if status.accepted_opcode is None
            else Climate(status.detail[CABINET_FAN], bool(status.detail[CABINET_HEATER])),
            fan_turns=wire.Sensor.FAN_TURNS in sensors,
        )

    async def light(self, *names: str) -> None:
        """Light exactly the named places: one write, whose acknowledgement is enough for a lamp.

        What is not acknowledged is seen to its end; a repeated command does no harm here. Another host's command in between
        may bear the same number and hide one light. Raises DeviceError.
        """
        unknown = set(names) - set(_LIGHTS)
        if unknown:
            raise ValueError(f"no such light: {', '.join(sorted(unknown))}")
        mask = sum(_LIGHTS[name] for name in set(names))
        async with self._lock:
            told, self._told = self._told, None
            if told is not None and told[1] != mask:
                token = self._mailbox.plan_after(told[0], wire.Opcode.LIGHT, mask)
                if await self._mailbox.tell(token):
                    self._told = token, mask
                    return
            await self._tell(wire.Opcode.LIGHT, CABINET_LIGHTS, mask)

    async def set_climate(self, climate: Climate) -> None:
        """Tell fan and heater what to do, and see it done. Raises DeviceError."""
        async with self._lock:
            await self._tell(wire.Opcode.FAN, CABINET_FAN, climate.fan)
            await self._tell(wire.Opcode.HEATER, CABINET_HEATER, int(climate.heater))

    async def _tell(self, opcode: wire.Opcode, detail: int, value: int) -> None:
        """Have a register of the status read `value`. Raises DeviceError."""
        for _ in range(_TRIES):
            self._told = None
            status = await self._mailbox.observe()
            if status.state is wire.State.RUNNING:  # with what it was told before
                await asyncio.sleep(MOVING_SECONDS)
                continue
            if status.state is wire.State.INTERRUPTED:
                token = await self._mailbox.plan(wire.Opcode.RESET)
                status = (await self._mailbox.carry_out(token, _SETTING_SECONDS)).status or status
            if status.detail[detail] == value:
                return
            token = self._mailbox.plan_from(status, opcode, value)
            ending = await self._mailbox.carry_out(token, _SETTING_SECONDS)
            if ending.result is Result.DONE and ending.status is not None:
                self._told = token, ending.status.detail[CABINET_LIGHTS]
                return
        raise DeviceError(self._mailbox.name, f"{opcode.name} {value} is not done")


def observation_of(unit: Unit, status: StatusBlock) -> Observation:
    """The wire's status in the words of custody."""
    levels = int(status.sensors)
    return Observation(
        unit=unit,
        boot_id=status.boot_id,
        busy=status.state is wire.State.RUNNING,
        interrupted=status.state is wire.State.INTERRUPTED,
        place=_PLACES[status.position],
        slot=None if status.slot == NO_SLOT else status.slot,
        sensors=frozenset([sensor for bit, sensor in _SENSORS if levels & bit]),
        fault=_FAULTS.get(status.fault),
        dispensed=status.dispensed,
        retained=status.retained,
        bin_count=status.detail[_BIN_COUNT[unit]],
    )
