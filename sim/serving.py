"""Serves one aiohttp application as a process of its own, until it is told to end."""

from __future__ import annotations

import asyncio
import json
import signal

from aiohttp import web


async def serve(name: str, app: web.Application, listen: str) -> None:
    """Serve `app` on HOST:PORT (port 0: any free one) until SIGTERM or SIGINT.

    Prints one line of JSON when ready: {"ready": name, "listen": "HOST:PORT"}.
    """
    host, _, port = listen.rpartition(":")
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, int(port)).start()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        bound = runner.addresses[0]
        print(json.dumps({"ready": name, "listen": f"{bound[0]}:{bound[1]}"}), flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()
