"""The bought dispenser's driver against its model: one fault, what the driver must conclude, what physically happened."""

import asyncio
from dataclasses import replace

import pytest

from firmware_protocol.crt import Command, Control, Move, Request
from firmware_protocol.units import UnitKind
from lockerd.devices.crt_module import Timing
from lockerd.model.custody import Fault, Motion, Order, Outcome, Place, Result, Sensor, Unit
from sim.world import Place as Spot
from tests.crt_rig import Bench, JumpingLoop


def in_jumping_time(story):
    """Run a coroutine function in time that jumps."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(story())


async def until(holds):
    while not holds():
        await asyncio.sleep(0.0005)


def drop_frames(bench, wanted, *, heard=False):
    """Lose the first frame that is `wanted`."""
    lost = []

    def spoil(data):
        if not lost and wanted(data):
            lost.append(data)
            return b""
        return data

    setattr(bench.device, "hear" if heard else "say", spoil)


def is_move(data):
    return len(data) > 6 and data[0] == 0xF2 and data[5] == 0x32


def nothing(bench):
    pass


def lost_request(bench):
    drop_frames(bench, is_move, heard=True)


def broken_request(bench):
    bench.device.hear = lambda data: data[:-1] + bytes([data[-1] ^ 1]) if is_move(data) else data


def lost_ack(bench):
    drop_frames(bench, lambda data: data == bytes([Control.ACK]))


def ack_turned_into_nak(bench):
    bench.device.say = lambda data: bytes([Control.NAK]) if data == bytes([Control.ACK]) else data


def lost_response(bench):
    drop_frames(bench, is_move)


def broken_response(bench):
    def spoil(data):
        return data[:7] + bytes([data[7] ^ 1]) + data[8:] if is_move(data) else data

    bench.device.say = spoil


def noise(bench):
    bench.device.say = lambda data: b"\xf2\x00\x00\x09\x06" + data


def power_cut_in_motion(bench):
    async def cut():
        await until(lambda: bench.world.card_between(UnitKind.DISPENSER) is not None)
        bench.cut_power()

    bench.helper = asyncio.ensure_future(cut())


def power_cut_before(bench):
    drop_frames(bench, lambda data: is_move(data) and not bench.cut_power(), heard=True)


def stopped_before_it_left(bench):
    """EOT from noise on the line stops the motor before it has gripped the card."""

    async def stop():
        await until(lambda: bench.device.moving)
        bench.device.handle(bytes([Control.EOT]), lambda data: None)

    bench.helper = asyncio.ensure_future(stop())


def jam(bench):
    for motion in ("pick", "present", "retract", "capture"):
        bench.world.armed["dispenser"] = motion
        if motion == bench.motion:
            return


def silent_afterwards(bench):
    async def fall_silent():
        await until(lambda: bench.device.moving)
        bench.device.say = lambda data: b""

    bench.helper = asyncio.ensure_future(fall_silent())


def quick_hand(bench):
    def say(data):
        if is_move(data) and bench.world.gate_open:
            bench.world.take_new()
        return data

    bench.device.say = say


def hand_before_the_rollers(bench):
    def hear(data):
        if is_move(data) and bench.world.gate_open:
            bench.world.take_new()
        return data

    bench.device.hear = hear


def hand_at_the_rollers(bench):
    async def take():
        await until(lambda: bench.device.moving)
        await asyncio.sleep(0.001)  # the motor turns, the rollers have not gripped yet
        bench.world.take_new()

    bench.helper = asyncio.ensure_future(take())


def pushed_in_by_hand(bench):
    bench.device._left = None


def full_bin(bench):
    bench.device.say = lambda data: data
    for index in range(10):
        bench.world.spots[f"x{index}"] = type(bench.world.spots["A"])(place=Spot.RETRACT, since=index)


def counter_at_its_end(bench):
    bench.flash.record["counted"] = 999


P, D, F, N, X = Place, Result.DONE, Result.FAILED, Result.NOT_MOVED, Result.IN_DOUBT
ORIGIN = {
    Motion.PICK: Place.SLOT,
    Motion.PRESENT: Place.TRANSPORT,
    Motion.RETRACT: Place.EXIT,
    Motion.CAPTURE: Place.TRANSPORT,
}
TABLE = [
    # motion, what happens, what the driver must conclude, where the card is then (None: between)
    (Motion.PICK, nothing, (D, None), P.TRANSPORT),
    (Motion.PRESENT, nothing, (D, None), P.EXIT),
    (Motion.RETRACT, nothing, (D, None), P.TRANSPORT),
    (Motion.CAPTURE, nothing, (D, None), P.RETRACT),
    *((motion, lost_request, (N, None), ORIGIN[motion]) for motion in ORIGIN),
    *((motion, broken_request, (N, None), ORIGIN[motion]) for motion in ORIGIN),
    *((motion, stopped_before_it_left, (N, None), ORIGIN[motion]) for motion in ORIGIN),
    (Motion.PICK, lost_ack, (D, None), P.TRANSPORT),
    (Motion.PICK, ack_turned_into_nak, (D, None), P.TRANSPORT),
    (Motion.PICK, lost_response, (D, None), P.TRANSPORT),
    (Motion.PRESENT, lost_response, (D, None), P.EXIT),
    (Motion.RETRACT, lost_response, (D, None), P.TRANSPORT),
    (Motion.CAPTURE, lost_response, (D, None), P.RETRACT),
    (Motion.PICK, broken_response, (D, None), P.TRANSPORT),
    (Motion.CAPTURE, broken_response, (D, None), P.RETRACT),
    (Motion.PICK, noise, (D, None), P.TRANSPORT),
    *((motion, jam, (X, Fault.JAM), None) for motion in ORIGIN),
    *((motion, power_cut_in_motion, (X, None), None) for motion in ORIGIN),
    *((motion, power_cut_before, (X, None), ORIGIN[motion]) for motion in ORIGIN),
    (Motion.PICK, silent_afterwards, (X, Fault.SILENT), P.TRANSPORT),
    (Motion.CAPTURE, silent_afterwards, (X, Fault.SILENT), P.RETRACT),
    (Motion.PRESENT, quick_hand, (D, None), P.TAKEN),
    (Motion.RETRACT, hand_before_the_rollers, (F, Fault.NO_CARD), P.TAKEN),
    (Motion.RETRACT, hand_at_the_rollers, (X, Fault.SENSOR), P.TAKEN),
    (Motion.PRESENT, pushed_in_by_hand, (F, Fault.SENSOR), P.TRANSPORT),
    (Motion.CAPTURE, pushed_in_by_hand, (F, Fault.SENSOR), P.TRANSPORT),
    (Motion.CAPTURE, full_bin, (N, Fault.BIN_FULL), P.TRANSPORT),
    (Motion.CAPTURE, counter_at_its_end, (D, None), P.RETRACT),
]


@pytest.mark.parametrize(("motion", "fault", "concluded", "place"), TABLE, ids=lambda v: getattr(v, "__name__", None))
def test_table(motion, fault, concluded, place, tmp_path):
    async def story():
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", ORIGIN[motion])
            bench.motion = motion
            fault(bench)
            outcome = await bench.make(motion, 1 if motion is Motion.PICK else None)
            assert (outcome.result, outcome.fault) == concluded
            assert bench.truth("B") is place
            assert bench.contradiction("B", motion, outcome) is None
            assert [bench.truth(card) for card in "AC"] == [Place.SLOT] * 2  # no other card was fed

    in_jumping_time(story)


def test_table_covers_every_ending():
    assert {concluded[0] for _, _, concluded, _ in TABLE} == set(Result)


def test_a_move_is_sent_once_whatever_happens(tmp_path):
    async def story():
        async with Bench(tmp_path).running() as bench:
            sent = []

            def hear(data):
                sent.extend([data] if is_move(data) else [])
                return b"" if is_move(data) else data

            bench.device.hear = hear
            assert (await bench.make(Motion.PICK, 1)).result is Result.NOT_MOVED
            assert len(sent) == 1

    in_jumping_time(story)


@pytest.mark.parametrize(
    ("motion", "place", "concluded"),
    [
        (Motion.PRESENT, Place.SLOT, (F, Fault.NO_CARD)),
        (Motion.CAPTURE, Place.SLOT, (F, Fault.NO_CARD)),
        (Motion.RETRACT, Place.SLOT, (F, Fault.NO_CARD)),
        (Motion.PICK, Place.TRANSPORT, (N, Fault.TARGET_OCCUPIED)),
        (Motion.PICK, Place.EXIT, (N, Fault.TARGET_OCCUPIED)),
        (Motion.PRESENT, Place.EXIT, (F, Fault.NO_CARD)),
    ],
)
def test_a_move_that_would_feed_another_card_is_not_sent(motion, place, concluded, tmp_path):
    """With an empty channel every move takes a card out of the slot at the picker."""

    async def story():
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", place)
            bench.device.hear = lambda data: pytest.fail("sent") if is_move(data) else data
            outcome = await bench.make(motion, 2 if motion is Motion.PICK else None)
            assert (outcome.result, outcome.fault) == concluded

    in_jumping_time(story)


def test_a_card_fed_in_place_of_the_taken_one_is_in_doubt(tmp_path):
    """RETRACT with a loaded slot at the picker: the hand takes the card, the rollers fetch a stranger's."""

    async def story():
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.EXIT)
            bench.world.aligned = 2
            hand_before_the_rollers(bench)
            outcome = await bench.make(Motion.RETRACT)
            assert outcome.result is Result.IN_DOUBT
            assert (bench.truth("B"), bench.truth("C")) == (Place.TAKEN, Place.TRANSPORT)

    in_jumping_time(story)


