"""The real daemon under a service manager: what it says on the notification socket, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from sim.clients import eventually
from sim.harness import Harness
from tests.system.running import PATIENCE, machine

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
WATCHDOG = 6.0


@dataclass
class Manager:
    """The service manager's end: every message with the time of its arrival."""

    socket: socket.socket
    messages: list[tuple[float, dict[str, str]]] = field(default_factory=list)

    def listen(self) -> None:
        self.socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self.socket, self._take)

    def _take(self) -> None:
        text = self.socket.recv(4096).decode()
        self.messages.append((time.monotonic(), dict(line.split("=", 1) for line in text.splitlines())))

    def times(self, key: str) -> list[float]:
        return [at for at, message in self.messages if key in message]

    @property
    def statuses(self) -> list[str]:
        return [message["STATUS"] for _, message in self.messages if "STATUS" in message]

    async def hears(self, key: str, value: str, after: int = 0) -> None:
        """Wait for a message with this value behind the first `after` messages."""

        async def look() -> bool | None:
            return any(message.get(key) == value for _, message in self.messages[after:]) or None

        try:
            await eventually(f"{key}={value}", PATIENCE, look)
        except Exception as error:
            raise AssertionError(f"{error}; heard {self.messages}") from error


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def locker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harness]:
    async with machine(tmp_path_factory.mktemp("supervision")) as harness:
        await harness.stop_lockerd()
        yield harness


@asynccontextmanager
async def daemon(locker: Harness, address: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Manager]]:
    """lockerd as a service manager starts it, with a notification socket of the test at `address`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0" + address[1:] if address.startswith("@") else address)
        manager = Manager(end)
        manager.listen()
        environment = {**os.environ, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(int(WATCHDOG * 1e6))}
        with (locker.setting.state / "logs" / "lockerd.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "lockerd", "--config", str(locker.setting.configuration), "run"),
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process, manager
        finally:
            asyncio.get_running_loop().remove_reader(end)
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()


@pytest.mark.parametrize("kind", ["path", "abstract"])
async def test_a_life_under_a_service_manager(locker: Harness, tmp_path: Path, kind: str) -> None:
    address = str(tmp_path / "notify") if kind == "path" else f"@lockerd-test-{os.getpid()}"
    async with daemon(locker, address) as (process, manager):
        await manager.hears("READY", "1")
        await manager.hears("STATUS", "serving")

        async def beaten() -> bool | None:
            return len(manager.times("WATCHDOG")) >= 3 or None

        await eventually("three signs of life", 10 * WATCHDOG, beaten)
        beats = manager.times("WATCHDOG")[:3]
        assert all(later - sooner < WATCHDOG for sooner, later in pairwise(beats))
        assert beats[-1] - beats[0] > WATCHDOG / 3, "a rate, no flood"

        before = len(manager.messages)
        await locker.world.act("silence", unit="dispenser", seconds=3600.0)
        await manager.hears("STATUS", "out of service: dispenser does not answer", before)
        before = len(manager.messages)
        await locker.world.act("silence", unit="dispenser", seconds=0.0)
        await manager.hears("STATUS", "serving", before)

        process.terminate()
        assert await asyncio.wait_for(process.wait(), 15.0) == 0
        await manager.hears("STOPPING", "1")
        assert len(manager.times("READY")) == 1
        assert manager.statuses[-1] == "stopping"


async def test_a_start_waits_for_a_silent_dispenser_and_says_so(locker: Harness, tmp_path: Path) -> None:
    await locker.world.act("silence", unit="dispenser", seconds=3600.0)
    async with daemon(locker, str(tmp_path / "notify")) as (process, manager):
        await manager.hears("STATUS", "waiting for dispenser")
        assert manager.times("READY") == []
        await locker.world.act("silence", unit="dispenser", seconds=0.0)
        await manager.hears("READY", "1")
        await manager.hears("STATUS", "serving")
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 15.0) == 0
