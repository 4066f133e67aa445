"""The mechanics under each firmware: motors that take their time, and sensors that see what is there or are stuck.

A motor moves a card through `Place.BETWEEN`; whoever cancels `perform` midway (the power is cut) leaves it there. Each class
is a `sim.firmware.Mechanism`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from firmware_protocol.blocks import (
    CABINET_BATTERY,
    CABINET_FAN,
    CABINET_HEATER,
    CABINET_LIGHTS,
    CABINET_TEMPERATURE,
    DETAIL_COUNT,
    DISPENSER_RETRACT_COUNT,
    NO_SLOT,
    RECYCLER_BIN_COUNT,
)
from firmware_protocol.units import OPCODES, SENSORS, Fault, Light, Opcode, Sensor, UnitKind
from sim.motions import MotionLog
from sim.world import CAPACITY, PATH_END, Impossible, Place, World

Step = Callable[[int], None]
Sleep = Callable[[float], Awaitable[None]]

SECONDS: dict[Opcode, float] = {
    Opcode.RESET: 1.2,
    Opcode.LOAD: 0.9,
    Opcode.STORE: 0.9,
    Opcode.PICK: 0.9,
    Opcode.PRESENT: 0.6,
    Opcode.RETRACT: 0.6,
    Opcode.CAPTURE: 0.8,
    Opcode.REJECT: 0.6,
    Opcode.OPEN: 0.3,
    Opcode.CLOSE: 0.3,
    Opcode.ACCEPT: 0.9,
    Opcode.RETURN: 0.6,
    Opcode.RETAIN: 1.0,
}
"""Duration of each motion at speed 1 without turning the carousel; what is not named is done at once."""

HALF_TURN_SECONDS = 1.5
_JAMMING = frozenset(opcode.name.lower() for opcode in (*SECONDS, Opcode.ALIGN))
_LEAVES, _MIDWAY = 0.3, 0.6  # fractions of a motion at which its card leaves, and at which a jam stops it

# Sensor bits as plain numbers: a flag's arithmetic takes many times as long.
_HOME, _LOAD, _SLOT, _MAINS = int(Sensor.HOME), int(Sensor.LOAD), int(Sensor.SLOT), int(Sensor.MAINS)
_TRANSPORT, _EXIT = int(Sensor.TRANSPORT), int(Sensor.EXIT)
_THROAT, _ESCROW = int(Sensor.THROAT), int(Sensor.ESCROW)
_RETRACT_FULL, _BIN_FULL = int(Sensor.RETRACT_FULL), int(Sensor.BIN_FULL)
_GATE_OPEN, _SHUTTER_OPEN = int(Sensor.GATE_OPEN), int(Sensor.SHUTTER_OPEN)
_LIGHTS = sum(Light)
_MAINS_AND_FAN = int(Sensor.MAINS | Sensor.FAN_TURNS)
_SEES: dict[Place, int] = {
    Place.LOAD: _LOAD,
    Place.TRANSPORT: _TRANSPORT,
    Place.EXIT: _EXIT,
    Place.SLOT: _SLOT,
    Place.THROAT: _THROAT,
    Place.ESCROW: _ESCROW,
}
_CARRIES: dict[Opcode, tuple[Place, Place]] = {
    Opcode.LOAD: (Place.LOAD, Place.TRANSPORT),
    Opcode.STORE: (Place.TRANSPORT, Place.SLOT),
    Opcode.PICK: (Place.SLOT, Place.TRANSPORT),
    Opcode.PRESENT: (Place.TRANSPORT, Place.EXIT),
    Opcode.RETRACT: (Place.EXIT, Place.TRANSPORT),
    Opcode.CAPTURE: (Place.TRANSPORT, Place.RETRACT),
    Opcode.REJECT: (Place.TRANSPORT, Place.REJECT_LANE),
    Opcode.ACCEPT: (Place.THROAT, Place.ESCROW),
    Opcode.RETURN: (Place.ESCROW, Place.THROAT),
    Opcode.RETAIN: (Place.ESCROW, Place.BIN),
}


class Unit(ABC):
    """What all units share: sensors that may be stuck, motions that may jam, time that is handed in.

    `changed` is called after each change of the world; `speed` divides every duration.
    """

    def __init__(
        self,
        kind: UnitKind,
        world: World,
        log: MotionLog,
        *,
        sleep: Sleep,
        changed: Callable[[], None],
        speed: float = 1.0,
    ) -> None:
        self.kind = kind
        self.name = kind.name.lower()
        self._own = int(SENSORS[kind])
        self.world = world
        self.changed = changed
        self._log = log
        self._sleep = sleep
        self._speed = speed

    # What a scenario does to it

    def jam(self, motion: str) -> None:
        """Let the next motion of that name (an opcode in lower case) jam; raises Impossible for one that cannot."""
        if motion not in _JAMMING or Opcode[motion.upper()] not in OPCODES[self.kind] or self.kind not in PATH_END:
            raise Impossible(f"the {self.name} has no motion {motion} that could jam")
        self.world.armed[self.name] = motion

    def clear_jam(self) -> None:
        """Staff free the mechanics; a card that is between stays there until RESET draws it in."""
        self.world.armed.pop(self.name, None)
        self.world.jammed.discard(self.kind)

    def stick(self, sensor: str, level: bool | None) -> None:
        """Fix a sensor (its name in lower case) at a level, or let it see again with None; raises Impossible if it has none."""
        if sensor.upper() not in Sensor.__members__ or Sensor[sensor.upper()] not in SENSORS[self.kind]:
            raise Impossible(f"the {self.name} has no sensor {sensor}")
        self.world.stuck.pop(sensor, None)
        if level is not None:
            self.world.stuck[sensor] = level

    # What the firmware sees and does

    def sensors(self) -> int:
        """Level of every sensor of this unit: bits of `Sensor`."""
        seen = 0 if self.kind in self.world.unhomed else _HOME
        seen |= self._levels()
        for name, level in self.world.stuck.items():
            bit = int(Sensor[name.upper()]) & self._own
            seen = seen | bit if level else seen & ~bit
        return seen

    def slot(self) -> int:
        """Slot that stands at the picker; NO_SLOT for a unit without a carousel."""
        return NO_SLOT

    @abstractmethod
    def detail(self) -> tuple[int, ...]:
        """Registers of this kind of unit."""

    @abstractmethod
    def _levels(self) -> int:
        """Bits of this kind's sensors but HOME, as a plain number: it is asked for at each look at each unit."""

    async def perform(self, opcode: Opcode, arg0: int, step: Step) -> Fault:
        """Make one motion; Fault.NONE when sensors confirm its end."""
        with self._log.running(self.name, opcode.name.lower()):
            if self.kind in self.world.jammed:
                await self._pass(0.2)
                return Fault.JAM
            self.world.unhomed.add(self.kind)
            self.changed()
            fault = await self._reset(step) if opcode is Opcode.RESET else await self._motion(opcode, arg0, step)
            if fault is Fault.NONE:
                self.world.unhomed.discard(self.kind)
            self.changed()
            return fault

    def at_once(self, opcode: Opcode, arg0: int) -> Fault | None:
        """Do what takes no time; None for a motion, which is to be performed."""
        return None

    @abstractmethod
    async def _motion(self, opcode: Opcode, arg0: int, step: Step) -> Fault:
        """Make one motion other than RESET."""

    async def _reset(self, step: Step) -> Fault:
        """Home the mechanics, and draw in a card that is between."""
        await self._pass(SECONDS[Opcode.RESET] * _MIDWAY)
        if self._jams(Opcode.RESET):
            return Fault.JAM
        step(1)
        await self._pass(SECONDS[Opcode.RESET] * (1 - _MIDWAY))
        if self.kind in PATH_END and self.world.card_between(self.kind) is not None:
            self.world.arrive(self.kind, PATH_END[self.kind])
        return Fault.NONE

    async def carry(self, opcode: Opcode, step: Step, slot: int | None = None) -> Fault:
        """Move one card as the opcode says, judging by the sensors; `slot` where one end is the carousel."""
        origin, target = _CARRIES[opcode]
        seconds = SECONDS[opcode]
        await self._pass(seconds * _LEAVES)
        fault = self._forbidden(origin, target)  # seen when the rollers grip: a hand may have been quicker
        if fault is not Fault.NONE:
            return fault
        try:
            self.world.leave(self.kind, origin, slot if origin is Place.SLOT else None)
            self.changed()
            step(2)
            jams = self._jams(opcode)
            await self._pass(seconds * ((_MIDWAY if jams else 1.0) - _LEAVES))
            if jams:
                return Fault.JAM
            self.world.arrive(self.kind, target, slot if target is Place.SLOT else None)
        except Impossible:  # a sensor lied: something is in the way, or nothing came
            self.world.jammed.add(self.kind)
            return Fault.JAM
        step(3)
        expected = _SEES.get(target)
        return Fault.NONE if expected is None or self.sensors() & expected else Fault.SENSOR

    def _forbidden(self, origin: Place, target: Place) -> Fault:
        seen = self.sensors()
        leaves, arrives = _SEES.get(origin), _SEES.get(target)
        if leaves is not None and not seen & leaves:
            return Fault.SLOT_EMPTY if origin is Place.SLOT else Fault.NO_CARD
        full = arrives is None and len(self.world.spots.at(target)) >= CAPACITY[target]
        return Fault.TARGET_OCCUPIED if full or (arrives is not None and seen & arrives) else Fault.NONE

    def _jams(self, opcode: Opcode) -> bool:
        if self.world.armed.get(self.name) != opcode.name.lower():
            return False
        del self.world.armed[self.name]
        self.world.jammed.add(self.kind)
        return True

    async def _pass(self, seconds: float) -> None:
        await self._sleep(seconds / self._speed)


