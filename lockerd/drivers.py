"""How the daemon reaches whatever is outside it: devices, office, time and randomness, handed in as one value."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random, SystemRandom
from typing import Protocol

import aiosqlite

from lockerd.config import Config, CrtDispenser, Rtu, Tcp
from lockerd.devices.bus import LineStatistics, LinkStatistics, ModbusBus, RtuSettings, TcpSettings
from lockerd.devices.fingerprint import SocketMatcher
from lockerd.devices.mailbox import Registers
from lockerd.devices.serial_line import OpenLine, open_serial
from lockerd.face.chip_photo import ProgramDecoder
from lockerd.face.messages import FaceSettings, SourceSettings
from lockerd.face.verifier import FaceClient, FaceStatus
from lockerd.model.polling import Pace
from lockerd.office.exchange import OpenTransport, http_transport
from lockerd.office.sms import FileSms
from lockerd.ports import ChipPhotoDecoder, Clock, FaceVerifier, FingerVerifier, SmsSender
from lockerd.store.database import Connect
from lockerd.store.opening import Check, integrity_check

READER_BAUDRATE = 115200
READERS = ("counter", "throat", "exit")
MODULE = "dispenser"


class Bus(Registers, Protocol):
    """The line to the units, with a life of its own."""

    def statistics(self, unit: int) -> LinkStatistics:
        """Counters of the link to a unit."""

    def line_statistics(self) -> LineStatistics:
        """Counters of the line, whoever was asked."""

    async def run(self) -> None:
        """Own the line until cancelled."""


class FaceWorker(FaceVerifier, Protocol):
    """Face verification, with a life of its own."""

    @property
    def status(self) -> FaceStatus:
        """What health says of it."""

    async def run(self) -> None:
        """Keep a worker until cancelled."""


class SystemClock:
    """Wall time of the system; implements ports.Clock."""

    def now(self) -> float:
        """UTC seconds."""
        return time.time()


@dataclass(frozen=True, slots=True)
class Drivers:
    """All that is outside. Serial lines and memory, the system's time and simulated time differ here only.

    `lines` opens the line of each of `READERS`, and of `MODULE` where the dispenser is a bought one; `monotonic` is the boot
    clock in seconds; `random` makes keys, pickup codes and names, so in a real machine it is a CSPRNG; `connect` makes the
    connection to the database file, and `check` looks whether it is sound; `pace` is how often devices are looked at.
    """

    bus: Bus
    lines: Mapping[str, OpenLine]
    face: FaceWorker
    sms: SmsSender
    office: OpenTransport
    clock: Clock
    monotonic: Callable[[], float]
    random: Random
    finger: FingerVerifier | None = None
    decoder: ChipPhotoDecoder | None = None
    connect: Connect = aiosqlite.Connection
    check: Check = integrity_check
    pace: Pace = field(default_factory=Pace)


def real_drivers(config: Config) -> Drivers:
    """The drivers of a machine as its configuration describes it; nothing is opened yet."""
    clock = SystemClock()
    lines: dict[str, OpenLine] = {
        name: partial(open_serial, getattr(config.readers, name), READER_BAUDRATE, device=f"reader.{name}")
        for name in READERS
    }
    if isinstance(config.dispenser, CrtDispenser):
        lines[MODULE] = partial(open_serial, config.dispenser.port, config.dispenser.baudrate, device=MODULE)
    return Drivers(
        bus=ModbusBus(line_settings(config.bus)),
        lines=lines,
        face=FaceClient(face_settings(config)),
        sms=FileSms(config.sms.directory, clock),
        office=http_transport,
        clock=clock,
        monotonic=time.monotonic,
        random=SystemRandom(),
        decoder=ProgramDecoder(config.face.chip_decoder) if config.face.chip_decoder else None,
        finger=SocketMatcher(config.fingerprint.socket) if config.fingerprint else None,
    )


def face_settings(config: Config) -> FaceSettings:
    """What the face worker needs of the configuration."""
    face, second = config.face, config.face.second_source
    return FaceSettings(
        pack=str(face.pack),
        source=SourceSettings(face.source, face.address),
        models=str(face.models or ""),
        signed_by=face.signed_by,
        production=config.production,
        second=SourceSettings(second.source, second.address, second.reference_kind) if second else None,
        challenges=face.challenges,
        span=face.span,
    )


def line_settings(bus: Rtu | Tcp) -> RtuSettings | TcpSettings:
    """The line to the units as the configuration describes it."""
    match bus:
        case Rtu():
            return RtuSettings(bus.port, bus.baudrate, bus.parity, bus.turnaround_ms / 1000, bus.echo)
        case Tcp():
            return TcpSettings(bus.host, bus.port)
