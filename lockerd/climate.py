"""Keeps the cabinet's climate: looks at its temperature now and then, and tells fan and heater when something is to change."""

from __future__ import annotations

import asyncio

import structlog

from lockerd.errors import DeviceError
from lockerd.model.climate import wanted
from lockerd.model.polling import KEPT_SECONDS
from lockerd.ports import Cabinet

log = structlog.get_logger(__name__)


async def keep_climate(cabinet: Cabinet, pause: float = KEPT_SECONDS) -> None:
    """Keep it until cancelled; a cabinet that is silent, or has neither fan nor heater, is left alone until the next look."""
    while True:
        try:
            seen = await cabinet.observe()
            if seen.climate is not None:
                climate = wanted(seen.temperature, seen.climate)
                if climate != seen.climate:
                    await cabinet.set_climate(climate)
                    log.info("climate", temperature=seen.temperature, fan=climate.fan, heater=climate.heater)
        except DeviceError as error:
            log.warning("climate not kept", error=str(error))
        await asyncio.sleep(pause)
