"""The link against an office that answers by a script: every answer that a link must live with."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
import structlog
from aiohttp import web

from lockerd.errors import FaceUnavailable, StoreError
from lockerd.office.link import LinkSettings, backoff
from lockerd.office.manifest import Announced, Withdrawn
from tests.office_parts import Bench, claim, until

Answer = tuple[int, Any, dict[str, str]]


@dataclass
class Scripted:
    """An office whose next answers are given; what is not scripted is answered well."""

    acked: int = 0
    registration: str = "accepted"
    offset: float = 0.0
    events: list[Answer] = field(default_factory=list)
    pages: list[bytes] = field(default_factory=list)
    hellos: list[dict[str, Any]] = field(default_factory=list)
    batches: list[tuple[float, list[str]]] = field(default_factory=list)
    statuses: list[Any] = field(default_factory=list)
    url: str = ""
    absent: bool = False

    async def hello(self, request: web.Request) -> web.Response:
        self.hellos.append(await request.json())
        if self.absent:
            return web.json_response({}, status=503)
        intervals = {"status": 30, "wait": 20}
        now = time.time() + self.offset
        return web.json_response(
            {"registration": self.registration, "acked": self.acked, "now": now, "intervals": intervals}
        )

    async def take(self, request: web.Request) -> web.Response:
        ids = [event["id"] for event in json.loads(await request.read())]
        self.batches.append((time.monotonic(), ids))
        if self.events:
            status, body, headers = self.events.pop(0)
            if isinstance(body, bytes):
                return web.Response(status=status, body=body, headers=headers)
            return web.json_response(body, status=status, headers=headers)
        self.acked = max(self.acked, int(ids[-1].partition(":")[2]))
        return web.json_response({"acked": self.acked})

    async def down(self, request: web.Request) -> web.Response:
        if not self.pages:
            await asyncio.sleep(float(request.query["wait"]))
            return web.json_response({"items": [], "cursor": int(request.query["after"]), "has_more": False})
        return web.Response(body=self.pages.pop(0))

    async def status(self, request: web.Request) -> web.Response:
        self.statuses.append(await request.json())
        return web.json_response({"now": time.time() + self.offset})

    def sizes(self) -> list[int]:
        return [len(ids) for _, ids in self.batches]


@pytest.fixture
async def peer() -> AsyncIterator[Scripted]:
    scripted = Scripted()
    app = web.Application()
    app.add_routes(
        [
            web.post("/v1/hello", scripted.hello),
            web.post("/v1/lockers/locker-1/events", scripted.take),
            web.get("/v1/lockers/locker-1/down", scripted.down),
            web.put("/v1/lockers/locker-1/status", scripted.status),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield scripted
    await runner.cleanup()


def troubles(logs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What failed while draining, as logged: once for each change."""
    return [log["error"] for log in logs if log["event"] == "office link failed" and log["stage"] == "drain"]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_greets_drains_and_reports(peer: Scripted, bench: Bench) -> None:
    bench.outbox.add(250)
    async with bench.running(peer.url) as link:
        await until(lambda: bench.outbox.acked == 250 and peer.statuses)
        assert peer.sizes() == [100, 100, 50]
        assert peer.hellos[0]["last_seq"] == 250
        assert peer.hellos[0]["epoch"] == "e1"
        assert peer.statuses == [{"slots": 3}]
        await until(lambda: link.status.backlog == 0)
        assert (link.status.reachable, link.status.acked, link.status.trouble) == (True, 250, "")


async def test_notify_wakes_an_idle_link(peer: Scripted, bench: Bench) -> None:
    async with bench.running(peer.url, idle=3600) as link:
        await until(lambda: peer.statuses)
        bench.outbox.add()
        link.notify()
        await until(lambda: bench.outbox.acked == 1)


async def test_the_timer_finds_what_nobody_told(peer: Scripted, bench: Bench) -> None:
    async with bench.running(peer.url, idle=0.01):
        await until(lambda: peer.statuses)
        bench.outbox.add()
        await until(lambda: bench.outbox.acked == 1)


