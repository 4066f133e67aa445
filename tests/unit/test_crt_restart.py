"""The bought dispenser's driver when the daemon dies: what an open plan settles to, and that no count is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_protocol.units import UnitKind
from lockerd.devices.crt import CrtMover
from lockerd.devices.crt_module import Timing
from lockerd.model.custody import Motion, Order, Outcome, Place, Plan, Result, Sensor, Unit
from tests.crt_faults import power_cut_in_motion
from tests.crt_rig import ORIGIN, Bench, BenchBoard, in_jumping_time, until


def test_a_taken_card_is_counted_once_also_over_a_restart_and_a_power_cut(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.EXIT)
            seen = await bench.mover.observe()
            assert (seen.place, seen.dispensed) == (Place.EXIT, 0)
            assert {Sensor.EXIT, Sensor.GATE_OPEN} <= seen.sensors
            bench.restart()
            bench.cut_power()
            bench.world.take_new()
            seen = await bench.mover.observe()
            assert (seen.interrupted, seen.place, seen.dispensed) == (True, Place.IN_DOUBT, 0)
            seen = await bench.observe_after(Motion.RESET)
            assert (seen.interrupted, seen.place, seen.dispensed) == (False, None, 1)
            bench.restart()
            assert (await bench.mover.observe()).dispensed == 1

    in_jumping_time(story)


def test_a_captured_card_is_counted_by_the_module_also_over_a_power_cut(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.TRANSPORT)
            assert (await bench.observe_after(Motion.CAPTURE)).bin_count == 1
            bench.cut_power()
            assert (await bench.observe_after(Motion.RESET)).retained == 1

    in_jumping_time(story)


def test_a_gate_sensor_that_lies_counts_no_hand(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            bench.world.stuck["exit"] = True
            assert (await bench.mover.observe()).place is Place.EXIT
            bench.world.stuck.clear()
            seen = await bench.mover.observe()
            assert (seen.place, seen.dispensed) == (None, 0)

    in_jumping_time(story)


def test_a_card_lost_in_the_channel_stays_in_doubt_until_reset(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.TRANSPORT)
            power_cut_in_motion(bench)
            assert (await bench.make(Motion.PRESENT)).result is Result.IN_DOUBT
            seen = await bench.mover.observe()
            assert seen.interrupted
            assert seen.place is Place.IN_DOUBT
            bench.restart()
            assert (await bench.mover.observe()).place is Place.IN_DOUBT

    in_jumping_time(story)


def test_a_lost_tally_is_doubt(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.EXIT)
            (tmp_path / "tally.json").write_bytes(b"{")
            bench.restart()
            bench.world.take_new()
            seen = await bench.mover.observe()
            assert (seen.place, seen.dispensed) == (Place.IN_DOUBT, 0)

    in_jumping_time(story)


SETTLED = [
    # motion, when the daemon dies, what the plan settles to
    (Motion.PICK, "planned", Result.NOT_MOVED),
    (Motion.PRESENT, "planned", Result.NOT_MOVED),
    (Motion.RETRACT, "planned", Result.NOT_MOVED),
    (Motion.CAPTURE, "planned", Result.NOT_MOVED),
    (Motion.PICK, "moving", Result.DONE),
    (Motion.PRESENT, "moving", Result.DONE),
    (Motion.RETRACT, "moving", Result.DONE),
    (Motion.CAPTURE, "moving", Result.DONE),
    (Motion.PICK, "moving and power too", Result.IN_DOUBT),
    (Motion.PRESENT, "moving and power too", Result.IN_DOUBT),
    (Motion.RETRACT, "moving and power too", Result.IN_DOUBT),
    (Motion.CAPTURE, "moving and power too", Result.IN_DOUBT),
    (Motion.PRESENT, "moving and taken", Result.IN_DOUBT),
]


@pytest.mark.parametrize(("motion", "when", "result"), SETTLED)
def test_settled_after_a_restart(motion: Motion, when: str, result: Result, tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", ORIGIN[motion])
            plan = await bench.mover.plan(Order(Unit.DISPENSER, motion, 1 if motion is Motion.PICK else None))
            if when != "planned":
                running = asyncio.ensure_future(bench.mover.carry_out(plan))
                await until(lambda: bench.world.card_between(UnitKind.DISPENSER) is not None)
                running.cancel()
                await asyncio.wait([running])
            if when == "moving and power too":
                bench.cut_power()
            if when == "moving and taken":
                await until(lambda: bench.world.gate_open)
                bench.world.take_new()
            bench.restart()
            outcome = await bench.mover.settle(plan)
            assert outcome.result is result
            assert bench.contradiction("B", motion, outcome) is None

    in_jumping_time(story)


@pytest.mark.parametrize("motion", [Motion.ALIGN, Motion.LOAD, Motion.STORE, Motion.REJECT])
@pytest.mark.parametrize("told", [Result.DONE, Result.NOT_MOVED, Result.FAILED, Result.IN_DOUBT])
def test_of_its_own_motions_the_board_tells_after_a_restart(motion: Motion, told: Result, tmp_path: Path) -> None:
    class Board(BenchBoard):
        async def settle(self, plan: Plan) -> Outcome:
            assert plan.token == motion, "the board's own token"
            return Outcome(told)

    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            slot = 1 if motion in (Motion.ALIGN, Motion.STORE) else None
            plan = await bench.mover.plan(Order(Unit.DISPENSER, motion, slot))
            bench.restart()
            assert bench.module is not None
            restarted = CrtMover(bench.module, Board(bench.world), bench.keeper)
            outcome = await restarted.settle(plan)
            assert outcome.result is told
            assert outcome.observation == await restarted.observe(), "what both see, not the board alone"

    in_jumping_time(story)


def test_nobody_tells_of_a_reset_after_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            plan = await bench.mover.plan(Order(Unit.DISPENSER, Motion.RESET))
            bench.restart()
            assert (await bench.mover.settle(plan)).result is Result.IN_DOUBT

    in_jumping_time(story)


def test_a_motor_that_outlives_the_daemon_is_left_to_finish(tmp_path: Path) -> None:
    """Asked while its motor runs a module hears nothing, and cleared with EOT it stops with the card on its way."""

    async def story() -> None:
        slow = Timing(answer=0.1, motion=3.0, quiet=0.05)
        async with Bench(tmp_path, speed=1.0, timing=slow).running() as bench:
            plan = await bench.mover.plan(Order(Unit.DISPENSER, Motion.PICK, 1))
            running = asyncio.ensure_future(bench.mover.carry_out(plan))
            await until(lambda: bench.world.card_between(UnitKind.DISPENSER) is not None)
            running.cancel()
            await asyncio.wait([running])
            bench.restart()
            assert (await bench.mover.settle(plan)).result is Result.DONE
            assert bench.truth("B") is Place.TRANSPORT

    in_jumping_time(story)


def test_an_interrupted_pick_of_a_slot_that_does_not_stand_at_the_picker_was_never_sent(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            plan = await bench.mover.plan(Order(Unit.DISPENSER, Motion.PICK, 1))
            bench.world.aligned = 4  # empty, and not where the pick would have begun
            bench.restart()
            assert (await bench.mover.settle(plan)).result is Result.NOT_MOVED
            bench.world.aligned = None
            assert (await bench.mover.settle(plan)).result is Result.IN_DOUBT

    in_jumping_time(story)


@pytest.mark.parametrize("dies", ["not at all", "before it is set back", "after it was set back"])
def test_the_bin_counter_is_set_back_in_time_and_no_card_is_forgotten(dies: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            bench.flash.record["counted"] = 900
            await bench.bring("B", Place.TRANSPORT)
            assert (await bench.mover.observe()).retained == 900
            if dies != "not at all":
                bench.keeper.save(replace(bench.keeper.load(), zeroing=900))
                bench.flash.record["counted"] = 0 if dies.startswith("after") else 900
                bench.restart()
                assert (await bench.mover.observe()).retained == 900
            outcome = await bench.make(Motion.CAPTURE)
            assert outcome.observation is not None
            assert (outcome.result, outcome.observation.retained) == (Result.DONE, 901)
            assert bench.flash.record["counted"] == 1
            bench.restart()
            assert (await bench.mover.observe()).retained == 901

    in_jumping_time(story)
