"""A disk that is really full: a small file system of its own for the state directory, in a mount namespace."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lockerd.store.ballast import SIZE
from sim.harness import Harness
from sim.processes import ROOT
from tests.system.running import machine

NAMESPACE = ("unshare", "--mount", "--map-root-user")
PATIENCE = 90.0


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Harness]:
    """A whole machine but for its daemon: parts that answer cost no waiting."""
    async with machine(tmp_path / "place") as harness:
        await harness.kill_lockerd()
        yield harness


@pytest.fixture
def shell(place: Harness) -> Iterator[subprocess.Popen[str]]:
    """A shell whose state directory has room for the ballast and four MiB; it starts lockerd at each line it reads."""
    if subprocess.run(
        [*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True
    ).returncode:
        pytest.skip("no file system may be mounted here")
    state = place.setting.database.parent
    mount = f'mount -t tmpfs -o size={SIZE + (4 << 20)} none "$1" || exit 1'
    script = f'{mount}; while read line; do "$2" -m lockerd --config "$3" run; done'
    command = [*NAMESPACE, "sh", "-c", script, "sh", str(state), sys.executable, str(place.setting.configuration)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL, bufsize=1
    ) as process:
        try:
            yield process
        finally:
            for child in _children(process):
                subprocess.run(["kill", child], check=False)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(timeout=60) is not None


def _children(process: subprocess.Popen[str]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def _until(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def _checks(place: Harness) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://{place.setting.addresses.health}/readyz?verbose", timeout=5) as answer:
            return dict(json.load(answer)["checks"])
    except urllib.error.HTTPError as answer:
        with answer:
            return dict(json.load(answer)["checks"])
    except OSError:
        return {}


def _disk(place: Harness) -> str:
    return str(_checks(place).get("disk", [{"status": "unknown"}])[0]["status"])


def _try_to_log_in(place: Harness) -> int:
    """Something that must become durable before it is answered: 403, or 409 when it could not be recorded."""
    request = urllib.request.Request(
        f"http://{place.setting.addresses.console}/api/login",
        json.dumps({"name": f"nobody {time.monotonic()}", "pin": "000000"}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code
    return 204


def _fill(path: Path) -> None:
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(1 << 20):
                file.write(bytes(1 << 14))
    except OSError:
        return


def test_what_is_in_hand_is_recorded_on_a_full_disk_and_the_machine_says_so(
    place: Harness,
    shell: subprocess.Popen[str],
) -> None:
    assert shell.stdin is not None
    shell.stdin.write("start\n")
    _until("lockerd asks its parts", lambda: _disk(place) == "pass")
    state = Path(f"/proc/{shell.pid}/root{place.setting.database.parent}")
    ballast, filler = state / "ballast", state / "filler"
    assert ballast.stat().st_size == SIZE

    _fill(filler)
    answers = []

    def released() -> bool:
        answers.append(_try_to_log_in(place))
        return not ballast.exists()

    _until("the ballast is released", released)
    assert set(answers) == {403}, "each was recorded"
    _fill(filler.with_name("more"))
    _until("/readyz names the disk", lambda: _disk(place) == "fail")
    _until("and what to do", lambda: "make room" in str(_checks(place).get("disk")))

    filler.unlink()
    filler.with_name("more").unlink()
    _until("the machine goes on by itself", lambda: _disk(place) == "pass")
    assert ballast.stat().st_size == SIZE

    for child in _children(shell):
        subprocess.run(["kill", child], check=True)
    _until("lockerd has ended", lambda: not _children(shell))
    ballast.unlink()
    _fill(filler)
    shell.stdin.write("start\n")
    _until("a start without any room says so", lambda: list(_checks(place)) == ["disk"])
    filler.unlink()
    _until("and goes on by itself", lambda: "dispenser" in _checks(place) and _disk(place) == "pass")