class DispenserMechanism(Unit):
    """Carousel, picker, feeder, transport, exit gate and retract box."""

    def slot(self) -> int:
        """Slot that stands at the picker, or NO_SLOT while the carousel stands between two."""
        return NO_SLOT if self.world.aligned is None else self.world.aligned

    def detail(self) -> tuple[int, ...]:
        """Registers of the dispenser: cards in the retract box."""
        return _registers({DISPENSER_RETRACT_COUNT: len(self.world.spots.at(Place.RETRACT))})

    def _levels(self) -> int:
        world = self.world
        at = world.spots.at
        seen = _GATE_OPEN if world.gate_open else 0
        if at(Place.LOAD):
            seen |= _LOAD
        if at(Place.TRANSPORT):
            seen |= _TRANSPORT
        if at(Place.EXIT):
            seen |= _EXIT
        if world.aligned is not None and world.card_in_slot(world.aligned) is not None:
            seen |= _SLOT
        if len(at(Place.RETRACT)) >= CAPACITY[Place.RETRACT]:
            seen |= _RETRACT_FULL
        return seen

    async def _motion(self, opcode: Opcode, arg0: int, step: Step) -> Fault:
        if opcode in {Opcode.ALIGN, Opcode.PICK, Opcode.STORE}:
            if opcode is Opcode.ALIGN and self._jams(opcode):
                self.world.aligned = None
                return Fault.JAM
            await self._turn(arg0)
            step(1)
            return Fault.NONE if opcode is Opcode.ALIGN else await self.carry(opcode, step, arg0)
        fault = await self.carry(opcode, step)
        if fault is Fault.NONE and opcode in {Opcode.PRESENT, Opcode.RETRACT}:
            self.world.gate_open = opcode is Opcode.PRESENT
        return fault

    async def _reset(self, step: Step) -> Fault:
        fault = await super()._reset(step)
        if fault is not Fault.NONE:
            return fault
        if self.world.aligned is None:
            await self._turn(0)
        # It shuts unless a card stands in it; a gate that is shut stays so: nothing is put within reach that was not presented.
        self.world.gate_open = self.world.gate_open and self.world.card_at(Place.EXIT) is not None
        return Fault.NONE

    async def _turn(self, slot: int) -> None:
        """Turn the carousel the short way; one that lost its place turns round until it finds it."""
        world = self.world
        if world.aligned == slot:
            return
        part = 1.0
        if world.aligned is not None:
            distance = abs(slot - world.aligned)
            part = 2 * min(distance, world.slots - distance) / world.slots
        world.aligned = None
        self.changed()
        await self._pass(part * HALF_TURN_SECONDS)
        world.aligned = slot
        self.changed()


