"""The office process, spoken to without lockerd's link."""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.office_parts import EPOCH, LOCKER, OfficeProcess, call, claim, event, ledger, office


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[OfficeProcess]:
    async with office(tmp_path) as process:
        yield process


async def hello(peer: OfficeProcess, epoch: str = EPOCH, last: int = 0, oldest: int = 1) -> dict[str, Any]:
    body = {"locker": LOCKER, "epoch": epoch, "boot_id": "b1", "last_seq": last, "oldest_retained": oldest}
    status, answer = await call("POST", f"{peer.url}/v1/hello", body)
    assert status == 200
    return dict(answer)


async def send(peer: OfficeProcess, *events: bytes, **more: Any) -> tuple[int, Any]:
    body = b"[" + b",".join(events) + b"]"
    return await call("POST", f"{peer.url}/v1/lockers/{LOCKER}/events", data=body, **more)


async def test_keeps_events_once_and_in_order(peer: OfficeProcess) -> None:
    await hello(peer)
    assert await send(peer, event(1), event(2)) == (200, {"acked": 2})
    assert await send(peer, event(1), event(2), event(3)) == (200, {"acked": 3})
    books = await ledger(peer.url)
    assert (books["events"], books["duplicates"], books["gaps"], books["last_seq"]) == (3, 2, 0, 3)


@pytest.mark.parametrize("batch", [(event(3),), (event(2), event(4)), (event(3), event(2))])
async def test_refuses_a_gap_whole(peer: OfficeProcess, batch: tuple[bytes, ...]) -> None:
    await hello(peer)
    await send(peer, event(1))
    assert await send(peer, *batch) == (409, {"acked": 1, "reason": "gap"})
    books = await ledger(peer.url)
    assert (books["events"], books["gaps"]) == (1, 1)


async def test_a_stranger_and_a_foreign_epoch_are_sent_to_hello(peer: OfficeProcess) -> None:
    assert await send(peer, event(1)) == (409, {"acked": 0, "reason": "epoch"})
    await hello(peer)
    await send(peer, event(1))
    assert await send(peer, event(2, epoch="other")) == (409, {"acked": 1, "reason": "epoch"})


async def test_a_new_epoch_fences_the_old_database(peer: OfficeProcess) -> None:
    await hello(peer)
    await send(peer, event(1))
    assert (await hello(peer, "e2"))["acked"] == 0
    assert await send(peer, event(2)) == (409, {"acked": 0, "reason": "epoch"})
    assert (await hello(peer, EPOCH, last=1))["registration"] == "rejected"
    assert await send(peer, event(1, epoch="e2")) == (200, {"acked": 1})


async def test_a_database_that_fell_behind_is_rejected(peer: OfficeProcess) -> None:
    await hello(peer)
    await send(peer, event(1), event(2))
    answer = await hello(peer, last=1)
    assert (answer["registration"], answer["acked"]) == ("rejected", 2)


async def test_events_that_nobody_keeps_any_more_are_a_gap_but_block_nothing(peer: OfficeProcess) -> None:
    assert (await hello(peer, last=9, oldest=8))["acked"] == 7
    assert await send(peer, event(8), event(9)) == (200, {"acked": 9})
    assert (await ledger(peer.url))["gaps"] == 1


POISON = [
    {"type": 7},
    {"specversion": "0.3"},
    {"data": "text"},
    {"data": {"claim_id": "\ud800"}},
    {"data": {"claim_id": "never-announced"}},
    {"data": {"slot": 10**30}},
    {"data": {"slot": True}},
    {"type": "lockerd.card.taken", "data": {}},
    {"type": "lockerd.card.taken", "data": {"card_id": "old-000001"}},
    {"type": "lockerd.old.retained", "data": {"journey_id": "j1"}},
]


@pytest.mark.parametrize("change", POISON)
async def test_poison_is_kept_as_it_came_and_acknowledged(
    peer: OfficeProcess, tmp_path: Path, change: dict[str, Any]
) -> None:
    await hello(peer)
    poison = {**json.loads(event(1)), **change}
    assert await send(peer, json.dumps(poison).encode(), event(2)) == (200, {"acked": 2})
    books = await ledger(peer.url)
    assert (books["events"], books["poison"]) == (2, 1)
    await peer.stop()
    with sqlite3.connect(tmp_path / "office.db") as db:
        kept = db.execute("SELECT type, raw FROM event WHERE seq = 1").fetchone()
    db.close()
    assert kept[0] is None
    assert json.loads(kept[1]) == poison


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"[1]", b'[{"id":"e1:0"}]', b'[{"id":"e1"}]', b"[" * 100_000])
async def test_what_is_not_a_batch_is_a_bad_request(peer: OfficeProcess, body: bytes) -> None:
    await hello(peer)
    status, answer = await call("POST", f"{peer.url}/v1/lockers/{LOCKER}/events", data=body)
    assert (status, list(answer)) == (400, ["error"])


