"""The bought dispenser's driver and its model over a real pseudo-terminal, in real time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lockerd.devices.crt_module import Timing
from lockerd.model.custody import Fault, Motion, Place, Result
from sim.ptys import Send
from tests.crt_rig import Bench

PATIENT = Timing(answer=5.0, motion=10.0, quiet=0.05)
HASTY = Timing(answer=0.6, motion=2.0, quiet=0.05)


def is_move(data: bytes) -> bool:
    """A piece of the stream with a move or its response in it; the host's last ACK may stand before."""
    return any(head in data for head in (b"C2", b"P2", b"N2"))


async def test_a_card_goes_all_ways(tmp_path: Path) -> None:
    async with Bench(tmp_path, timing=PATIENT).running(over_pty=True) as bench:
        await bench.bring("B", Place.EXIT)
        assert (await bench.observe_after(Motion.RETRACT)).place is Place.TRANSPORT
        assert (await bench.observe_after(Motion.STORE, 5)).place is None
        assert (await bench.make(Motion.PICK, 5)).result is Result.DONE
        assert (await bench.observe_after(Motion.CAPTURE)).bin_count == 1
        await bench.bring("C", Place.EXIT)
        bench.world.take_new()
        assert (await bench.mover.observe()).dispensed == 1
        assert bench.truth("B") is Place.RETRACT


async def test_bytes_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Bench(tmp_path, timing=PATIENT).running(over_pty=True) as bench:
        whole = bench.device.handle

        def drop_by_drop(data: bytes, send: Send) -> None:
            def one_by_one(answer: bytes) -> None:
                for one in answer:
                    send(bytes([one]))

            for byte in data:
                whole(bytes([byte]), one_by_one)

        monkeypatch.setattr(bench.device, "handle", drop_by_drop)
        await bench.bring("B", Place.EXIT)


async def test_lost_response(tmp_path: Path) -> None:
    async with Bench(tmp_path, timing=HASTY).running(over_pty=True) as bench:
        bench.device.say = lambda data: b"" if is_move(data) else data
        outcome = await bench.make(Motion.PICK, 1)
        assert bench.contradiction("B", Motion.PICK, outcome) is None
        assert outcome.result is Result.DONE


async def test_lost_command(tmp_path: Path) -> None:
    async with Bench(tmp_path, timing=HASTY).running(over_pty=True) as bench:
        bench.device.hear = lambda data: b"" if is_move(data) else data
        assert (await bench.make(Motion.PICK, 1)).result is Result.NOT_MOVED
        assert bench.truth("B") is Place.SLOT


async def test_power_gone_for_good(tmp_path: Path) -> None:
    async with Bench(tmp_path, timing=HASTY).running(over_pty=True) as bench:
        await bench.bring("B", Place.TRANSPORT)
        taken = asyncio.Event()

        def hear(data: bytes) -> bytes:
            if is_move(data):
                bench.device.power_off()
                taken.set()
            return data

        bench.device.hear = hear
        outcome = await bench.make(Motion.PRESENT)
        assert taken.is_set()
        assert (outcome.result, outcome.fault) == (Result.IN_DOUBT, Fault.SILENT)
