"""Every scenario through the command line: real processes, real wires, a real database file."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sim.identity_scenarios import STORIES
from sim.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
SPEED = "8"


def _sim(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sim", "run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def _played(*arguments: str) -> dict[str, Any]:
    done = _sim(*arguments, "--json", "--speed", SPEED)
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["verdict"] == "ok", report
    assert done.returncode == 0
    return report


def test_who_may_collect_and_who_may_not() -> None:
    """Side by side: most of their time somebody reads a page or looks into the camera."""
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(_played, STORIES))
    assert [(report["scenario"], report["dispensed"], report["retained"]) for report in reports] == [
        (name, 1, 1) for name in STORIES
    ]


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in {"renewal", "lost-found", *STORIES}])
def test_scenario_ends_as_it_should(name: str) -> None:
    report = _played(name)
    assert report["scenario"] == name
    assert report["dispensed"] == 1
    assert report["retained"] == (0 if name == "lost-card" else 1)


def test_no_card_that_was_reported_lost_comes_back() -> None:
    report = _played("lost-found")
    assert (report["dispensed"], report["retained"]) == (3, 3)


@pytest.mark.parametrize("name", ["not-taken", "power-cut", "jam"])
def test_a_bought_dispenser_serves_as_well(name: str) -> None:
    report = _played(name, "--dispenser", "crt")
    assert (report["dispensed"], report["retained"]) == (1, 1)


@pytest.mark.parametrize("wire", [(), ("--tcp",), ("--dispenser", "crt")], ids=["rtu", "tcp", "crt"])
def test_a_renewal_tells_whose_time_it_was(wire: tuple[str, ...]) -> None:
    report = _played("renewal", *wire)
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
