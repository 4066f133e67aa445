"""`python -m sim run`: play one scenario, or all, against the real daemon as a process, and say whether everybody agrees."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from sim.clients import Impossible, Refused, TooLate, eventually
from sim.harness import Harness, Setting, free_addresses
from sim.machine import positive
from sim.processes import ProcessDied
from sim.scenarios import SCENARIOS, SETTINGS
from sim.scene import Scene, Surprise, scene_of
from sim.timeline import Interval, Mark, Owner, StepTime, attribute, seconds_of, step_of
from sim.verdict import Expectation, disagreements, disappointments, read_database, read_ledger, read_truth

T = TypeVar("T")

QUIET_SECONDS = 0.5
"""How long no further event has come when the office is taken to have them all; the comparison then tells."""

DRAIN_SECONDS = 120.0
"""How long the office's ledger may lag behind: the daemon waits up to a minute between two tries of a lost office."""

TAKE_SECONDS = 20.0
"""How long lockerd leaves a card in the exit at speed 1; a run need not wait as long as the street does."""

LEAST_TAKE_SECONDS = 4.0

FAILURES = (Impossible, Refused, TooLate, ProcessDied, Surprise, sqlite3.Error, aiohttp.ClientError, OSError)


@dataclass(slots=True)
class Report:
    """What one run of a scenario showed; `verdict` is "ok" or the reason."""

    scenario: str
    verdict: str = "not run"
    steps: tuple[StepTime, ...] = ()
    dispensed: int = 0
    retained: int = 0
    started_in: float = 0.0

    @property
    def machine_seconds(self) -> float:
        """The machine's own share of the time between the first tap and the last page."""
        return seconds_of(Owner.MACHINE, self.steps)

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints. Seconds are rounded to milliseconds."""
        return {
            "scenario": self.scenario,
            "verdict": self.verdict,
            "steps": [
                {"name": step.name, "seconds": round(step.seconds, 3), "owner": step.owner.value} for step in self.steps
            ],
            "dispensed": self.dispensed,
            "retained": self.retained,
            "machine_seconds": round(self.machine_seconds, 3),
        }

    def to_text(self) -> str:
        """The timeline for a reader."""
        lines = [f"{self.scenario}  (everything started and stocked in {self.started_in:.1f} s)"]
        width = max((len(step.name) for step in self.steps), default=0)
        names = ""
        for step in self.steps:
            name = step.name if step.name != names else ""
            names = step.name
            lines.append(f"  {name:<{width}}  {step.owner.value:<9} {step.seconds:7.2f} s")
        shares = ", ".join(f"{owner.value} {seconds_of(owner, self.steps):.2f} s" for owner in Owner)
        lines += [f"  in all: {shares}", f"  dispensed {self.dispensed}, retained {self.retained}"]
        return "\n".join([*lines, f"  verdict: {self.verdict}", ""])


@dataclass(slots=True)
class Play:
    """One run of one scenario in one setting; `report` grows while it runs and is whole whatever happens."""

    scenario: str
    setting: Setting
    report: Report = field(init=False)

    def __post_init__(self) -> None:
        self.report = Report(self.scenario)

    async def run(self) -> Report:
        """Start everything, play, compare, stop everything. A failure of what is under test becomes the verdict."""
        try:
            async with (
                aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
                Harness(self.setting, session) as harness,
                asyncio.TaskGroup() as group,
            ):
                scene = scene_of(harness, self.setting.seed, self.setting.speed)
                helpers = [group.create_task(harness.watch()), group.create_task(scene.kiosk.follow())]
                await self._play(scene)
                for helper in helpers:
                    helper.cancel()
        except* FAILURES as failed:
            self.report.verdict = f"failed: {first_words(failed)}"
        return self.report

    async def _play(self, scene: Scene) -> None:
        began = time.monotonic()
        await scene.stock()
        self.report.started_in = time.monotonic() - began
        try:
            expected = await SCENARIOS[self.scenario](scene)
        finally:
            truth = await scene.harness.world.truth()
            self.report.dispensed = truth["units"]["dispenser"]["dispensed"]
            self.report.retained = truth["units"]["recycler"]["retained"]
            self.report.steps = steps_of(scene, truth)
        self.report.verdict = await self._compare(scene, expected)

    async def _compare(self, scene: Scene, expected: Expectation) -> str:
        """Wait until the office has what the truth demands, end lockerd as systemd would, and read the three."""
        harness = scene.harness

        truth = read_truth(await harness.world.truth())
        seen, since = -1, 0.0

        async def drained() -> bool | None:
            nonlocal seen, since
            ledger = read_ledger(await harness.office.ledger())
            if ledger.last_seq != seen:
                seen, since = ledger.last_seq, time.monotonic()
            complete = ledger.new == truth.new and ledger.kept == truth.in_bin
            return True if complete and time.monotonic() - since > QUIET_SECONDS else None

        late = ""
        try:
            await eventually("the office's ledger complete", DRAIN_SECONDS, drained)
        except TooLate as error:
            late = f"{error}; "
        await harness.stop_lockerd()
        office = read_ledger(await harness.office.ledger())
        daemon = read_database(self.setting.database)
        found = (*disagreements(truth, daemon, office), *disappointments(expected, truth, daemon, office))
        return late + "; ".join(found) or "ok"


def steps_of(scene: Scene, truth: dict[str, Any]) -> tuple[StepTime, ...]:
    """The timeline from the robot's first tap to the last page it saw; nothing when it never tapped."""
    began, pages = scene.robot.began, scene.kiosk.pages
    ended = scene.robot.ended
    if began is None or ended is None or not pages:
        return ()
    marks = [Mark(page.at, step_of(page.view, page.progress)) for page in pages]
    motors = [
        Interval(motion["began"], ended if motion["ended"] is None else motion["ended"]) for motion in truth["motions"]
    ]
    return attribute(Interval(began, ended), marks, scene.body.intervals, motors)