async def test_gzip_and_its_limits(peer: OfficeProcess) -> None:
    await hello(peer)
    url = f"{peer.url}/v1/lockers/{LOCKER}/events"
    packed = {"Content-Encoding": "gzip"}
    body = gzip.compress(b"[" + event(1) + b"]")
    assert await call("POST", url, data=body, headers=packed) == (200, {"acked": 1})
    bomb = gzip.compress(b" " * (3 << 20))
    status, _ = await call_status("POST", url, data=bomb, headers=packed)
    assert status == 413
    status, _ = await call_status("POST", url, data=b"[" + b",".join(event(n) for n in range(2, 600)) + b"]")
    assert status == 413
    assert (await ledger(peer.url))["events"] == 1


async def call_status(method: str, url: str, **more: Any) -> tuple[int, bytes]:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.request(method, url, **more) as answer:
        return answer.status, await answer.read()


async def test_the_ledger_follows_the_events(peer: OfficeProcess) -> None:
    await hello(peer)
    await call("POST", f"{peer.url}/sim/announce", [claim("N1"), claim("N2")])
    story = [
        ("card.stocked", "N1", 5),
        ("card.stocked", "N2", 6),
        ("card.presented", "N1", 5),
        ("old.inserted", "N1", None),
        ("card.taken", "N1", None),
        ("old.retained", "N1", None),
        ("claim.locked", "N2", None),
    ]
    events = [event(n, kind, claim_id=who, slot=slot) for n, (kind, who, slot) in enumerate(story, 1)]
    events.append(event(8, "old.inserted", card_id="old-000002"))  # whose card it is, nobody knows
    events.append(event(9, "intent.in_doubt", card_id="old-000002"))
    assert (await send(peer, *events))[0] == 200
    books = await ledger(peer.url)
    assert books["claims"] == {
        "N1": {"state": "collected", "slot": None, "locked": False, "events": 5},
        "N2": {"state": "stocked", "slot": 6, "locked": True, "events": 2},
    }
    assert books["old_cards"] == {"N1": "retained"}
    assert books["poison"] == 0


async def test_what_was_acknowledged_survives_kill_9(peer: OfficeProcess) -> None:
    await hello(peer)
    await call("POST", f"{peer.url}/sim/announce", claim("N1"))
    for seq in range(1, 6):
        assert await send(peer, event(seq)) == (200, {"acked": seq})
    await peer.kill()
    await peer.start()
    assert (await hello(peer, last=5))["acked"] == 5
    assert await send(peer, event(5), event(6)) == (200, {"acked": 6})
    books = await ledger(peer.url)
    assert (books["events"], books["duplicates"], list(books["claims"])) == (6, 1, ["N1"])


async def test_a_long_poll_is_held_until_there_is_news(peer: OfficeProcess) -> None:
    url = f"{peer.url}/v1/lockers/{LOCKER}/down"
    assert await call("GET", f"{url}?after=0&wait=0") == (200, {"items": [], "cursor": 0, "has_more": False})
    held = asyncio.create_task(call("GET", f"{url}?after=0&wait=60"))
    await ledger(peer.url)
    assert not held.done()
    await call("POST", f"{peer.url}/sim/announce", claim("N1"))
    status, page = await asyncio.wait_for(held, 10)
    assert status == 200
    assert page["items"] == [{"cursor": 1, "type": "manifest.item", "item": claim("N1")}]
    await call("POST", f"{peer.url}/sim/withdraw", {"claim_id": "N1"})
    _, page = await call("GET", f"{url}?after=1&wait=60")
    assert page == {
        "items": [{"cursor": 2, "type": "manifest.withdraw", "claim_id": "N1"}],
        "cursor": 2,
        "has_more": False,
    }
    assert (await call("POST", f"{peer.url}/sim/withdraw", {"claim_id": "N9"}))[0] == 409


async def test_a_long_manifest_comes_in_pages(peer: OfficeProcess) -> None:
    await call("POST", f"{peer.url}/sim/announce", [claim(f"N{n}") for n in range(45)])
    after, seen, more = 0, [], True
    while more:
        _, page = await call("GET", f"{peer.url}/v1/lockers/{LOCKER}/down?after={after}&wait=0")
        seen += [item["item"]["claim_id"] for item in page["items"]]
        after, more = page["cursor"], page["has_more"]
    assert seen == [f"N{n}" for n in range(45)]


async def test_an_absent_office_says_when_to_come_back(peer: OfficeProcess) -> None:
    import aiohttp

    held = asyncio.create_task(call("GET", f"{peer.url}/v1/lockers/{LOCKER}/down?after=0&wait=60"))
    await ledger(peer.url)
    await call("POST", f"{peer.url}/sim/absent", {"seconds": 3600})
    assert (await asyncio.wait_for(held, 10))[0] == 503
    async with aiohttp.ClientSession() as session, session.post(f"{peer.url}/v1/hello") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    await call("POST", f"{peer.url}/sim/absent", {"seconds": 0})
    assert (await hello(peer))["registration"] == "accepted"


async def test_the_latest_status_wins(peer: OfficeProcess) -> None:
    url = f"{peer.url}/v1/lockers/{LOCKER}/status"
    assert (await call("PUT", url, {"n": 1}))[0] == 403
    await hello(peer)
    await call("PUT", url, {"n": 1})
    assert (await call("PUT", url, {"n": 2}))[1].keys() == {"now"}
    assert (await call("GET", f"{peer.url}/sim/status"))[1][LOCKER]["status"] == {"n": 2}
