"""Metrics: a unit's own counters carry its name, the line's carry none; what waits for people and the office is counted."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from lockerd.checks import Survey
from lockerd.condition import bus_metrics, office_metrics, survey_metrics
from lockerd.devices.bus import LineStatistics, LinkStatistics
from lockerd.model.custody import CabinetObservation, SlotState
from lockerd.office.link import LinkStatus

CABINET = CabinetObservation(False, False, False, False, 21.5, 50)


class Bus:
    """Counters as a bus would give them."""

    def statistics(self, unit: int) -> LinkStatistics:
        return LinkStatistics(requests=10 * unit, timeouts=unit, crc_errors=2, misfits=3, exceptions=4)

    def line_statistics(self) -> LineStatistics:
        return LineStatistics(reconnects=5, stale=6, lost_echoes=7)


def told(collector: Collector) -> dict[str, str]:
    registry = CollectorRegistry()
    registry.register(collector)
    lines = generate_latest(registry).decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_each_counter_is_told_once_and_as_a_total() -> None:
    class Told(Collector):
        def collect(self) -> Iterator[Metric]:
            return bus_metrics(Bus())

    samples = told(Told())
    assert samples['lockerd_bus_requests_total{unit="recycler"}'] == "20.0"
    assert samples['lockerd_bus_failures_total{reason="timeout",unit="cabinet"}'] == "3.0"
    assert samples['lockerd_bus_failures_total{reason="crc_error",unit="dispenser"}'] == "2.0"
    assert samples["lockerd_bus_reconnects_total"] == "5.0"
    assert samples["lockerd_bus_stale_answers_total"] == "6.0"
    assert samples["lockerd_bus_lost_echoes_total"] == "7.0"
    assert len(samples) == 3 * (1 + 4) + 3


async def test_what_staff_and_the_office_leave_undone_is_told_in_numbers() -> None:
    class Told(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from survey_metrics(Survey(CABINET, {SlotState.BLOCKED: 2}, 12, retract_count=3, doubtful=1))
            yield from office_metrics(LinkStatus(last_success=-90_000.0, backlog=7, clock_offset=-40.0), now=0.0)

    class Unknown(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from survey_metrics(Survey(None, {}, 0))
            yield from office_metrics(LinkStatus(), now=0.0)

    samples = told(Told())
    assert samples["lockerd_retract_cards"] == "3.0"
    assert samples["lockerd_doubtful_cards"] == "1.0"
    assert samples["lockerd_bin_cards"] == "12.0"
    assert samples['lockerd_slots{state="blocked"}'] == "2.0"
    assert samples["lockerd_cabinet_battery_ratio"] == "0.5"
    assert samples["lockerd_cabinet_temperature_celsius"] == "21.5"
    assert samples["lockerd_office_silence_seconds"] == "90000.0"
    assert samples["lockerd_office_clock_offset_seconds"] == "-40.0"
    assert samples["lockerd_office_reachable"] == "0.0"
    assert not {"lockerd_office_silence_seconds", "lockerd_cabinet_battery_ratio"} & told(Unknown()).keys()
