"""A whole machine for a test: the simulator's processes and lockerd, as the demo starts them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from sim.clients import eventually
from sim.harness import Harness, Setting, free_addresses

SPEED = 8.0
PATIENCE = 60.0
"""Seconds that anything here may take on a busy machine."""


@asynccontextmanager
async def machine(state: Path, **also: Any) -> AsyncIterator[Harness]:
    """Everything running, nothing stocked yet; `also` is of the `Setting`."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
        Harness(Setting(state, free_addresses(), speed=SPEED, take_seconds=8.0, **also), session) as harness,
    ):
        yield harness


async def health(harness: Harness, path: str = "/readyz?verbose") -> tuple[int, dict[str, Any]]:
    """Status and body of one of the health answers."""
    async with harness.session.get(f"http://{harness.setting.addresses.health}{path}") as answer:
        assert answer.content_type == "application/health+json"
        return answer.status, await answer.json(content_type=None)


async def metrics(harness: Harness) -> str:
    """The text of /metrics."""
    async with harness.session.get(f"http://{harness.setting.addresses.health}/metrics") as answer:
        assert answer.status == 200
        return await answer.text()


async def health_says(harness: Harness, status: int, check: str, verdict: str) -> dict[str, Any]:
    """Wait until /readyz answers `status` with this verdict for `check`; returns that check's line."""
    seen: list[tuple[int, dict[str, Any]]] = []

    async def look() -> dict[str, Any] | None:
        seen[:] = [await health(harness)]
        code, body = seen[0]
        line: dict[str, Any] = body["checks"].get(check, [{}])[0]
        return line if code == status and line.get("status") == verdict else None

    try:
        return await eventually(f"/readyz {status} with {check} {verdict}", PATIENCE, look)
    except Exception as error:
        raise AssertionError(f"{error}; it says {seen}") from error
