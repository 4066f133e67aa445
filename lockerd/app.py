"""The composition root: the one place where drivers meet the rooms that use them, and the parent of every task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

from msgspec.structs import asdict
from prometheus_client import CollectorRegistry

from firmware_protocol.units import UnitKind
from lockerd.climate import keep_climate
from lockerd.condition import Condition, Parts, standing
from lockerd.config import Config, CrtDispenser
from lockerd.custody_desk import CustodyDesk
from lockerd.devices.crt import CrtMover
from lockerd.devices.crt_module import CrtModule
from lockerd.devices.crt_tally import TallyFile
from lockerd.devices.id_reader import SamvReader
from lockerd.devices.mailbox import MailboxUnit
from lockerd.devices.units import MailboxCabinet, MailboxMover
from lockerd.drivers import MODULE, READERS, Bus, Drivers
from lockerd.errors import DatabaseDamaged, DiskFull, StartFailed, StoreError
from lockerd.intake import Intake, keep_templates, send_messages
from lockerd.issuing import Issuing
from lockerd.journey.checking import Checking
from lockerd.journey.clearing import Clearing
from lockerd.journey.doing import Doing
from lockerd.journey.face_tries import FaceTries
from lockerd.journey.moving import Moving
from lockerd.journey.reading import Readers
from lockerd.journey.recovery import Recovery
from lockerd.journey.resuming import Resuming
from lockerd.journey.reviewing import Reviewing
from lockerd.journey.session import Session
from lockerd.journey.tries import Tries
from lockerd.journey.watching import Watching
from lockerd.listening import Listener
from lockerd.loading import Loading
from lockerd.maintenance import Maintenance
from lockerd.model.custody import Unit
from lockerd.model.policy import Evidence
from lockerd.model.view import Progress, Screen, View
from lockerd.motions import Motions
from lockerd.office.link import LinkSettings, LockerIdentity, OfficeLink
from lockerd.ports import Mover
from lockerd.referencing import References
from lockerd.stocking import Stocking
from lockerd.store import codes, journal
from lockerd.store.ballast import Ballast
from lockerd.store.database import Database, Transaction
from lockerd.store.housekeeping import Housekeeping
from lockerd.store.journal import JournalOutbox, Stamp, Stamper
from lockerd.store.opening import BACKUPS
from lockerd.store.retention import DAY, Retention
from lockerd.store.vault import Sealing, Vault
from lockerd.supervise import Standing
from lockerd.telling import envelope, office_status, wake_link
from lockerd.web.console import console_app
from lockerd.web.health import health_app
from lockerd.web.kiosk import Views, kiosk_app

_SEALINGS = {"aes-256-gcm": Sealing.AES_256_GCM, "sm4-gcm": Sealing.SM4_GCM}


@asynccontextmanager
async def opened(config: Config, device_key: bytes, drivers: Drivers) -> AsyncIterator[Assembled]:
    """The machine on its open database; nothing of it works yet.

    Raises StartFailed, or StoreError while it is in use, in a group.
    """
    boot = drivers.random.randbytes(8).hex()
    stamp = Stamper(drivers.clock, drivers.monotonic, boot).now
    vault = Vault(device_key, entropy=drivers.random.randbytes, sealing=_SEALINGS[config.machine.sealing])
    ballast = Ballast(config.ballast)
    db = Database(
        config.database, entropy=drivers.random.randbytes, connect=drivers.connect, check=drivers.check, ballast=ballast
    )
    async with asyncio.TaskGroup() as storage:
        owner = storage.create_task(db.run(), name="database")
        try:
            epoch = await _open_store(config, db, vault, stamp)
            ballast.make()
            yield assemble(config, drivers, db=db, ballast=ballast, vault=vault, boot=boot, epoch=epoch, stamp=stamp)
        finally:
            owner.cancel()


@asynccontextmanager
async def working(work: Mapping[str, Work]) -> AsyncIterator[None]:
    """All tasks of the machine run meanwhile; then they end in order."""
    async with asyncio.TaskGroup() as group:
        children = {name: group.create_task(task(), name=name) for name, task in work.items()}
        yield
        await _end(*(children.pop(name) for name in ("session", "maintenance") if name in children))
        await _end(*children.values())


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and wait for them. Who moves cards ends first: a motion in hand needs the bus until its outcome is durable."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def bus_work(bus: Bus, motions: Motions) -> Work:
    """The line to the units, open as long as a motion is in hand: whosever it is, and whatever ends the rest."""

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            line = group.create_task(bus.run(), name="line")
            try:
                await asyncio.Event().wait()
            finally:
                try:
                    await motions.end()
                finally:
                    line.cancel()

    return run


def make_state_dir(path: Path, config: Config) -> None:
    """Make the folder of the database where it is missing. Raises StartFailed."""
    try:
        config.machine.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartFailed(
            f"{path}: key 'machine.state_dir': {config.machine.state_dir} cannot be made ({error.strerror}); correct the key"
        ) from error


async def _open_store(config: Config, db: Database, vault: Vault, stamp: Callable[[], Stamp]) -> str:
    """Check the key against the database and journal the start; returns the database's epoch. Raises StartFailed."""

    async def begin(tx: Transaction) -> str:
        await journal.append(tx, "lockerd.machine.started", {"version": software()}, stamp=stamp())
        return await journal.epoch(tx)

    try:
        await db.ready()
    except (DatabaseDamaged, DiskFull):
        raise
    except StoreError as error:
        raise StartFailed(f"key 'machine.state_dir': {error}") from error
    try:
        await db.transaction(vault.verify)
    except DiskFull:
        raise
    except StoreError as error:
        raise StartFailed(
            f"key 'machine.key_file': {config.machine.key_file} does not open {config.database} ({error}); "
            "put back the key that this database was made with"
        ) from error
    return await db.transaction(begin)


