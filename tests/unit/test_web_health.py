"""Health answers tell the truth in the words of the draft."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Counter

from lockerd.web.health import Check, HealthReport, Status, health_app

OFFICE = Check("office", Status.WARN, "no answer since 14:02", "check the uplink; pickups go on")
BUS = Check("bus", Status.FAIL, "dispenser silent", "check power and RS-485 line of unit 1")


@asynccontextmanager
async def client(
    report: HealthReport, registry: CollectorRegistry | None = None
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = health_app(report=lambda: report, registry=registry or CollectorRegistry())
    async with TestClient(TestServer(app)) as session:
        yield session


@pytest.mark.parametrize(
    ("report", "status", "word"),
    [
        (HealthReport(True, (Check("bus", Status.PASS),)), 200, "pass"),
        (HealthReport(True, (Check("bus", Status.PASS), OFFICE)), 200, "warn"),
        (HealthReport(True, (Check("slot", Status.FAIL, "slot 7 blocked", "see console"),)), 200, "warn"),
        (HealthReport(False, (BUS,)), 503, "fail"),
    ],
)
async def test_readyz_is_503_only_if_nothing_can_be_served(report: HealthReport, status: int, word: str) -> None:
    async with client(report) as http:
        answer = await http.get("/readyz")
        assert answer.status == status
        assert answer.content_type == "application/health+json"
        assert answer.headers["Cache-Control"] == "no-store"
        assert await answer.json(content_type=None) == {"status": word}


async def test_verbose_names_each_check_with_its_remedy() -> None:
    async with client(HealthReport(False, (BUS, OFFICE, Check("store", Status.PASS)))) as http:
        body = await (await http.get("/readyz?verbose")).json(content_type=None)
    assert body["checks"] == {
        "bus": [{"status": "fail", "output": BUS.what, "remedy": BUS.remedy}],
        "office": [{"status": "warn", "output": OFFICE.what, "remedy": OFFICE.remedy}],
        "store": [{"status": "pass"}],
    }


async def test_livez_answers_even_when_nothing_can_be_served() -> None:
    async with client(HealthReport(False, (BUS,))) as http:
        assert (await http.get("/livez")).status == 200


async def test_metrics_are_those_of_the_registry_handed_in() -> None:
    registry = CollectorRegistry()
    Counter("lockerd_pickups", "Pickups completed", registry=registry).inc(3)
    async with client(HealthReport(True), registry) as http:
        answer = await http.get("/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = await answer.text()
    assert "lockerd_pickups_total 3.0" in text
    assert "python_info" not in text
