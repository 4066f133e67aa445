"""The mechanics under the firmware: what motors do to cards, what sensors say, and what a power cut or a jam leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from firmware_protocol.blocks import CABINET_FAN, CABINET_HEATER, NO_SLOT
from firmware_protocol.units import Fault, Opcode, Sensor, UnitKind
from sim.mechanisms import HALF_TURN_SECONDS, SECONDS, CabinetMechanism, DispenserMechanism, RecyclerMechanism
from sim.motions import MotionLog
from sim.world import Impossible, Place, World

D, R = UnitKind.DISPENSER, UnitKind.RECYCLER


class Bench:
    """A machine whose time passes at once, or stops for good at a chosen second."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stop_at: float | None = None
        self.world = World(20, {"N1": Place.TRAY, "N2": Place.TRAY, "O1": Place.PERSON, "O2": Place.PERSON})
        self.log = MotionLog(lambda: self.now)
        check = self.world.check
        self.dispenser = DispenserMechanism(D, self.world, self.log, sleep=self.sleep, changed=check)
        self.recycler = RecyclerMechanism(R, self.world, self.log, sleep=self.sleep, changed=check)
        self.cabinet = CabinetMechanism(UnitKind.CABINET, self.world, self.log, sleep=self.sleep, changed=check)
        self.steps: list[int] = []
        self.before_next_sleep: Callable[[], None] | None = None
        self.after_leaving: Callable[[], None] | None = None

    async def sleep(self, seconds: float) -> None:
        if self.before_next_sleep is not None:
            hand, self.before_next_sleep = self.before_next_sleep, None
            hand()
        if self.after_leaving is not None and self.world.card_between(R) is not None:
            hand, self.after_leaving = self.after_leaving, None
            hand()
        if self.stop_at is not None and self.now + seconds > self.stop_at:
            self.now = self.stop_at
            raise asyncio.CancelledError
        self.now += seconds

    async def dispense(self, *orders: Opcode | tuple[Opcode, int]) -> list[Fault]:
        return [await self._do(self.dispenser, order) for order in orders]

    async def recycle(self, *orders: Opcode) -> list[Fault]:
        return [await self._do(self.recycler, order) for order in orders]

    async def _do(self, unit: DispenserMechanism | RecyclerMechanism, order: Opcode | tuple[Opcode, int]) -> Fault:
        opcode, slot = order if isinstance(order, tuple) else (order, 0)
        return await unit.perform(opcode, slot, self.steps.append)

    def place(self, card: str) -> Place:
        return self.world.spots[card].place


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def stocked(bench: Bench, slot: int = 3) -> None:
    bench.world.place_tray(["N1"])
    assert await bench.dispense(Opcode.LOAD, (Opcode.STORE, slot)) == [Fault.NONE] * 2


async def test_a_card_goes_from_the_feeder_over_a_slot_into_the_exit_and_back(bench: Bench) -> None:
    await stocked(bench)
    assert bench.place("N1") is Place.SLOT
    assert bench.dispenser.sensors() == Sensor.HOME | Sensor.SLOT
    assert await bench.dispense((Opcode.PICK, 3)) == [Fault.NONE]
    assert bench.dispenser.sensors() == Sensor.HOME | Sensor.TRANSPORT
    assert await bench.dispense(Opcode.PRESENT) == [Fault.NONE]
    assert bench.dispenser.sensors() == Sensor.HOME | Sensor.EXIT | Sensor.GATE_OPEN
    assert await bench.dispense(Opcode.RETRACT, Opcode.CAPTURE) == [Fault.NONE] * 2
    assert bench.place("N1") is Place.RETRACT
    assert not bench.world.gate_open
    assert bench.dispenser.detail()[0] == 1


async def test_a_rejected_card_leaves_by_the_lane(bench: Bench) -> None:
    bench.world.place_tray(["N1"])
    assert await bench.dispense(Opcode.LOAD, Opcode.REJECT) == [Fault.NONE] * 2
    assert bench.place("N1") is Place.REJECT_LANE


