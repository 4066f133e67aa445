"""The simulated days themselves: equal in every process, and a checker that bites."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lockerd.store import codes
from lockerd.store.database import Transaction
from lockerd.store.journal import Stamp
from sim.soak.afresh import afresh
from sim.soak.command import listed
from sim.soak.item import VISIT, Item
from sim.soak.script import read, write
from sim.soak.setting import CROWDS, TEMPERS, WITH_ANOTHERS, Setting
from sim.soak.shrink import kind_of, minimal, shrunk
from sim.soak.year import play, unplayed
from tests.mutants.__main__ import hunted
from tests.mutants.mutants import MUTANTS
from tests.mutants.mutated import edited

ROOT = Path(__file__).parents[2]
SMALL = Setting(0.2, slots=6, visits=100.0, faults=20.0)


def soak(hash_seed: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "sim", "soak", "--days", "0.5", "--seeds", "5..6", "--jobs", "1", "--faults", "60"]
    done = subprocess.run(
        [*command, "--slots", "20", "--json"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_the_same_seed_makes_the_same_trace_in_every_process() -> None:
    one, other = soak("1"), soak("2024")
    assert one["violations"] == other["violations"] == 0
    traces = [run["trace"] for run in one["runs"]]
    assert traces == [run["trace"] for run in other["runs"]]
    assert len(set(traces)) == 2
    assert all(run["cpu_seconds"] > 0 and run["seconds"] > 0 for run in one["runs"])


def test_a_passing_guesser_pulls_the_plug_once_a_visit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(how in TEMPERS | dict.fromkeys(WITH_ANOTHERS) for crowd in CROWDS.values() for how in crowd)
    monkeypatch.setitem(CROWDS, "town", {"guesser in passing": 1})
    lines: list[str] = []
    assert play(1, Setting(0.2, slots=20, visits=200.0, faults=0.01), echo=lines.append).violation is None
    visits = "\n".join(lines).split("comes\n")[1:]
    pulled = [visit.count("pulls the plug") for visit in visits]
    assert max(pulled) == 1
    assert sum(pulled) >= len(visits) / 2


@pytest.mark.parametrize(
    "name", ["intent-after-motion", "event-outside-the-transaction", "code-not-consumed", "lost-card-not-flagged"]
)
def test_a_daemon_that_breaks_a_promise_is_caught(name: str) -> None:
    (mutant,) = (one for one in MUTANTS if one.name == name)
    assert hunted(mutant).violation is not None


def test_a_violation_shrinks_to_a_story_that_plays_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    consume = codes.consume

    async def sometimes(tx: Transaction, claim_id: str, stamp: Stamp) -> None:
        if claim_id != "N000002":
            await consume(tx, claim_id, stamp)

    monkeypatch.setattr(codes, "consume", sometimes)
    report = next(found for seed in range(1, 20) if (found := play(seed, SMALL)).violation and len(found.script) > 3)
    story, last = shrunk(report, SMALL)
    assert len(story.items) <= 3
    assert [item.kind for item in story.items].count(VISIT) >= 1
    write(tmp_path / "one.story", story)
    again = read(tmp_path / "one.story")
    assert again == story
    played = play(again.seed, Setting(**again.setting), end=again.until, kept=again.items)
    assert played.violation == last.violation
    assert played.violation is not None
    assert kind_of(played.violation[1]) == kind_of(story.what)


def test_a_story_of_many_days_is_told_afresh_in_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def never(_tx: Transaction, _claim_id: str, _stamp: Stamp) -> None:
        """The code stays."""

    monkeypatch.setattr(codes, "consume", never)
    month = Setting(30.0, slots=20, visits=20.0)
    script = tuple(Item(900.0 * n, VISIT if n % 9 else "noise", n, f"p{n}", "honest", "p1") for n in range(1, 2600))
    what = "N002599 is offered, and its code still opens"
    empty = unplayed(1, month, what)
    story, last = shrunk(replace(empty, script=script, violation=(39000, what)), month, seconds=20.0)
    (visit,) = story.items
    assert (visit.who, visit.number) == ("p1", 2599)
    assert last.violation is not None
    assert (kind_of(last.violation[1]), last.violation[0] < 2 * 1440) == (kind_of(what), True)
    write(tmp_path / "one.story", story)
    again = read(tmp_path / "one.story")
    assert play(1, Setting(**again.setting), end=again.until, kept=again.items).violation == last.violation


def test_the_people_of_a_story_told_afresh_act_as_before_and_come_at_the_same_time_of_day() -> None:
    day = 86400.0
    items = [
        Item(9.3 * day, VISIT, 1, "p901", "impostor", "p899"),
        Item(9.4 * day, "jam", 2),
        Item(9.5 * day, VISIT, 3, "p899", "honest", "p17"),
        Item(9.6 * day, VISIT, 4, "p900", "slow", "p901"),
    ]
    told, setting, earlier = afresh(items, Setting(30.0))
    assert earlier == 8 * day
    assert [item.at + earlier for item in told] == [item.at for item in items]
    assert [(item.who, item.other) for item in told] == [("p1", "p2"), ("", ""), ("p2", ""), ("p3", "")]
    assert setting.visits * 2 == 3
    assert afresh(told, setting) == (told, setting, 0.0)


def test_of_a_long_story_the_end_is_printed() -> None:
    lines = listed([Item(float(n), "jam", n) for n in range(5376)])
    assert (len(lines), lines[0].strip()) == (41, "… 5336 more in the file")
    assert listed([Item(0.0, "jam", 1)]) == ["  day 0 00:00:00.0  jam"]


def test_left_out_is_what_does_not_matter() -> None:
    items = [Item(float(n), VISIT if n % 3 else "jam", n) for n in range(100)]
    assert [item.number for item in minimal(items, lambda kept: {7, 60} <= {item.number for item in kept})] == [7, 60]
    assert minimal(items, lambda _kept: True) == []


def test_every_mutant_still_finds_its_place() -> None:
    for mutant in MUTANTS:
        for module in {edit.module for edit in mutant.edits}:
            source = (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
            compile(edited(source, [edit for edit in mutant.edits if edit.module == module]), module, "exec")


def test_the_table_of_mutants_is_fresh() -> None:
    page = (ROOT / "docs/reliability.md").read_text("utf-8")
    for mutant in MUTANTS:
        assert f"| {mutant.name} | {mutant.harm} |" in page, "python -m tests.mutants --markdown"