async def test_413_halves_the_batch_and_it_grows_again(peer: Scripted, bench: Bench) -> None:
    bench.outbox.add(100)
    peer.events = [(413, {}, {}), (413, {}, {})]
    async with bench.running(peer.url):
        await until(lambda: bench.outbox.acked == 100)
    assert peer.sizes() == [100, 50, 25, 50, 25]


async def test_one_event_that_is_too_large_is_named_and_kept(peer: Scripted, bench: Bench) -> None:
    bench.outbox.add(2)
    peer.events = [(413, {}, {})] * 4
    with structlog.testing.capture_logs() as logs:
        async with bench.running(peer.url):
            await until(lambda: bench.outbox.acked == 2)
    assert troubles(logs) == ["the office refuses event 1 as too large"]


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_waited_for(peer: Scripted, bench: Bench, status: int) -> None:
    bench.outbox.add()
    peer.events = [(status, {}, {"Retry-After": "1"})]
    async with bench.running(peer.url) as link:
        await until(lambda: link.status.trouble)
        assert "busy" in link.status.trouble
        await until(lambda: bench.outbox.acked == 1)
        assert link.status.trouble == ""
    (first, _), (second, _) = peer.batches
    assert second - first >= 1.0
    assert len(peer.hellos) == 2  # whoever was sent away waits for the next hello


async def test_while_the_office_is_away_only_the_hello_is_repeated(peer: Scripted, bench: Bench) -> None:
    bench.outbox.add()
    async with bench.running(peer.url) as link:
        await until(lambda: bench.outbox.acked == 1 and peer.statuses)
        bench.outbox.add()
        peer.absent = True
        peer.events = [(503, {}, {})]
        link.notify()
        await until(lambda: len(peer.hellos) >= 5)
        assert peer.sizes() == [1, 1]
        peer.absent = False
        await until(lambda: bench.outbox.acked == 2)


BAD_ANSWERS: list[Answer] = [
    (200, b"", {}),
    (200, b"not json", {}),
    (200, b"[" * 200_000, {}),
    (200, {"acked": "1"}, {}),
    (200, {"acked": 0}, {}),
    (200, {"acked": 3}, {}),
    (200, {"acked": -1}, {}),
    (200, b"\x00" * 64, {"Content-Encoding": "gzip"}),
    (200, gzip.compress(b'{"acked":2}' + b" " * (9 << 20)), {"Content-Encoding": "gzip"}),
    (204, {}, {}),
    (302, {}, {"Location": "/elsewhere"}),
    (400, {}, {}),
    (409, {"acked": 7, "reason": "gap"}, {}),
    (409, {"acked": 0, "reason": "gap"}, {}),
    (409, {"acked": -5, "reason": "gap"}, {}),
    (500, {}, {}),
]


@pytest.mark.parametrize("answer", BAD_ANSWERS)
async def test_a_bad_answer_is_trouble_and_then_tried_again(peer: Scripted, bench: Bench, answer: Answer) -> None:
    bench.outbox.add(2)
    peer.events = [answer] * 2
    with structlog.testing.capture_logs() as logs:
        async with bench.running(peer.url) as link:
            await until(lambda: bench.outbox.acked == 2 and not link.status.trouble)
    assert [ids for _, ids in peer.batches] == [["e1:1", "e1:2"]] * 3
    assert len(troubles(logs)) == 1
    assert troubles(logs)[0].startswith("the office")


async def test_a_silent_port_is_trouble(bench: Bench, unused_tcp_port: int) -> None:
    async with bench.running(f"http://127.0.0.1:{unused_tcp_port}") as link:
        await until(lambda: link.status.trouble)
        assert "could not be reached" in link.status.trouble
        assert (link.status.reachable, link.status.last_success) == (False, None)


