"""A pseudo-terminal that stands where a serial device would: a simulated part behind it, a symlink to open it by."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import tty
from collections.abc import Callable
from pathlib import Path

Send = Callable[[bytes], None]
Handle = Callable[[bytes, Send], None]

_BITS_PER_BYTE = 10  # 8N1
_PENDING_LIMIT = 65_536
_PACED_CHUNK = 32  # bytes; 2.8 ms at 115200 baud


async def serve_pty(link: Path, handle: Handle, *, baudrate: float | None = None) -> None:
    """Serve a device at `link` until cancelled; the symlink is there as soon as it can be opened, and gone afterwards.

    `handle(data, send)` is called on the event loop with whatever bytes came, in whatever split; it answers by calling
    `send(bytes)`, at once or later, as often as it likes. It must not block; what it raises ends the service and is raised
    here. With `baudrate`, answers take the time they would need on an 8N1 line (1295 bytes at 115200: 112 ms). As on a line
    without flow control, bytes are lost when nobody reads them and more than 64 KiB wait.

    The service keeps the slave open itself, so clients may close and open again; raw mode is set. The parent directory of
    `link` must exist; a symlink at `link` is replaced, and FileExistsError raised for anything else.
    """
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        os.set_blocking(master, False)
        target = os.ttyname(slave)
        _point(link, target)
        try:
            await _serve(master, handle, baudrate)
        finally:
            _withdraw(link, target)
    finally:
        os.close(master)
        os.close(slave)


def _point(link: Path, target: str) -> None:
    if link.exists() and not link.is_symlink():
        raise FileExistsError(errno.EEXIST, "is no symlink, and is not replaced by one", str(link))
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)


def _withdraw(link: Path, target: str) -> None:
    """Remove the link unless a successor has replaced it already."""
    with contextlib.suppress(OSError):
        if str(link.readlink()) == target:
            link.unlink()


async def _serve(master: int, handle: Handle, baudrate: float | None) -> None:
    pending = bytearray()
    something = asyncio.Event()

    def send(data: bytes) -> None:
        pending.extend(data[: max(0, _PENDING_LIMIT - len(pending))])
        something.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_write(master, pending, something, baudrate))
        while True:
            await _ready(master, writing=False)
            with contextlib.suppress(BlockingIOError):
                handle(os.read(master, 4096), send)


async def _write(master: int, pending: bytearray, something: asyncio.Event, baudrate: float | None) -> None:
    loop = asyncio.get_running_loop()
    free_at = loop.time()
    while True:
        something.clear()
        if not pending:
            await something.wait()
        chunk = bytes(pending[: _PACED_CHUNK if baudrate else 4096])
        if baudrate:
            free_at = max(free_at, loop.time()) + len(chunk) * _BITS_PER_BYTE / baudrate
            await asyncio.sleep(free_at - loop.time())
        del pending[: len(chunk)]
        while chunk:
            try:
                chunk = chunk[os.write(master, chunk) :]
            except BlockingIOError:
                await _ready(master, writing=True)


async def _ready(fd: int, *, writing: bool) -> None:
    """Wait until `fd` can be read or written."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(fd, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        remove(fd)