async def test_an_old_card_is_accepted_returned_and_retained(bench: Bench) -> None:
    assert await bench.recycle(Opcode.OPEN) == [Fault.NONE]
    bench.world.insert_old("O1")
    assert await bench.recycle(Opcode.ACCEPT) == [Fault.NONE]
    assert bench.recycler.sensors() == Sensor.HOME | Sensor.ESCROW
    assert await bench.recycle(Opcode.RETURN) == [Fault.NONE]
    assert bench.recycler.sensors() == Sensor.HOME | Sensor.THROAT | Sensor.SHUTTER_OPEN
    assert await bench.recycle(Opcode.CLOSE) == [Fault.GATE_BLOCKED]
    assert await bench.recycle(Opcode.ACCEPT, Opcode.RETAIN) == [Fault.NONE] * 2
    assert bench.place("O1") is Place.BIN
    assert bench.recycler.detail()[0] == 1
    assert await bench.recycle(Opcode.EMPTY_BIN) == [Fault.NONE]
    assert bench.recycler.detail()[0] == 0


async def test_empty_and_occupied_places_are_told_by_their_faults(bench: Bench) -> None:
    assert await bench.dispense((Opcode.PICK, 5), Opcode.LOAD) == [Fault.SLOT_EMPTY, Fault.NO_CARD]
    await stocked(bench)
    bench.world.place_tray(["N2"])
    assert await bench.dispense(Opcode.LOAD, (Opcode.STORE, 3)) == [Fault.NONE, Fault.TARGET_OCCUPIED]
    assert await bench.dispense((Opcode.PICK, 3)) == [Fault.TARGET_OCCUPIED]
    assert bench.place("N2") is Place.TRANSPORT


async def test_the_carousel_turns_the_short_way_in_proportion(bench: Bench) -> None:
    await bench.dispense((Opcode.ALIGN, 10))
    assert bench.now == pytest.approx(HALF_TURN_SECONDS)
    began = bench.now
    await bench.dispense((Opcode.ALIGN, 8))
    assert bench.now - began == pytest.approx(HALF_TURN_SECONDS / 5)
    await bench.dispense((Opcode.ALIGN, 1))
    began = bench.now
    await bench.dispense((Opcode.ALIGN, 19))
    assert bench.now - began == pytest.approx(HALF_TURN_SECONDS / 5)


async def test_a_power_cut_leaves_the_card_between_and_reset_draws_it_in(bench: Bench) -> None:
    await stocked(bench, slot=0)
    bench.stop_at = bench.now + SECONDS[Opcode.PICK] * 0.5
    with pytest.raises(asyncio.CancelledError):
        await bench.dispense((Opcode.PICK, 0))
    assert bench.world.card_between(D) == "N1"
    assert bench.dispenser.sensors() == Sensor(0)
    assert bench.log.motions()[-1].ended == bench.stop_at
    bench.stop_at = None
    assert await bench.dispense(Opcode.RESET) == [Fault.NONE]
    assert bench.dispenser.sensors() == Sensor.HOME | Sensor.TRANSPORT


async def test_a_power_cut_while_the_carousel_turns_loses_its_place_until_reset(bench: Bench) -> None:
    bench.stop_at = 0.5
    with pytest.raises(asyncio.CancelledError):
        await bench.dispense((Opcode.ALIGN, 10))
    assert bench.dispenser.slot() == NO_SLOT
    bench.stop_at = None
    assert await bench.dispense(Opcode.RESET) == [Fault.NONE]
    assert bench.dispenser.slot() == 0


async def test_a_hand_that_is_quicker_than_the_rollers_keeps_the_card(bench: Bench) -> None:
    await stocked(bench)
    await bench.dispense((Opcode.PICK, 3), Opcode.PRESENT)
    bench.before_next_sleep = bench.world.take_new
    assert await bench.dispense(Opcode.RETRACT) == [Fault.NO_CARD]
    await bench.recycle(Opcode.OPEN)
    bench.world.insert_old("O1")
    bench.before_next_sleep = bench.world.take_old
    assert await bench.recycle(Opcode.ACCEPT) == [Fault.NO_CARD]
    assert (bench.place("N1"), bench.place("O1")) == (Place.PERSON, Place.PERSON)
    assert not bench.world.jammed


