"""What ends one seed of a soak ends no other, and is told as that seed's failure."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from argparse import ArgumentParser
from pathlib import Path

import pytest

from lockerd.errors import StoreError
from lockerd.journey import session
from lockerd.store import ledger_rows
from sim.soak import command, worker
from sim.soak.auditor import Auditor
from sim.soak.fire import Fire
from sim.soak.setting import Setting
from sim.soak.stage import quiet, staged
from sim.soak.standstill import Standstill
from sim.soak.year import play
from sim.virtual_time import run

SMALL = Setting(0.1, slots=6, visits=100.0, faults=200.0)


def test_an_exception_of_the_simulation_is_the_failure_of_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(self: Fire, kind: str, what: str, *, told: str = "") -> None:
        if self._seed == 2:
            raise LookupError("no such fault")

    monkeypatch.setattr(Fire, "_note", torn)
    report = play(2, SMALL)
    assert report.violation is not None
    assert report.violation[1] == "the simulation broke off: LookupError: no such fault"
    assert any("no such fault" in line for line in report.story)
    assert play(3, SMALL).violation is None
    assert report.script


def test_an_exception_of_the_daemon_that_no_daemon_may_raise_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "step", lambda _journey, _event: dict[str, str]()["stage"])
    violation = play(1, SMALL).violation
    assert violation is not None
    assert violation[1] == "the daemon broke off: KeyError: 'stage'"


def test_a_daemon_that_ends_by_an_error_of_its_own_is_a_violation_unless_its_disk_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_journey: object) -> None:
        raise StoreError("no")

    monkeypatch.setattr(session, "step", refused)
    violation = play(1, SMALL).violation
    assert violation is not None
    assert violation[1] == "the daemon broke off: StoreError: no"


def test_a_daemon_that_ended_is_not_started_again_on_a_machine_without_power(tmp_path: Path) -> None:
    async def story() -> None:
        async with staged(tmp_path, 1) as stage:
            await asyncio.sleep(30.0)
            stage.daemon.disk.next.append((sqlite3.SQLITE_IOERR, False))
            stage.town.announce()
            while not stage.daemon.failures:
                await asyncio.sleep(1.0)
            stage.power_off()
            await asyncio.sleep(60.0)
            assert stage.daemon.starts == 1
            stage.power_on()
            await asyncio.sleep(60.0)
            assert stage.daemon.starts == 2

    with quiet():
        run(story())


def test_a_day_of_visits_in_vain_is_a_violation_unless_something_burns() -> None:
    now, said = 0.0, list[str]()
    standstill = Standstill(lambda: now, said.append)

    def visits(*, faults: int, right: bool = True, took: bool = False, dark: bool = False) -> None:
        nonlocal now
        for hour in range(24):
            now += 3600.0
            burnt = faults * (int(now) // 3600)
            standstill.visited("renewal", took=took and hour == 5, right=right, faults=burnt, dark=dark)
            standstill.visited("replacement", took=True, right=True, faults=burnt, dark=dark)

    visits(faults=1)
    visits(faults=0, right=False)
    visits(faults=0, took=True)
    visits(faults=0, dark=True)
    assert said == []
    visits(faults=0)
    assert said[0] == "no renewal for a day, and 24 visits in vain while no fault burned"


def dies(*_orders: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_process_that_dies_is_told_and_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker, "_work", dies)
    parser = ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(["--days", "0.1", "--seeds", "4..5", "--json"])) == 1
    told = capsys.readouterr()
    assert '"violations": 2' in told.out
    assert "seed 5, minute 0: its process ended with status -9 and no report" in told.err


def test_what_lockerd_verify_finds_at_the_end_is_a_violation_though_the_checker_saw_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger_rows, "responsible", lambda _journey_id, _stamp: "machine:1")
    violation = play(1, SMALL).violation
    assert violation is not None
    assert violation[1].startswith("lockerd verify: card N0")
    assert violation[1].endswith("is on machine:1, and of journey staff:li")


def test_what_the_auditor_finds_is_told_with_the_moment_that_it_looked_at(tmp_path: Path) -> None:
    database = tmp_path / "lockerd.db"
    database.write_bytes(b"no database" * 100)
    found: list[tuple[float, str]] = []
    auditor = Auditor(database, lambda at, what: found.append((at, what)))
    auditor.begin(12.0)
    assert found == []
    auditor.end()
    assert [at for at, _what in found] == [12.0]
    assert "no database" in found[0][1]
    auditor.begin(24.0)
    auditor.give_up()
    auditor.end()
    assert len(found) == 1