@pytest.mark.parametrize("place", [Place.TRANSPORT, Place.EXIT])
def test_the_carousel_is_not_turned_while_a_card_is_in_the_channel(place, tmp_path):
    async def story():
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", place)
            for motion in (Motion.ALIGN, Motion.PICK):
                outcome = await bench.make(motion, 2)
                assert (outcome.result, outcome.fault) == (Result.NOT_MOVED, Fault.TARGET_OCCUPIED)
            assert bench.world.aligned == 1

    in_jumping_time(story)


def test_a_card_that_may_be_the_one_in_the_channel_is_in_doubt(tmp_path):
    """The slot is empty and a card stands in the channel: picked by whatever, or another's; only its chip tells."""

    async def story():
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.TRANSPORT)
            outcome = await bench.make(Motion.PICK, 1)
            assert (outcome.result, outcome.fault) == (Result.IN_DOUBT, Fault.TARGET_OCCUPIED)

    in_jumping_time(story)


def test_one_answer_is_not_believed_though_its_check_holds(tmp_path):
    """Two bits of the status turned alike: a card at the gate (31 for 30) behind an XOR that does not see it."""

    async def story():
        async with Bench(tmp_path).running() as bench:
            told = []

            def say(data):
                if len(data) > 12 and data[5] == 0x31 and not told:
                    told.append(data)
                    return data[:7] + bytes([data[7] ^ 1]) + data[8:-3] + bytes([data[-3] ^ 1]) + data[-2:]
                return data

            bench.device.say = say
            assert (await bench.mover.observe()).place is None
            assert told

    in_jumping_time(story)


