"""Out of service until there is room again: the service manager hears of no end, and each look waits."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from lockerd import serving
from lockerd.listening import Listener
from lockerd.supervise import Standing, Supervisor


class Closed:
    """What is shown instead; nobody listens."""

    def listeners(self) -> list[Listener]:
        return []

    def standing(self) -> Standing:
        return Standing("out of service: the disk is full", begun=True)


@pytest.mark.parametrize("told_to_stop", [False, True])
async def test_only_a_stop_is_told_as_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told_to_stop: bool
) -> None:
    monkeypatch.setattr(serving, "LOOK_FOR_ROOM_SECONDS", 0.01)
    address = tmp_path / "notify"
    stop, looks = asyncio.Event(), 0

    def room() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3 and told_to_stop:
            stop.set()
        return looks == 3

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
        manager.bind(str(address))
        supervisor = Supervisor({"NOTIFY_SOCKET": str(address)})
        async with asyncio.timeout(30):
            await serving._closed(tmp_path, Closed(), stop, supervisor, until=room)  # type: ignore[arg-type]
        heard = []
        while True:
            try:
                heard.append(manager.recv(4096).decode())
            except BlockingIOError:
                break
    assert looks == 3
    assert any("STOPPING=1" in one for one in heard) is told_to_stop
