"""`python -m firmware_protocol conformance`: ask who is there, have the checks made, print the report."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path

from firmware_protocol.blocks import IdentityBlock
from firmware_protocol.conformance.bench import Bench
from firmware_protocol.conformance.board import Board
from firmware_protocol.conformance.findings import Finding
from firmware_protocol.conformance.hands import BenchControl, Hands, NoHands, Person, PowerSwitch
from firmware_protocol.conformance.lines import Line, LineError, TcpLine, open_serial
from firmware_protocol.conformance.plan import PLAN, applicable, carry_out
from firmware_protocol.conformance.report import Report, Result, Verdict
from firmware_protocol.declaration import VERSION
from firmware_protocol.line import MOTION_MS

KIT = "conformance kit 1"
_UNDECIDED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `python -m firmware_protocol conformance`."""
    line = parser.add_mutually_exclusive_group(required=True)
    line.add_argument("--port", metavar="DEVICE", help="serial line, 8N1, Modbus RTU")
    line.add_argument("--tcp", type=_address, metavar="HOST:PORT", help="Modbus TCP")
    line.add_argument("--list", action="store_true", help="list the checks and end")
    parser.add_argument("--baudrate", type=int, default=115200, help="of the serial line (default %(default)s)")
    parser.add_argument("--unit", type=_unit, default=1, help="unit address, 1 to 247 (default %(default)s)")
    parser.add_argument("--yes", action="store_true", help="move without asking; nobody is at the terminal")
    parser.add_argument("--power-command", metavar="CMD", help='switches the unit\'s power: run as "CMD off", "CMD on"')
    parser.add_argument(
        "--bench", metavar="URL", help='takes POST {"do": ACT} for power and hands, as a simulator does'
    )
    parser.add_argument("--motion-seconds", type=float, default=MOTION_MS / 1000, help="(default %(default)g)")
    parser.add_argument("--only", action="append", default=[], metavar="CHECK", help="only this check; may be repeated")
    parser.add_argument("--date", type=_date, help="date of the report, YYYY-MM-DD (default: today, UTC)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON too")


def run(arguments: argparse.Namespace) -> int:
    """Run the kit; 0: all checked and right, 1: something is wrong, 2: not everything could be checked."""
    if arguments.list:
        for check in PLAN:
            kinds = ", ".join(sorted(kind.name.lower() for kind in check.kinds))
            print(f"{check.name:18} {check.clause}  [{kinds}; {check.wire.name.lower()} line]")
        return 0
    unknown = set(arguments.only) - {check.name for check in PLAN}
    if unknown:
        return _cannot(f"there is no check {', '.join(sorted(unknown))}; --list names them")
    try:
        if arguments.json is not None:
            arguments.json.touch()  # before an hour's work, not after it
    except OSError as error:
        return _cannot(f"{arguments.json}: cannot be written ({error.strerror})")
    try:
        line = _line(arguments)
    except LineError as error:
        return _cannot(str(error))
    try:
        report = _examine(line, arguments)
    except LineError as error:
        return _cannot(str(error))
    finally:
        line.close()
    print(report.to_text(), end="")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return report.status


def _examine(line: Line, arguments: argparse.Namespace) -> Report:
    board = Board(line, arguments.unit, motion_seconds=arguments.motion_seconds)
    identity: IdentityBlock | None = None
    results: list[Result] = []
    try:
        identity = board.identity()
    except Finding as finding:
        results.append(Result("identity", "8.1 identity block", Verdict.FAILED, finding.seen, finding.defect))
    else:
        board.patience = max(board.patience, 4 * identity.max_response_ms / 1000)
        checks = applicable(identity.kind, line.serial, arguments.only)
        bench = Bench(board, _hands(arguments), identity)
        moving = sum(check.moves for check in checks)
        may_move = moving > 0 and _may_move(arguments, f"{moving} of {len(checks)} checks move the unit.")
        for result in carry_out(bench, checks, may_move=may_move):
            results.append(result)
            print(f"{result.verdict:8} {result.check}", file=sys.stderr, flush=True)
    return Report(
        kit=KIT,
        protocol=str(VERSION),
        date=arguments.date or datetime.now(UTC).date().isoformat(),
        line=f"serial line, {arguments.baudrate} baud, 8N1" if line.serial else "TCP",
        unit=arguments.unit,
        identity=identity,
        unit_protocol=board.protocol,
        results=tuple(results),
        answers=len(board.times),
        longest_answer_ms=round(1000 * max(board.times, default=0.0), 1),
    )


def _line(arguments: argparse.Namespace) -> Line:
    """The line to the unit. Raises LineError."""
    return open_serial(arguments.port, arguments.baudrate) if arguments.port else TcpLine(*arguments.tcp)


def _hands(arguments: argparse.Namespace) -> Hands:
    if arguments.bench:
        return BenchControl(arguments.bench)
    others: Hands = NoHands() if arguments.yes else Person(_ask)
    return PowerSwitch(arguments.power_command, others) if arguments.power_command else others


def _may_move(arguments: argparse.Namespace, words: str) -> bool:
    if arguments.yes:
        return True
    try:
        return _ask(f"{words} Keep hands and cards clear of it. Go on? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False


def _ask(words: str) -> str:
    """Ask beside the report, which has the standard output for itself. Raises EOFError."""
    print(words, end="", file=sys.stderr, flush=True)
    if not (line := sys.stdin.readline()):
        raise EOFError
    return line


def _cannot(words: str) -> int:
    print(f"conformance: {words}", file=sys.stderr)
    return _UNDECIDED


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not HOST:PORT")
    return host, int(port)


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not YYYY-MM-DD") from None


def _unit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 247:
        raise argparse.ArgumentTypeError(f"{text} is not 1 to 247")
    return int(text)
