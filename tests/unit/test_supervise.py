"""Signs of life: sent while the loop turns, the database answers and the session gets on, and not otherwise."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import lockerd.journey.session
from lockerd.condition import standing
from lockerd.errors import StoreError
from lockerd.journey.session import Session
from lockerd.model.custody import Unit
from lockerd.model.view import View, Ways
from lockerd.supervise import Standing, Supervisor
from lockerd.web.health import Check, HealthReport, Status
from sim.clients import eventually


class Manager:
    """The service manager's end of the notification socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(address)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    async def hears(self, wanted: str) -> None:
        async def look() -> bool | None:
            return wanted in self.heard() or None

        await eventually(wanted, 10.0, look)


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.socket.close()


def supervisor(manager: Manager, **more: str) -> Supervisor:
    return Supervisor({"NOTIFY_SOCKET": manager.socket.getsockname(), **more})


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def never() -> bool:
    await asyncio.Event().wait()
    return True


async def broken() -> bool:
    raise StoreError("the database is locked by another program")


@pytest.mark.parametrize("dead", [no, never, broken])
async def test_signs_of_life_stop_with_what_they_stand_for_and_come_back(
    manager: Manager, dead: Callable[[], Awaitable[bool]]
) -> None:
    asked = asyncio.Event()
    now: list[Callable[[], Awaitable[bool]]] = [yes]

    async def alive() -> bool:
        asked.set()
        return await now[0]()

    watching = asyncio.create_task(supervisor(manager, WATCHDOG_USEC="60000").watch(alive))
    await manager.hears("WATCHDOG=1")
    now[0] = dead
    for _ in range(2):  # an answer that was under way may still count
        asked.clear()
        await asyncio.wait_for(asked.wait(), 10)
    manager.heard()
    for _ in range(3):
        asked.clear()
        await asyncio.wait_for(asked.wait(), 10)
    assert manager.heard() == []
    now[0] = yes
    await manager.hears("WATCHDOG=1")
    watching.cancel()
    await asyncio.wait([watching])


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "60000", "WATCHDOG_PID": "1"}], ids=["none", "not ours"])
async def test_without_a_watchdog_of_ours_nothing_is_watched(manager: Manager, environment: dict[str, str]) -> None:
    await asyncio.wait_for(supervisor(manager, **environment).watch(never), 10)
    assert manager.heard() == []


async def test_ready_is_said_once_when_the_start_is_over_and_status_whenever_it_changes(manager: Manager) -> None:
    now = [Standing("waiting for dispenser", begun=False)]
    one = supervisor(manager)
    telling = asyncio.create_task(one.tell(lambda: now[0]))
    await manager.hears("STATUS=waiting for dispenser")
    now[0] = Standing("serving", begun=True)
    await manager.hears("READY=1\nSTATUS=serving")
    now[0] = Standing("out of service: dispenser does not answer", begun=True)
    await manager.hears("STATUS=out of service: dispenser does not answer")
    one.stopping()
    now[0] = Standing("serving", begun=True)
    await asyncio.wait_for(telling, 10)
    assert manager.heard() == ["STOPPING=1\nSTATUS=stopping"]


async def test_ready_is_said_in_bounded_time_where_a_unit_stays_silent(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockerd.supervise.READY_WITHIN", 0.0)
    telling = asyncio.create_task(supervisor(manager).tell(lambda: Standing("waiting for dispenser", begun=False)))
    await manager.hears("READY=1\nSTATUS=waiting for dispenser")
    telling.cancel()
    await asyncio.wait([telling])


def test_a_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).notify(READY="1")
    Supervisor({}).notify(READY="1")


def test_the_standing_names_what_is_wrong() -> None:
    silent = Check("dispenser", Status.FAIL, "does not answer")
    late = Check("office", Status.WARN, "not reached yet")
    good = Check("store", Status.PASS)
    assert standing(HealthReport(True, (good, good)), True, None) == Standing("serving", True)
    assert standing(HealthReport(True, (good, late)), True, None) == Standing("serving; office not reached yet", True)
    assert standing(HealthReport(False, (good, silent, late)), True, None) == Standing(
        "out of service: dispenser does not answer", True
    )
    assert standing(HealthReport(False, (good, silent)), False, Unit.DISPENSER) == Standing(
        "waiting for dispenser", False
    )
    assert not standing(HealthReport(True, (good, good)), False, None).begun


class Settling:
    """A recovery that hangs; `waited_until` grows while it waits out a silent unit."""

    fit = False
    waited_until = 0.0

    async def after_restart(self) -> None:
        await asyncio.Event().wait()


def _session(recovery: Settling) -> Session:
    shown: list[View] = []
    parts: dict[str, Any] = dict.fromkeys(("doing", "watching", "cabinet", "tries"), SimpleNamespace())
    return Session(
        recovery=cast(Any, recovery),
        show=shown.append,
        patience={},
        new_journey_id=lambda: "j",
        ways=Ways,
        **parts,
    )


async def test_a_session_that_hangs_is_stuck_and_one_that_waits_for_a_silent_unit_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lockerd.journey.session, "STUCK_SECONDS", 0.05)
    recovery = Settling()
    session = _session(recovery)
    assert not session.stuck(), "nothing has begun"
    running = asyncio.create_task(session.run())

    async def stuck() -> bool | None:
        return session.stuck() or None

    await eventually("stuck", 10.0, stuck)
    recovery.waited_until = asyncio.get_running_loop().time()
    assert not session.stuck()
    running.cancel()
    await asyncio.wait([running])