class RecyclerMechanism(Unit):
    """Shutter, throat, escrow position and bin of the old cards."""

    def detail(self) -> tuple[int, ...]:
        """Registers of the recycler: the bin's counter."""
        return _registers({RECYCLER_BIN_COUNT: self.world.bin_counter})

    def _levels(self) -> int:
        at = self.world.spots.at
        seen = _SHUTTER_OPEN if self.world.shutter_open else 0
        if at(Place.THROAT):
            seen |= _THROAT
        if at(Place.ESCROW):
            seen |= _ESCROW
        if len(at(Place.BIN)) >= CAPACITY[Place.BIN]:
            seen |= _BIN_FULL
        return seen

    async def _motion(self, opcode: Opcode, arg0: int, step: Step) -> Fault:
        match opcode:
            case Opcode.OPEN | Opcode.CLOSE:
                return await self._shutter(opcode)
            case Opcode.EMPTY_BIN:
                self.world.bin_counter = 0
                return Fault.NONE
        fault = await self.carry(opcode, step)
        if fault is Fault.NONE and opcode in {Opcode.ACCEPT, Opcode.RETURN}:
            self.world.shutter_open = opcode is Opcode.RETURN
        return fault

    async def _shutter(self, opcode: Opcode) -> Fault:
        await self._pass(SECONDS[opcode])
        if self._jams(opcode):
            return Fault.JAM
        if opcode is Opcode.CLOSE and self.world.card_at(Place.THROAT) is not None:
            return Fault.GATE_BLOCKED
        self.world.shutter_open = opcode is Opcode.OPEN
        return Fault.NONE

    async def _reset(self, step: Step) -> Fault:
        fault = await super()._reset(step)
        if fault is Fault.NONE and self.world.card_at(Place.THROAT) is None:
            self.world.shutter_open = False
        return fault


