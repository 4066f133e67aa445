"""The daemon's side of systemd: sd_notify(3) messages and the watchdog."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping


class Supervisor:
    """Sends READY, STATUS, WATCHDOG and STOPPING to the socket named by NOTIFY_SOCKET; silent where there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog = int(environment.get("WATCHDOG_USEC", "0")) / 1e6 if ours else 0.0

    def notify(self, **fields: str) -> None:
        """Send one message, for example notify(READY="1", STATUS="serving"). A lost message is not an error."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        payload = "\n".join(f"{key}={value}" for key, value in fields.items()).encode()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            try:
                out.connect(address)
                out.sendall(payload)
            except OSError:
                return

    async def watch(self) -> None:
        """Send WATCHDOG=1 at a third of the interval, which proves that the event loop turns; returns where none is set."""
        while self._watchdog > 0:
            self.notify(WATCHDOG="1")
            await asyncio.sleep(self._watchdog / 3)