@cache
def software() -> str:
    """The version of lockerd that is installed."""
    return version("lockerd")


Work = Callable[[], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Assembled:
    """Everything that runs: long tasks by name, and listeners, made when they are wanted. `boot` names this run; the rooms are
    what listeners reach.

    `standing` says at once what the machine is doing; `alive` tells whether database and session get on.
    """

    boot: str
    work: dict[str, Work]
    listeners: Callable[[], list[Listener]]
    session: Session
    views: Views
    maintenance: Maintenance
    desk: CustodyDesk
    standing: Callable[[], Standing]
    alive: Callable[[], Awaitable[bool]]


def assemble(
    config: Config,
    drivers: Drivers,
    *,
    db: Database,
    ballast: Ballast,
    vault: Vault,
    boot: str,
    epoch: str,
    stamp: Callable[[], Stamp],
) -> Assembled:
    """Put the machine together; nothing runs yet."""
    bus, face, random = drivers.bus, drivers.face, drivers.random
    units: dict[Unit, Mover] = {
        unit: MailboxMover(MailboxUnit(bus, kind, unit.value, poll_interval=drivers.pace.moving), unit)
        for unit, kind in ((Unit.DISPENSER, UnitKind.DISPENSER), (Unit.RECYCLER, UnitKind.RECYCLER))
    }
    if isinstance(config.dispenser, CrtDispenser):
        module = CrtModule(MODULE, drivers.lines[MODULE], address=config.dispenser.address)
        units[Unit.DISPENSER] = CrtMover(module, units[Unit.DISPENSER], TallyFile(config.tally, MODULE))
    cabinet = MailboxCabinet(MailboxUnit(bus, UnitKind.CABINET, "cabinet", poll_interval=drivers.pace.moving))
    fingers = config.policy.names(Evidence.FINGERPRINT)
    readers = {
        name: SamvReader(name, drivers.lines[name], fingerprint=fingers and name == "counter") for name in READERS
    }
    by_place = Readers(**readers)
    motions = Motions(db, units, stamp)

    def new_journey_id() -> str:
        return random.randbytes(8).hex()

    issuing = Issuing(
        db=db,
        vault=vault,
        stamp=stamp,
        new_code=partial(codes.new_code, random.randrange),
        lifetimes={
            codes.CodeKind.PICKUP: config.codes.pickup_days * DAY,
            codes.CodeKind.LETTER: config.codes.letter_days * DAY,
        },
    )
    stocking = Stocking(issuing)
    references = References(face, drivers.decoder)
    recovery = Recovery(
        db=db,
        vault=vault,
        motions=motions,
        units=units,
        readers=by_place,
        stamp=stamp,
        resuming=Resuming(db, vault, by_place, stamp, new_journey_id),
        stocking=stocking,
    )
    checking = Checking(
        db=db,
        vault=vault,
        stamp=stamp,
        policy=config.policy,
        chip_template=references.of_chip,
        send_codes=issuing.to_holder,
        tell_locked=issuing.tell_locked,
        finger=drivers.finger,
    )
    moving = Moving(db=db, vault=vault, motions=motions, readers=by_place, stamp=stamp)
    views = Views(View(Screen.OUT_OF_SERVICE, Progress.RECOVERING))
    housekeeping = Housekeeping(
        db,
        config.machine.state_dir / BACKUPS,
        stamp,
        Retention(**{name: days * DAY for name, days in asdict(config.retention).items()}),
        clock_is_right=lambda: link.clock_is_right(),  # noqa: PLW0108  the link comes after
    )
    intake = Intake(db, vault, references, stamp, issuing)
    link = OfficeLink(
        LinkSettings(config.office.url, backoff_limit=drivers.pace.away),
        LockerIdentity(config.machine.id, epoch, boot, {"lockerd": software()}),
        JournalOutbox(db, partial(envelope, locker_id=config.machine.id)),
        on_items=intake.take,
        load_cursor=lambda: db.read(journal.load_down_cursor),
        status=lambda: office_status(condition.report()),
        clock=drivers.clock,
        random=random,
        transport=drivers.office,
    )
    condition = Condition(
        Parts(
            db=db,
            housekeeping=housekeeping,
            ballast=ballast,
            bus=bus,
            motions=motions,
            cabinet=cabinet,
            readers=readers,
            face=lambda: face.status,
            link=lambda: link.status,
            fit=lambda: session.fit,
            old_path_settled=lambda: Unit.RECYCLER not in recovery.unsettled,
            idle=lambda: session.idle,
            finger=drivers.finger,
            policy=config.policy,
        ),
        changed=lambda: session.condition_changed(),  # noqa: PLW0108 the session comes after
        pace=drivers.pace,
    )
    finger_seconds = config.fingerprint.seconds if config.fingerprint else 0.0
    tries = Tries(db, stamp)
    session = Session(
        doing=Doing(db, vault, stamp, by_place, checking, moving, Clearing(db, vault, recovery, stamp).clear),
        watching=Watching(
            motions,
            Reviewing(face, link, db, stamp, config.review.seconds),
            checking.template_of,
            lambda: moving.dispensed_before,
            readers["counter"],
            checking.reported_lost,
            face,
            config.patience.face,
            FaceTries(db, vault, stamp),
            drivers.pace.watched,
            drivers.finger,
            finger_seconds,
        ),
        recovery=recovery,
        cabinet=cabinet,
        show=views.publish,
        patience=config.patience_seconds(),
        new_journey_id=new_journey_id,
        ways=condition.ways,
        tries=tries,
    )
    loading = Loading(db, vault, motions, by_place, stamp, stocking, references, lambda: link.status.catching_up)
    maintenance = Maintenance(
        db=db, vault=vault, session=session, loading=loading, motions=motions, stamp=stamp, issuing=issuing
    )
    desk = CustodyDesk(db=db, session=session, motions=motions, stocking=stocking, stamp=stamp)

    async def alive() -> bool:
        await db.read(journal.position)
        return not session.stuck()

    def listeners() -> list[Listener]:
        registry = CollectorRegistry()
        registry.register(condition)
        registry.register(tries)
        return [
            Listener(
                "kiosk",
                kiosk_app(
                    boot=boot,
                    source=views,
                    on_tap=session.tap,
                    previews=face.previews,
                    framed_by=config.kiosk.framed_by,
                ),
                config.kiosk.listen,
            ),
            Listener(
                "console",
                console_app(
                    maintenance=maintenance,
                    desk=desk,
                    health=condition.report,
                    new_token=lambda: random.randbytes(32).hex(),
                    now=drivers.monotonic,
                ),
                config.console.listen,
            ),
            Listener("health", health_app(report=condition.report, registry=registry), config.health.listen),
        ]

    return Assembled(
        boot=boot,
        session=session,
        views=views,
        maintenance=maintenance,
        desk=desk,
        standing=lambda: standing(condition.report(), session.recovered, recovery.waiting_for),
        alive=alive,
        work={
            "bus": bus_work(bus, motions),
            "face": face.run,
            "office": link.run,
            "outbox": lambda: wake_link(db, link, drivers.pace.gathered),
            "messages": lambda: send_messages(db, vault, drivers.sms, stamp),
            "templates": lambda: keep_templates(db, lambda: face.status.model_id, stamp, drivers.pace.kept),
            "housekeeping": lambda: housekeeping.run(lambda: session.idle),
            "codes": issuing.watch,
            "condition": condition.run,
            "climate": lambda: keep_climate(cabinet, drivers.pace.kept),
            "maintenance": maintenance.run,
            "session": session.run,
        },
        listeners=listeners,
    )
