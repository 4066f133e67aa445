"""Every scenario through the command line: real processes, real wires, a real database file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sim.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
SPEED = "8"
AT_ONCE = 4
"""Most of its time somebody reads a page, looks into the camera, or a motor turns."""

CARDS = {"lost-card": (1, 0), "lost-found": (3, 3)}
"""How many new cards were handed out and old ones kept, where it is not one of each."""

Play = tuple[str, ...]
"""The words behind `sim run`."""
Report = dict[str, Any]


def _sim(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sim", "run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def _played(play: Play) -> Report:
    done = _sim(*play, "--json", "--speed", SPEED)
    report: Report = json.loads(done.stdout)
    assert report["verdict"] == "ok", report
    assert done.returncode == 0
    return report


@pytest.fixture(scope="module")
def report_of(request: pytest.FixtureRequest) -> Iterator[Callable[[Play], Report]]:
    """What became of a play. Those of all tests that were chosen run side by side from the first on."""
    chosen = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    pool = ThreadPoolExecutor(AT_ONCE)
    reports: dict[Play, Future[Report]] = {
        params["play"]: pool.submit(_played, params["play"]) for params in chosen if "play" in params
    }
    yield lambda play: reports[play].result()
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("play", [(name,) for name in SCENARIOS], ids="".join)
def test_scenario_ends_as_it_should(play: Play, report_of: Callable[[Play], Report]) -> None:
    report = report_of(play)
    assert report["scenario"] == play[0]
    assert (report["dispensed"], report["retained"]) == CARDS.get(play[0], (1, 1))


@pytest.mark.parametrize(
    "play", [(name, "--dispenser", "crt") for name in ("not-taken", "power-cut", "jam")], ids=" ".join
)
def test_a_bought_dispenser_serves_as_well(play: Play, report_of: Callable[[Play], Report]) -> None:
    report = report_of(play)
    assert (report["dispensed"], report["retained"]) == (1, 1)


@pytest.mark.parametrize(
    "play", [("renewal",), ("renewal", "--tcp"), ("renewal", "--dispenser", "crt")], ids=["rtu", "tcp", "crt"]
)
def test_a_renewal_tells_whose_time_it_was(play: Play, report_of: Callable[[Play], Report]) -> None:
    report = report_of(play)
    assert (report["dispensed"], report["retained"]) == (1, 1)
    assert {step["name"] for step in report["steps"]} >= {
        "code",
        "identify",
        "face",
        "confirm",
        "old card",
        "dispense",
        "take",
    }
    shares = {
        owner: sum(s["seconds"] for s in report["steps"] if s["owner"] == owner) for owner in ("machine", "mechanics")
    }
    assert report["machine_seconds"] == pytest.approx(shares["machine"], abs=0.01)
    assert shares["mechanics"] > 0


def test_the_list_names_every_scenario() -> None:
    done = _sim("--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(SCENARIOS)


def test_a_scenario_that_does_not_exist_is_refused() -> None:
    done = _sim("no-such")
    assert done.returncode == 2
    assert "no-such" in done.stderr
