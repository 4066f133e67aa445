"""`python -m sim soak`: simulated days of the real daemon under fire, one seed a run; exit status 1 if a promise broke.

A violation prints its seed, minute, what is wrong, its story with everything left out that it does not need, and the command
that plays that story again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sim.soak.item import Item
from sim.soak.script import Kept, read, write
from sim.soak.setting import DAY, DISPENSERS, Setting
from sim.soak.shrink import shrunk
from sim.soak.worker import played
from sim.soak.year import Report, play

BUSY = Setting(365.0, slots=300, visits=188.0)
"""With its faults, and people who come in vain, a hundred pickups a day."""

_TOLD_MINUTES = 20
_LINES = 30
_ITEMS = 40  # of a story; more are in its file only


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `python -m sim soak`."""
    standard = Setting(1.0)
    parser.add_argument("--days", type=_days, default=30.0, metavar="N", help="simulated days (default %(default)g)")
    parser.add_argument("--seeds", type=_seeds, default=range(1, 4), metavar="A..B", help="default 1..3")
    parser.add_argument("--jobs", type=int, default=2, metavar="J", help="seeds at a time (default %(default)s)")
    parser.add_argument("--slots", type=int, default=standard.slots, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--visits", type=_not_negative, default=standard.visits, metavar="N", help="visits a day (default %(default)g)"
    )
    parser.add_argument(
        "--faults", type=_not_negative, default=standard.faults, metavar="N", help="faults a day (default %(default)g)"
    )
    parser.add_argument(
        "--busy", action="store_true", help=f"a busy locker: {BUSY.slots} slots, {BUSY.visits:g} visits a day"
    )
    parser.add_argument("--dispenser", choices=DISPENSERS, help="crt: a bought module (default: in every fourth seed)")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument(
        "--replay",
        type=_again,
        metavar="FILE|SEED:MINUTE",
        help="tell a kept story again, or the last "
        f"{_TOLD_MINUTES} minutes of a seed up to that minute with the other options as they were",
    )


def run(arguments: argparse.Namespace) -> int:
    """Play all seeds; returns the exit status."""
    setting = Setting(
        arguments.days, arguments.slots, arguments.visits, arguments.faults, dispenser=arguments.dispenser or ""
    )
    if arguments.busy:
        setting = replace(setting, slots=BUSY.slots, visits=BUSY.visits)
    if arguments.replay is not None:
        return _replay(arguments.replay, setting)
    reports = []
    for report in played(list(arguments.seeds), setting, arguments.jobs):
        reports.append(report)
        _tell(report, setting)
    _tell_kinds(reports)
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
                "dispenser": report.dispenser,
                "pickups": report.pickups,
                "faults": report.faults,
                "trace": report.trace,
                "seconds": report.seconds,
                "cpu_seconds": report.cpu_seconds,
                "peak_rss_mb": report.peak_rss_mb,
                "violation": report.violation and {"minute": report.violation[0], "what": report.violation[1]},
                "kinds": report.counts,
                "rss_mb_by_month": [month.rss_mb for month in report.months],
                "database_mb_by_month": [month.database_mb for month in report.months],
                "wal_mb_by_month": [month.wal_mb for month in report.months],
                "log_kb_a_day_by_month": [month.log_kb_a_day for month in report.months],
            }
            for report in reports
        ],
    }


def _tell(report: Report, setting: Setting) -> None:
    print(
        f"seed {report.seed}: {report.days:g} days, dispenser {report.dispenser}, {report.pickups} pickups, "
        f"{report.faults} faults, {report.starts} starts, {report.full_checks} full checks, trace {report.trace}, "
        f"{report.seconds:.0f} s by the clock, {report.cpu_seconds:.0f} s of the processor's, {report.peak_rss_mb} MB: "
        f"{'ok' if report.violation is None else 'VIOLATION'}",
        file=sys.stderr,
    )
    if report.violation is None:
        return
    minute, what = report.violation
    print(f"seed {report.seed}, minute {minute}: {what}", file=sys.stderr)
    if not report.story:  # nothing of it is left to be played again
        return
    kept, last = shrunk(report, setting)
    path = Path(f"soak-{report.seed}-{minute}.story")
    write(path, kept)
    afresh = ", in a fresh town with people of other names" if kept.until < minute * 60.0 else ""
    told = f"its story, shrunk from {len(report.script)} visits and faults to {len(kept.items)}{afresh}:"
    print(told, file=sys.stderr)
    print("\n".join([*listed(kept.items), "how it goes:"]), file=sys.stderr)
    print("\n".join(f"  {line}" for line in last.story[-_LINES:]), file=sys.stderr)
    print(f"again: python -m sim soak --replay {path}", file=sys.stderr)


def listed(items: Sequence[Item]) -> list[str]:
    """A line for each item of a story, or for its last ones; a long story is read in its file."""
    more = len(items) - _ITEMS
    lines = [f"  {item.told()}" for item in items[-_ITEMS:]]
    return [f"  … {more} more in the file", *lines] if more > 0 else lines


def _tell_kinds(reports: list[Report]) -> None:
    """What was really played, and how often."""
    counts = sum((Counter(report.counts) for report in reports), Counter[str]())
    print("played: " + ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())), file=sys.stderr)


def _replay(again: Path | tuple[int, int], setting: Setting) -> int:
    begin = 0.0

    def echo(line: str) -> None:
        if float(line.partition(" ")[0]) >= begin:
            print(line)

    if isinstance(again, Path):
        try:
            kept: Kept = read(again)
        except (OSError, ValueError, TypeError) as error:
            print(f"sim soak: {again} holds no story ({type(error).__name__})", file=sys.stderr)
            return 2
        begin = max((kept.items[-_ITEMS:][0].at if kept.items else 0.0) - 60.0, 0.0)
        report = play(kept.seed, Setting(**kept.setting), end=kept.until, echo=echo, kept=kept.items)
    else:
        seed, minute = again
        begin = (minute - _TOLD_MINUTES) * 60.0
        report = play(seed, setting, end=min((minute + 2) * 60.0, setting.days * DAY), echo=echo)
    return 0 if report.violation is None else 1


def _seeds(text: str) -> range:
    first, dots, last = text.partition("..")
    try:
        seeds = range(int(first), int(last if dots else first) + 1)
    except ValueError:
        seeds = range(0)
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text} is not A..B")
    return seeds


def _not_negative(text: str) -> float:
    number = float(text)
    if not 0.0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return number


def _days(text: str) -> float:
    if not _not_negative(text):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return float(text)


def _again(text: str) -> Path | tuple[int, int]:
    seed, _, minute = text.partition(":")
    try:
        return int(seed), int(minute)
    except ValueError:
        if not Path(text).is_file():
            raise argparse.ArgumentTypeError(f"{text} is neither a file nor SEED:MINUTE") from None
        return Path(text)
