"""Fuzz every parser of the wires for a given time and report the executions: `python -m tests.fuzz --seconds 60`.

With atheris (extra `fuzz`) the search is guided by coverage, one process a parser; without it, inputs are mutated blindly,
and the report says so. Exit status 1 and the input on standard output when a parser broke its promise.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.parsers import PARSERS, Finding, longest, samples, timed

_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERAGE = re.compile(r"cov: (\d+)")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each parser (default 60)")
    parser.add_argument(
        "--executions", type=int, default=10_000_000, help="at most, for each parser (default 10000000)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parser", action="append", choices=PARSERS, help="only this one; may be repeated")
    parser.add_argument("--corpus", type=Path, help="folder in which interesting inputs are kept between runs")
    given = parser.parse_args()
    guided = find_spec("atheris") is not None
    if not guided:
        print("atheris is not installed: inputs are mutated blindly, without coverage (make fuzz installs it)")
    print(f"{'parser':18}{'executions':>14}{'seconds':>10}{'coverage':>10}  result   (seed {given.seed})")
    bad = 0
    for name in given.parser or PARSERS:
        began = time.monotonic()
        if guided:
            executed, coverage, found = _guided(name, given)
        else:
            executed, coverage, found = _blind(name, given)
        spent = time.monotonic() - began
        print(f"{name:18}{executed:>14,}{spent:>10.0f}{coverage:>10}  {found or 'no finding'}", flush=True)
        bad += bool(found)
    return 1 if bad else 0


def _guided(name: str, given: argparse.Namespace) -> tuple[int, str, str]:
    """Run the fuzzer in a process of its own; returns executions, coverage and what was found."""
    with tempfile.TemporaryDirectory() as scratch:
        corpus = given.corpus / name if given.corpus else Path(scratch) / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        for number, sample in enumerate(samples(name)):
            (corpus / f"sample-{number}").write_bytes(sample)
        command = [sys.executable, "-m", "tests.fuzz.guided", name]
        command += [f"-max_total_time={given.seconds}", f"-runs={given.executions}", f"-seed={given.seed}"]
        command += ["-print_final_stats=1", f"-max_len={longest(name)}", "-timeout=10", f"-artifact_prefix={scratch}/"]
        done = subprocess.run([*command, str(corpus)], capture_output=True, text=True, errors="replace", check=False)
        said = done.stdout + done.stderr
        executed = _EXECUTED.search(said)
        coverage = _COVERAGE.findall(said)
        found = ""
        if done.returncode != 0:
            kept = [path for path in Path(scratch).iterdir() if path.is_file()]
            found = f"FINDING: {kept[0].read_bytes().hex() if kept else 'no input kept'}"
            print("\n".join(line for line in said.splitlines() if not line.startswith("#"))[-3000:])
        return int(executed[1]) if executed else 0, coverage[-1] if coverage else "-", found


def _blind(name: str, given: argparse.Namespace) -> tuple[int, str, str]:
    randomly = random.Random(given.seed)
    pool = list(samples(name))
    entry = timed(PARSERS[name])
    end = time.monotonic() + given.seconds
    executed = 0
    while executed < given.executions and time.monotonic() < end:
        data = bytearray(randomly.choice(pool))
        for _ in range(randomly.randrange(8)):
            at = randomly.randrange(len(data) + 1)
            match randomly.randrange(4):
                case 0:
                    data[at:at] = randomly.randbytes(randomly.randrange(9))
                case 1:
                    del data[at : at + randomly.randrange(9)]
                case 2:
                    data[at : at + 1] = randomly.randbytes(1)
                case _:
                    data[at:at] = randomly.choice(pool)
        try:
            entry(bytes(data[: longest(name)]))
        except Exception as error:  # whatever comes out of a parser is what is looked for
            kind = "FINDING" if isinstance(error, Finding) else f"FINDING ({type(error).__name__})"
            return executed, "-", f"{kind}: {error}: {bytes(data[: longest(name)]).hex()}"
        executed += 1
    return executed, "-", ""


if __name__ == "__main__":
    sys.exit(main())
