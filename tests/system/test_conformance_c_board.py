"""The conformance kit and a board that shares no code with the simulator: C, from the exported header, on libmodbus."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import pytest
from aiohttp import web

from sim.processes import ROOT
from tests.c_board import CBoard, cable, powered
from tests.c_parts import SOURCES, build, libmodbus


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def bench(board: CBoard, stack: AsyncExitStack) -> str:
    """Hands and power switch of the board over HTTP, as the kit asks for them; gives the address."""
    cards = count(1)

    async def act(request: web.Request) -> web.Response:
        match (await request.json())["do"]:
            case "power-off":
                await board.cut_power()
            case "power-on":
                await board.power_on()
            case "feed-card":
                await board.hand(f"feed C{next(cards)}")
            case "empty-feeder":
                await board.hand("empty")
            case "block-path":
                await board.hand("jam")
            case "free-path":
                await board.hand("free")
            case "fill-box":
                await board.hand("full 1")
            case "empty-box":
                await board.hand("full 0")
            case "block-exit":
                await board.hand("exit 1")
            case "free-exit":
                await board.hand("exit 0")
            case "take-from-exit":
                await board.hand("take")
            case _:
                return web.Response(status=409)
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/", act)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}/"


@pytest.mark.parametrize("wire", ["rtu", "tcp"])
async def test_a_board_in_c_conforms(wire: str, tmp_path: Path) -> None:
    program = build(tmp_path / "board", SOURCES / "board.c", more=libmodbus())
    folder = tmp_path / "kept"
    folder.mkdir()
    async with AsyncExitStack() as stack:
        if wire == "tcp":
            port = str(free_port())
            line, board = ["--tcp", f"127.0.0.1:{port}"], CBoard(program, folder, ("tcp", port), motion_ms=150)
        else:
            ends = await stack.enter_async_context(cable())
            line, board = ["--port", ends.host], CBoard(program, folder, ("rtu", ends.device), motion_ms=150)
        await stack.enter_async_context(powered(board))
        url = await bench(board, stack)
        report = tmp_path / "report.json"
        kit = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "firmware_protocol", "conformance", *line, "--yes", "--bench", url),
            *("--json", str(report)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        text, _ = await asyncio.wait_for(kit.communicate(), 120)
        checks = {check["check"]: check["verdict"] for check in json.loads(report.read_text())["checks"]}
        if checks.pop("timing") == "failed":
            assert kit.returncode == 1  # a busy computer delays the board's process: nothing that the board could mend
        else:
            assert kit.returncode == 0, text.decode()
        assert set(checks.values()) == {"passed"}, text.decode()