def first_words(failed: BaseExceptionGroup[Exception]) -> str:
    """The plainest words for a failure: that a process died explains whatever else failed."""
    leaves = list(_leaves(failed))
    leaves.sort(key=lambda leaf: not isinstance(leaf, ProcessDied))
    return f"{type(leaves[0]).__name__}: {leaves[0]}"


def _leaves(failed: BaseException) -> Iterator[BaseException]:
    if isinstance(failed, BaseExceptionGroup):
        for inner in failed.exceptions:
            yield from _leaves(inner)
    else:
        yield failed


@contextmanager
def state_folder(kept: Path | None) -> Iterator[Path]:
    """The folder given by the user, or a fresh one that is removed afterwards."""
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="locker-", ignore_cleanup_errors=True) as name:
            yield Path(name)
    else:
        try:
            kept.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SystemExit(f"{kept}: cannot be used ({error.strerror}); name another folder") from error
        yield kept.resolve()


def interruptible(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function to its end; SIGTERM and Ctrl-C cancel it, so that it stops what it started.

    Raises KeyboardInterrupt for both.
    """

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await work()

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `python -m sim run`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("scenario", nargs="?", choices=SCENARIOS, metavar="NAME", help="one scenario")
    what.add_argument("--all", action="store_true", help="all scenarios, one after the other")
    what.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="which town, and how its citizens hesitate")
    parser.add_argument(
        "--json", action="store_true", help="print one object, or an array with --all, and nothing else"
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="keep state and logs here instead of a fresh folder")
    parser.add_argument("--speed", type=positive, default=1.0, metavar="F", help="motors and hands F times as fast")
    parser.add_argument("--tcp", action="store_true", help="Modbus TCP instead of RTU on a pseudo-terminal")
    parser.add_argument(
        "--dispenser", choices=("mailbox", "crt"), default="mailbox", help="crt: a bought module before the carousel"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the scenarios; returns 0 only when every verdict is "ok"."""
    if arguments.list:
        for name, story in SCENARIOS.items():
            print(f"{name:<24}{(story.__doc__ or '').splitlines()[0]}")
        return 0
    names = list(SCENARIOS) if arguments.all else [arguments.scenario]
    reports = []
    for name in names:
        try:
            report = _run_one(name, arguments)
        except KeyboardInterrupt:
            return 130
        reports.append(report)
        if not arguments.json:
            print(report.to_text(), flush=True)
    if arguments.json:
        found = [report.to_json() for report in reports]
        print(json.dumps(found if arguments.all else found[0], ensure_ascii=False))
    return 0 if all(report.verdict == "ok" for report in reports) else 1


def _run_one(name: str, arguments: argparse.Namespace) -> Report:
    kept = arguments.state / name if arguments.state and arguments.all else arguments.state
    with state_folder(kept) as state:
        setting = Setting(
            state,
            free_addresses(),
            arguments.seed,
            arguments.speed,
            arguments.tcp,
            take_seconds=max(TAKE_SECONDS / arguments.speed, LEAST_TAKE_SECONDS),
            bought=arguments.dispenser == "crt",
        )
        setting = replace(setting, **SETTINGS.get(name, {}))
        return interruptible(Play(name, setting).run)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="sim run", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
