"""`python -m tests.mutants`: every mutant against the simulation, which has to notice it and to let the daemon as it is pass.

Each mutant is one child process that imports mutated source and plays seed after seed until a violation is reported or its
time is over (seconds of the processor's: others may use it too). The exit status is 1 if a mutant survives, or the daemon as
it is does not pass the same seeds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.mutants.mutant import Hunt, Mutant
from tests.mutants.mutants import MUTANTS
from tests.mutants.mutated import Moved, install

ROOT = Path(__file__).parents[2]
SECONDS = 60.0  # of the processor's, for one mutant
SEEDS = range(1, 41)
CONTROL = "the daemon as it is"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one mutant, or of the control: `violation` is (seed, minute, what), None where nothing was noticed.

    `seconds` are the processor's, `wall` the clock's from the start of the process to its end.
    """

    name: str
    seeds: int
    seconds: float
    wall: float
    violation: tuple[int, int, str] | None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these (default: all)")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/reliability.md")
    parser.add_argument("--jobs", type=int, default=2, metavar="J", help="mutants at a time (default %(default)s)")
    parser.add_argument("--child", metavar="HUNT", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    by_name = {mutant.name: mutant for mutant in MUTANTS}
    if arguments.child is not None:
        return _child(by_name.get(arguments.names[0]), json.loads(arguments.child))
    unknown = set(arguments.names) - set(by_name)
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    chosen = [by_name[name] for name in arguments.names] or list(MUTANTS)
    if arguments.markdown:
        print("| mutant | what becomes of it | noticed as | processor | clock |\n|---|---|---|---|---|")
    verdicts = []
    began = time.monotonic()
    for verdict in played(chosen, arguments.jobs):
        verdicts.append(verdict)
        if arguments.markdown:
            print(_row(by_name.get(verdict.name), verdict), flush=True)
        elif not arguments.json:
            print(_line(verdict), flush=True)
    if arguments.json:
        print(json.dumps({"verdicts": [asdict(verdict) for verdict in verdicts]}))
    else:
        seconds, wall = sum(verdict.seconds for verdict in verdicts), time.monotonic() - began
        print(f"\n{seconds:.0f} s of the processor's, {wall:.0f} s by the clock, {arguments.jobs} at a time")
    return 0 if all((verdict.violation is None) == (verdict.name == CONTROL) for verdict in verdicts) else 1


def played(mutants: Sequence[Mutant], jobs: int) -> Iterator[Verdict]:
    """One verdict a mutant, in order; then one for the daemon as it is, for each way in which the mutants were hunted."""
    with ThreadPoolExecutor(jobs) as pool:
        reached: dict[Hunt, int] = {}
        for mutant, verdict in zip(mutants, pool.map(hunted, mutants), strict=True):
            reached[mutant.hunt] = max(reached.get(mutant.hunt, 0), verdict.seeds)
            yield verdict
        yield from pool.map(lambda one: _process(None, one[0], one[1], None), reached.items())


def hunted(mutant: Mutant) -> Verdict:
    """Play one mutant until it is noticed or its time is over. Exits where its source has moved."""
    return _process(mutant, mutant.hunt, len(SEEDS), SECONDS)


def _process(mutant: Mutant | None, hunt: Hunt, seeds: int, seconds: float | None) -> Verdict:
    name = mutant.name if mutant else CONTROL
    orders = json.dumps({"hunt": asdict(hunt), "seeds": seeds, "seconds": seconds})
    command = [sys.executable, "-m", "tests.mutants", "--child", orders, name]
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    wall = round(time.monotonic() - began, 1)
    if done.returncode != 0:
        raise SystemExit(f"{name}: {done.stderr or done.stdout}")
    told = json.loads(done.stdout)
    return Verdict(name, told["seeds"], told["seconds"], wall, told["violation"] and tuple(told["violation"]))


def _child(mutant: Mutant | None, orders: dict[str, Any]) -> int:
    try:
        install(mutant.edits if mutant else ())
    except Moved as error:
        print(error, file=sys.stderr)
        return 2
    from sim.soak.setting import Setting
    from sim.soak.year import play

    setting = Setting(**orders["hunt"])
    violation = None
    seeds = 0
    for seed in SEEDS[: orders["seeds"]]:
        if orders["seconds"] is not None and time.process_time() > orders["seconds"]:
            break
        seeds += 1
        found = play(seed, setting).violation
        if found is not None:
            violation = (seed, *found)
            break
    print(json.dumps({"seeds": seeds, "seconds": round(time.process_time(), 1), "violation": violation}))
    return 0


def _line(verdict: Verdict) -> str:
    if verdict.violation is None:
        became = f"no violation in {verdict.seeds} seeds" if verdict.name == CONTROL else "SURVIVED"
    else:
        seed, minute, what = verdict.violation
        became = f"seed {seed}, minute {minute}: {what}"
    return f"{verdict.name:38} {verdict.seconds:5.1f} s  {verdict.wall:5.1f} s  {became}"


def _row(mutant: Mutant | None, verdict: Verdict) -> str:
    became = f"no violation in {verdict.seeds} seeds" if mutant is None else "**not noticed**"
    if verdict.violation is not None:
        became = verdict.violation[2]
    return f"| {verdict.name} | {mutant.harm if mutant else ''} | {became} | {verdict.seconds:.1f} s | {verdict.wall:.1f} s |"


if __name__ == "__main__":
    raise SystemExit(main())
