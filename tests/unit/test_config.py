"""The configuration's reference is fresh, and addresses and keys are read as they are meant."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lockerd.config import (
    Config,
    CrtDispenser,
    MailboxDispenser,
    host_and_port,
    load_config,
    load_device_key,
)
from lockerd.config_reference import reference
from lockerd.devices.bus import RtuSettings
from lockerd.drivers import line_settings
from lockerd.errors import ConfigError
from sim.harness import Scalar, Setting, configuration, free_addresses, toml_text

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_all_keys_is_fresh() -> None:
    assert (DOCS / "configuration.md").read_text("utf-8") == reference(), (
        "python -m lockerd.config_reference > docs/configuration.md"
    )


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:8080", ("127.0.0.1", 8080)), ("[::1]:80", ("::1", 80)), ("localhost:65535", ("localhost", 65535))],
)
def test_an_address_is_host_and_port(listen: str, address: tuple[str, int]) -> None:
    assert host_and_port(listen) == address


@pytest.mark.parametrize(
    "listen", ["", "8080", ":8080", "::1:80", "host:0", "host:65536", "host:80 ", "http://host:80"]
)
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        host_and_port(listen)


@pytest.fixture
def simulated(tmp_path: Path) -> tuple[Path, Config]:
    file = tmp_path / "lockerd.toml"
    file.write_text(toml_text(configuration(Setting(tmp_path, free_addresses()))), "utf-8")
    return file, load_config(file)


def test_two_listeners_need_two_ports(tmp_path: Path) -> None:
    document = configuration(Setting(tmp_path, free_addresses()))
    document["health"]["listen"] = document["kiosk"]["listen"]
    file = tmp_path / "lockerd.toml"
    file.write_text(toml_text(document), "utf-8")
    with pytest.raises(ConfigError, match=r"health\.listen.*kiosk\.listen"):
        load_config(file)


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({}, RtuSettings("/dev/bus")),
        (
            {"baudrate": 9600, "parity": "even", "turnaround_ms": 5, "echo": True},
            RtuSettings("/dev/bus", 9600, "even", 0.005, echo=True),
        ),
    ],
)
def test_options_of_the_line_reach_the_bus_owner(
    tmp_path: Path, options: dict[str, Any], settings: RtuSettings
) -> None:
    document = configuration(Setting(tmp_path, free_addresses()))
    document["bus"] = {"kind": "rtu", "port": "/dev/bus"} | options
    file = tmp_path / "lockerd.toml"
    file.write_text(toml_text(document), "utf-8")
    assert line_settings(load_config(file).bus) == settings


@pytest.mark.parametrize("options", [{"turnaround_ms": -1}, {"echo": 1}, {"parity": "mark"}, {"turnaround": 5}])
def test_impossible_options_of_the_line_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    document = configuration(Setting(tmp_path, free_addresses()))
    document["bus"] = {"kind": "rtu", "port": "/dev/bus"} | options
    file = tmp_path / "lockerd.toml"
    file.write_text(toml_text(document), "utf-8")
    with pytest.raises(ConfigError, match=rf"bus.*{next(iter(options))}"):
        load_config(file)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (None, MailboxDispenser()),
        ({"kind": "mailbox"}, MailboxDispenser()),
        ({"kind": "crt", "port": "/dev/module"}, CrtDispenser("/dev/module", 38400, 0)),
        (
            {"kind": "crt", "port": "/dev/module", "address": 15, "baudrate": 9600},
            CrtDispenser("/dev/module", 9600, 15),
        ),
    ],
)
def test_the_dispenser_is_a_mailbox_unless_said(
    tmp_path: Path, section: dict[str, Scalar] | None, expected: object
) -> None:
    assert _with_dispenser(tmp_path, section).dispenser == expected


@pytest.mark.parametrize(
    "section",
    [
        {"kind": "crt"},
        {"kind": "other"},
        {"kind": "mailbox", "port": "/dev/module"},
        {"kind": "crt", "port": "/dev/module", "address": 16},
        {"kind": "crt", "port": "/dev/module", "parity": "even"},
    ],
)
def test_a_dispenser_that_cannot_be_is_refused(tmp_path: Path, section: dict[str, Scalar]) -> None:
    with pytest.raises(ConfigError, match="dispenser"):
        _with_dispenser(tmp_path, section)


def _with_dispenser(folder: Path, section: dict[str, Scalar] | None) -> Config:
    document = configuration(Setting(folder, free_addresses()))
    del document["dispenser"]
    if section is not None:
        document["dispenser"] = section
    file = folder / "lockerd.toml"
    file.write_text(toml_text(document), "utf-8")
    return load_config(file)


@pytest.mark.parametrize(
    ("mode", "good"), [(0o400, True), (0o600, True), (0o640, None), (0o604, False), (0o620, False)]
)
def test_in_production_the_key_is_its_owners(simulated: tuple[Path, Config], mode: int, good: bool | None) -> None:
    """A file of root's may be readable by its group: so does a credential look that is handed over by an access list."""
    file, config = simulated
    config.machine.key_file.write_text("5a" * 32)
    config.machine.key_file.chmod(mode)
    assert load_device_key(file, config, Path()) == b"\x5a" * 32, "the simulator does not mind"
    production = _in_production(config)
    if os.getuid() == 0 if good is None else good:
        assert load_device_key(file, production, Path()) == b"\x5a" * 32
    else:
        with pytest.raises(ConfigError, match="chmod 600"):
            load_device_key(file, production, Path())


def test_a_relative_name_is_that_of_a_credential(simulated: tuple[Path, Config], tmp_path: Path) -> None:
    file, config = simulated
    named = msgspec.structs.replace(
        config, machine=msgspec.structs.replace(config.machine, key_file=Path("device.key"))
    )
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "device.key").write_text("a5" * 32)
    assert load_device_key(file, named, tmp_path / "credentials") == b"\xa5" * 32


def _in_production(config: Config) -> Config:
    return msgspec.structs.replace(config, machine=msgspec.structs.replace(config.machine, environment="production"))
