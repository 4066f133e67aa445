"""The unit files: accepted by systemd's own checker, and in step with what the daemon does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lockerd.__main__ import EX_CONFIG
from lockerd.supervise import READY_WITHIN
from sim.harness import DEMO_PORTS

UNITS = Path(__file__).parents[2] / "systemd"
KIOSK = f"http://127.0.0.1:{DEMO_PORTS.kiosk}"


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing; remedy: apt-get install systemd")
    return found


@pytest.mark.parametrize("unit", ["lockerd.service", "lockerd-kiosk.service"])
def test_systemd_finds_nothing_wrong_but_the_missing_binary(unit: str) -> None:
    verify = [tool("systemd-analyze"), "verify", "--man=no", str(UNITS / unit)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False, timeout=60)
    missing = re.compile(rf"{re.escape(unit)}: Command \S+ is not executable: No such file or directory")
    other = [line for line in (done.stdout + done.stderr).splitlines() if not missing.fullmatch(line.strip())]
    assert other == []


def test_users_and_folders_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    users = [tool("systemd-sysusers"), f"--root={tmp_path}", str(UNITS / "sysusers.conf")]
    done = subprocess.run(users, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "lockerd-kiosk" in (tmp_path / "etc" / "passwd").read_text()
    folders = [tool("systemd-tmpfiles"), "--create", f"--root={tmp_path}", str(UNITS / "tmpfiles.conf")]
    done = subprocess.run(folders, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "etc" / "lockerd").is_dir()


def setting(name: str, unit: str = "lockerd.service") -> str:
    found = re.search(rf"^{name}=(.*)$", (UNITS / unit).read_text("utf-8"), re.MULTILINE)
    assert found is not None, name
    return found[1]


def test_the_unit_is_in_step_with_the_daemon() -> None:
    assert setting("Type") == "notify"
    assert setting("LimitCORE") == "0", "a core dump within a session holds its citizen"
    assert setting("RestartPreventExitStatus") == str(EX_CONFIG)
    assert float(setting("TimeoutStartSec")) > READY_WITHIN
    credential = setting("LoadCredential").split(":")[0]
    assert f"| `machine.key_file` | `{credential}` |" in (UNITS / "README.md").read_text("utf-8")


def test_the_browser_may_open_the_citizens_page_only() -> None:
    policy = json.loads((UNITS / "chromium-policy.json").read_text("utf-8"))
    assert policy["URLBlocklist"] == ["*"]
    assert policy["URLAllowlist"] == [KIOSK]
    assert f"{KIOSK}/" in (UNITS / "lockerd-kiosk.service").read_text("utf-8")