def test_an_empty_slot_needs_no_motion(tmp_path):
    async def story():
        async with Bench(tmp_path).running() as bench:
            outcome = await bench.make(Motion.PICK, 5)
            assert (outcome.result, outcome.fault) == (Result.FAILED, Fault.SLOT_EMPTY)

    in_jumping_time(story)


def test_a_taken_card_is_counted_once_also_over_a_restart_and_a_power_cut(tmp_path):
    async def story():
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
            seen = (await bench.make(Motion.RESET)).observation
            assert (seen.interrupted, seen.place, seen.dispensed) == (False, None, 1)
            bench.restart()
            assert (await bench.mover.observe()).dispensed == 1

    in_jumping_time(story)


def test_a_card_that_the_bin_counted_was_not_taken(tmp_path):
    """A question that the line turned into a command (one XOR byte) takes the card from the gate into the bin."""

    async def story():
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.EXIT)
            bench.device.handle(Request(Command.MOVE, Move.ERROR_BIN).to_bytes(), lambda data: None)
            await until(lambda: bench.truth("B") is Place.RETRACT)
            outcome = await bench.make(Motion.RETRACT)
            assert (outcome.observation.place, outcome.observation.dispensed) == (Place.IN_DOUBT, 0)
            assert bench.contradiction("B", Motion.RETRACT, outcome) is None

    in_jumping_time(story)


