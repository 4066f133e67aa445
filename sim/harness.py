"""Starts and stops the machine, the office, the inbox and lockerd as processes, and gives them one state folder.

The only file of the simulator that starts lockerd; it knows lockerd's command line, its configuration file and its HTTP,
never its code.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import aiohttp

from sim.clients import Console, Inbox, Kiosk, Office, TooLate, World, eventually
from sim.processes import Child, run_to_end

HOST = "127.0.0.1"
STAFF_NAME = "demo"
STAFF_PIN = "80246135"
READY = 60.0
"""Seconds that a process has to become ready."""

Scalar = str | int | float | bool | list[str] | list[list[str]]
Tables = Mapping[str, Mapping[str, Scalar]]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everybody listens: HOST:PORT each."""

    kiosk: str
    console: str
    health: str
    office: str
    dock: str
    inbox: str
    control: str
    modbus: str


DEMO_PORTS = Addresses(
    kiosk="8080", console="8081", health="8082", office="8090", dock="8091", inbox="8092", control="8093", modbus="8094"
)
"""The ports that `make demo` prefers."""


_OWN_PORTS, _RUNS = 10_000, 2_500  # up to 30000


def free_addresses(preferred: Addresses | None = None) -> Addresses:
    """Eight different loopback addresses that are free now: near the `preferred` ports, otherwise near this process's own.

    Those lie below the ports that outgoing connections are given (Linux: 32768 and up), and apart from those of other runs: a
    child binds its address seconds later, and again after each restart.
    """
    with ExitStack() as held:
        own = str(_OWN_PORTS + os.getpid() % _RUNS * len(Addresses.__slots__))
        wanted = asdict(preferred) if preferred else dict.fromkeys(Addresses.__slots__, own)
        return Addresses(**{name: held.enter_context(_bound(int(port))).address for name, port in wanted.items()})


class _Bound(socket.socket):
    @property
    def address(self) -> str:
        host, port = self.getsockname()[:2]
        return f"{host}:{port}"


