"""What the system tests share."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

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


@pytest_asyncio.fixture
async def chromium(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    """The system's Chromium; a test that needs it is skipped by name where it is missing."""
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"{request.node.name}: {CHROMIUM} is missing; remedy: apt-get install chromium fonts-noto-cjk")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        await browser.close()
