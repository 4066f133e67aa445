"""What the system tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all browser tests, which therefore run in the session's event loop."""
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"{CHROMIUM} is missing; remedy: apt-get install chromium fonts-noto-cjk")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def chromium(browser: Browser) -> AsyncIterator[Browser]:
    """The system's Chromium; a test that needs it is skipped where it is missing. What a test opened is closed after it."""
    yield browser
    for context in browser.contexts:
        await context.close()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """The folder for pictures of the screens: LOCKERD_SCREENSHOTS, by default ./screenshots."""
    place = Path(os.environ.get("LOCKERD_SCREENSHOTS", "screenshots"))
    place.mkdir(parents=True, exist_ok=True)
    return place
