import asyncio
import os
import re
import socket
import tomllib
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.clients import TooLate, eventually
from sim.harness import DEMO_PORTS, Setting, configuration, free_addresses, toml_text
from sim.processes import Child, ProcessDied, run_to_end

keys = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.one_of(
    text, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
)


@given(st.dictionaries(keys, st.dictionaries(keys, values)))
def test_what_is_written_reads_back_the_same(document: dict[str, dict[str, str | int | float | bool]]) -> None:
    assert tomllib.loads(toml_text(document)) == document


def test_the_configuration_names_every_table_once_and_the_bus_by_kind(tmp_path: Path) -> None:
    addresses = free_addresses()
    rtu = tomllib.loads(toml_text(configuration(Setting(tmp_path, addresses))))
    tcp = tomllib.loads(toml_text(configuration(Setting(tmp_path, addresses, tcp=True, framed_by="http://dock"))))
    assert rtu["bus"] == {"kind": "rtu", "port": str(tmp_path / "machine" / "bus"), "baudrate": 115200}
    assert tcp["bus"] == {"kind": "tcp", "host": "127.0.0.1", "port": int(addresses.modbus.split(":")[1])}
    assert "framed_by" not in rtu["kiosk"]
    assert tcp["kiosk"]["framed_by"] == "http://dock"
    assert rtu["machine"]["environment"] == "simulator"
    assert Path(rtu["face"]["pack"], "manifest.json").is_file()


def test_addresses_are_free_and_different() -> None:
    found = astuple(free_addresses())
    assert len(set(found)) == len(found)
    for address in found:
        host, _, port = address.rpartition(":")
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of before linger
            listener.bind((host, int(port)))
            listener.listen()


def test_a_preferred_port_that_is_taken_gives_way_to_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", int(DEMO_PORTS.kiosk)))
            taken.listen()
        except OSError:
            pass  # somebody else holds it; that serves as well
        port = int(free_addresses(DEMO_PORTS).kiosk.rpartition(":")[2])
        assert port > int(DEMO_PORTS.kiosk)


async def _started(tmp_path: Path, script: str) -> Child:
    (tmp_path / "child.py").write_text(script)
    child = Child("child", [str(tmp_path / "child.py")], tmp_path / "child.log")
    await child.start()
    return child


async def _says(child: Child, words: str) -> None:
    async def look() -> bool | None:
        child.check()
        return True if words in child.last_words() else None

    await eventually(f"the child says {words}", 20.0, look)


async def test_a_child_that_dies_is_named_with_its_last_words(tmp_path: Path) -> None:
    child = await _started(tmp_path, "import sys; sys.exit('no key')")
    with pytest.raises(ProcessDied, match=re.compile("child ended with status 1.*no key", re.DOTALL)):
        await _says(child, "never")
    await child.stop()
    child.check()  # stopped on purpose from here on


async def test_stopping_a_child_takes_its_whole_group_with_it(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time, signal\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(f'inner {inner.pid}.', flush=True)\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "time.sleep(600)\n"
    )
    child = await _started(tmp_path, script)
    await _says(child, "inner")
    found = re.search(r"inner (\d+)\.", child.last_words())
    assert found
    await child.stop()

    async def gone() -> bool | None:
        return None if _runs(int(found[1])) else True

    await eventually("the inner process gone", 10.0, gone)


def _runs(pid: int) -> bool:
    """Whether a process runs; one that ended but was not yet reaped by init does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.processes.GRACE", 0.2)
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    child = await _started(tmp_path, script)
    await _says(child, "deaf")
    async with asyncio.timeout(10.0):
        await child.stop()


async def test_a_failing_command_is_told_with_its_output() -> None:
    with pytest.raises(ProcessDied, match="status 1"):
        await run_to_end(["-c", "raise SystemExit(1)"], "")


async def test_a_condition_that_never_holds_is_too_late() -> None:
    async def never() -> None:
        return None

    with pytest.raises(TooLate, match=r"rain: not within 0\.05 s"):
        await eventually("rain", 0.05, never)
