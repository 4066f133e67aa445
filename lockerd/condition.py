"""How the machine is: surveyed in the background, answered at once to health, metrics, office and screen."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lockerd.devices.id_reader import SamvReader
from lockerd.drivers import Bus
from lockerd.errors import DeviceError
from lockerd.face.verifier import FaceStatus
from lockerd.model.custody import CabinetObservation, Observation, Sensor, SlotState, Unit
from lockerd.motions import Motions
from lockerd.office.link import LinkStatus
from lockerd.ports import Cabinet
from lockerd.store import ledger
from lockerd.store.database import Database, Transaction
from lockerd.web.health import Check, HealthReport, Status

SURVEY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Survey:
    """What the last round saw; None is a unit that does not answer."""

    units: dict[Unit, Observation | None]
    cabinet: CabinetObservation | None
    slots: dict[SlotState, int]
    bin_count: int


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts whose condition is told."""

    db: Database
    bus: Bus
    motions: Motions
    cabinet: Cabinet
    readers: dict[str, SamvReader]
    face: Callable[[], FaceStatus]
    link: Callable[[], LinkStatus]
    fit: Callable[[], bool]
    idle: Callable[[], bool]


class Condition(Collector):
    """Surveys the parts every few seconds while no journey runs; reports from what it saw last."""

    def __init__(self, parts: Parts, changed: Callable[[], None]) -> None:
        self._parts = parts
        self._changed = changed
        self._survey: Survey | None = None

    async def run(self) -> None:
        """Survey until cancelled; `changed` is told when the answer became another."""
        while True:
            before = self.report()
            await self._look()
            if self.report() != before:
                self._changed()
            await asyncio.sleep(SURVEY_SECONDS)

    async def _look(self) -> None:
        parts = self._parts
        if parts.idle() or self._survey is None:
            units = {unit: await self._observe(unit) for unit in Unit}
            for reader in parts.readers.values():
                await _probe(reader)
            try:
                cabinet = await parts.cabinet.observe()
            except DeviceError:
                cabinet = None
        else:
            units, cabinet = self._survey.units, self._survey.cabinet
        slots, bin_count = await parts.db.transaction(_counts)
        self._survey = Survey(units, cabinet, slots, bin_count)

    async def _observe(self, unit: Unit) -> Observation | None:
        try:
            return await self._parts.motions.observe(unit)
        except DeviceError:
            return None

    def reader_available(self) -> bool:
        """Whether the counter reader answers."""
        return self._parts.readers["counter"].last_answer_ok

    def face_available(self) -> bool:
        """Whether faces can be verified."""
        status = self._parts.face()
        return status.worker_up and status.camera_up

    def report(self) -> HealthReport:
        """The health answer; `serving` is False only if nobody can collect a card now."""
        checks = tuple(self._checks())
        needed = {"store", "dispenser", "reader.exit", "face", "card_path"}
        return HealthReport(
            serving=all(check.status is not Status.FAIL for check in checks if check.name in needed), checks=checks
        )

    def _checks(self) -> Iterator[Check]:
        survey = self._survey
        parts = self._parts
        yield _check("store", survey is not None, "the database is being opened", "wait; then look at the log")
        if survey is None:
            return
        yield _check("card_path", parts.fit(), "the card path is not at rest", "clear it, then settle at the console")
        for unit in Unit:
            seen = survey.units[unit]
            name = unit.value
            if seen is None:
                yield Check(name, Status.FAIL, "does not answer", "check its power and the bus line")
            elif seen.fault is not None:
                yield Check(name, Status.FAIL, f"reports {seen.fault}", "clear it, then settle at the console")
            else:
                yield Check(name, Status.PASS)
        for name, reader in parts.readers.items():
            yield _check(f"reader.{name}", reader.last_answer_ok, "does not answer", "check its cable and power")
        face = parts.face()
        yield _check(
            "face", face.worker_up and face.camera_up, _face_words(face), "check the camera and the model pack"
        )
        link = parts.link()
        yield (
            Check("office", Status.PASS)
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
        yield from _supplies(survey)

    def collect(self) -> Iterator[Metric]:
        """Metrics of this moment, for a Prometheus registry."""
        report = self.report()
        yield GaugeMetricFamily("lockerd_serving", "Whether a card can be collected now.", report.serving)
        checks = GaugeMetricFamily("lockerd_check", "0 pass, 1 warn, 2 fail.", labels=["check"])
        for check in report.checks:
            checks.add_metric([check.name], {Status.PASS: 0, Status.WARN: 1, Status.FAIL: 2}[check.status])
        yield checks
        if self._survey is not None:
            slots = GaugeMetricFamily("lockerd_slots", "Slots of the carousel by state.", labels=["state"])
            for state in SlotState:
                slots.add_metric([state.value], self._survey.slots.get(state, 0))
            yield slots
            yield GaugeMetricFamily("lockerd_bin_cards", "Old cards in the bin.", self._survey.bin_count)
            yield from _totals(self._survey)
        yield from self._links()

    def _links(self) -> Iterator[Metric]:
        link = self._parts.link()
        yield GaugeMetricFamily("lockerd_office_backlog_events", "Events not yet acknowledged.", link.backlog)
        yield GaugeMetricFamily("lockerd_office_reachable", "Whether the office answered last time.", link.reachable)
        face = self._parts.face()
        yield CounterMetricFamily("lockerd_face_restarts", "Restarts of the face worker.", face.restarts)
        bus = CounterMetricFamily("lockerd_bus_events", "Requests on the bus by end.", labels=["unit", "kind"])
        for number, unit in ((1, "dispenser"), (2, "recycler"), (3, "cabinet")):
            for kind, count in asdict(self._parts.bus.statistics(number)).items():
                bus.add_metric([unit, kind], count)
        yield bus


def _check(name: str, good: bool, what: str, remedy: str) -> Check:
    return Check(name, Status.PASS) if good else Check(name, Status.FAIL, what, remedy)


def _face_words(status: FaceStatus) -> str:
    return "the face worker is not running" if not status.worker_up else "the camera gives no picture"


def _supplies(survey: Survey) -> Iterator[Check]:
    recycler = survey.units[Unit.RECYCLER]
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
        ("tamper", cabinet.tamper, "contact is open", "inspect the machine"),
        ("mains", not cabinet.mains, "is gone; on battery", "restore the supply"),
    ):
        if bad:
            yield Check(name, Status.WARN, what, remedy)


def _totals(survey: Survey) -> Iterator[Metric]:
    totals = CounterMetricFamily("lockerd_unit_cards", "Non-volatile totals of the units.", labels=["unit", "kind"])
    for unit, seen in survey.units.items():
        if seen is not None:
            totals.add_metric([unit.value, "dispensed"], seen.dispensed)
            totals.add_metric([unit.value, "retained"], seen.retained)
    yield totals


async def _probe(reader: SamvReader) -> None:
    try:
        await reader.probe()
    except DeviceError:
        return  # the reader remembers that it did not answer


async def _counts(tx: Transaction) -> tuple[dict[SlotState, int], int]:
    return dict(Tally(record.state for record in await ledger.slots(tx))), await ledger.bin_count(tx)
