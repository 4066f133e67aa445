"""Metrics of the bus: a unit's own counters carry its name, the line's carry none."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from lockerd.condition import bus_metrics
from lockerd.devices.bus import LineStatistics, LinkStatistics


class Bus:
    """Counters as a bus would give them."""

    def statistics(self, unit: int) -> LinkStatistics:
        return LinkStatistics(requests=10 * unit, timeouts=unit, crc_errors=2, misfits=3, exceptions=4)

    def line_statistics(self) -> LineStatistics:
        return LineStatistics(reconnects=5, stale=6, lost_echoes=7)


def test_each_counter_is_told_once_and_as_a_total() -> None:
    class Told(Collector):
        def collect(self) -> Iterator[Metric]:
            return bus_metrics(Bus())

    registry = CollectorRegistry()
    registry.register(Told())
    told = generate_latest(registry).decode().splitlines()
    samples = dict(line.rsplit(" ", 1) for line in told if not line.startswith("#"))
    assert samples['lockerd_bus_requests_total{unit="recycler"}'] == "20.0"
    assert samples['lockerd_bus_failures_total{reason="timeout",unit="cabinet"}'] == "3.0"
    assert samples['lockerd_bus_failures_total{reason="crc_error",unit="dispenser"}'] == "2.0"
    assert samples["lockerd_bus_reconnects_total"] == "5.0"
    assert samples["lockerd_bus_stale_answers_total"] == "6.0"
    assert samples["lockerd_bus_lost_echoes_total"] == "7.0"
    assert len(samples) == 3 * (1 + 4) + 3
