"""One simulated part standing alone on a TCP port or a pseudo-terminal, with a small world of its own.

`python -m sim serve` prints one line of JSON when the part can be reached, and runs until SIGTERM or SIGINT. A dispenser
has three cards in its first slots and three in the feeder, an ID-card reader has a card in its field. With `--control`,
`GET /truth` and `POST /act` (sim.control) and `POST /bench` (sim.bench_hands) are its hands and its power switch.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from firmware_protocol.blocks import IdentityBlock
from firmware_protocol.units import UnitKind
from sim.assembly import Machine, cards_of, fresh_world
from sim.bench_hands import bench_routes
from sim.bought_defects import BOUGHT_DEFECTS, Spoil
from sim.bus import tcp_stream
from sim.control import application
from sim.crt_dispenser import CrtDispenser
from sim.defects import DEFECTS, Defect
from sim.kept import Kept, UnitMemory
from sim.machine import BAUDRATE, address, positive, rtu_line, stop_signal
from sim.modbus_slave import TcpSlave
from sim.people import Citizen, population
from sim.ptys import Handle, Send, serve_pty
from sim.run import first_words
from sim.world import Place, Spot, World

_PEOPLE, _SLOTS, _STOCKED = 60, 20, 3
_MAX_RESPONSE_MS = 200
_RIGHT = Defect("is right")


class Unknown(ValueError):
    """No such part, or it cannot be had in this way; the message says what can."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is served: a `Handle` for each connection, and what must run meanwhile."""

    connected: Callable[[], Handle]
    run: Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a part is made of; `defect` is for units, `say` is what becomes of each answer of a bought part."""

    machine: Machine
    kept: Kept
    defect: Defect
    serial: bool
    speed: float
    say: Spoil


def _unit(kind: UnitKind) -> Callable[[Setting], Part]:
    """A unit behind a mailbox, at the address of its kind."""

    def made(setting: Setting) -> Part:
        machine, defect = setting.machine, setting.defect
        capacity = machine.world.slots if kind is UnitKind.DISPENSER else 0
        identity = IdentityBlock(kind, capacity, setting.kept.seed & 0xFFFFFFFF, _MAX_RESPONSE_MS)
        unit = machine.units[kind.name.lower()]
        machine.firmware[kind] = defect.firmware(
            identity, unit, UnitMemory(setting.kept, unit.name), poll_interval=min(0.05, 0.1 / setting.speed)
        )
        line = machine.bus()[kind]
        units = dict.fromkeys((*defect.addresses, int(kind)), line)
        respond = defect.respond()

        def serial() -> Handle:
            handle = rtu_line(units, respond)
            spoil = defect.spoil() if defect.spoil else None
            return handle if spoil is None else lambda data, send: handle(spoil(data), send)

        def connection() -> Handle:
            slave = TcpSlave(units, respond)
            return lambda data, send: send(slave.feed(data))

        return Part(serial if setting.serial else connection, machine.run)

    return made


def _id_reader(setting: Setting) -> Part:
    """A SAM-V reader with a card in its field."""
    machine = setting.machine
    machine.world.put_on_reader(machine.world.cards_at(Place.PERSON)[0])

    def handle(data: bytes, send: Send) -> None:
        answer = setting.say(machine.reader_feed("reader-counter", data))
        if answer:
            send(answer)

    return Part(lambda: handle, machine.run)


def _crt_dispenser(setting: Setting) -> Part:
    """A bought dispenser of the CRT family, with the carousel's cards as its stack."""
    machine, world = setting.machine, setting.machine.world

    def advance() -> None:
        world.aligned = ((world.aligned or 0) + 1) % world.slots

    device = CrtDispenser(
        world,
        machine.log,
        UnitMemory(setting.kept, "crt-dispenser"),
        random=Random(setting.kept.seed),
        changed=machine.changed,
        advance=advance,
        speed=setting.speed,
    )

    device.say = setting.say

    async def run() -> None:
        device.power_on()
        await device.run()

    return Part(lambda: device.handle, run)


