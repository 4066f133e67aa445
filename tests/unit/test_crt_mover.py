"""The bought dispenser's driver against its model: one fault, what the driver must conclude, what physically happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_protocol.crt import Command, Move, Request
from lockerd.model.custody import Fault, Motion, Place, Result
from tests.crt_faults import (
    ack_turned_into_nak,
    broken_request,
    broken_response,
    counter_at_its_end,
    full_bin,
    hand_at_the_rollers,
    hand_before_the_rollers,
    is_move,
    jam,
    lost_ack,
    lost_request,
    lost_response,
    noise,
    nothing,
    power_cut_before,
    power_cut_in_motion,
    pushed_in_by_hand,
    quick_hand,
    silent_afterwards,
    stopped_before_it_left,
)
from tests.crt_rig import ORIGIN, Bench, in_jumping_time, until

P, D, F, N, X = Place, Result.DONE, Result.FAILED, Result.NOT_MOVED, Result.IN_DOUBT
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
def test_table(
    motion: Motion,
    fault: Callable[[Bench], None],
    concluded: tuple[Result, Fault | None],
    place: Place | None,
    tmp_path: Path,
) -> None:
    async def story() -> None:
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


def test_table_covers_every_ending() -> None:
    assert {concluded[0] for _, _, concluded, _ in TABLE} == set(Result)


def test_a_move_is_sent_once_whatever_happens(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            sent = []

            def hear(data: bytes) -> bytes:
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
def test_a_move_that_would_feed_another_card_is_not_sent(
    motion: Motion, place: Place, concluded: tuple[Result, Fault | None], tmp_path: Path
) -> None:
    """With an empty channel every move takes a card out of the slot at the picker."""

    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", place)
            bench.device.hear = lambda data: pytest.fail("sent") if is_move(data) else data
            outcome = await bench.make(motion, 2 if motion is Motion.PICK else None)
            assert (outcome.result, outcome.fault) == concluded

    in_jumping_time(story)


def test_a_card_fed_in_place_of_the_taken_one_is_in_doubt(tmp_path: Path) -> None:
    """RETRACT with a loaded slot at the picker: the hand takes the card, the rollers fetch a stranger's."""

    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.EXIT)
            bench.world.aligned = 2
            hand_before_the_rollers(bench)
            outcome = await bench.make(Motion.RETRACT)
            assert outcome.result is Result.IN_DOUBT
            assert (bench.truth("B"), bench.truth("C")) == (Place.TAKEN, Place.TRANSPORT)

    in_jumping_time(story)


@pytest.mark.parametrize("place", [Place.TRANSPORT, Place.EXIT])
def test_the_carousel_is_not_turned_while_a_card_is_in_the_channel(place: Place, tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", place)
            for motion in (Motion.ALIGN, Motion.PICK):
                outcome = await bench.make(motion, 2)
                assert (outcome.result, outcome.fault) == (Result.NOT_MOVED, Fault.TARGET_OCCUPIED)
            assert bench.world.aligned == 1

    in_jumping_time(story)


def test_a_card_that_may_be_the_one_in_the_channel_is_in_doubt(tmp_path: Path) -> None:
    """The slot is empty and a card stands in the channel: picked by whatever, or another's; only its chip tells."""

    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.TRANSPORT)
            outcome = await bench.make(Motion.PICK, 1)
            assert (outcome.result, outcome.fault) == (Result.IN_DOUBT, Fault.TARGET_OCCUPIED)

    in_jumping_time(story)


def test_one_answer_is_not_believed_though_its_check_holds(tmp_path: Path) -> None:
    """Two bits of the status turned alike: a card at the gate (31 for 30) behind an XOR that does not see it."""

    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            told: list[bytes] = []

            def say(data: bytes) -> bytes:
                if len(data) > 12 and data[5] == 0x31 and not told:
                    told.append(data)
                    return data[:7] + bytes([data[7] ^ 1]) + data[8:-3] + bytes([data[-3] ^ 1]) + data[-2:]
                return data

            bench.device.say = say
            assert (await bench.mover.observe()).place is None
            assert told

    in_jumping_time(story)


def test_an_empty_slot_needs_no_motion(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            outcome = await bench.make(Motion.PICK, 5)
            assert (outcome.result, outcome.fault) == (Result.FAILED, Fault.SLOT_EMPTY)

    in_jumping_time(story)


def test_a_card_that_the_bin_counted_was_not_taken(tmp_path: Path) -> None:
    """A question that the line turned into a command (one XOR byte) takes the card from the gate into the bin."""

    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.EXIT)
            bench.device.handle(Request(Command.MOVE, Move.ERROR_BIN).to_bytes(), lambda data: None)
            await until(lambda: bench.truth("B") is Place.RETRACT)
            outcome = await bench.make(Motion.RETRACT)
            assert outcome.observation is not None
            assert (outcome.observation.place, outcome.observation.dispensed) == (Place.IN_DOUBT, 0)
            assert bench.contradiction("B", Motion.RETRACT, outcome) is None

    in_jumping_time(story)


def test_the_board_stores_what_the_module_holds(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", Place.TRANSPORT)
            assert (await bench.observe_after(Motion.STORE, 6)).place is None
            assert bench.world.spots["B"].slot == 6
            await bench.bring("B", Place.EXIT)  # the module does not call the handover moved by hand

    in_jumping_time(story)