async def test_a_card_pushed_in_against_a_returned_one_jams(bench: Bench) -> None:
    await bench.recycle(Opcode.OPEN)
    bench.world.insert_old("O1")
    await bench.recycle(Opcode.ACCEPT, Opcode.OPEN)
    bench.after_leaving = lambda: bench.world.insert_old("O2")
    assert await bench.recycle(Opcode.RETURN) == [Fault.JAM]
    assert (bench.place("O1"), bench.place("O2")) == (Place.BETWEEN, Place.THROAT)


async def test_a_jam_holds_the_card_until_staff_clear_it_and_reset_draws_it_in(bench: Bench) -> None:
    await stocked(bench)
    bench.dispenser.jam("pick")
    assert await bench.dispense((Opcode.ALIGN, 3), (Opcode.PICK, 3), Opcode.RESET) == [
        Fault.NONE,
        Fault.JAM,
        Fault.JAM,
    ]
    assert bench.place("N1") is Place.BETWEEN
    bench.dispenser.clear_jam()
    assert bench.place("N1") is Place.BETWEEN
    assert await bench.dispense(Opcode.RESET) == [Fault.NONE]
    assert bench.place("N1") is Place.TRANSPORT


async def test_a_jam_in_the_recycler_ends_in_escrow(bench: Bench) -> None:
    await bench.recycle(Opcode.OPEN)
    bench.world.insert_old("O1")
    bench.recycler.jam("accept")
    assert await bench.recycle(Opcode.ACCEPT) == [Fault.JAM]
    with pytest.raises(Impossible):
        bench.world.take_old()
    bench.world.insert_old("O2")  # the shutter still stands open
    bench.recycler.clear_jam()
    assert await bench.recycle(Opcode.RESET) == [Fault.NONE]
    assert bench.place("O1") is Place.ESCROW
    assert bench.world.shutter_open  # a card in the throat keeps it open


@pytest.mark.parametrize(("unit", "motion"), [("dispenser", "accept"), ("dispenser", "fly"), ("cabinet", "light")])
def test_only_motions_of_the_unit_can_jam(bench: Bench, unit: str, motion: str) -> None:
    with pytest.raises(Impossible, match="no motion"):
        getattr(bench, unit).jam(motion)


async def test_a_stuck_sensor_is_believed_and_contradiction_is_a_fault(bench: Bench) -> None:
    await stocked(bench)
    bench.dispenser.stick("transport", False)
    assert await bench.dispense((Opcode.PICK, 3)) == [Fault.SENSOR]
    assert bench.place("N1") is Place.TRANSPORT
    bench.world.place_tray(["N2"])
    assert await bench.dispense(Opcode.LOAD) == [Fault.JAM]  # it ran into a card it could not see
    assert bench.place("N2") is Place.LOAD
    bench.dispenser.stick("transport", None)
    assert bench.dispenser.sensors() & Sensor.TRANSPORT
    with pytest.raises(Impossible, match="no sensor"):
        bench.dispenser.stick("escrow", True)


async def test_lights_and_speed(bench: Bench) -> None:
    assert bench.cabinet.at_once(Opcode.LIGHT, 5) is Fault.NONE
    assert bench.cabinet.detail()[2] == 5
    assert bench.cabinet.sensors() == Sensor.HOME | Sensor.MAINS
    fast = DispenserMechanism(D, bench.world, bench.log, sleep=bench.sleep, changed=bench.world.check, speed=10)
    bench.world.place_tray(["N1"])
    await fast.perform(Opcode.LOAD, 0, bench.steps.append)
    assert bench.now == pytest.approx(SECONDS[Opcode.LOAD] / 10)


async def test_fan_and_heater_are_settings_that_a_reset_takes_back(bench: Bench) -> None:
    bench.cabinet.at_once(Opcode.FAN, 40)
    bench.cabinet.at_once(Opcode.HEATER, 1)
    assert bench.cabinet.detail()[CABINET_FAN] == 40
    assert bench.cabinet.detail()[CABINET_HEATER] == 1
    assert bench.cabinet.sensors() & Sensor.FAN_TURNS
    bench.cabinet.at_once(Opcode.RESET, 0)
    assert bench.cabinet.detail()[CABINET_FAN] == bench.cabinet.detail()[CABINET_HEATER] == 0
    assert not bench.cabinet.sensors() & Sensor.FAN_TURNS
