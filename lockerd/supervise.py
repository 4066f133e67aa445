"""The daemon's side of systemd: sd_notify(3) messages and the watchdog."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from lockerd.errors import LockerError

log = structlog.get_logger(__name__)

READY_WITHIN = 60.0
"""Seconds after which the daemon is ready even if a silent unit keeps it from serving: staff and monitoring can reach it."""

LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Standing:
    """What the daemon is doing, in words for STATUS; `begun` is False while a start is not over."""

    words: str
    begun: bool


class Supervisor:
    """Sends READY, STATUS, WATCHDOG and STOPPING to the socket named by NOTIFY_SOCKET; silent where there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._stopping = False
        self._watchdog = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if ours else 0.0

    def notify(self, **fields: str) -> None:
        """Send one message, for example notify(READY="1", STATUS="serving"). A lost message is not an error."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        payload = "\n".join(f"{key}={value}" for key, value in fields.items()).encode()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as out:
            try:
                out.connect(address)
                out.sendall(payload)
            except OSError:
                return

    async def tell(self, standing: Callable[[], Standing]) -> None:
        """Keep STATUS at what `standing` says; send READY once it is begun, or after READY_WITHIN seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_WITHIN
        ready, told = False, ""
        while not self._stopping:
            now = standing()
            if not ready and (now.begun or loop.time() > deadline):
                ready, told = True, now.words
                self.notify(READY="1", STATUS=now.words)
                log.info("ready", status=now.words)
            elif now.words != told:
                told = now.words
                self.notify(STATUS=now.words)
                log.info("status", status=now.words)
            await asyncio.sleep(LOOK_SECONDS)

    def stopping(self) -> None:
        """Say that the daemon ends by itself; nothing else is said after that but signs of life."""
        self._stopping = True
        self.notify(STOPPING="1", STATUS="stopping")
        log.info("stopping")

    async def watch(self, alive: Callable[[], Awaitable[bool]]) -> None:
        """Send WATCHDOG=1 at least three times an interval, each time only after `alive` has answered True in time.

        That the loop turns is proven by the sending. Returns where no watchdog is set.
        """
        if self._watchdog <= 0:
            return
        loop = asyncio.get_running_loop()
        pause = self._watchdog / 3
        while True:
            began = loop.time()
            try:
                async with asyncio.timeout(pause):
                    well = await alive()
            except (TimeoutError, LockerError) as error:
                log.warning("no sign of life", error=str(error) or "no answer in time")
                well = False
            if well:
                self.notify(WATCHDOG="1")
            await asyncio.sleep(max(0.0, began + pause - loop.time()))