def _bound(port: int) -> _Bound:
    while True:
        listener = _Bound(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()  # two sockets may share an address until one listens
        except OSError:
            listener.close()
            port += 1
            if port > 65535:
                raise
        else:
            return listener


@dataclass(frozen=True, slots=True)
class Setting:
    """One run: where it keeps its state, which town it plays in, how fast motors turn, and which wire the bus is.

    `take_seconds` is how long lockerd leaves a new card in the exit; None leaves that to lockerd. `framed_by` is the origin
    that may frame the citizen's screen. With `bought` the dispenser is a carousel board and a bought module. `also` is laid
    over lockerd's configuration. With `fingerprint` lockerd has the sensor, with `infrared` a second camera, and both must agree.
    With `faceless` the office's photos show nobody, and lockerd can decode those on chips. `damaged` are the people whose old card
    is damaged; of those in `templates` the office sends its own face template, of those in `foreign_templates` one of other
    models, and of those in `photoless` no photo.
    """

    state: Path
    addresses: Addresses
    seed: int = 1
    speed: float = 1.0
    tcp: bool = False
    framed_by: str | None = None
    take_seconds: float | None = None
    bought: bool = False
    also: Tables = field(default_factory=dict)
    faceless: bool = False
    infrared: bool = False
    fingerprint: bool = False
    damaged: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    foreign_templates: tuple[str, ...] = ()
    photoless: tuple[str, ...] = ()

    @property
    def database(self) -> Path:
        """lockerd's database file."""
        return self.state / "lockerd" / "lockerd.db"

    @property
    def configuration(self) -> Path:
        """lockerd's configuration file."""
        return self.state / "lockerd.toml"


def toml_text(document: Tables) -> str:
    """The TOML of one level of tables with scalar values and lists of strings; keys are bare keys."""
    tables = []
    for name, table in document.items():
        tables.append("\n".join([f"[{name}]", *(f"{key} = {_toml_value(value)}" for key, value in table.items())]))
    return "\n\n".join(tables) + "\n"


def _toml_value(value: Scalar) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace(
            "\x7f", "\\u007f"
        )  # TOML escapes as JSON does, and DEL too
    return json.dumps(value)


def configuration(setting: Setting) -> dict[str, dict[str, Scalar]]:
    """lockerd's configuration for `setting`, as tables."""
    state, at = setting.state, setting.addresses
    machine = state / "machine"
    host, _, port = at.modbus.rpartition(":")
    kiosk: dict[str, Scalar] = {"listen": at.kiosk}
    if setting.framed_by:
        kiosk["framed_by"] = setting.framed_by
    bus: dict[str, Scalar] = {"kind": "rtu", "port": str(machine / "bus"), "baudrate": 115200}
    tables: dict[str, dict[str, Scalar]] = {
        "machine": {
            "id": "locker-1",
            "environment": "simulator",
            "state_dir": str(state / "lockerd"),
            "key_file": str(state / "device.key"),
        },
        "bus": {"kind": "tcp", "host": host, "port": int(port)} if setting.tcp else bus,
        "dispenser": {"kind": "crt", "port": str(machine / "dispenser")} if setting.bought else {"kind": "mailbox"},
        "readers": {name: str(machine / f"reader-{name}") for name in ("counter", "throat", "exit")},
        "face": {
            "pack": str(Path(__file__).resolve().parent / "packs" / "synthetic"),
            "source": "file",
            "address": str(machine / "camera.jpg"),
            "span": 0.5,
        },
        "office": {"url": f"http://{at.office}"},
        "sms": {"backend": "file", "directory": str(state / "inbox")},
        "kiosk": kiosk,
        "console": {"listen": at.console},
        "health": {"listen": at.health},
        "patience": {"take": setting.take_seconds} if setting.take_seconds else {},
    }
    if setting.infrared:
        tables["face.second_source"] = {"source": "file", "address": str(machine / "infrared.jpg")}
    if setting.faceless:
        tables["face"]["chip_decoder"] = [sys.executable, "-m", "sim", "chip-photo"]
    if setting.fingerprint:
        tables["fingerprint"] = {"socket": str(machine / "fingerprint"), "seconds": 3.0}
    for name, table in setting.also.items():
        tables[name] = {**tables.get(name, {}), **table}
    return tables


@dataclass(slots=True)
class Harness:
    """All processes of one `setting`. `async with` starts them in order and stops them in reverse, whatever happens.

    Raises ProcessDied and TooLate when one does not become ready.
    """

    setting: Setting
    session: aiohttp.ClientSession
    _children: dict[str, Child] = field(default_factory=dict, init=False)

    async def __aenter__(self) -> Harness:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def world(self) -> World:
        """The simulated machine."""
        return World(self.session, self.setting.addresses.control)

    @property
    def office(self) -> Office:
        """The simulated office."""
        return Office(self.session, self.setting.addresses.office)

    @property
    def inbox(self) -> Inbox:
        """The simulated telephones."""
        return Inbox(self.session, self.setting.addresses.inbox)

    @property
    def kiosk(self) -> Kiosk:
        """A new view of lockerd's citizen screen."""
        return Kiosk(self.session, self.setting.addresses.kiosk)

    @property
    def console(self) -> Console:
        """lockerd's staff console; logged in or out for the whole session."""
        return Console(self.session, self.setting.addresses.console)

    async def watch(self) -> NoReturn:
        """Raise ProcessDied as soon as a process has ended that should run."""
        while True:
            for child in self._children.values():
                child.check()
            await asyncio.sleep(0.1)

    async def start_lockerd(self) -> None:
        """Start lockerd and wait until /readyz says it can serve a pickup."""
        await self._children["lockerd"].start()
        await self._ready("lockerd", f"http://{self.setting.addresses.health}/readyz")

    async def stop_lockerd(self) -> None:
        """End lockerd as systemd would."""
        await self._children["lockerd"].stop()

    async def kill_lockerd(self) -> None:
        """End lockerd with SIGKILL."""
        await self._children["lockerd"].kill()

    @property
    def lockerd_pid(self) -> int:
        """The process that is lockerd now. Raises ProcessDied while there is none."""
        return self._children["lockerd"].pid

    async def cut_power(self) -> None:
        """Take the power from machine and daemon together; motors stop where they are."""
        await asyncio.gather(self.world.act("cut_power"), self.kill_lockerd())

    async def restore_power(self) -> None:
        """Give the power back: the firmware boots, and lockerd with it."""
        await self.world.act("restore_power")
        await self.start_lockerd()

    async def stop(self) -> None:
        """Stop every process, the last started first; a second Ctrl-C does not leave one behind."""
        while self._children:
            name, child = self._children.popitem()
            try:
                await child.stop()
            except asyncio.CancelledError:
                self._children[name] = child
                for left in self._children.values():
                    await left.kill()
                raise

    async def _start(self) -> None:
        setting, at = self.setting, self.setting.addresses
        for folder in ("machine", "office", "inbox", "lockerd", "logs"):
            (setting.state / folder).mkdir(parents=True, exist_ok=True)
        (setting.state / "lockerd").chmod(0o700)
        await self._settle_down()
        town = ["--seed", str(setting.seed)]
        wire = ["--modbus-tcp", at.modbus] if setting.tcp else []
        wire += ["--dispenser", "crt"] if setting.bought else []
        wire += ["--infrared"] if setting.infrared else []
        machine = ["--control", at.control, "--speed", str(setting.speed), *wire]
        self._add("machine", ["-m", "sim", "machine", "--state", str(setting.state / "machine"), *town, *machine])
        photos = ["--faceless"] if setting.faceless else []
        photos += ["--damaged", *setting.damaged, "--template", *setting.templates]
        photos += ["--foreign-template", *setting.foreign_templates, "--photoless", *setting.photoless]
        self._add(
            "office",
            ["-m", "sim", "office", "--state", str(setting.state / "office"), "--listen", at.office, *town, *photos],
        )
        self._add("inbox", ["-m", "sim", "inbox", "--directory", str(setting.state / "inbox"), "--listen", at.inbox])
        for child in self._children.values():
            await child.start()
        await self._ready("machine", f"http://{at.control}/truth")
        await self._ready("office", f"http://{at.office}/sim/ledger")
        await self._ready("inbox", f"http://{at.inbox}/messages")
        self._add("lockerd", ["-m", "lockerd", "--config", str(setting.configuration), "run"])
        await self.start_lockerd()

    async def _settle_down(self) -> None:
        """Write what a first start needs: device key, configuration, staff account; a later start finds them."""
        setting = self.setting
        setting.configuration.write_text(toml_text(configuration(setting)), encoding="utf-8")
        key = setting.state / "device.key"
        if not key.exists():
            with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32) + "\n")
        town = setting.state / "town.json"
        if not town.exists():
            staff = ["-m", "lockerd", "--config", str(setting.configuration), "staff", "add", STAFF_NAME]
            await run_to_end(staff, STAFF_PIN + "\n")
            town.write_text(json.dumps({"seed": setting.seed}), encoding="utf-8")

    def _add(self, name: str, arguments: list[str]) -> None:
        self._children[name] = Child(name, arguments, self.setting.state / "logs" / f"{name}.log")

    async def _ready(self, name: str, url: str) -> None:
        child = self._children[name]
        try:
            await eventually(f"{name} ready at {url}", READY, _answers(self.session, url, child.check))
        except TooLate as late:
            raise TooLate(f"{late}; {child.last_words()}") from late


def _answers(
    session: aiohttp.ClientSession, url: str, check: Callable[[], None]
) -> Callable[[], Awaitable[bool | None]]:
    async def look() -> bool | None:
        check()
        try:
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=2.0)) as answer:
                return True if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None

    return look
