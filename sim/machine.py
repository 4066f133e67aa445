"""The simulated machine as a process of its own: units on a bus, card readers, camera, and the control interface.

`python -m sim machine` prints one line of JSON when all of it can be opened, and runs until SIGTERM or SIGINT. Started
again with the same folder it is the same machine: cards, jams and non-volatile memories are where they were.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

from sim.assembly import CAMERA, FINGERPRINT, READERS, Machine, cards_of, fresh_world
from sim.bus import tcp_bus
from sim.camera import drawn, film
from sim.control import application
from sim.fingerprint import matcher
from sim.kept import Kept, StateError
from sim.modbus_slave import Answer, RegisterDevice, RtuSlave, answer
from sim.people import population
from sim.ptys import Handle, Send, serve_pty

BAUDRATE = 115200
_GAP = 0.05  # seconds of silence on the bus after which an unfinished frame is dropped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `python -m sim machine`."""
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="folder of ptys, picture and world")
    parser.add_argument("--seed", type=int, required=True, help="which town the cards are of")
    parser.add_argument("--control", type=address, required=True, metavar="HOST:PORT", help="port 0: any free one")
    parser.add_argument("--modbus-tcp", type=address, metavar="HOST:PORT", help="Modbus TCP in place of DIR/bus")
    parser.add_argument("--speed", type=positive, default=1.0, metavar="F", help="mechanics F times as fast")
    parser.add_argument(
        "--slots", type=_count, default=20, metavar="N", help="carousel of a new machine (default %(default)s)"
    )
    parser.add_argument(
        "--dispenser", choices=("mailbox", "crt"), default="mailbox", help="crt: a bought module at DIR/dispenser"
    )
    parser.add_argument("--infrared", action="store_true", help="a second camera, at DIR/infrared.jpg")
    parser.add_argument("--people", type=_count, default=12, metavar="N", help="size of the town (default %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run the machine; returns the exit status."""
    try:
        asyncio.run(_serve(arguments))
    except (StateError, OSError) as error:
        print(f"sim machine: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(arguments: argparse.Namespace) -> None:
    """Run until told to end. Raises StateError, and OSError when an address is taken."""
    machine = _machine(arguments)
    folder: Path = arguments.state
    picture = folder / "camera.jpg"
    names = ("bus", *READERS) if machine.module is None else ("bus", "dispenser", *READERS)
    lines = {name: folder / name for name in names}
    for link in lines.values():
        link.unlink(missing_ok=True)  # of a process that was killed
    host, port = arguments.control
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, port)))
        ready: dict[str, object] = {"ready": True, "control": f"http://{host}:{listener.getsockname()[1]}"}
        if arguments.modbus_tcp is not None:
            del lines["bus"]
            host, port = arguments.modbus_tcp
            bound = await stack.enter_async_context(tcp_bus(machine.bus(), host, port))
            ready["modbus_tcp"] = f"{host}:{bound}"
        ready["paths"] = {name: str(path) for name, path in (*lines.items(), (CAMERA, picture))}
        stop = stop_signal()
        stack.callback((folder / FINGERPRINT).unlink, missing_ok=True)
        await stack.enter_async_context(matcher(folder / FINGERPRINT, machine.finger, machine.has_sensor))
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(machine.run())]
            machine.boot()
            parts.append(group.create_task(film(picture, machine.scene, drawn(arguments.seed))))
            if arguments.infrared:
                second = film(folder / "infrared.jpg", machine.scene, drawn(arguments.seed + 1, infrared=True))
                parts.append(group.create_task(second))
            for name, link in lines.items():
                handle = _handle(machine, name)
                parts.append(group.create_task(serve_pty(link, handle, baudrate=BAUDRATE)))
            while not all(link.exists() for link in lines.values()):  # noqa: ASYNC110  # only the links tell
                await asyncio.sleep(0.01)
            await _control(machine, listener, ready, stop)
            for part in parts:
                part.cancel()


async def _control(machine: Machine, listener: socket.socket, ready: dict[str, object], stop: asyncio.Event) -> None:
    runner = web.AppRunner(application(machine), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        print(json.dumps(ready), flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def _machine(arguments: argparse.Namespace) -> Machine:
    """The machine of the folder, or a new one. Raises StateError and OSError."""
    town = population(arguments.seed, arguments.people)
    folder: Path = arguments.state
    folder.mkdir(parents=True, exist_ok=True)
    kept = Kept.load(folder / "world.json", arguments.seed, lambda: fresh_world(town, arguments.slots))
    if {card.card_id for card in cards_of(town)} != kept.world.spots.keys():
        raise StateError(f"{kept.path}: made with another --people; use that number or another --state")
    return Machine(town, kept, clock=time.monotonic, speed=arguments.speed, bought=arguments.dispenser == "crt")


def rtu_line(units: Mapping[int, RegisterDevice], respond: Answer = answer) -> Handle:
    """Units on a serial line; a pause drops an unfinished frame. `respond` is as for `RtuSlave`."""
    slave = RtuSlave(units, respond)
    last = time.monotonic()

    def handle(data: bytes, send: Send) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _GAP:
            slave.gap()
        last = now
        send(slave.feed(data))

    return handle


def _handle(machine: Machine, name: str) -> Handle:
    match name:
        case "bus":
            return rtu_line(machine.bus())
        case "dispenser":
            return machine.module_feed
        case _:
            return _reader(machine, name)


def _reader(machine: Machine, name: str) -> Handle:
    return lambda data, send: send(machine.reader_feed(name, data))


def stop_signal() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def address(text: str) -> tuple[str, int]:
    """HOST:PORT of a command line."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not HOST:PORT")
    return host, int(port)


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not 1 to 1000")
    return value


def positive(text: str) -> float:
    """A number above 0 of a command line."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value
