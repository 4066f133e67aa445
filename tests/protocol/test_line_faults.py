"""Motions over a line that loses, delays, doubles and echoes, to boards that lose their power: the short campaign."""

from __future__ import annotations

from random import Random

from lockerd.model.custody import Result
from sim import virtual_time
from tests.bench.line_faults import Tally, campaign, judge
from tests.bench.virtual_line import CountingMechanism, Faults


def test_over_a_bad_line_nothing_is_made_twice_or_reported_wrongly() -> None:
    tally = virtual_time.run(campaign(300, Faults(), seed=3))
    assert tally.honest
    assert sum(tally.reported.values()) == 300
    assert tally.reported[Result.DONE.value] > 270
    assert 0 < tally.reported[Result.IN_DOUBT.value] < 30
    assert all(
        tally.faults[name] for name in ("request lost", "answer lost", "answer late", "board reset", "line broken")
    )
    assert tally.link["stale"] > 0
    assert tally.link["crc_errors"] > 0


def test_over_a_good_line_all_is_done() -> None:
    tally = virtual_time.run(campaign(200, Faults(0, 0, 0, 0, 0, 0), seed=3))
    assert tally.reported == {Result.DONE.value: 200}


def test_one_seed_is_one_campaign() -> None:
    first, second = (virtual_time.run(campaign(40, Faults(), seed=9)) for _ in range(2))
    assert first == second


def test_the_judge_sees_what_must_never_be() -> None:
    mechanism = CountingMechanism(Random(1))
    mechanism.begun.update({0: 2, 2: 1, 3: 1})
    mechanism.finished.update({0: 2})
    tally = Tally()
    judge([Result.DONE, Result.DONE, Result.NOT_MOVED, Result.IN_DOUBT], mechanism, tally)
    assert (tally.made_twice, tally.done_not_made, tally.not_moved_but_made, tally.in_doubt_moved) == (1, 1, 1, 1)
    assert not tally.honest
