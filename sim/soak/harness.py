"""The one place of the simulator that starts the daemon's own composition root, with drivers that are memory."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from contextvars import copy_context
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar

from lockerd import app, config
from lockerd.devices.bus import DeviceRefused, DeviceSilent, LineStatistics, LinkStatistics
from lockerd.drivers import MODULE, READERS, Drivers
from lockerd.errors import FaceUnavailable, LinkError, LockerError
from lockerd.face.verifier import FaceStatus
from lockerd.model.custody import Place
from lockerd.model.identity import Enrolment, FaceReason, FaceResult, FaceTemplate, FaceVerdict, ReferenceKind
from lockerd.model.polling import Pace
from lockerd.model.staffing import Finding, Grounds
from lockerd.model.view import Action, Progress, Tap, View
from lockerd.office.exchange import Raw
from sim.assembly import CAMERA, Machine
from sim.soak.broken import innermost, named
from sim.soak.door import Blocked, Doubt, Loaded, Page, Pulse, Refused
from sim.soak.module_line import ModuleLine
from sim.soak.office import Office
from sim.soak.reaping import inside, reaped
from sim.soak.seams import Committed, Connection, DiskFault, KeptDisk, Seams, cheap_hash
from sim.soak.senses import Clock, Sight, recognised
from sim.soak.wires import BusLine, NoAnswer, Noise, NotAccepted, ReaderLine
from sim.virtual_time import Family, VirtualLoop

T = TypeVar("T")

# rarer than in the street: most looks find nothing new
PACE = Pace(idle=900.0, watched=2.0, moving=1.0, reported=600.0, gathered=20.0, away=300.0, kept=900.0)
OFFICE_SECONDS = 4.0  # until it has answered: a slow network, on which events wait for each other and travel together
HISTORY_DAYS = 10  # longer than a code lives and an office is away; a year deletes 36 times over, not four times
RESTART_SECONDS = 10.0  # until the service manager starts a daemon again that ended by itself
MODEL, KEY = "memory", bytes(range(32))


class MemoryBus:
    """A `BusLine` in the daemon's words; a `lockerd.drivers.Bus`."""

    def __init__(self, line: BusLine) -> None:
        self._line = line

    def statistics(self, unit: int) -> LinkStatistics:
        """Nothing is counted here."""
        return LinkStatistics()

    def line_statistics(self) -> LineStatistics:
        """Nor here."""
        return LineStatistics()

    async def run(self) -> None:
        """The line needs nobody."""
        await asyncio.get_running_loop().create_future()

    async def read(self, unit: int, address: int, count: int) -> tuple[int, ...]:
        """Read holding registers."""
        try:
            return tuple(await self._line.read(unit, address, count))
        except (NoAnswer, NotAccepted) as error:
            raise _translated(unit, error) from error

    async def write(self, unit: int, address: int, values: Sequence[int]) -> None:
        """Write registers; sent once, which is not to say that they arrive once."""
        try:
            await self._line.write(unit, address, list(values))
        except (NoAnswer, NotAccepted) as error:
            raise _translated(unit, error) from error


def _translated(unit: int, error: NoAnswer | NotAccepted) -> DeviceSilent | DeviceRefused:
    device = f"bus unit {unit}"
    return DeviceRefused(device, error.code) if isinstance(error, NotAccepted) else DeviceSilent(device, "no answer")


class MemoryFace:
    """A face worker that recognises by the number of a face; a `lockerd.drivers.FaceWorker`."""

    def __init__(self, machine: Machine, seams: Seams) -> None:
        self._machine = machine
        self._seams = seams

    @property
    def status(self) -> FaceStatus:
        """Up whenever the machine is; the camera may be gone."""
        return FaceStatus(worker_up=True, camera_up=not self._machine.silenced(CAMERA), model_id=MODEL, restarts=0)

    async def run(self) -> None:
        """There is no process to keep."""
        await asyncio.get_running_loop().create_future()

    def admit(self, template: FaceTemplate) -> Enrolment:
        """Templates of numbers are all of one model."""
        return Enrolment(template, FaceReason.MATCH)

    async def enrol(self, picture: bytes, kind: ReferenceKind = ReferenceKind.PHOTO) -> Enrolment:
        """The template is the picture's own number."""
        await self._seams.cross()
        if self._machine.silenced(CAMERA):
            raise FaceUnavailable("the face worker is gone with its camera")
        return Enrolment(FaceTemplate(MODEL, picture[3:]), FaceReason.MATCH)

    async def verify(
        self, template: FaceTemplate, *, timeout: float, on_prompt: Callable[[FaceReason], None]
    ) -> FaceResult:
        """Look until one face stands still before the camera, or the time is over."""

        def prompt(several: bool) -> None:
            on_prompt(FaceReason.SEVERAL_FACES if several else FaceReason.NO_FACE)

        match await recognised(self._machine, self._seams, template.vector, timeout, prompt):
            case Sight.GONE:
                verdict, reason = FaceVerdict.UNAVAILABLE, FaceReason.CAMERA_DOWN
            case Sight.SAME:
                verdict, reason = FaceVerdict.VERIFIED, FaceReason.MATCH
            case Sight.OTHER:
                verdict, reason = FaceVerdict.NOT_VERIFIED, FaceReason.NO_MATCH
            case Sight.NOBODY:
                verdict, reason = FaceVerdict.NOT_VERIFIED, FaceReason.TIMED_OUT
        return FaceResult(verdict, reason, MODEL, "t")

    async def previews(self) -> AsyncGenerator[bytes, None]:
        """Nobody looks."""
        for _ in range(0):
            yield b""