class CabinetMechanism(Unit):
    """Doors, lights, climate and supply. `temperature` is in 0.1 degrees Celsius."""

    temperature = 215

    def detail(self) -> tuple[int, ...]:
        """Registers of the cabinet: temperature in 0.1 degrees Celsius, battery in per cent, lights, fan, heater."""
        return _registers(
            {
                CABINET_TEMPERATURE: self.temperature & 0xFFFF,
                CABINET_BATTERY: 100,
                CABINET_LIGHTS: self.world.lights,
                CABINET_FAN: self.world.fan,
                CABINET_HEATER: self.world.heater,
            }
        )

    def _levels(self) -> int:
        if not self.world.powered:
            return 0
        return _MAINS_AND_FAN if self.world.fan > 0 else _MAINS

    def at_once(self, opcode: Opcode, arg0: int) -> Fault:
        """Every command of the cabinet: they are settings."""
        match opcode:
            case Opcode.LIGHT:
                self.world.lights = arg0 & _LIGHTS
            case Opcode.FAN:
                self.world.fan = arg0
            case Opcode.HEATER:
                self.world.heater = arg0
            case Opcode.RESET:
                self.world.lights = self.world.fan = self.world.heater = 0
        self.changed()
        return Fault.NONE

    async def _motion(self, opcode: Opcode, arg0: int, step: Step) -> Fault:
        return self.at_once(opcode, arg0)


def _registers(values: dict[int, int]) -> tuple[int, ...]:
    registers = [0] * DETAIL_COUNT
    for index, value in values.items():
        registers[index] = value
    return tuple(registers)
