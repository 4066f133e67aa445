"""The command line: `lockerd --config FILE run | check | verify | restore | report identity | staff add NAME`, `lockerd models …`,
`lockerd face …`.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from firmware_protocol.commands import ended
from lockerd.app import make_state_dir
from lockerd.config import Config, load_config, load_device_key
from lockerd.drivers import SystemClock
from lockerd.errors import ConfigError, LockerError, StartFailed
from lockerd.face import commands as face_commands
from lockerd.log import configure
from lockerd.preflight import preflight
from lockerd.serving import run
from lockerd.store import staff
from lockerd.store.database import Database, Transaction
from lockerd.store.identity_report import identity_report, in_words
from lockerd.store.journal import Stamper
from lockerd.store.restore import restore
from lockerd.store.vault import Vault
from lockerd.store.verify import verify
from lockerd.supervise import Supervisor

EX_OK = 0
EX_FAILED = 1
EX_CONFIG = 78  # sysexits.h


def main(argv: list[str] | None = None) -> int:
    """Run one command; exit status 0, 1 for what may heal by trying again, 78 for a configuration that will not; see `ended`."""
    return ended(lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="lockerd", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("/etc/lockerd/lockerd.toml"), help="TOML file")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="serve the machine")
    commands.add_parser("check", help="check the configuration, the model pack and the ports, then stop")
    check = commands.add_parser(
        "verify", help="check the ledger of a stopped machine, or of a backup, and say what is wrong"
    )
    check.add_argument("--database", type=Path, help="database file; without it, that of the configuration")
    reports = commands.add_parser("report", help="what the journal tells").add_subparsers(dest="report", required=True)
    identity = reports.add_parser("identity", help="how often people were sent away wrongly; the daemon may run")
    identity.add_argument("--json", action="store_true", help="print one JSON object")
    identity.add_argument("--database", type=Path, help="database file; without it, that of the configuration")
    back = commands.add_parser("restore", help="put a backup in the place of a lost or damaged database")
    back.add_argument("backup", type=Path, help="the newest backup")
    accounts = commands.add_parser("staff", help="staff accounts").add_subparsers(dest="staff_command", required=True)
    add = accounts.add_parser("add", help="make an account, or change its PIN; the PIN is read from standard input")
    add.add_argument("name")
    face_commands.add_models(commands.add_parser("models", help="packs of face models"))
    face_commands.add_face(commands.add_parser("face", help="measure a pack of face models"))
    arguments = parser.parse_args(argv)
    status = EX_OK
    about_a_file = arguments.command in {"models", "face"} or getattr(arguments, "database", None) is not None
    named = None if about_a_file else arguments.config
    try:
        match arguments.command:
            case "models":
                signed_by = load_config(arguments.config).face.signed_by if arguments.config.is_file() else ""
                return face_commands.run_models(arguments, signed_by=signed_by)
            case "face":
                return face_commands.run_face(arguments)
            case "verify":
                return _verify(arguments.database or load_config(arguments.config).database)
            case "restore":
                return _restore(arguments.backup, load_config(arguments.config).database)
            case "report":
                return _report(arguments.database or load_config(arguments.config).database, arguments.json)
        configure(sys.stderr)
        config = load_config(arguments.config)
        key = load_device_key(arguments.config, config, Path(os.environ.get("CREDENTIALS_DIRECTORY", "")))
        match arguments.command:
            case "run":
                preflight(arguments.config, config)
                asyncio.run(run(arguments.config, config, key, supervisor=Supervisor(os.environ)))
            case "check":
                preflight(arguments.config, config)
                print(f"{arguments.config}: good")
            case "staff":
                asyncio.run(_add_staff(arguments.config, config, key, arguments.name, _pin()))
    except* ConfigError as group:
        status = _failed(named, group, EX_CONFIG)
    except* LockerError as group:
        status = status or _failed(named, group, EX_FAILED)
    return status


def _failed(path: Path | None, group: BaseExceptionGroup[BaseException], status: int) -> int:
    """Say the plainest of the errors in one line, with the configuration's `path` where the command is about it.

    The task that failed and the one that waited for it fail together.
    """
    found = sorted(_leaves(group), key=lambda error: not isinstance(error, StartFailed))
    words = " ".join(str(found[0]).split())
    print(f"lockerd: {words}" if path is None or str(path) in words else f"lockerd: {path}: {words}", file=sys.stderr)
    return status


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _verify(path: Path) -> int:
    """Print what is wrong with a database, and what its next start has to settle."""
    report = verify(path)
    for words in report.wrong:
        print(f"wrong: {words}")
    for words in report.unsettled:
        print(f"unsettled: {words}")
    for words in report.remedies:
        print(f"what to do: {words}")
    print(f"{path}: {len(report.wrong)} wrong, {len(report.unsettled)} unsettled" if report.wrong else f"{path}: sound")
    return EX_FAILED if report.wrong else EX_OK


def _report(path: Path, as_json: bool) -> int:
    """Print how often people were sent away wrongly, as far as the journal tells."""
    report = identity_report(path)
    print(msgspec.json.encode(report).decode() if as_json else in_words(report))
    return EX_OK


def _restore(backup: Path, database: Path) -> int:
    """Put a backup back and say what to count."""
    done = restore(backup, database, SystemClock().now())
    if done.aside is not None:
        print(f"kept aside: {done.aside}")
    print(f"{database}: restored; start lockerd, and count")
    for words in done.count:
        print(f"count: {words}")
    return EX_OK


def _pin() -> str:
    """A line of standard input; at a terminal it is asked for and not shown."""
    return (getpass.getpass("PIN: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()


async def _add_staff(path: Path, config: Config, key: bytes, name: str, pin: str) -> None:
    """Write one account; the daemon must not be running, for the database has one owner."""
    make_state_dir(path, config)
    db = Database(config.database)
    vault = Vault(key, entropy=os.urandom)
    stamp = Stamper(SystemClock(), time.monotonic, "command-line").now()

    async def add(tx: Transaction) -> None:
        await vault.verify(tx)
        await staff.add(tx, vault, name, pin, stamp)

    async with asyncio.TaskGroup() as group:
        owner = group.create_task(db.run())
        try:
            await db.ready()
            await db.transaction(add)
        finally:
            owner.cancel()


if __name__ == "__main__":
    sys.exit(main())
