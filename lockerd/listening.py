"""HTTP applications on their addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from lockerd.config import host_and_port
from lockerd.preflight import cannot_listen


@dataclass(frozen=True, slots=True)
class Listener:
    """One HTTP application and the address it is served on; `key` names it in the configuration."""

    key: str
    app: web.Application
    listen: str


@asynccontextmanager
async def listening(path: Path, listeners: Sequence[Listener]) -> AsyncIterator[None]:
    """Serve all of them meanwhile. Raises StartFailed, naming the configuration `path`, for an address that cannot be had."""
    async with AsyncExitStack() as stack:
        for listener in listeners:
            runner = web.AppRunner(listener.app, access_log=None, shutdown_timeout=2.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            host, port = host_and_port(listener.listen)
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                raise cannot_listen(path, f"{listener.key}.listen", listener.listen, error) from error
        yield
