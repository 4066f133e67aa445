"""The lamp that shows where the citizen's hand goes; a motion never waits for it."""

from __future__ import annotations

import asyncio

import structlog

from lockerd.errors import DeviceError
from lockerd.ports import Cabinet

log = structlog.get_logger(__name__)


class Lights:
    """Keeps the cabinet's lamps as they were last wanted; `run` is its whole life."""

    def __init__(self, cabinet: Cabinet) -> None:
        self._cabinet = cabinet
        self._wanted: str | None = None
        self._lit: str | None = ""  # not known at first
        self._changed = asyncio.Event()

    def show(self, name: str | None) -> None:
        """Light this place and no other; None is dark."""
        self._wanted = name
        if name != self._lit:
            self._changed.set()

    async def run(self) -> None:
        """Follow what is wanted until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = self._wanted
            if wanted == self._lit:
                continue
            try:
                await self._cabinet.light(*([wanted] if wanted else []))
            except DeviceError as error:
                log.warning("light not set", error=str(error))
                continue
            self._lit = wanted
            if self._wanted != wanted:  # wanted meanwhile, perhaps what was lit before
                self._changed.set()
