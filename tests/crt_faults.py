"""Faults that a test arms on the bench of the bought dispenser, each by its physical cause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from firmware_protocol.crt import Control
from firmware_protocol.units import UnitKind
from sim.world import Place as Spot
from tests.crt_rig import Bench, until


def drop_frames(bench: Bench, wanted: Callable[[bytes], bool], *, heard: bool = False) -> None:
    """Lose the first frame that is `wanted`."""
    lost: list[bytes] = []

    def spoil(data: bytes) -> bytes:
        if not lost and wanted(data):
            lost.append(data)
            return b""
        return data

    setattr(bench.device, "hear" if heard else "say", spoil)


def is_move(data: bytes) -> bool:
    return len(data) > 6 and data[0] == 0xF2 and data[5] == 0x32


def nothing(bench: Bench) -> None:
    pass


def lost_request(bench: Bench) -> None:
    drop_frames(bench, is_move, heard=True)


def broken_request(bench: Bench) -> None:
    bench.device.hear = lambda data: data[:-1] + bytes([data[-1] ^ 1]) if is_move(data) else data


def lost_ack(bench: Bench) -> None:
    drop_frames(bench, lambda data: data == bytes([Control.ACK]))


def ack_turned_into_nak(bench: Bench) -> None:
    bench.device.say = lambda data: bytes([Control.NAK]) if data == bytes([Control.ACK]) else data


def lost_response(bench: Bench) -> None:
    drop_frames(bench, is_move)


def broken_response(bench: Bench) -> None:
    def spoil(data: bytes) -> bytes:
        return data[:7] + bytes([data[7] ^ 1]) + data[8:] if is_move(data) else data

    bench.device.say = spoil


def noise(bench: Bench) -> None:
    bench.device.say = lambda data: b"\xf2\x00\x00\x09\x06" + data


def power_cut_in_motion(bench: Bench) -> None:
    async def cut() -> None:
        await until(lambda: bench.world.card_between(UnitKind.DISPENSER) is not None)
        bench.cut_power()

    bench.helper = asyncio.ensure_future(cut())


def power_cut_before(bench: Bench) -> None:
    def cut(data: bytes) -> bool:
        if is_move(data):
            bench.cut_power()
        return is_move(data)

    drop_frames(bench, cut, heard=True)


def stopped_before_it_left(bench: Bench) -> None:
    """EOT from noise on the line stops the motor before it has gripped the card."""

    async def stop() -> None:
        await until(lambda: bench.device.moving)
        bench.device.handle(bytes([Control.EOT]), lambda data: None)

    bench.helper = asyncio.ensure_future(stop())


def jam(bench: Bench) -> None:
    for motion in ("pick", "present", "retract", "capture"):
        bench.world.armed["dispenser"] = motion
        if motion == bench.motion:
            return


def silent_afterwards(bench: Bench) -> None:
    async def fall_silent() -> None:
        await until(lambda: bench.device.moving)
        bench.device.say = lambda data: b""

    bench.helper = asyncio.ensure_future(fall_silent())


def quick_hand(bench: Bench) -> None:
    def say(data: bytes) -> bytes:
        if is_move(data) and bench.world.gate_open:
            bench.world.take_new()
        return data

    bench.device.say = say


def hand_before_the_rollers(bench: Bench) -> None:
    def hear(data: bytes) -> bytes:
        if is_move(data) and bench.world.gate_open:
            bench.world.take_new()
        return data

    bench.device.hear = hear


def hand_at_the_rollers(bench: Bench) -> None:
    async def take() -> None:
        await until(lambda: bench.device.moving)
        await asyncio.sleep(0.001)  # the motor turns, the rollers have not gripped yet
        bench.world.take_new()

    bench.helper = asyncio.ensure_future(take())


def pushed_in_by_hand(bench: Bench) -> None:
    bench.device._left = None


def full_bin(bench: Bench) -> None:
    bench.device.say = lambda data: data
    for index in range(10):
        bench.world.spots[f"x{index}"] = type(bench.world.spots["A"])(place=Spot.RETRACT, since=index)


def counter_at_its_end(bench: Bench) -> None:
    bench.flash.record["counted"] = 999
