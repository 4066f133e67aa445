"""Simulated parts on a TCP port: the units (Modbus TCP), or any device that speaks bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from sim.modbus_slave import Answer, RegisterDevice, TcpSlave, answer
from sim.ptys import Handle, Send

_CHUNK = 4096


class _Ended(Exception):
    """The stream is none that the part understands."""


@asynccontextmanager
async def tcp_bus(
    units: Mapping[int, RegisterDevice], host: str, port: int, respond: Answer = answer
) -> AsyncIterator[int]:
    """Serve `units` on a TCP port while the context lasts; yields the bound port (useful with port 0).

    Raises OSError when the port cannot be bound. Leaving the context closes all connections.
    """

    def connected() -> Handle:
        slave = TcpSlave(units, respond)

        def handle(data: bytes, send: Send) -> None:
            send(slave.feed(data))
            if slave.broken:
                raise _Ended

        return handle

    async with tcp_stream(connected, host, port) as bound:
        yield bound


@asynccontextmanager
async def tcp_stream(connected: Callable[[], Handle], host: str, port: int) -> AsyncIterator[int]:
    """Serve bytes on a TCP port while the context lasts, with a `Handle` of its own for each connection; as `tcp_bus`."""
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handle = connected()
        try:
            while data := await reader.read(_CHUNK):
                handle(data, writer.write)
                await writer.drain()
        except (ConnectionError, _Ended):
            pass  # the master went away, or speaks something else
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, host, port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()
