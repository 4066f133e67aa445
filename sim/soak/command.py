"""`python -m sim soak`: simulated days of the real daemon under fire, one seed a run; exit status 1 if a promise broke.

A violation prints its seed, minute, what is wrong, the last of the story, and the command that plays it again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator

from sim.soak.year import DAY, Report, Setting, play

_TOLD_MINUTES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `python -m sim soak`."""
    standard = Setting(1.0)
    parser.add_argument("--days", type=float, default=30.0, metavar="N", help="simulated days (default %(default)g)")
    parser.add_argument("--seeds", type=_seeds, default=range(1, 4), metavar="A..B", help="default 1..3")
    parser.add_argument("--jobs", type=int, default=2, metavar="J", help="seeds at a time (default %(default)s)")
    parser.add_argument("--slots", type=int, default=standard.slots, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--visits", type=float, default=standard.visits, metavar="N", help="visits a day (default %(default)g)"
    )
    parser.add_argument(
        "--faults", type=float, default=standard.faults, metavar="N", help="faults a day (default %(default)g)"
    )
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument(
        "--replay",
        type=_moment,
        metavar="SEED:MINUTE",
        help=f"play one seed to that minute and tell its last {_TOLD_MINUTES} minutes; the other options as they were",
    )


def run(arguments: argparse.Namespace) -> int:
    """Play all seeds; returns the exit status."""
    setting = Setting(arguments.days, arguments.slots, arguments.visits, arguments.faults)
    if arguments.replay is not None:
        seed, minute = arguments.replay
        return _replay(seed, minute, setting)
    reports = []
    for report in _played(list(arguments.seeds), setting, arguments.jobs):
        reports.append(report)
        _tell(report, setting)
    if arguments.json:
        print(json.dumps(summary(reports)))
    return 1 if any(report.violation for report in reports) else 0


def summary(reports: list[Report]) -> dict[str, object]:
    """The one object of `--json`."""
    return {
        "violations": sum(report.violation is not None for report in reports),
        "runs": [
            {
                "seed": report.seed,
                "days": report.days,
                "pickups": report.pickups,
                "faults": report.faults,
                "trace": report.trace,
                "peak_rss_mb": report.peak_rss_mb,
            }
            for report in reports
        ],
    }


def _played(seeds: list[int], setting: Setting, jobs: int) -> Iterator[Report]:
    work = [(seed, setting) for seed in seeds]
    if jobs <= 1:
        yield from map(_play, work)
        return
    # a process of its own for each seed: its peak of memory is its own, and nothing of one run reaches the next
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(seeds)), maxtasksperchild=1) as pool:
        yield from pool.imap(_play, work)


def _play(work: tuple[int, Setting]) -> Report:
    return play(*work)


def _tell(report: Report, setting: Setting) -> None:
    print(
        f"seed {report.seed}: {report.days:g} days, {report.pickups} pickups, {report.faults} faults, "
        f"{report.starts} starts, {report.full_checks} full checks, trace {report.trace}, "
        f"{report.peak_rss_mb} MB: {'ok' if report.violation is None else 'VIOLATION'}",
        file=sys.stderr,
    )
    if report.violation is None:
        return
    minute, what = report.violation
    print("\n".join(report.story[-40:]), file=sys.stderr)
    print(f"seed {report.seed}, minute {minute}: {what}", file=sys.stderr)
    print(
        f"again: python -m sim soak --replay {report.seed}:{minute} --days {setting.days:g} --slots {setting.slots}"
        f" --visits {setting.visits:g} --faults {setting.faults:g}",
        file=sys.stderr,
    )


def _replay(seed: int, minute: int, setting: Setting) -> int:
    begin = (minute - _TOLD_MINUTES) * 60.0

    def echo(line: str) -> None:
        if float(line.partition(" ")[0]) >= begin:
            print(line)

    report = play(seed, setting, end=min((minute + 2) * 60.0, setting.days * DAY), echo=echo)
    return 0 if report.violation is None else 1


def _seeds(text: str) -> range:
    first, dots, last = text.partition("..")
    try:
        return range(int(first), int(last if dots else first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not A..B") from None


def _moment(text: str) -> tuple[int, int]:
    seed, _, minute = text.partition(":")
    try:
        return int(seed), int(minute)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not SEED:MINUTE") from None
