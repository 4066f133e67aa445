"""The composition root: the one place where drivers meet the rooms that use them, and the parent of every task."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from random import SystemRandom

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from lockerd.condition import Condition, Parts
from lockerd.config import Config, Rtu, host_and_port
from lockerd.devices.bus import ModbusBus, RtuSettings, TcpSettings
from lockerd.devices.id_reader import SamvReader
from lockerd.devices.mailbox import MailboxUnit
from lockerd.devices.serial_line import open_serial
from lockerd.devices.units import MailboxCabinet, MailboxMover
from lockerd.doing import Doing, Readers
from lockerd.errors import LockerError
from lockerd.face.pack import load_pack
from lockerd.face.verifier import FaceClient, FaceSettings
from lockerd.intake import Intake, send_messages
from lockerd.loading import Loading, erase_daily
from lockerd.maintenance import Maintenance
from lockerd.model.custody import Unit
from lockerd.model.view import Progress, Screen, View
from lockerd.motions import Motions
from lockerd.office.events import cloud_event
from lockerd.office.link import LinkSettings, LockerIdentity, OfficeLink
from lockerd.office.sms import FileSms
from lockerd.ports import Clock, Mover
from lockerd.recovery import Recovery
from lockerd.session import Session
from lockerd.store import codes, journal
from lockerd.store.database import Database
from lockerd.store.journal import JournalOutbox, Stamper
from lockerd.store.vault import Vault
from lockerd.supervise import Supervisor
from lockerd.watching import Watching
from lockerd.web.console import console_app
from lockerd.web.health import health_app
from lockerd.web.kiosk import Views, kiosk_app

log = structlog.get_logger(__name__)

ERASE_EVERY_SECONDS = 3600.0
STOP_SECONDS = 30.0


class StartFailed(LockerError):
    """The machine cannot start now; the message names file, key and remedy (exit status 1)."""


class SystemClock:
    """Wall time of the system; implements ports.Clock."""

    def now(self) -> float:
        """UTC seconds."""
        return time.time()


def boot_identity() -> str:
    """A name for this run of the daemon, new at each start."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Listener:
    """One HTTP application and the address it is served on; `key` names it in the configuration."""

    key: str
    app: web.Application
    listen: str


def preflight(path: Path, config: Config) -> None:
    """Check what must be there before anything starts. Raises ConfigError (pack) or StartFailed (ports, folders)."""
    load_pack(config.face.pack, production=config.production)
    ports = {f"readers.{name}": getattr(config.readers, name) for name in ("counter", "throat", "exit")}
    if isinstance(config.bus, Rtu):
        ports["bus.port"] = config.bus.port
    for key, port in ports.items():
        try:
            os.close(os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
        except OSError as error:
            raise StartFailed(
                f"{path}: key '{key}': port {port} cannot be opened ({error.strerror}); connect the device or correct the key"
            ) from error
    try:
        config.machine.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartFailed(
            f"{path}: key 'machine.state_dir': {config.machine.state_dir} cannot be made ({error.strerror}); correct the key"
        ) from error


@asynccontextmanager
async def _listening(path: Path, listeners: list[Listener]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for listener in listeners:
            runner = web.AppRunner(listener.app, access_log=None, shutdown_timeout=2.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            host, port = host_and_port(listener.listen)
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                raise StartFailed(
                    f"{path}: key '{listener.key}.listen': cannot listen on {listener.listen} ({error.strerror}); "
                    "stop what uses it or choose another port"
                ) from error
        yield


async def run(path: Path, config: Config, device_key: bytes, *, supervisor: Supervisor) -> None:
    """Run the machine until SIGTERM or SIGINT. Raises ConfigError, StartFailed, StoreError."""
    preflight(path, config)
    clock: Clock = SystemClock()
    boot = boot_identity()
    stamp = Stamper(clock, time.monotonic, boot).now
    vault = Vault(device_key)
    db = Database(config.machine.state_dir / "lockerd.db")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async with asyncio.TaskGroup() as storage:
        owner = storage.create_task(db.run(), name="database")
        await _ready_or_failed(db, owner)
        try:
            machine = await _assemble(config, db=db, vault=vault, boot=boot, clock=clock, stamp=stamp)
            async with _listening(path, machine.listeners), asyncio.TaskGroup() as group:
                children = [group.create_task(work(), name=name) for name, work in machine.work.items()]
                children.append(group.create_task(supervisor.watch(lambda: True), name="watchdog"))
                await machine.started(stamp)
                supervisor.notify(READY="1", STATUS="serving")
                log.info("ready", boot=boot, pid=os.getpid())
                await stop.wait()
                supervisor.notify(STOPPING="1", STATUS="stopping")
                log.info("stopping")
                for child in children:
                    child.cancel()
        finally:
            owner.cancel()


async def _ready_or_failed(db: Database, owner: asyncio.Task[None]) -> None:
    """Wait for the database; its own error comes out of its owner."""
    ready = asyncio.ensure_future(db.ready())
    await asyncio.wait([ready, owner], return_when=asyncio.FIRST_COMPLETED)
    if owner.done():
        ready.cancel()
        await owner
    await ready


@dataclass(frozen=True, slots=True)
class Assembled:
    """Everything that runs: long tasks by name, and listeners."""

    work: dict[str, Callable[[], asyncio.Future[None]]]
    listeners: list[Listener]
    db: Database

    async def started(self, stamp: Callable[[], journal.Stamp]) -> None:
        """Journal the start for the office."""
        await self.db.transaction(
            lambda tx: journal.append(tx, "lockerd.machine.started", {"version": version("lockerd")}, stamp=stamp())
        )