async def test_409_is_followed_forward_and_back(peer: Scripted, bench: Bench) -> None:
    bench.outbox.add(10)
    bench.outbox.acked = peer.acked = 4
    peer.events = [(409, {"acked": 7, "reason": "gap"}, {}), (409, {"acked": 2, "reason": "gap"}, {})]
    async with bench.running(peer.url, batch=2):
        await until(lambda: bench.outbox.acked == 10)
    assert [ids[0] for _, ids in peer.batches] == ["e1:5", "e1:8", "e1:3", "e1:5", "e1:7", "e1:9"]


async def test_an_office_restored_from_backup_gets_its_events_again(peer: Scripted, bench: Bench) -> None:
    bench.outbox.add(6)
    bench.outbox.acked, peer.acked = 6, 3
    async with bench.running(peer.url):
        await until(lambda: peer.acked == 6 and bench.outbox.acked == 6)
    assert peer.batches[0][1] == ["e1:4", "e1:5", "e1:6"]


async def test_a_gap_that_nobody_can_fill_is_told_with_a_hello(peer: Scripted, bench: Bench) -> None:
    bench.outbox.add(6)
    bench.outbox.acked = peer.acked = bench.outbox.forgotten = 4
    peer.events = [(409, {"acked": 1, "reason": "gap"}, {})]
    async with bench.running(peer.url):
        await until(lambda: bench.outbox.acked == 6)
    assert [hello["oldest_retained"] for hello in peer.hellos] == [5, 5]


@pytest.mark.parametrize("answer", [(409, {"acked": 9, "reason": "epoch"}, {}), (403, {}, {})])
async def test_a_locker_that_is_not_known_says_hello_again(peer: Scripted, bench: Bench, answer: Answer) -> None:
    bench.outbox.add(1)
    peer.events = [answer]
    async with bench.running(peer.url):
        await until(lambda: bench.outbox.acked == 1)
    assert len(peer.hellos) == 2


@pytest.mark.parametrize(
    ("registration", "acked"), [("pending", 0), ("rejected", 0), ("accepted", 99), ("accepted", -1)]
)
async def test_nothing_is_sent_before_the_office_accepts(
    peer: Scripted, bench: Bench, registration: str, acked: int
) -> None:
    bench.outbox.add(1)
    peer.registration, peer.acked = registration, acked
    async with bench.running(peer.url) as link:
        await until(lambda: len(peer.hellos) >= 3)
        assert link.status.trouble.startswith("register: ")
        assert (peer.batches, peer.statuses, bench.outbox.acked) == ([], [], 0)
        peer.registration, peer.acked = "accepted", 0
        await until(lambda: bench.outbox.acked == 1)


@pytest.mark.parametrize(("offset", "wrong"), [(0.0, False), (25.0, False), (40.0, True), (-40.0, True)])
async def test_a_clock_that_differs_is_a_warning(peer: Scripted, bench: Bench, offset: float, wrong: bool) -> None:
    peer.offset = offset
    async with bench.running(peer.url) as link:
        await until(lambda: peer.statuses and link.status.clock_offset is not None)
        assert link.status.clock_wrong is wrong
        assert link.clock_is_right() is not wrong


async def test_a_clock_that_is_set_is_not_right_any_more_whatever_was_found_before(
    peer: Scripted, bench: Bench
) -> None:
    async with bench.running(peer.url) as link:
        assert not link.clock_is_right()
        await until(lambda: peer.statuses and link.clock_is_right())
        bench.clock.ahead = -7200.0
        assert not link.clock_is_right()


def page(*items: dict[str, Any] | bytes, cursor: int) -> bytes:
    raw = b",".join(item if isinstance(item, bytes) else json.dumps(item).encode() for item in items)
    return b'{"items":[' + raw + b'],"cursor":%d,"has_more":false}' % cursor


def item(cursor: int, claim_id: str, **changes: object) -> dict[str, Any]:
    return {"cursor": cursor, "type": "manifest.item", "item": claim(claim_id, **changes)}


