"""How the machine is: told by whatever was last heard of each part, so that everybody is answered at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Protocol, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from firmware_protocol.units import UnitKind
from lockerd.checks import LASTING, Heard, Survey, checks, dispenser_words, office_words, recycler_words
from lockerd.devices.bus import LineStatistics, LinkStatistics
from lockerd.devices.id_reader import SamvReader
from lockerd.drivers import Bus
from lockerd.errors import DeviceError, StoreError
from lockerd.face.verifier import FaceStatus
from lockerd.model.custody import Place, Sensor, SlotState, Unit
from lockerd.model.policy import Evidence, Policy
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
from lockerd.web.health import HealthReport, Status

T = TypeVar("T")

SOONER = 5  # how many times sooner the next round comes while something is wrong that may end by itself


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts whose condition is told. `finger` is None on a machine without a sensor."""

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
    policy: Policy = field(default_factory=Policy)


class Condition(Collector):
    """Reports from what was last heard: each part remembers it of its own use, and a round asks all while nobody is there."""

    def __init__(self, parts: Parts, changed: Callable[[], None], pace: Pace) -> None:
        self._parts = parts
        self._pace = pace
        self._changed = changed
        self._finger_needed = parts.policy.all_need(Evidence.FINGERPRINT)
        self._survey: Survey | None = None
        self._heard: Heard | None = None
        self._report = HealthReport(False)
        self._ways = Ways(serving=False)
        self._told: tuple[HealthReport, tuple[Place | None, ...]] | None = None
        self._store_trouble = ""

    async def run(self) -> None:
        """Survey until cancelled; `changed` is told when the answer became another, whoever noticed it first, or a card's place."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._survey_rounds(), name="survey")
            while True:
                self._tell()
                await asyncio.sleep(self._pace.reported)

    def _tell(self) -> None:
        seen = (self._parts.motions.last(unit) for unit in Unit)
        now = self.report(), tuple(None if one is None else one.place for one in seen)
        if now != self._told:
            self._told = now
            self._changed()

    async def _survey_rounds(self) -> None:
        while True:
            await self._look()
            self._tell()
            well = all(check.status is Status.PASS or check.name in LASTING for check in self.report().checks)
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
            slots, cards = await parts.db.read(_counts)
        except StoreError as error:
            self._store_trouble = str(error)
            return
        self._store_trouble = ""
        self._survey = Survey(cabinet, slots, cards[Place.BIN], cards[Place.RETRACT], cards[Place.IN_DOUBT])

    def ways(self) -> Ways:
        """What a citizen can do at the machine now, as far as the policy lets them."""
        self.report()
        return self._ways

    def report(self) -> HealthReport:
        """The health answer; `serving` is False only if nobody can collect a card now."""
        heard = self._hear()
        if heard != self._heard:
            self._heard = heard
            found = tuple(checks(heard))
            self._report = HealthReport(all(check.status is not Status.FAIL for check in found), found)
            self._ways = self._ways_by(self._report)
        return self._report

    def _ways_by(self, report: HealthReport) -> Ways:
        bad = {check.name for check in report.checks if check.status is not Status.PASS}
        policy = self._parts.policy
        return Ways(
            serving=report.serving,
            reader="reader.counter" not in bad,
            face="face" not in bad,
            renewal=not bad & {"recycler", "reader.throat", "bin"},
            no_code=policy.without_code,
            number=policy.names(Evidence.NUMBER),
            # a finger that no row rests on alone is missed by nobody
            finger="fingerprint" not in bad or not policy.some_need(Evidence.FINGERPRINT),
        )

    def _hear(self) -> Heard:
        parts, keeping = self._parts, self._parts.housekeeping
        face, link = parts.face(), parts.link()
        dispenser, recycler = parts.motions.last(Unit.DISPENSER), parts.motions.last(Unit.RECYCLER)
        return Heard(
            survey=self._survey,
            store_trouble=self._store_trouble,
            no_backup=keeping.no_backup,
            unerased=keeping.unerased,
            room=parts.ballast.held,
            fit=parts.fit(),
            dispenser=dispenser_words(dispenser),
            recycler=recycler_words(recycler, settled=parts.old_path_settled(), idle=parts.idle()),
            bin_full=recycler is not None and Sensor.BIN_FULL in recycler.sensors,
            retract_full=dispenser is not None and Sensor.RETRACT_FULL in dispenser.sensors,
            readers={name: reader.last_answer_ok for name, reader in parts.readers.items()},
            worker_up=face.worker_up,
            camera_up=face.camera_up,
            finger=None if parts.finger is None else parts.finger.last_answer_ok,
            finger_needed=self._finger_needed,
            office=None if link.reachable else office_words(link.trouble),
            clock_wrong=link.clock_wrong,
        )

    def collect(self) -> Iterator[Metric]:
        """Metrics of this moment, for a Prometheus registry."""
        yield from report_metrics(self.report())
        if self._survey is not None:
            yield from survey_metrics(self._survey)
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
        yield from office_metrics(self._parts.link(), asyncio.get_running_loop().time())
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


def survey_metrics(survey: Survey) -> Iterator[Metric]:
    """What the ledger counts, and how long a machine without mains, or in heat and cold, goes on."""
    slots = GaugeMetricFamily("lockerd_slots", "Slots of the carousel by state.", labels=["state"])
    for state in SlotState:
        slots.add_metric([state.value], survey.slots.get(state, 0))
    yield slots
    yield GaugeMetricFamily("lockerd_bin_cards", "Old cards in the bin.", survey.bin_count)
    yield GaugeMetricFamily("lockerd_retract_cards", "Cards recorded in the retract box.", survey.retract_count)
    yield GaugeMetricFamily("lockerd_doubtful_cards", "Cards that staff have to look for.", survey.doubtful)
    cabinet = survey.cabinet
    if cabinet is not None:
        yield GaugeMetricFamily(
            "lockerd_cabinet_battery_ratio", "Charge of the battery, 0 to 1.", cabinet.battery / 100
        )
        yield GaugeMetricFamily("lockerd_cabinet_temperature_celsius", "In the cabinet.", cabinet.temperature)


def office_metrics(link: LinkStatus, now: float) -> Iterator[Metric]:
    """The link to the office; `now` is the event loop's time. What is not known yet is not told."""
    yield GaugeMetricFamily("lockerd_office_backlog_events", "Events not yet acknowledged.", link.backlog)
    yield GaugeMetricFamily("lockerd_office_reachable", "Whether the office answered last time.", link.reachable)
    if link.last_success is not None:
        silence = now - link.last_success
        yield GaugeMetricFamily("lockerd_office_silence_seconds", "Time since the office last answered.", silence)
    if link.clock_offset is not None:
        offset = link.clock_offset
        yield GaugeMetricFamily("lockerd_office_clock_offset_seconds", "The office's time less the machine's.", offset)


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


async def _ask(question: Awaitable[T]) -> T | None:
    """The answer, or None of a silent part; that it was silent, the part remembers."""
    try:
        return await question
    except DeviceError:
        return None


async def _counts(tx: Transaction) -> tuple[dict[SlotState, int], dict[Place, int]]:
    return await lookups.slot_counts(tx), await lookups.card_counts(tx)
