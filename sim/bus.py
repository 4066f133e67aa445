"""The simulated units on a TCP port (Modbus TCP)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from sim.modbus_slave import RegisterDevice, TcpSlave

_CHUNK = 4096


@asynccontextmanager
async def tcp_bus(units: Mapping[int, RegisterDevice], host: str, port: int) -> AsyncIterator[int]:
    """Serve `units` on a TCP port while the context lasts; yields the bound port (useful with port 0).

    Raises OSError when the port cannot be bound. Leaving the context closes all connections.
    """
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        slave = TcpSlave(units)
        try:
            while not slave.broken and (data := await reader.read(_CHUNK)):
                writer.write(slave.feed(data))
                await writer.drain()
        except ConnectionError:
            pass  # the master went away
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
