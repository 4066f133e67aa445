"""How often the right person was sent away, estimated from the journal alone: what was shown, and what came of it.

A visit is a journey, or several in a row of which each ended with a wrong code and the next began within `VISIT_SECONDS`.
Source: ISO/IEC 19795-1 for the words; the interval is Wilson's (95 %).
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from lockerd.errors import StoreError
from lockerd.store.verify import UNREADABLE, look_for

VISIT_SECONDS = 120.0
ASSUMPTIONS = (
    "whoever was accepted, and whoever collected the card in the end, was the right person all along: a stranger who was"
    " refused before the owner came makes the estimate too high",
    f"a journey that begins within {VISIT_SECONDS:.0f} s after a wrong code is the same person's",
    "whoever went to the counter or away is left out of the estimate and counted as sent away wrongly in `at_most`",
    "visits of one person are counted as independent of each other",
)
_Z = 1.959964  # 97.5th percentile of the normal distribution


class Share(msgspec.Struct, frozen=True):
    """`estimate` of a share of `of` visits with its 95 % interval; all None where there are none."""

    of: int
    estimate: float | None
    low: float | None
    high: float | None


class EvidenceReport(msgspec.Struct, frozen=True):
    """What became of the visits in which one kind of evidence was shown; `false_reject` and `at_most` are shares of visits."""

    tries: int
    visits: int
    first_try: int
    later_try: int
    later_visit: int  # not accepted, but on a later visit of the same card
    another_way: int  # not accepted, and the card collected all the same
    counter: int  # a ticket was issued, and the card was not collected at the machine so far
    open: int  # nothing of this is known
    false_reject: Share
    at_most: Share
    reasons: dict[str, int]


class IdentityReport(msgspec.Struct, frozen=True):
    """The whole report; `since` and `until` are UTC seconds of the first and last event looked at, None without one."""

    since: float | None
    until: float | None
    evidence: dict[str, EvidenceReport]
    assumptions: tuple[str, ...]


class _Told(msgspec.Struct, frozen=True):
    journey_id: str = ""
    claim_id: str = ""
    evidence: str = ""
    result: str = ""
    reason: str = ""


@dataclass(slots=True)
class _Visit:
    last: float
    goes_on: bool = False
    claim_id: str = ""
    taken: bool = False
    ticket: bool = False
    tries: dict[str, list[_Told]] = field(default_factory=dict)

    def accepted(self, evidence: str) -> bool:
        return any(told.result == "accept" for told in self.tries.get(evidence, ()))


def identity_report(path: Path) -> IdentityReport:
    """The report of the database at `path`, which a running daemon may own: it is only read. Raises StoreError."""
    look_for(path)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            rows = db.execute(
                "SELECT type, data, wall FROM journal WHERE type IN"
                " ('lockerd.identity.tried', 'lockerd.card.taken', 'lockerd.ticket.issued') ORDER BY seq"
            ).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            raise StoreError(f"{path}: is no database of lockerd; name lockerd's own") from error
        raise StoreError(f"{path}: cannot be read ({error}); {UNREADABLE}") from error
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path}: is no database or damaged ({error}); name lockerd's database, or run lockerd verify"
        ) from error
    return report_of(rows)


def report_of(rows: Sequence[tuple[str, str, float]]) -> IdentityReport:
    """The report of journal rows (type, data, UTC seconds) in order. Pure."""
    visits = _visits(rows)
    kinds = sorted({evidence for visit in visits for evidence in visit.tries})
    return IdentityReport(
        since=rows[0][2] if rows else None,
        until=rows[-1][2] if rows else None,
        evidence={kind: _of_evidence(kind, visits) for kind in kinds},
        assumptions=ASSUMPTIONS,
    )


def in_words(report: IdentityReport) -> str:
    """The report as a table, one line for each kind of evidence."""
    columns = ("visits", "first try", "later try", "later visit", "another way", "counter", "open")
    lines = ["".join([f"{'':<10}", *(f"{name:>13}" for name in columns), "  false rejects"])]
    for kind, one in report.evidence.items():
        counts = (one.visits, one.first_try, one.later_try, one.later_visit, one.another_way, one.counter, one.open)
        found = one.false_reject
        words = "nobody is known" if found.estimate is None else _percent(found)
        lines.append("".join([f"{kind:<10}", *(f"{count:>13}" for count in counts), f"  {words}"]))
    return "\n".join([*lines, *(f"assumed: {words}" for words in report.assumptions)])


def _percent(found: Share) -> str:
    assert found.estimate is not None
    assert found.low is not None
    assert found.high is not None
    return f"{found.estimate:.2%} ({found.low:.2%} to {found.high:.2%}) of {found.of}"


def share(count: int, of: int) -> Share:
    """A share with Wilson's interval."""
    if of == 0:
        return Share(0, None, None, None)
    rate, square = count / of, _Z * _Z
    middle = (rate + square / (2 * of)) / (1 + square / of)
    half = _Z / (1 + square / of) * math.sqrt(rate * (1 - rate) / of + square / (4 * of * of))
    return Share(of, rate, max(0.0, middle - half), min(1.0, middle + half))


def _visits(rows: Sequence[tuple[str, str, float]]) -> list[_Visit]:
    visits: list[_Visit] = []
    by_journey: dict[str, _Visit] = {}
    for kind, data, wall in rows:
        told = msgspec.json.decode(data, type=_Told)
        visit = by_journey.get(told.journey_id)
        if visit is None:
            last = visits[-1] if visits else None
            if last is not None and last.goes_on and 0 <= wall - last.last <= VISIT_SECONDS:
                visit = last
            else:
                visit = _Visit(wall)
                visits.append(visit)
            by_journey[told.journey_id] = visit
        visit.last = wall
        visit.claim_id = told.claim_id or visit.claim_id
        match kind:
            case "lockerd.card.taken":
                visit.taken = True
            case "lockerd.ticket.issued":
                visit.ticket = True
            case _:
                visit.tries.setdefault(told.evidence, []).append(told)
                visit.goes_on = told.evidence == "code" and told.result != "accept" and told.reason == "no_match"
    return visits


def _of_evidence(kind: str, visits: Sequence[_Visit]) -> EvidenceReport:
    ends: Counter[str] = Counter()
    tries: list[_Told] = []
    for n, visit in enumerate(visits):
        mine = visit.tries.get(kind)
        if mine:
            tries += mine
            ends[_end(kind, visit, visits[n + 1 :])] += 1
    genuine = sum(ends[end] for end in ("first_try", "later_try", "later_visit", "another_way"))
    wrong = ends["later_visit"] + ends["another_way"]
    return EvidenceReport(
        tries=len(tries),
        visits=ends.total(),
        first_try=ends["first_try"],
        later_try=ends["later_try"],
        later_visit=ends["later_visit"],
        another_way=ends["another_way"],
        counter=ends["counter"],
        open=ends["open"],
        false_reject=share(wrong, genuine),
        at_most=share(wrong + ends["counter"] + ends["open"], ends.total()),
        reasons=dict(sorted(Counter(f"{told.result} {told.reason}" for told in tries).items())),
    )


def _end(kind: str, visit: _Visit, later: Sequence[_Visit]) -> str:
    mine = visit.tries[kind]
    if mine[0].result == "accept":
        return "first_try"
    if visit.accepted(kind):
        return "later_try"
    if visit.taken:
        return "another_way"
    for other in later:
        if visit.claim_id and other.claim_id == visit.claim_id:
            if other.accepted(kind):
                return "later_visit"
            if other.taken:
                return "another_way"
    return "counter" if visit.ticket else "open"