async def test_a_bad_item_blocks_no_other_and_leaks_nothing(peer: Scripted, bench: Bench) -> None:
    peer.pages = [
        page(
            item(1, "N1"),
            item(2, "N2", id_number="990101200001010015"),
            item(3, "N3", photo="!"),
            {"cursor": 4, "type": "command.unknown"},
            b"7",
            {"cursor": 6, "type": "manifest.withdraw", "claim_id": "N1"},
            cursor=6,
        )
    ]
    with structlog.testing.capture_logs() as logs:
        async with bench.running(peer.url) as link:
            await until(lambda: bench.cursor == 6)
            assert link.status.skipped == 4
    assert isinstance(bench.items[0], Announced)
    assert bench.items[1:] == [Withdrawn("N1")]
    skipped = [(log["claim"], log["reason"]) for log in logs if log["event"] == "manifest item skipped"]
    assert skipped == [
        ("N2", "id_number"),
        ("N3", "undecodable"),
        (None, "unknown_type"),
        (None, "undecodable"),
    ]
    assert "李" not in str(logs)
    assert "9901" not in str(logs)


@pytest.mark.parametrize("error", [StoreError("disk full"), RuntimeError("李小明")])
async def test_an_item_that_could_not_be_kept_comes_again(peer: Scripted, bench: Bench, error: Exception) -> None:
    first = page(item(1, "N1"), item(2, "N2"), cursor=2)
    peer.pages = [first, first]
    bench.failing, bench.error = 1, error
    with structlog.testing.capture_logs() as logs:
        async with bench.running(peer.url):
            await until(lambda: bench.cursor == 2)
    assert [found.item.claim_id for found in bench.items if isinstance(found, Announced)] == ["N1", "N2"]
    assert "李" not in str(logs)


async def test_what_was_announced_is_caught_up_with_once_all_of_it_was_taken(peer: Scripted, bench: Bench) -> None:
    first = page(item(1, "N1"), item(2, "N2"), cursor=2)
    peer.pages = [first] * 3
    bench.failing, bench.error = 2, FaceUnavailable("no worker yet")
    catching_up: list[bool] = []
    async with bench.running(peer.url) as link:
        assert link.status.catching_up

        def watched() -> bool:
            catching_up.append(link.status.catching_up)
            return link.status.caught_up

        await until(watched)
        assert bench.cursor == 2
        assert set(catching_up[:-1]) == {True}
        assert not link.status.catching_up


async def test_nothing_is_caught_up_with_while_the_office_is_away(bench: Bench, unused_tcp_port: int) -> None:
    async with bench.running(f"http://127.0.0.1:{unused_tcp_port}") as link:
        await until(lambda: link.status.trouble)
        assert (link.status.caught_up, link.status.catching_up) == (False, False)


@pytest.mark.parametrize("bad", [b"{}", page(item(9, "N9"), cursor=0), page(cursor=-1)])
async def test_a_bad_page_moves_no_cursor(peer: Scripted, bench: Bench, bad: bytes) -> None:
    peer.pages = [bad, page(item(1, "N1"), cursor=1)]
    async with bench.running(peer.url):
        await until(lambda: bench.cursor == 1)
    assert len(bench.items) == 1


@pytest.mark.parametrize(("failures", "full"), [(1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (10_000, 60.0)])
def test_backoff_doubles_up_to_its_limit_with_jitter(failures: int, full: float) -> None:
    random = Random(3)
    pauses = [backoff(LinkSettings("http://office"), failures, random) for _ in range(200)]
    assert full / 2 <= min(pauses) < full * 0.6
    assert full * 0.9 < max(pauses) <= full


async def test_cancelling_ends_the_link_at_any_moment(peer: Scripted) -> None:
    for moment in range(12):
        bench = Bench()
        bench.outbox.add(3)
        async with bench.running(peer.url):
            for _ in range(moment):
                await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if "office-" in task.get_name()]
