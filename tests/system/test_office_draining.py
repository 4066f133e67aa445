"""The link against the real office process: absences, kill -9 in the middle of draining, lost answers, what comes down."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from lockerd.errors import StoreError
from lockerd.office.manifest import Announced, Withdrawn
from tests.office_parts import Bench, OfficeProcess, call, claim, ledger, office, until


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[OfficeProcess]:
    async with office(tmp_path) as process:
        yield process


def arrived(state: Path) -> list[int]:
    """The sequence numbers in the order of their arrival, from the database of an office that has ended."""
    with contextlib.closing(sqlite3.connect(state / "office.db")) as db:
        return [seq for (seq,) in db.execute("SELECT seq FROM event ORDER BY arrival")]


async def reached(bench: Bench, seq: int) -> None:
    await until(lambda: bench.outbox.acked >= seq)


async def test_an_outage_loses_nothing(peer: OfficeProcess, tmp_path: Path) -> None:
    bench = Bench()
    bench.outbox.add(3)
    async with bench.running(peer.url) as link:
        await until(lambda: bench.outbox.acked == 3)
        await call("POST", f"{peer.url}/sim/absent", {"seconds": 3600})
        bench.outbox.add(5)
        link.notify()
        await until(lambda: "busy" in link.status.trouble and not link.status.reachable)
        assert bench.outbox.acked == 3
        await call("POST", f"{peer.url}/sim/absent", {"seconds": 0})
        await until(lambda: bench.outbox.acked == 8 and link.status.reachable and not link.status.trouble)
        assert link.status.backlog == 0
        books = await ledger(peer.url)
        assert (books["duplicates"], books["gaps"]) == (0, 0)
    await peer.stop()
    assert arrived(tmp_path) == list(range(1, 9))


async def test_an_office_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    async with office(tmp_path) as peer:
        await peer.kill()
        bench = Bench()
        bench.outbox.add(3)
        async with bench.running(peer.url) as link:
            await until(lambda: "could not be reached" in link.status.trouble)
            await peer.start()
            await until(lambda: bench.outbox.acked == 3)


async def test_kill_9_while_draining_loses_nothing_and_doubles_nothing(peer: OfficeProcess, tmp_path: Path) -> None:
    bench, random = Bench(), Random(5)
    bench.outbox.add(3000)
    async with bench.running(peer.url, batch=20):
        for _ in range(5):
            await reached(bench, bench.outbox.acked + random.randrange(50, 400))
            await peer.kill()
            await peer.start()
        await until(lambda: bench.outbox.acked == 3000)
        books = await ledger(peer.url)
    assert (books["events"], books["gaps"], books["last_seq"]) == (3000, 0, 3000)
    await peer.stop()
    assert arrived(tmp_path) == list(range(1, 3001))


@contextlib.asynccontextmanager
async def deaf_line(port: int, every: int) -> AsyncIterator[str]:
    """A TCP line to `port` that is cut in place of every n-th answer to a batch; the office has kept that batch."""
    answers = itertools.count(1)

    async def up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: list[bytes]) -> None:
        while data := await reader.read(1 << 16):
            sent.append(data)
            writer.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        sent: list[bytes] = []
        upward = asyncio.create_task(up(reader, far_writer, sent))
        try:
            while data := await far_reader.read(1 << 16):
                if any(b"/events " in part for part in sent) and next(answers) % every == 0:
                    break
                sent.clear()
                writer.write(data)
        finally:
            upward.cancel()
            far_writer.close()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_after_a_lost_answer_the_hello_tells_what_arrived_and_nothing_travels_twice(
    peer: OfficeProcess, tmp_path: Path
) -> None:
    bench = Bench()
    bench.outbox.add(200)
    async with deaf_line(peer.port, every=3) as url, bench.running(url, batch=10):
        await until(lambda: bench.outbox.acked == 200)
        books = await ledger(peer.url)
    assert (books["events"], books["duplicates"], books["gaps"]) == (200, 0, 0)
    await peer.stop()
    assert arrived(tmp_path) == list(range(1, 201))


async def test_what_the_office_announces_arrives_at_once(peer: OfficeProcess) -> None:
    bench = Bench()
    async with bench.running(peer.url):
        await call("POST", f"{peer.url}/sim/announce", [claim("N1"), claim("N2")])
        await until(lambda: len(bench.items) == 2)
        await call("POST", f"{peer.url}/sim/withdraw", {"claim_id": "N2"})
        await until(lambda: len(bench.items) == 3)
    assert isinstance(bench.items[0], Announced)
    assert bench.items[0].item.phone == "+8619900000001"
    assert bench.items[2] == Withdrawn("N2")
    assert bench.cursor == 3


async def test_an_item_that_could_not_be_kept_comes_again(peer: OfficeProcess) -> None:
    bench = Bench(failing=3, error=StoreError("disk full"))
    await call("POST", f"{peer.url}/sim/announce", [claim("N1"), claim("N2", id_number="1"), claim("N3")])
    async with bench.running(peer.url) as link:
        await until(lambda: bench.cursor == 3)
        assert link.status.skipped == 1
        await until(lambda: not link.status.trouble)
    assert [found.item.claim_id for found in bench.items if isinstance(found, Announced)] == ["N1", "N3"]


async def test_a_cursor_survives_so_nothing_comes_twice_after_a_restart(peer: OfficeProcess) -> None:
    await call("POST", f"{peer.url}/sim/announce", [claim(f"N{n}") for n in range(30)])
    bench = Bench()
    async with bench.running(peer.url):
        await until(lambda: bench.cursor == 30)
    await call("POST", f"{peer.url}/sim/announce", claim("N30"))
    async with bench.running(peer.url):
        await until(lambda: bench.cursor == 31)
    assert [found.item.claim_id for found in bench.items if isinstance(found, Announced)] == [
        f"N{n}" for n in range(31)
    ]


async def test_the_town_is_announced_once_with_photos_and_every_item_is_good(tmp_path: Path) -> None:
    async with office(tmp_path, people=6) as peer:
        await peer.kill()
        await peer.start()
        bench = Bench()
        async with bench.running(peer.url) as link:
            await until(lambda: bench.cursor == 6)
            assert link.status.skipped == 0
        books = await ledger(peer.url)
    found = [announced.item for announced in bench.items if isinstance(announced, Announced)]
    assert sorted(books["claims"]) == [item.claim_id for item in found]
    assert {item.kind for item in found} == {"renewal", "replacement"}
    assert len({item.photo for item in found}) == 6


async def test_the_status_arrives(peer: OfficeProcess) -> None:
    bench = Bench()
    bench.clock.ahead = 90
    async with bench.running(peer.url) as link:

        async def told() -> bool:
            return "locker-1" in (await call("GET", f"{peer.url}/sim/status"))[1]

        await until(told)
        await until(lambda: link.status.clock_wrong)
        offset = link.status.clock_offset
    assert offset is not None
    assert -100 < offset < -80
    assert json.dumps((await call("GET", f"{peer.url}/sim/status"))[1]["locker-1"]["status"]) == '{"slots": 3}'
