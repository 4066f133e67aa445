"""How the machine is: told by whatever was last heard of each part, so that everybody is answered at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Protocol, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from firmware_protocol.units import UnitKind
from lockerd.devices.bus import LineStatistics, LinkStatistics
from lockerd.devices.id_reader import SamvReader
from lockerd.drivers import Bus
from lockerd.errors import DeviceError, StoreError
from lockerd.face.verifier import FaceStatus
from lockerd.model.custody import CabinetObservation, Observation, Place, Sensor, SlotState, Unit
from lockerd.model.polling import Pace
from lockerd.model.view import Ways
from lockerd.motions import Motions
from lockerd.office.link import LinkStatus
from lockerd.ports import Cabinet, FingerVerifier
from lockerd.store import lookups
from lockerd.store.ballast import Ballast
from lockerd.store.database import Database, Transaction
from lockerd.store.housekeeping import Housekeeping
from lockerd.supervise import Standing
from lockerd.web.health import Check, HealthReport, Status

T = TypeVar("T")

SOONER = 5  # how many times sooner the next round comes while something is wrong

CLEAR_IT = "clear it, then settle at the console"
MAKE_ROOM = "make room on it; the machine goes on by itself then"

NEEDED = frozenset({"store", "disk", "card_path", "dispenser", "reader.exit", "face"})
"""The checks without which nobody can collect a card; every other failure leaves a way and is a warning.

The fingerprint sensor is one more where the policy opens nothing without a finger.
"""


@dataclass(frozen=True, slots=True)
class Survey:
    """What only a round tells: the cabinet (None while it is silent) and what the ledger counts."""

    cabinet: CabinetObservation | None
    slots: dict[SlotState, int]
    bin_count: int


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts whose condition is told. `finger` is None on a machine without a sensor; `finger_needed` says that the policy
    opens nothing without it.
    """

    db: Database
    housekeeping: Housekeeping
    ballast: Ballast
    bus: Bus
    motions: Motions
    cabinet: Cabinet
    readers: dict[str, SamvReader]
    face: Callable[[], FaceStatus]
    link: Callable[[], LinkStatus]
    fit: Callable[[], bool]
    old_path_settled: Callable[[], bool]
    idle: Callable[[], bool]
    finger: FingerVerifier | None = None
    finger_needed: bool = False


