"""The conformance kit passes a board that was written from the exported header alone."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from aiohttp import web

from firmware_protocol.conformance.hands import Act
from tests.c_board import CBoard, cable, free_port, powered
from tests.c_parts import SOURCES, build, libmodbus


@asynccontextmanager
async def bench_of(board: CBoard) -> AsyncIterator[str]:
    """Hands and power switch of the board behind HTTP, as the kit asks for them; yields the address."""
    numbers = count(1)

    async def act(request: web.Request) -> web.Response:
        match Act((await request.json())["do"]):
            case Act.POWER_OFF:
                await board.cut_power()
            case Act.POWER_ON:
                await board.power_on()
            case Act.FEED_CARD:
                await board.hand(f"feed N{next(numbers)}")
            case Act.TAKE_FROM_EXIT:
                await board.hand("take")
            case other:
                return web.Response(status=409, text=f"a dispenser has no {other}")
        return web.Response()

    application = web.Application()
    application.router.add_post("/act", act)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", free_port())
        await site.start()
        yield f"{site.name}/act"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("kind", ["rtu", "tcp"])
async def test_the_kit_passes_the_dispenser_in_c(kind: str, tmp_path: Path) -> None:
    program = build(tmp_path / "board", SOURCES / "board.c", more=libmodbus())
    (tmp_path / "flash").mkdir()
    async with AsyncExitStack() as stack:
        if kind == "rtu":
            line = await stack.enter_async_context(cable())
            ends, where = ("rtu", line.device), ["--port", line.host]
        else:
            port = str(free_port())
            ends, where = ("tcp", port), ["--tcp", f"127.0.0.1:{port}"]
        board = await stack.enter_async_context(powered(CBoard(program, tmp_path / "flash", ends, motion_ms=150)))
        url = await stack.enter_async_context(bench_of(board))
        kit = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "firmware_protocol", "conformance", *where, "--unit", "1", "--yes"),
            *("--bench", url, "--motion-seconds", "10", "--json", str(tmp_path / "report.json")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(150):
            said, _ = await kit.communicate()
        report = json.loads((tmp_path / "report.json").read_text("utf-8"))
        failed = {one["check"]: one["seen"] for one in report["checks"] if one["verdict"] != "passed"}
        assert failed == {}, said.decode()
        assert kit.returncode == 0
