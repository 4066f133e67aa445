"""What a person at the command line reads when something is not as it should be: one line, and no traceback."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from firmware_protocol.__main__ import main as protocol_main
from firmware_protocol.commands import ended
from lockerd.__main__ import main
from lockerd.config import load_config, load_device_key
from lockerd.errors import ConfigError, StartFailed
from lockerd.preflight import preflight
from sim.__main__ import main as sim_main
from sim.harness import Setting, configuration, free_addresses, toml_text
from tests.store_support import opened


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    path = tmp_path / "lockerd.db"
    async with opened(path):
        pass
    return path


def _written(folder: Path, also: dict[str, dict[str, str]]) -> Path:
    setting = Setting(folder, free_addresses(), also=also)
    setting.configuration.write_text(toml_text(configuration(setting)), encoding="utf-8")
    return setting.configuration


@pytest.mark.parametrize("command", [["verify"], ["report", "identity"]])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b"not a database at all" * 1000), "file is not a database"),
        (lambda path: path.write_bytes(b""), "no"),
        (lambda path: path.unlink(), "is not there; name the database file"),
    ],
    ids=["junk", "empty", "none"],
)
def test_a_named_file_that_is_no_database(
    database: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    spoil: Callable[[Path], object],
    words: str,
) -> None:
    spoil(database)
    assert main([*command, "--database", str(database)]) == 1
    said = "".join(capsys.readouterr())
    assert words in said
    assert "lockerd.toml" not in said, "nobody asked for the configuration"
    assert "owner and mode" not in said


@pytest.mark.parametrize("command", [["verify"], ["report", "identity"]])
def test_a_folder_that_may_not_be_looked_into(
    database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    def refused(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refused)
    assert main([*command, "--database", str(database)]) == 1
    assert "Permission denied); run this as the user of the file" in capsys.readouterr().err


def test_a_database_of_another_version_is_nothing_to_be_restored(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("PRAGMA user_version = 99")
    assert main(["verify", "--database", str(database)]) == 1
    said = capsys.readouterr().out
    assert "schema version 99" in said
    assert "use the lockerd that wrote this file" in said
    assert "restore" not in said
    config = _written(database.parent, {})
    assert main(["--config", str(config), "restore", str(database)]) == 1
    assert "use the lockerd that wrote this file" in capsys.readouterr().err


def test_what_root_puts_back_belongs_to_the_folders_owner(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("DELETE FROM meta WHERE key = 'epoch'")
        raw.commit()
    config = _written(tmp_path, {})
    folder = load_config(config).machine.state_dir
    folder.mkdir()
    given: list[tuple[str, int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "chown", lambda path, user, group: given.append((path.name, user, group)))
    assert main(["--config", str(config), "restore", str(database)]) == 0
    assert given == [("lockerd.db.restored", folder.stat().st_uid, folder.stat().st_gid)]


@pytest.mark.parametrize(
    ("also", "words"),
    [
        ({"bus": {"kind": "tcp", "host": "a..b"}}, "key 'bus.host': a..b:"),
        ({"console": {"listen": "a..b:8081"}}, "key 'console.listen': cannot listen on a..b:8081"),
    ],
)
def test_a_name_that_no_machine_can_have(
    tmp_path: Path, also: dict[str, dict[str, str]], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockerd.preflight._serial_port", lambda *_: None)
    path = tmp_path / "lockerd.toml"
    setting = Setting(tmp_path, free_addresses(), tcp="bus" in also, also=also)
    path.write_text(toml_text(configuration(setting)), encoding="utf-8")
    with pytest.raises(StartFailed) as refused:
        preflight(path, load_config(path))
    assert words in str(refused.value)


@pytest.mark.parametrize("url", ["http://office.example:99999", "http://office.example:abc", "http://[::1"])
def test_an_office_address_with_an_impossible_port_or_host(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"key 'office\.url'"):
        load_config(_written(tmp_path, {"office": {"url": url}}))


def test_a_credential_that_was_not_handed_over_is_no_reason_to_make_a_key(tmp_path: Path) -> None:
    path = _written(tmp_path, {"machine": {"key_file": "device.key"}})
    with pytest.raises(
        ConfigError, match=r"it is a credential of the service; run this with it, as systemd/README\.md"
    ):
        load_device_key(path, load_config(path), Path())


@pytest.mark.parametrize(
    "arguments",
    [["-m", "lockerd", "models", "list"], ["-m", "sim", "run", "--list"]],
    ids=" ".join,
)
def test_a_reader_that_goes_away_leaves_no_traceback(arguments: list[str]) -> None:
    with Popen([sys.executable, *arguments], stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_ctrl_c_is_a_status_and_another_pipe_is_an_error() -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    def another() -> int:
        raise BrokenPipeError

    assert ended(interrupted) == 130
    assert ended(lambda: 7) == 7
    with pytest.raises(BrokenPipeError):
        ended(another)


def _status(arguments: list[str], command: Callable[[list[str]], int]) -> int | str | None:
    try:
        return command(arguments)
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize(
    "arguments",
    [
        "soak --days nan",
        "soak --days 0",
        "soak --visits -1",
        "soak --seeds 3..1",
        "soak --replay FILE",
        "run renewal --speed 0",
        "serve dispenser --pty FILE",
        "serve dispenser --pty FILE/none",
    ],
)
def test_the_simulator_refuses_what_it_cannot_do_and_replaces_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    file = tmp_path / "notes"
    file.write_text("somebody's")
    assert _status(arguments.replace("FILE", str(file)).split(), sim_main) in {1, 2}
    assert "sim" in capsys.readouterr().err
    assert file.read_text() == "somebody's"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "notes"
    file.write_text("somebody's")
    assert _status(["run", "renewal", "--state", str(file)], sim_main) == (
        f"{file}: cannot be used (File exists); name another folder"
    )
    pack = str(Path(__file__).parents[2] / "sim/packs/synthetic")
    assert main(["models", "install", pack, "--packs", str(file)]) == 78
    assert f"lockerd: {file}: File exists; correct its name" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["conformance", "--port", "/dev/null", "--json", str(tmp_path / "none" / "report.json")]
    assert protocol_main(arguments) == 2
    assert "report.json: cannot be written (No such file or directory)" in capsys.readouterr().err
    assert _status([*arguments, "--date", "yesterday"], protocol_main) == 2
    assert "yesterday is not YYYY-MM-DD" in capsys.readouterr().err