def test_a_captured_card_is_counted_by_the_module_also_over_a_power_cut(tmp_path):
    async def story():
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.TRANSPORT)
            assert (await bench.make(Motion.CAPTURE)).observation.bin_count == 1
            bench.cut_power()
            assert (await bench.make(Motion.RESET)).observation.retained == 1

    in_jumping_time(story)


def test_a_card_lost_in_the_channel_stays_in_doubt_until_reset(tmp_path):
    async def story():
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


def test_a_lost_tally_is_doubt(tmp_path):
    async def story():
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.EXIT)
            (tmp_path / "tally.json").write_bytes(b"{")
            bench.restart()
            bench.world.take_new()
            seen = await bench.mover.observe()
            assert (seen.place, seen.dispensed) == (Place.IN_DOUBT, 0)

    in_jumping_time(story)


# --- the daemon dies -----------------------------------------------------------------------------------------------------

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
def test_settled_after_a_restart(motion, when, result, tmp_path):
    async def story():
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
def test_of_its_own_motions_the_board_tells_after_a_restart(motion, told, tmp_path):
    async def story():
        async with Bench(tmp_path).running() as bench:
            slot = 1 if motion in (Motion.ALIGN, Motion.STORE) else None
            plan = await bench.mover.plan(Order(Unit.DISPENSER, motion, slot))
            bench.restart()
            bench.mover._board.settle = lambda plan: told_by_board(plan, motion, told)
            outcome = await bench.mover.settle(plan)
            assert outcome.result is told
            assert outcome.observation == await bench.mover.observe(), "what both see, not the board alone"

    in_jumping_time(story)


async def told_by_board(plan, motion, told):
    assert plan.token == motion, "the board's own token"
    return Outcome(told)


def test_nobody_tells_of_a_reset_after_a_restart(tmp_path):
    async def story():
        async with Bench(tmp_path).running() as bench:
            plan = await bench.mover.plan(Order(Unit.DISPENSER, Motion.RESET))
            bench.restart()
            assert (await bench.mover.settle(plan)).result is Result.IN_DOUBT

    in_jumping_time(story)


def test_a_motor_that_outlives_the_daemon_is_left_to_finish(tmp_path):
    """Asked while its motor runs a module hears nothing, and cleared with EOT it stops with the card on its way."""

    async def story():
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


def test_an_interrupted_pick_of_a_slot_that_does_not_stand_at_the_picker_was_never_sent(tmp_path):
    async def story():
        async with Bench(tmp_path).running() as bench:
            plan = await bench.mover.plan(Order(Unit.DISPENSER, Motion.PICK, 1))
            bench.world.aligned = 4  # empty, and not where the pick would have begun
            bench.restart()
            assert (await bench.mover.settle(plan)).result is Result.NOT_MOVED
            bench.world.aligned = None
            assert (await bench.mover.settle(plan)).result is Result.IN_DOUBT

    in_jumping_time(story)


def test_the_board_stores_what_the_module_holds(tmp_path):
    async def story():
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.TRANSPORT)
            assert (await bench.make(Motion.STORE, 6)).observation.place is None
            assert bench.world.spots["B"].slot == 6
            await bench.bring("B", Place.EXIT)  # the module does not call the handover moved by hand

    in_jumping_time(story)


@pytest.mark.parametrize("dies", ["not at all", "before it is set back", "after it was set back"])
def test_the_bin_counter_is_set_back_in_time_and_no_card_is_forgotten(dies, tmp_path):
    async def story():
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
            assert (outcome.result, outcome.observation.retained) == (Result.DONE, 901)
            assert bench.flash.record["counted"] == 1
            bench.restart()
            assert (await bench.mover.observe()).retained == 901

    in_jumping_time(story)
