"""serve_pty on real pseudo-terminals."""

from __future__ import annotations

import asyncio
import os
import select
import time
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sim.ptys import Handle, Send, serve_pty


@asynccontextmanager
async def served(link: Path, handle: Handle, **options: float) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(serve_pty(link, handle, **options))
    while not link.is_symlink() and not task.done():  # noqa: ASYNC240 -- one stat of a file in memory
        await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def echo(data: bytes, send: Send) -> None:
    send(data)


def exchange(link: Path, data: bytes, count: int) -> bytes:
    fd = os.open(link, os.O_RDWR | os.O_NOCTTY)
    try:
        os.write(fd, data)
        return read(fd, count)
    finally:
        os.close(fd)


def read(fd: int, count: int) -> bytes:
    found = b""
    while len(found) < count and select.select([fd], [], [], 5)[0]:
        found += os.read(fd, 4096)
    return found


async def test_every_byte_value_passes_and_clients_come_and_go(tmp_path: Path) -> None:
    link = tmp_path / "port"
    async with served(link, echo):
        for _ in range(3):
            assert await asyncio.to_thread(exchange, link, bytes(range(256)), 256) == bytes(range(256))
    assert not link.is_symlink()


async def test_answers_may_come_later_and_be_larger_than_the_buffers(tmp_path: Path) -> None:
    link = tmp_path / "port"
    answer = bytes(range(256)) * 200

    def later(data: bytes, send: Send) -> None:
        asyncio.get_running_loop().call_soon(send, answer)

    async with served(link, later):
        assert await asyncio.to_thread(exchange, link, b"?", len(answer)) == answer


async def test_a_client_that_reads_nothing_costs_bounded_memory(tmp_path: Path) -> None:
    link = tmp_path / "port"
    seen = asyncio.Event()

    def flood(data: bytes, send: Send) -> None:
        for _ in range(100):
            send(bytes(100_000))
        seen.set()

    async with served(link, flood):
        fd = os.open(link, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, b"?")
        await asyncio.wait_for(seen.wait(), 5)
        assert len(await asyncio.to_thread(read, fd, 65_536)) == 65_536
        assert select.select([fd], [], [], 0) == ([], [], [])
        os.close(fd)


async def test_pacing_takes_at_least_the_wire_time(tmp_path: Path) -> None:
    link = tmp_path / "port"
    async with served(link, lambda data, send: send(bytes(1295)), baudrate=115_200):
        began = time.monotonic()
        await asyncio.to_thread(exchange, link, b"?", 1295)
        assert time.monotonic() - began >= 1295 * 10 / 115_200


async def test_a_stale_link_is_replaced_and_a_successors_link_is_left_alone(tmp_path: Path) -> None:
    link = tmp_path / "port"
    link.symlink_to("/nonexistent")
    async with served(link, echo):
        master, slave = os.openpty()
        tty.setraw(slave)
        link.unlink()
        link.symlink_to(os.ttyname(slave))
    assert str(link.readlink()) == os.ttyname(slave)
    os.close(master)
    os.close(slave)


async def test_what_the_device_raises_comes_out(tmp_path: Path) -> None:
    link = tmp_path / "port"

    def broken(data: bytes, send: Send) -> None:
        raise ZeroDivisionError

    async with served(link, broken) as task:
        fd = os.open(link, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, b"?")
        await asyncio.wait([task], timeout=5)
        os.close(fd)
    with pytest.raises(ExceptionGroup) as caught:
        task.result()
    assert caught.value.subgroup(ZeroDivisionError)