PARTS: dict[str, Callable[[Setting], Part]] = {
    **{kind.name.lower(): _unit(kind) for kind in UnitKind},
    "id-reader": _id_reader,
    "crt-dispenser": _crt_dispenser,
}
"""Every part that can stand alone."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `python -m sim serve`."""
    parser.add_argument("part", choices=PARTS, nargs="?")
    line = parser.add_mutually_exclusive_group()
    line.add_argument(
        "--tcp", type=address, metavar="HOST:PORT", help="TCP, for units Modbus TCP; port 0: any free one"
    )
    line.add_argument(
        "--pty", type=Path, metavar="LINK", help="pseudo-terminal behind this symlink, for units Modbus RTU"
    )
    parser.add_argument("--control", type=address, metavar="HOST:PORT", help="hands and power over HTTP; port 0: any")
    parser.add_argument("--defect", metavar="NAME", help="be wrong in one way")
    parser.add_argument("--list-defects", action="store_true", help="list the defects and end")
    parser.add_argument("--seed", type=int, default=1, help="which town the cards are of (default %(default)s)")
    parser.add_argument("--speed", type=positive, default=1.0, metavar="F", help="mechanics F times as fast")


def run(arguments: argparse.Namespace) -> int:
    """Serve the part; returns the exit status."""
    if arguments.list_defects:
        for name, defect in DEFECTS.items():
            kinds = ", ".join(sorted(kind.name.lower() for kind in defect.kinds))
            print(f"{name:28} {defect.meaning}  [{kinds}{'; serial line' if defect.serial else ''}]")
        for part, bought in BOUGHT_DEFECTS.items():
            for name, one in bought.items():
                print(f"{name:28} {one.meaning}  [{part}]")
        return 0
    if arguments.part is None or (arguments.tcp is None and arguments.pty is None):
        print("sim serve: name a part and give it --tcp or --pty", file=sys.stderr)
        return 2
    status = 0
    try:
        asyncio.run(_serve(arguments))
    except* (Unknown, OSError) as group:
        print(f"sim serve: {first_words(group)}", file=sys.stderr)
        status = 1
    return status


async def _serve(arguments: argparse.Namespace) -> None:
    """Serve until told to end. Raises Unknown, and OSError when an address is taken."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lockerd-serve-")))
        setting = _setting(arguments, folder)
        part = PARTS[arguments.part](setting)
        ready: dict[str, object] = {"ready": arguments.part, "defect": arguments.defect}
        stop = stop_signal()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.run())]
            setting.machine.boot()
            if arguments.pty is not None:
                tasks.append(group.create_task(serve_pty(arguments.pty, part.connected(), baudrate=BAUDRATE)))
                while not arguments.pty.exists():  # noqa: ASYNC110  # only the link tells
                    await asyncio.sleep(0.01)
                ready["pty"] = str(arguments.pty)
            else:
                host, port = arguments.tcp
                bound = await stack.enter_async_context(tcp_stream(part.connected, host, port))
                ready["tcp"] = f"{host}:{bound}"
            if arguments.control is not None:
                ready["control"] = await _control(stack, setting.machine, arguments.control)
            print(json.dumps(ready), flush=True)
            await stop.wait()
            for task in tasks:
                task.cancel()


async def _control(stack: AsyncExitStack, machine: Machine, listen: tuple[str, int]) -> str:
    """Serve hands and power until the stack is left; gives the address."""
    app = application(machine)
    app.add_routes(bench_routes(machine))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, *listen).start()
    return f"http://{listen[0]}:{runner.addresses[0][1]}"


def _setting(arguments: argparse.Namespace, folder: Path) -> Setting:
    """A small world of its own. Raises Unknown for a defect that the part cannot have or the line cannot show."""
    part, name = arguments.part, arguments.defect
    bought = BOUGHT_DEFECTS.get(part, {}).get(name)
    defect = _RIGHT if name is None or bought else DEFECTS.get(name)
    if defect is None or (defect is not _RIGHT and part not in {kind.name.lower() for kind in defect.kinds}):
        raise Unknown(f"{name} is no defect of {part}")
    if defect.serial and arguments.pty is None:
        raise Unknown(f"{name} shows on a serial line only: use --pty")
    town = population(arguments.seed, _PEOPLE)
    kept = Kept(folder / "world.json", arguments.seed, _world(town))
    machine = Machine(town, kept, clock=time.monotonic, speed=arguments.speed)
    say = bought.spoil if bought else lambda data: data
    return Setting(machine, kept, defect, arguments.pty is not None, arguments.speed, say)


def _world(town: tuple[Citizen, ...]) -> World:
    """A few cards in the first slots, a few in the feeder, the rest with staff and citizens."""
    world = fresh_world(town, _SLOTS)
    new = [card.card_id for card in cards_of(town) if card.role == "new"]
    for slot, card in enumerate(new[:_STOCKED]):
        world.spots[card] = Spot(Place.SLOT, slot)
    world.place_tray(new[_STOCKED : 2 * _STOCKED])
    return world
