"""The conformance kit as a stranger would run it: against simulated units over TCP and pseudo-terminals, right and wrong ones."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from firmware_protocol.conformance.findings import Defect
from firmware_protocol.units import UnitKind
from sim.defects import DEFECTS
from sim.processes import ROOT

AT_ONCE = 12  # most of a run is waiting
SPEED = "10"
ADDRESSES = {"dispenser": "1", "recycler": "2", "cabinet": "3"}


@dataclass(frozen=True)
class Run:
    """One run of the kit."""

    part: str
    wire: str
    defect: str | None = None

    def __str__(self) -> str:
        return f"{self.part}-{self.wire}" + (f"-{self.defect}" if self.defect else "")


@dataclass(frozen=True)
class Ended:
    """How the kit and the simulator ended."""

    status: int
    text: str
    report: dict[str, Any]
    sim_status: int


RIGHT = [Run(part, wire) for part in ADDRESSES for wire in ("tcp", "pty")]
WRONG = [  # whatever a cabinet can have is shown on one: it has the fewest checks, and they are those of all units
    Run("cabinet" if UnitKind.CABINET in defect.kinds else "dispenser", "pty" if defect.serial else "tcp", name)
    for name, defect in DEFECTS.items()
] + [
    Run("recycler", "tcp", "counts-before-motion"),
    Run("recycler", "tcp", "overfills"),
    Run("recycler", "tcp", "misses-taken-without-power"),
    Run("recycler", "tcp", "resumes-after-power-cut"),
    Run("dispenser", "tcp", "executes-repeat"),
    Run("dispenser", "tcp", "seq-reset-after-boot"),
]


async def judged(run: Run, folder: Path) -> Ended:
    line = ["--pty", str(folder / "bus")] if run.wire == "pty" else ["--tcp", "127.0.0.1:0"]
    wrong = ["--defect", run.defect] if run.defect else []
    sim = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sim", "serve", run.part, *line, *wrong, "--control", "127.0.0.1:0", "--speed", SPEED),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert sim.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(sim.stdout.readline(), 60))
        assert ready["ready"] == run.part
        line = ["--port", ready["pty"]] if run.wire == "pty" else ["--tcp", ready["tcp"]]
        kit = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "firmware_protocol", "conformance", *line, "--unit", ADDRESSES[run.part]),
            *("--yes", "--bench", f"{ready['control']}/bench", "--json", str(folder / "report.json")),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        text, _ = await asyncio.wait_for(kit.communicate(), 120)
    finally:
        sim.terminate()
        sim_status = await asyncio.wait_for(sim.wait(), 20)
    assert kit.returncode is not None
    return Ended(kit.returncode, text.decode(), json.loads((folder / "report.json").read_text()), sim_status)


async def all_judged(folder: Path) -> dict[Run, Ended]:
    free = asyncio.Semaphore(AT_ONCE)
    for run in RIGHT + WRONG:
        (folder / str(run)).mkdir()  # nothing else runs yet

    async def one(run: Run) -> tuple[Run, Ended]:
        async with free:
            return run, await judged(run, folder / str(run))

    endings = dict(await asyncio.gather(*map(one, RIGHT + WRONG)))
    for run, ended in endings.items():
        if "slow-answer" in ended.report["defects"] and run.defect != "slow-answer":
            # A computer busy with all of them delays a simulator as a slow board would be slow: once more, alone.
            endings[run] = await judged(run, folder / str(run))
    return endings


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> dict[Run, Ended]:
    return asyncio.run(all_judged(tmp_path_factory.mktemp("kit")))


@pytest.mark.parametrize("run", RIGHT, ids=str)
def test_every_simulated_unit_conforms(run: Run, endings: dict[Run, Ended]) -> None:
    ended = endings[run]
    assert (ended.status, ended.sim_status) == (0, 0), ended.text
    assert ended.report["verdict"] == "CONFORMS"
    assert {check["verdict"] for check in ended.report["checks"]} == {"passed"}


@pytest.mark.parametrize("run", WRONG, ids=str)
def test_every_wrong_unit_is_found_wrong_and_its_defect_is_named(run: Run, endings: dict[Run, Ended]) -> None:
    ended = endings[run]
    assert (ended.status, ended.sim_status) == (1, 0), ended.text
    assert run.defect is not None
    assert set(ended.report["defects"]) == {run.defect}, ended.text
    assert f"DEFECT {run.defect}: {Defect(run.defect).meaning}" in ended.text


@pytest.mark.parametrize(
    ("typed", "status", "verdict"), [("n\n", 2, "skipped"), ("", 2, "skipped"), ("y\n", 0, "passed")]
)
async def test_nothing_moves_before_a_person_agrees(typed: str, status: int, verdict: str, tmp_path: Path) -> None:
    sim = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sim", "serve", "cabinet", "--tcp", "127.0.0.1:0"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert sim.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(sim.stdout.readline(), 60))
        kit = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "firmware_protocol", "conformance", "--tcp", ready["tcp"], "--unit", "3"),
            *("--only", "lights", "--json", str(tmp_path / "report.json"), "--date", "2026-05-11"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        text, asked = await asyncio.wait_for(kit.communicate(typed.encode()), 60)
    finally:
        sim.terminate()
        await asyncio.wait_for(sim.wait(), 20)
    assert b"1 of 1 checks move the unit" in asked
    assert text.startswith(b"Conformance report\n  date      2026-05-11\n")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (kit.returncode, [check["verdict"] for check in report["checks"]]) == (status, [verdict])
