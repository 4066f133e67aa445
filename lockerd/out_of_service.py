"""The machine whose database is damaged: the file is set aside, and page, health and service manager say so.

It moves no card, opens no fresh database, and stays so over restarts until somebody puts a database back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from lockerd.condition import report_metrics
from lockerd.config import Config
from lockerd.errors import FaceUnavailable
from lockerd.listening import Listener
from lockerd.model.view import Screen, Tap, View
from lockerd.supervise import Standing
from lockerd.web.health import Check, HealthReport, Status, health_app
from lockerd.web.kiosk import Views, kiosk_app

REMEDY = "keep that file; have the service put a backup back and count the cards, as docs/reliability.md says"


class OutOfService(Collector):
    """What is served instead of a machine. `aside` is the damaged database under its new name; `boot` names this run."""

    def __init__(self, config: Config, boot: str, aside: Path) -> None:
        self._config = config
        self._boot = boot
        words = f"the database was damaged and is set aside as {aside.name}"
        self._report = HealthReport(False, (Check("store", Status.FAIL, words, REMEDY),))

    def report(self) -> HealthReport:
        """The health answer; it does not change."""
        return self._report

    def standing(self) -> Standing:
        """The line for the service manager: the start is over, and this is what became of it."""
        return Standing(f"out of service: {self._report.checks[0].what}", True)

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
