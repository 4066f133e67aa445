"""Bought parts that are wrong on purpose: the daemon's drivers say the declared error, or in doubt, and never believe them."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_protocol.units import UnitKind
from lockerd.devices.id_reader import SamvReader
from lockerd.errors import DeviceError, UnreadableCard
from lockerd.model.custody import Motion, Place, Result
from sim.bought_defects import BOUGHT_DEFECTS
from sim.id_reader import SamvDevice
from tests.crt_rig import Bench, in_jumping_time
from tests.unit.test_samv_reader import CARD, MemoryLine, reader_on

READER: dict[str, tuple[type[Exception], str]] = {
    "silence": (DeviceError, "no answer"),
    "bad-check": (DeviceError, "no answer"),
    "truncated-frame": (DeviceError, "no answer"),
    "unknown-status": (DeviceError, "answers"),
    "wrong-blocks": (DeviceError, "answers what it may not"),
    "garbled-text": (UnreadableCard, "cannot be decoded"),
}


def reader_with(name: str) -> SamvReader:
    device, spoil = SamvDevice(lambda: CARD), BOUGHT_DEFECTS["id-reader"][name].spoil
    reader: SamvReader = reader_on(*(MemoryLine(lambda data: spoil(device.feed(data))) for _ in range(3)))
    return reader


def test_every_defect_of_a_reader_is_met_here() -> None:
    assert {*READER, "never-selects"} == set(BOUGHT_DEFECTS["id-reader"])


@pytest.mark.parametrize("name", READER)
async def test_a_wrong_reader_ends_in_the_declared_error(name: str) -> None:
    error, words = READER[name]
    with pytest.raises(error, match=words):
        await reader_with(name).read()


async def test_a_reader_that_selects_nothing_has_no_card() -> None:
    assert await reader_with("never-selects").read() is None


MODULE: dict[str, tuple[Motion, Place, Result | None]] = {
    # what is done, with the card where, and how it ends: None is a DeviceError before anything moves
    "silence": (Motion.PICK, Place.SLOT, None),
    "bad-check": (Motion.PICK, Place.SLOT, None),
    "truncated-frame": (Motion.PICK, Place.SLOT, None),
    "wrong-address": (Motion.PICK, Place.SLOT, None),
    "stuck-busy": (Motion.PICK, Place.SLOT, Result.DONE),  # the look afterwards tells
    "wrong-counter": (Motion.CAPTURE, Place.TRANSPORT, Result.IN_DOUBT),
    "always-done": (Motion.PICK, Place.SLOT, Result.IN_DOUBT),
    "blind": (Motion.PICK, Place.SLOT, Result.IN_DOUBT),
}


def test_every_defect_of_a_bought_dispenser_is_met_here() -> None:
    assert set(MODULE) == set(BOUGHT_DEFECTS["crt-dispenser"])


@pytest.mark.parametrize("name", MODULE)
def test_a_wrong_bought_dispenser_is_not_believed(name: str, tmp_path: Path) -> None:
    motion, origin, result = MODULE[name]

    async def story() -> None:
        async with Bench(tmp_path).running() as bench:
            await bench.bring("B", origin)
            bench.device.say = BOUGHT_DEFECTS["crt-dispenser"][name].spoil
            if name == "always-done":
                bench.world.jammed.add(UnitKind.DISPENSER)
            slot = 1 if motion is Motion.PICK else None
            if result is None:
                with pytest.raises(DeviceError):
                    await bench.make(motion, slot)
                assert bench.truth("B") is origin
                return
            outcome = await bench.make(motion, slot)
            assert outcome.result is result, outcome
            assert bench.contradiction("B", motion, outcome) is None

    in_jumping_time(story)
