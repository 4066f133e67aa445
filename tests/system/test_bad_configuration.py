"""A configuration that cannot be used: one clear line, the documented exit status, and nothing half-started."""

from __future__ import annotations

import json
import os
import pty
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sim.harness import free_addresses, toml_text

ROOT = Path(__file__).parents[2]
PACK = ROOT / "sim" / "packs" / "synthetic"
CONFIG, FAILED = 78, 1


@dataclass
class Place:
    """A folder with a good configuration, to be made bad; its serial ports are pseudo-terminals."""

    folder: Path
    document: dict[str, dict[str, Any]]
    held: list[socket.socket] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "lockerd.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def key(self) -> Path:
        return self.folder / "device.key"

    def write(self) -> None:
        self.file.write_text(toml_text(self.document), encoding="utf-8")

    def start(self, command: str = "run") -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-m", "lockerd", "--config", str(self.file), command]
        # The child leads a process group, so that what it may leave behind can be looked for.
        with subprocess.Popen(
            arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            try:
                out, err = process.communicate(timeout=90)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                raise
        assert not _group_lives(process.pid), "a child process was left behind"
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def pack(self) -> Path:
        """An own copy of the model pack, named by the configuration."""
        copy = self.folder / "pack"
        shutil.copytree(PACK, copy)
        self.document["face"]["pack"] = str(copy)
        return copy

    def production(self) -> None:
        self.document["machine"]["environment"] = "production"
        self.document["office"]["url"] = "https://office.example"


def _group_lives(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    terminals = [pty.openpty() for _ in range(4)]
    bus, counter, throat, exit_ = (os.ttyname(slave) for _, slave in terminals)
    at = free_addresses()
    made = Place(
        tmp_path,
        {
            "machine": {
                "id": "locker-1",
                "environment": "simulator",
                "state_dir": str(tmp_path / "state"),
                "key_file": str(tmp_path / "device.key"),
            },
            "bus": {"kind": "rtu", "port": bus},
            "readers": {"counter": counter, "throat": throat, "exit": exit_},
            "face": {"pack": str(PACK), "source": "file", "address": str(tmp_path / "camera.jpg")},
            "office": {"url": f"http://{at.office}"},
            "sms": {"backend": "file", "directory": str(tmp_path / "inbox")},
            "kiosk": {"listen": at.kiosk},
            "console": {"listen": at.console},
            "health": {"listen": at.health},
        },
    )
    made.key.write_text("5a" * 32, "ascii")
    made.key.chmod(0o600)
    made.write()
    yield made
    for master, slave in terminals:
        os.close(master)
        os.close(slave)
    for one in made.held:
        one.close()


def _set(table: str, key: str, value: object) -> Callable[[Place], None]:
    return lambda place: place.document[table].__setitem__(key, value)


def _drop(table: str, key: str) -> Callable[[Place], None]:
    return lambda place: place.document[table].pop(key)


def _weights(place: Place) -> Path:
    pack = place.pack()
    model = json.loads((pack / "manifest.json").read_text("utf-8"))["models"][0]
    return pack / str(model["file"])


def _missing_model(place: Place) -> None:
    _weights(place).unlink()


def _changed_model(place: Place) -> None:
    weights = _weights(place)
    weights.write_bytes(weights.read_bytes() + b"\0")


def _plain_http(place: Place) -> None:
    place.production()
    place.document["office"]["url"] = "http://office.example"


def _missing_pack(place: Place) -> None:
    place.document["face"]["pack"] = str(place.folder / "nowhere")


def _open_key(place: Place) -> None:
    place.production()
    place.key.chmod(0o644)


def _tcp_nobody(place: Place) -> None:
    place.document["bus"] = {"kind": "tcp", "host": "127.0.0.1", "port": int(free_addresses().modbus.split(":")[1])}


def _taken_port(place: Place) -> None:
    host, port = place.document["console"]["listen"].split(":")
    holder = socket.create_server((host, int(port)))
    place.held.append(holder)


BAD: dict[str, tuple[int, Callable[[Place], object], tuple[str, ...]]] = {
    # what is wrong: exit status, how it is made wrong, words that the line must hold
    "unknown key": (CONFIG, _set("machine", "colour", "red"), ("machine.colour", "unknown", "remove it")),
    "missing key": (CONFIG, _drop("readers", "exit"), ("readers.exit", "missing", "add it")),
    "missing table": (CONFIG, lambda place: place.document.pop("office"), ("'office'", "missing", "add it")),
    "wrong type": (CONFIG, _set("bus", "baudrate", "fast"), ("bus.baudrate", "int", "correct")),
    "out of range": (CONFIG, lambda p: p.document.update(patience={"take": 0}), ("patience.take", "> 0", "correct")),
    "unknown bus": (CONFIG, _set("bus", "kind", "can"), ("bus", "can", "correct")),
    "bad address": (CONFIG, _set("health", "listen", "8082"), ("health.listen", "HOST:PORT", "write")),
    "kiosk open to all": (CONFIG, _set("kiosk", "listen", "0.0.0.0:8080"), ("kiosk.listen", "open to the network")),
    "plain http": (
        CONFIG,
        _plain_http,
        ("office.url", "HTTPS", "https://"),
    ),
    "missing pack": (CONFIG, _missing_pack, ("face.pack", "nowhere", "install")),
    "missing model file": (CONFIG, _missing_model, ("face.pack", ".onnx", "install the pack again")),
    "wrong sha256": (CONFIG, _changed_model, ("face.pack", ".onnx", "sha256", "install the pack again")),
    "synthetic pack in production": (CONFIG, Place.production, ("face.pack", "domain", "simulator only", "install")),
    "missing key file": (CONFIG, lambda place: place.key.unlink(), ("machine.key_file", "device.key", "openssl")),
    "short key": (CONFIG, lambda place: place.key.write_text("5a" * 16), ("machine.key_file", "16 bytes", "openssl")),
    "key is no hex": (CONFIG, lambda place: place.key.write_bytes(b"\xff" * 64), ("machine.key_file", "hexadecimal")),
    "key open to others": (CONFIG, _open_key, ("machine.key_file", "open to others", "chmod 600")),
    "no serial port": (CONFIG, _set("bus", "port", "/dev/null"), ("bus.port", "/dev/null", "no serial port")),
    "serial port missing": (
        FAILED,
        _set("readers", "throat", "/dev/no-such-port"),
        ("readers.throat", "/dev/no-such-port", "No such file", "connect the device"),
    ),
    "nobody on the TCP bus": (FAILED, _tcp_nobody, ("bus.host", "refused", "start the gateway")),
    "listener's port taken": (FAILED, _taken_port, ("console.listen", "in use", "choose another")),
    "state folder cannot be": (
        FAILED,
        _set("machine", "state_dir", "/dev/null/state"),
        ("machine.state_dir", "/dev/null"),
    ),
    "message folder cannot be": (FAILED, _set("sms", "directory", "/dev/null/inbox"), ("sms.directory", "/dev/null")),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_said_in_one_line_and_nothing_starts(place: Place, name: str) -> None:
    status, spoil, words = BAD[name]
    spoil(place)
    place.write()
    done = place.start()
    _one_line(done, status, (str(place.file), *words))
    assert not place.state.exists(), "no database before everything was looked at"


@pytest.mark.parametrize("name", ["unknown key", "wrong sha256", "serial port missing", "listener's port taken"])
def test_check_says_the_same(place: Place, name: str) -> None:
    status, spoil, words = BAD[name]
    spoil(place)
    place.write()
    _one_line(place.start("check"), status, (str(place.file), *words))


def test_check_of_a_good_configuration_starts_and_makes_nothing(place: Place) -> None:
    done = place.start("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{place.file}: good\n"
    assert not place.state.exists()


@pytest.mark.parametrize("text", ["[machine\nid = 1", "\xff\xfe"], ids=["TOML", "UTF-8"])
def test_a_file_that_is_not_toml(place: Place, text: str) -> None:
    place.file.write_text(text, encoding="latin-1")
    _one_line(place.start(), CONFIG, (str(place.file), "not TOML", "mend"))


def test_a_file_that_is_missing(place: Place) -> None:
    place.file.unlink()
    _one_line(place.start(), CONFIG, (str(place.file), "No such file", "--config"))


def _newer(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()


def _foreign(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(_newer, ("version 999", "newer")), (_foreign, ("another program", "name"))],
    ids=["newer", "foreign"],
)
def test_a_database_that_cannot_be_used_stays_as_it_is(
    place: Place, spoil: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    database = place.state / "lockerd.db"
    place.state.mkdir()
    spoil(database)
    before = database.read_bytes()
    _one_line(place.start(), FAILED, (str(place.file), "machine.state_dir", str(database), *words))
    assert database.read_bytes() == before


def test_a_damaged_database_is_set_aside_and_the_machine_is_out_of_service(place: Place) -> None:
    """And stays so over a restart: no fresh database is begun."""
    place.state.mkdir()
    database = place.state / "lockerd.db"
    database.write_bytes(b"not a database at all" * 500)
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-m", "lockerd", "--config", str(place.file), "run"], cwd=ROOT, stderr=subprocess.DEVNULL
        ) as process:
            try:
                status, body = _ready(f"http://{place.document['health']['listen']}/readyz?verbose")
                page = urllib.request.urlopen(f"http://{place.document['kiosk']['listen']}/events", timeout=30)
                with page:
                    message = next(line for line in page if line.startswith(b"data:"))
            finally:
                process.terminate()
            assert process.wait(timeout=60) == 0
        (aside,) = place.state.glob("lockerd.db.corrupt-*")
        assert status == 503
        assert aside.name in body["checks"]["store"][0]["output"]
        assert "docs/reliability.md" in body["checks"]["store"][0]["remedy"]
        assert json.loads(message[5:])["view"] == "out_of_service"
        assert aside.read_bytes() == b"not a database at all" * 500
        assert not database.exists()


def _ready(url: str) -> tuple[int, dict[str, Any]]:
    deadline = time.monotonic() + 60.0
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, json.load(answer)
        except OSError:
            assert time.monotonic() < deadline, "no answer"
        time.sleep(0.1)


def test_a_database_of_another_key(place: Place) -> None:
    add = [sys.executable, "-m", "lockerd", "--config", str(place.file), "staff", "add", "li.wei"]
    subprocess.run(add, cwd=ROOT, input="482177\n", text=True, check=True, timeout=90)
    place.key.write_text("a5" * 32)
    words = ("machine.key_file", "lockerd.db", "put back the key")
    _one_line(place.start(), FAILED, (str(place.file), *words))


def _one_line(done: subprocess.CompletedProcess[str], status: int, words: tuple[str, ...]) -> None:
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.endswith("\n")
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr
