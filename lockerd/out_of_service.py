"""The machine without its database: page, health and service manager say why, and no card is moved.

A damaged database is set aside; no fresh one is opened, also not after a restart, until somebody puts a database back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from lockerd.checks import MAKE_ROOM
from lockerd.condition import report_metrics
from lockerd.config import Config
from lockerd.errors import FaceUnavailable
from lockerd.listening import Listener
from lockerd.model.view import Screen, Tap, View
from lockerd.supervise import Standing
from lockerd.web.health import Check, HealthReport, Status, health_app
from lockerd.web.kiosk import Views, kiosk_app

REMEDY = "keep that file; have the service put a backup back and count the cards, as docs/reliability.md says"


def damaged(aside: Path) -> Check:
    """The database was damaged and lies under a new name."""
    return Check("store", Status.FAIL, f"the database was damaged and is set aside as {aside.name}", REMEDY)


def full() -> Check:
    """The disk has no room, not even for what is under way."""
    return Check("disk", Status.FAIL, "is full", MAKE_ROOM)


class OutOfService(Collector):
    """What is served instead of a machine. `why` is the one check; `boot` names this run."""

    def __init__(self, config: Config, boot: str, why: Check) -> None:
        self._config = config
        self._boot = boot
        self._report = HealthReport(False, (why,))

    def report(self) -> HealthReport:
        """The health answer; it does not change."""
        return self._report

    def standing(self) -> Standing:
        """The line for the service manager: the start is over, and this is what became of it."""
        why = self._report.checks[0]
        return Standing(f"out of service: {why.name} {why.what}", True)

    def collect(self) -> Iterator[Metric]:
        """Metrics of the one check."""
        return report_metrics(self._report)

    def listeners(self) -> list[Listener]:
        """The citizen's screen and the health answers; staff cannot log in, for their accounts are in the database."""
        registry = CollectorRegistry()
        registry.register(self)
        views = Views(View(Screen.OUT_OF_SERVICE))
        kiosk = kiosk_app(
            boot=self._boot,
            source=views,
            on_tap=_nothing,
            previews=_no_pictures,
            framed_by=self._config.kiosk.framed_by,
        )
        health = health_app(report=self.report, registry=registry)
        return [
            Listener("kiosk", kiosk, self._config.kiosk.listen),
            Listener("health", health, self._config.health.listen),
        ]


def _nothing(_: Tap) -> None:
    """No tap of this page asks for anything but another language, which the page does by itself."""


def _no_pictures() -> AsyncIterator[bytes]:
    raise FaceUnavailable("out of service")
