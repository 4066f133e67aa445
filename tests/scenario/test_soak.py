"""The simulated days themselves: equal in every process, and a checker that bites."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from lockerd import doing, motions
from lockerd.pickup import guards
from lockerd.store import journal, ledger
from sim.soak.year import Setting, play

ROOT = Path(__file__).parents[2]
FIRE = Setting(1.0, slots=30, visits=40.0, faults=80.0)


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


def chip_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "chip_is_of_claim", lambda *_: True)


def taken_card_not_counted_where_it_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def all_of_it(tx: Any, unit: Any, seen: Any) -> None:
        await ledger.note_totals(tx, seen)

    monkeypatch.setattr(motions, "_account", all_of_it)


def event_outside_the_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[..., Awaitable[int]] = journal.append

    async def forgotten(tx: Any, kind: str, data: Any, *, stamp: Any) -> int:
        if kind == "lockerd.card.presented":
            await tx.execute("UPDATE meta SET value = value + 1 WHERE key = 'last_seq'")
            return 0
        return await whole(tx, kind, data, stamp=stamp)

    monkeypatch.setattr(journal, "append", forgotten)


def stranger_named_as_the_claimants_card(monkeypatch: pytest.MonkeyPatch) -> None:
    async def claimants(_self: Any, _journey: Any, claim_id: str) -> str:
        return claim_id

    monkeypatch.setattr(doing.Doing, "_identify_stranger", claimants)


@pytest.mark.parametrize(
    "mutant",
    [
        chip_not_looked_at,
        taken_card_not_counted_where_it_is_recorded,
        event_outside_the_transaction,
        stranger_named_as_the_claimants_card,
    ],
)
def test_a_daemon_that_breaks_a_promise_is_caught(
    monkeypatch: pytest.MonkeyPatch, mutant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mutant(monkeypatch)
    assert any(play(seed, FIRE).violation for seed in range(1, 9)), "nobody noticed"
