"""The tries to show who one is, counted for the metrics and journalled for the report, without any personal data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from lockerd.pickup.state import Event, Journey
from lockerd.pickup.tries import Try, try_of
from lockerd.store import journal
from lockerd.store.database import Database
from lockerd.store.journal import Stamp

TRIED = "lockerd.identity.tried"
"""The event of one try: journey_id, claim_id where it is known, evidence, result, reason."""


class Tries(Collector):
    """Keeps count since the start of the daemon."""

    def __init__(self, db: Database, stamp: Callable[[], Stamp]) -> None:
        self._db = db
        self._stamp = stamp
        self._counts: Counter[Try] = Counter()

    def note(self, journey: Journey, event: Event) -> None:
        """Count and journal the try that `event` decides in `journey`, as it was before it, if there is one."""
        tried = try_of(journey, event)
        if tried is None:
            return
        self._counts[tried] += 1
        data = {
            "journey_id": journey.journey_id,
            "evidence": tried.evidence,
            "result": tried.result,
            "reason": tried.reason,
        }
        if journey.claim is not None:
            data["claim_id"] = journey.claim.claim_id
        stamp = self._stamp()
        self._db.along(lambda tx: journal.append(tx, TRIED, data, stamp=stamp))

    def collect(self) -> Iterator[Metric]:
        """The counts, for a Prometheus registry."""
        tries = CounterMetricFamily(
            "lockerd_identity_tries",
            "Tries to show who one is, by what was shown and what came of it.",
            labels=["evidence", "result", "reason"],
        )
        for tried, count in sorted(self._counts.items(), key=lambda item: str(item[0])):
            tries.add_metric([tried.evidence, tried.result, tried.reason], count)
        yield tries