class MemorySms:
    """Hands messages to the town."""

    def __init__(self, seams: Seams, deliver: Callable[[str, str, str], bool]) -> None:
        self._seams = seams
        self._deliver = deliver

    async def send(self, message_id: str, phone: str, text: str) -> None:
        """One message; a network that is gone takes none."""
        await self._seams.cross()
        if not self._deliver(message_id, phone, text):
            raise LinkError("the network is gone")


class MemoryTransport:
    """The way to the office."""

    def __init__(self, office: Office, seams: Seams) -> None:
        self._office = office
        self._seams = seams

    async def request(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Raw:
        """One request, to the end."""
        await self._seams.cross()
        await asyncio.sleep(OFFICE_SECONDS)
        status, answer = await self._office.request(method, url, body, headers)
        await self._seams.cross()
        return Raw(status, answer)


class Daemon:
    """The real daemon: begun and cut off, on one database file; a `sim.soak.door.Door`. `run` is its life."""

    def __init__(
        self,
        machine: Machine,
        office: Office,
        folder: Path,
        random: Random,
        *,
        clock: Clock,
        deliver: Callable[[str, str, str], bool],
        committed: Committed,
        patience: config.PatienceSeconds | None = None,
    ) -> None:
        self.loop: VirtualLoop = asyncio.get_running_loop()  # type: ignore[assignment]
        self.machine = machine
        self.seams = Seams(self._went_off)
        self.disk = DiskFault()
        self.noise = Noise(Random(random.random()))
        self.page: Page | None = None
        self.starts = 0
        self.on_hash: Callable[[bytes], None] = lambda _: None  # told of each secret that is hashed to be compared
        self.failures: list[str] = []  # ends of the daemon that nobody caused
        self.on_broken: Callable[[BaseException], None] = lambda _error: None  # told of an end that no daemon may have
        self._office = office
        self._folder = folder
        self._random = random
        self._clock = clock
        self._deliver = deliver
        self._committed = committed
        self._patience = patience or config.PatienceSeconds()
        self._outside = copy_context()
        self._module_line = ModuleLine(machine, self.noise, self.seams, self._outside)
        self._family: Family = Family()
        self._machine: app.Assembled | None = None
        self.pulse = Pulse()
        self._kept = KeptDisk(self._config().database, self.loop.time)
        self._off = asyncio.Event()
        self._wanted = asyncio.Event()

    def start(self) -> None:
        """Let it start as soon as it has ended, if there is power."""
        if self.machine.world.powered:
            self._wanted.set()

    def stop(self) -> None:
        """End it as a power cut does: nothing more of it comes through, whatever it was doing."""
        self.seams.cut()

    def power_off(self) -> None:
        """End it, and lose what the disk was never told to keep."""
        self._kept.cut()
        self.stop()

    def _went_off(self) -> None:
        self._wanted.clear()
        self._off.set()
        self._show(None)

    async def run(self) -> None:
        """Live and die until cancelled."""
        try:
            while True:
                await self._wanted.wait()
                self._off.clear()
                self.seams.begin()
                self.starts += 1
                self.disk.struck = False
                life = inside(self.loop, self._family, self._life())
                off = asyncio.ensure_future(self._off.wait())
                await asyncio.wait((life, off), return_when=asyncio.FIRST_COMPLETED)
                off.cancel()
                if not self.seams.dead:
                    self._note_end(life)
                    self.loop.call_later(RESTART_SECONDS, self.start)
                    self.seams.dead = True
                    self._wanted.clear()
                    self._show(None)
                await self._reap()
                await asyncio.sleep(1.0)
        finally:
            self.seams.dead = True
            await self._reap()

    def _note_end(self, life: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if life.cancelled() else life.exception() or RuntimeError("it returned")
        self.failures.append(named(error))
        if not (self.disk.struck and isinstance(innermost(error), LockerError)):
            self.on_broken(error)

    async def _life(self) -> None:
        async with app.opened(self._config(), KEY, self._drivers()) as machine, app.working(machine.work):
            self._machine = machine
            while True:
                self._show(None if self.seams.dead else _page(machine.views.current))
                await machine.views.changes.after(machine.views.changes.revision)

    async def _reap(self) -> None:
        """End every task of the daemon, the database's owner last: it alone closes what the file system holds."""
        self._machine = None
        await reaped(self._family)
        self._family = Family()
        self._kept.come_back()

    def _drivers(self) -> Drivers:
        async def line(name: str) -> ReaderLine | ModuleLine:
            if name == MODULE:
                return self._module_line.opened()
            return ReaderLine(self.machine, f"reader-{name}", self.noise, self.seams, self._outside)

        return Drivers(
            bus=MemoryBus(BusLine(self.machine, self.noise, self.seams, self._outside)),
            lines={name: partial(line, name) for name in (*READERS, MODULE)},
            face=MemoryFace(self.machine, self.seams),
            sms=MemorySms(self.seams, self._deliver),
            office=lambda: nullcontext(MemoryTransport(self._office, self.seams)),
            clock=self._clock,
            monotonic=self.loop.time,
            random=self._random,
            connect=self._connection,
            check=self._kept.check,
            pace=PACE,
        )

    def _connection(self, connector: Callable[[], sqlite3.Connection], chunk: int) -> Connection:
        def cheaper() -> sqlite3.Connection:
            connection = connector()
            connection.execute("PRAGMA main.locking_mode = EXCLUSIVE")  # no locks at each statement: nobody else looks
            connection.create_function("argon2id", 2, self._hash, deterministic=True)
            self._kept.opened(connection)
            return connection

        return Connection(cheaper, chunk, seams=self.seams, disk=self.disk, committed=self._committed)

    def _hash(self, secret: bytes, salt: bytes) -> bytes:
        self.on_hash(secret)
        return cheap_hash(secret, salt)

    def _config(self) -> config.Config:
        nowhere = "memory"
        return config.Config(
            machine=config.Machine(nowhere, "simulator", self._folder, self._folder / nowhere),
            bus=config.Tcp(nowhere, 0),
            dispenser=config.CrtDispenser(nowhere) if self.machine.module else config.MailboxDispenser(),
            readers=config.Readers(nowhere, nowhere, nowhere),
            face=config.Face(Path(nowhere), "file", nowhere),
            office=config.Office("memory://office"),
            sms=config.Sms("file", Path(nowhere)),
            kiosk=config.Kiosk("127.0.0.1:1"),
            console=config.Console("127.0.0.1:2"),
            health=config.Health("127.0.0.1:3"),
            patience=self._patience,
            retention=config.RetentionDays(HISTORY_DAYS, HISTORY_DAYS, HISTORY_DAYS),
        )

    def _show(self, page: Page | None) -> None:
        if page != self.page:
            self.page = page
            self.pulse.beat(page)

    def tap(self, action: str, value: str = "") -> None:
        """See `Door`."""
        if self._machine is not None and not self.seams.dead:
            self._machine.session.tap(Tap(Action(action), value))

    async def changed(self, timeout: float) -> None:
        """See `Door`."""
        await self.pulse.wait(timeout)

    async def _staff(self, work: Callable[[app.Assembled], Awaitable[T]]) -> T:
        if self._machine is None or self.seams.dead:
            raise Refused("the machine is off")
        task = inside(self.loop, self._family, work(self._machine))
        await asyncio.wait((task,))
        if task.cancelled():
            raise Refused("the machine went off")
        try:
            return task.result()
        except LockerError as error:
            raise Refused(str(error)) from error

    async def load(self, staff: str) -> Loaded:
        """See `Door`."""

        async def work(machine: app.Assembled) -> Loaded:
            await machine.maintenance.load(staff)
            while machine.maintenance.load_report.running:  # noqa: ASYNC110  the report tells, as it tells the console
                await asyncio.sleep(1.0)
            report = machine.maintenance.load_report
            return Loaded(tuple(line.slot for line in report.lines), report.fault or "")

        return await self._staff(work)

    async def settle(self) -> bool:
        """See `Door`."""
        return await self._staff(lambda machine: machine.maintenance.settle())

    async def empty_bin(self, staff: str, counted: int) -> int:
        """See `Door`."""
        return (await self._staff(lambda machine: machine.maintenance.empty_bin(staff, counted))).expected

    async def empty_retract(self, staff: str, counted: int) -> int:
        """See `Door`."""
        return (await self._staff(lambda machine: machine.desk.empty_retract(staff, counted))).expected

    async def open_matters(self) -> tuple[tuple[Doubt, ...], tuple[Blocked, ...]]:
        """See `Door`."""
        matters = await self._staff(lambda machine: machine.desk.open_matters())
        doubts = (Doubt(one.card_id, one.role, one.slot, one.found_by) for one in matters.doubtful)
        return tuple(doubts), tuple(Blocked(one.slot, one.reason, one.card_id) for one in matters.blocked)

    async def find(self, staff: str, card: str, place: str, slot: int | None) -> str:
        """See `Door`."""
        finding = Finding(card, Place(place), slot, Grounds.SEEN)
        return (await self._staff(lambda machine: machine.desk.find(staff, finding))).value

    async def unblock(self, staff: str, slot: int) -> None:
        """See `Door`."""
        await self._staff(lambda machine: machine.desk.unblock(staff, slot))


def _page(view: View) -> Page:
    return Page(
        screen=view.screen.value,
        progress="" if view.progress is Progress.NONE else view.progress.value,
        notice=view.notice.value if view.notice else "",
        fault=view.fault.value if view.fault else "",
        ticket=view.ticket or "",
        warn=view.warn,
        renewal=view.renewal,
        renewals_open=view.renewal_available,
        whereabouts=tuple(where.value for where in view.whereabouts),
    )