class Condition(Collector):
    """Reports from what was last heard: each part remembers it of its own use, and a round asks all while nobody is there."""

    def __init__(self, parts: Parts, changed: Callable[[], None], pace: Pace) -> None:
        self._parts = parts
        self._pace = pace
        self._changed = changed
        self._survey: Survey | None = None
        self._told: HealthReport | None = None
        self._store_trouble = ""

    async def run(self) -> None:
        """Survey until cancelled; `changed` is told when the answer became another, whoever noticed it first."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._survey_rounds(), name="survey")
            while True:
                self._tell()
                await asyncio.sleep(self._pace.reported)

    def _tell(self) -> None:
        now = self.report()
        if now != self._told:
            self._told = now
            self._changed()

    async def _survey_rounds(self) -> None:
        while True:
            await self._look()
            self._tell()
            well = all(check.status is Status.PASS for check in self._checks())
            await asyncio.sleep(self._pace.idle if well else self._pace.idle / SOONER)

    async def _look(self) -> None:
        parts = self._parts
        parts.ballast.make()
        cabinet = None if self._survey is None else self._survey.cabinet
        if parts.idle() or self._survey is None:
            for unit in Unit:
                await _ask(parts.motions.observe(unit))
            for reader in parts.readers.values():
                await _ask(reader.probe())
            if parts.finger is not None:
                await _ask(parts.finger.probe())
            cabinet = await _ask(parts.cabinet.observe())
        try:
            slots, bin_count = await parts.db.read(_counts)
        except StoreError as error:
            self._store_trouble = str(error)
            return
        self._store_trouble = ""
        self._survey = Survey(cabinet, slots, bin_count)

    def ways(self) -> Ways:
        """What a citizen can do at the machine now."""
        report = self.report()
        bad = {check.name for check in report.checks if check.status is not Status.PASS}
        return Ways(
            serving=report.serving,
            reader="reader.counter" not in bad,
            face="face" not in bad,
            renewal=not bad & {"recycler", "reader.throat", "bin"},
            finger="fingerprint" not in bad,
        )

    def report(self) -> HealthReport:
        """The health answer; `serving` is False only if nobody can collect a card now."""
        checks = tuple(self._checks())
        return HealthReport(all(check.status is not Status.FAIL for check in checks), checks)

    def _checks(self) -> Iterator[Check]:
        survey = self._survey
        parts = self._parts
        if survey is None:
            yield Check("store", Status.FAIL, "the parts are asked for the first time", "wait a moment")
            return
        keeping = parts.housekeeping
        if keeping.damage:
            remedy = "restart: the file is set aside then; see docs/reliability.md"
            yield Check("store", Status.FAIL, f"the database is damaged ({keeping.damage})", remedy)
        else:
            yield _check("store", not self._store_trouble, self._store_trouble, "look at the disk, then at the log")
        yield _check("disk", parts.ballast.held, "is full", MAKE_ROOM)
        if keeping.no_backup:
            yield Check("backup", Status.WARN, f"could not be made ({keeping.no_backup})", "look at the disk")
        elif keeping.unerased:
            yield Check("backup", Status.WARN, f"could not be erased in ({keeping.unerased})", "look at the disk")
        yield _check("card_path", parts.fit(), "is not at rest", CLEAR_IT)
        for unit in Unit:
            seen = parts.motions.last(unit)
            if seen is None:
                yield _check(unit.value, False, "does not answer", "check its power and the bus line")
            elif seen.fault is not None:
                yield _check(unit.value, False, f"reports {seen.fault}", CLEAR_IT)
            else:
                what = self._old_path_words(seen) if unit is Unit.RECYCLER else ""
                yield _check(unit.value, not what, what, CLEAR_IT)
        for name, reader in parts.readers.items():
            yield _check(f"reader.{name}", reader.last_answer_ok, "does not answer", "check its cable and power")
        face = parts.face()
        yield _check(
            "face", face.worker_up and face.camera_up, _face_words(face), "check the camera and the model pack"
        )
        if parts.finger is not None:
            well, needed = parts.finger.last_answer_ok, parts.finger_needed
            yield _check("fingerprint", well, "does not answer", "check the sensor and its matcher", needed=needed)
        link = parts.link()
        yield (
            passes("office")
            if link.reachable
            else Check(
                "office",
                Status.WARN,
                link.trouble or "not reached yet",
                "check the network; events are kept until then",
            )
        )
        if link.clock_wrong:
            yield Check(
                "clock", Status.WARN, "differs from the office's by more than 30 s", "check time synchronisation"
            )
        yield from _supplies(survey, parts.motions.last(Unit.RECYCLER))

    def _old_path_words(self, seen: Observation) -> str:
        """What keeps a recycler without fault from taking an old card; a card in its path is no trouble during a journey."""
        if not self._parts.old_path_settled():
            return "has yet to be settled"
        if not self._parts.idle() or (seen.place is None and Sensor.HOME in seen.sensors and not seen.interrupted):
            return ""
        if seen.place is None:
            return "is not at rest"
        return "cannot tell its place" if seen.place is Place.IN_DOUBT else "has a card in its path"

    def collect(self) -> Iterator[Metric]:
        """Metrics of this moment, for a Prometheus registry."""
        yield from report_metrics(self.report())
        if self._survey is not None:
            slots = GaugeMetricFamily("lockerd_slots", "Slots of the carousel by state.", labels=["state"])
            for state in SlotState:
                slots.add_metric([state.value], self._survey.slots.get(state, 0))
            yield slots
            yield GaugeMetricFamily("lockerd_bin_cards", "Old cards in the bin.", self._survey.bin_count)
        yield from self._totals()
        yield from self._links()

    def _totals(self) -> Iterator[Metric]:
        totals = CounterMetricFamily("lockerd_unit_cards", "Non-volatile totals of the units.", labels=["unit", "kind"])
        for unit in Unit:
            seen = self._parts.motions.last(unit)
            if seen is not None:
                totals.add_metric([unit.value, "dispensed"], seen.dispensed)
                totals.add_metric([unit.value, "retained"], seen.retained)
        yield totals

    def _links(self) -> Iterator[Metric]:
        link = self._parts.link()
        yield GaugeMetricFamily("lockerd_office_backlog_events", "Events not yet acknowledged.", link.backlog)
        yield GaugeMetricFamily("lockerd_office_reachable", "Whether the office answered last time.", link.reachable)
        face = self._parts.face()
        yield CounterMetricFamily("lockerd_face_restarts", "Restarts of the face worker.", face.restarts)
        yield CounterMetricFamily("lockerd_face_frames", "Frames that verifications looked at.", face.frames)
        yield from bus_metrics(self._parts.bus)


_FAILURES = {
    "timeouts": "timeout",
    "crc_errors": "crc_error",
    "misfits": "misfit",
    "exceptions": "exception",
}


class Counted(Protocol):
    """A bus, as far as its counters go."""

    def statistics(self, unit: int) -> LinkStatistics:
        """Counters of the link to a unit."""

    def line_statistics(self) -> LineStatistics:
        """Counters of the line, whoever was asked."""


def bus_metrics(bus: Counted) -> Iterator[Metric]:
    """Link quality: a unit's own counters with its name, the line's without."""
    requests = CounterMetricFamily("lockerd_bus_requests", "Requests sent to a unit.", labels=["unit"])
    failures = CounterMetricFamily(
        "lockerd_bus_failures",
        "Requests without their answer: nothing came, no good CRC, an answer to something else, refused.",
        labels=["unit", "reason"],
    )
    for kind in UnitKind:
        unit = kind.name.lower()
        counted = asdict(bus.statistics(kind))
        requests.add_metric([unit], counted["requests"])
        for counter, reason in _FAILURES.items():
            failures.add_metric([unit, reason], counted[counter])
    yield requests
    yield failures
    line = bus.line_statistics()
    yield CounterMetricFamily("lockerd_bus_reconnects", "Times that the line was opened again.", line.reconnects)
    yield CounterMetricFamily(
        "lockerd_bus_stale_answers", "Receptions on the line while nothing was asked; dropped.", line.stale
    )
    yield CounterMetricFamily(
        "lockerd_bus_lost_echoes", "Requests that an echoing line did not repeat.", line.lost_echoes
    )


def report_metrics(report: HealthReport) -> Iterator[Metric]:
    """The health answer as metrics."""
    yield GaugeMetricFamily("lockerd_serving", "Whether a card can be collected now.", report.serving)
    checks = GaugeMetricFamily("lockerd_check", "0 pass, 1 warn, 2 fail.", labels=["check"])
    for check in report.checks:
        checks.add_metric([check.name], {Status.PASS: 0, Status.WARN: 1, Status.FAIL: 2}[check.status])
    yield checks


def standing(report: HealthReport, recovered: bool, waiting_for: Unit | None) -> Standing:
    """The health answer in one line, for the service manager; a start is over when all is settled and was asked once."""
    if waiting_for is not None:
        return Standing(f"waiting for {waiting_for}", False)
    if not recovered or len(report.checks) == 1:
        return Standing("settling what a restart left open", False)
    wanted = Status.WARN if report.serving else Status.FAIL
    troubles = "; ".join(f"{check.name} {check.what}" for check in report.checks if check.status is wanted)
    if not report.serving:
        return Standing(f"out of service: {troubles}", True)
    return Standing(f"serving; {troubles}" if troubles else "serving", True)


@cache
def passes(name: str) -> Check:
    """The check of a part that is well, always the same one: nearly all are, and two reports are then soon compared."""
    return Check(name, Status.PASS)


def _check(name: str, good: bool, what: str, remedy: str, *, needed: bool = False) -> Check:
    if good:
        return passes(name)
    return Check(name, Status.FAIL if needed or name in NEEDED else Status.WARN, what, remedy)


def _face_words(status: FaceStatus) -> str:
    return "has no worker yet" if not status.worker_up else "gets no picture from the camera"


def _supplies(survey: Survey, recycler: Observation | None) -> Iterator[Check]:
    if recycler is not None and Sensor.BIN_FULL in recycler.sensors:
        yield Check("bin", Status.WARN, "is full", "empty the recycling bin at the console")
    if survey.slots.get(SlotState.BLOCKED, 0):
        yield Check("slots", Status.WARN, f"{survey.slots[SlotState.BLOCKED]} blocked", "look into them at the console")
    cabinet = survey.cabinet
    if cabinet is None:
        yield Check("cabinet", Status.WARN, "does not answer", "check its power and the bus line")
        return
    for name, bad, what, remedy in (
        ("door", cabinet.door_open, "is open", "close it"),
        ("hatch", cabinet.hatch_open, "is open", "close it"),
        ("tamper", cabinet.tamper, "contact is open", "inspect the machine"),
        ("mains", not cabinet.mains, "is gone; on battery", "restore the supply"),
        ("fan", _fan_stands(cabinet), "does not turn", "clean or change it"),
    ):
        if bad:
            yield Check(name, Status.WARN, what, remedy)


def _fan_stands(cabinet: CabinetObservation) -> bool:
    return cabinet.climate is not None and cabinet.climate.fan > 0 and not cabinet.fan_turns


async def _ask(question: Awaitable[T]) -> T | None:
    """The answer, or None of a silent part; that it was silent, the part remembers."""
    try:
        return await question
    except DeviceError:
        return None


async def _counts(tx: Transaction) -> tuple[dict[SlotState, int], int]:
    return await lookups.slot_counts(tx), await lookups.bin_count(tx)
