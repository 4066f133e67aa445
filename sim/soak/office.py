"""The central office in memory: interface version 1 for one locker, with the ledger that its events make."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

Json = dict[str, Any]

_CALL_SECONDS = 86_400.0  # after which a code that was asked for by telephone is not sent any more


class Office:
    """Answers requests; `on_event` is told of each event once, in order; a breach of order is kept in `wrong`."""

    def __init__(self, now: Callable[[], float], on_event: Callable[[int, str, Json], None]) -> None:
        self._now = now
        self._on_event = on_event
        self._down: deque[Json] = deque()
        self._cursor = 0
        self._news = asyncio.Event()
        self.absent_until = float("-inf")
        self.epoch: str | None = None
        self.acked = 0
        self.duplicates = 0
        self.status: Json = {}
        self.wrong: list[str] = []
        self.withdrawn: set[str] = set()  # claims that it called back
        self.ended: set[str] = set()  # claims of which the machine told that their code has ended

    def announce(self, item: Json) -> None:
        """Put one manifest item on the down channel."""
        self._send({"type": "manifest.item", "item": item})

    def withdraw(self, claim_id: str) -> None:
        """Call a claim back."""
        self.withdrawn.add(claim_id)
        self._send({"type": "manifest.withdraw", "claim_id": claim_id})

    def asked_for_code(self, claim_id: str) -> None:
        """Somebody calls whose code does not open: where it has ended, another one is sent for."""
        if claim_id in self.ended:
            self.ended.discard(claim_id)
            self._send({"type": "code.reissue", "claim_id": claim_id, "not_after": self._now() + _CALL_SECONDS})

    def report_lost(self, report_id: str, id_number: str, valid_from: str) -> None:
        """Tell of a card that was reported lost."""
        self._send({"type": "card.lost", "report_id": report_id, "id_number": id_number, "valid_from": valid_from})

    def _send(self, body: Json) -> None:
        self._cursor += 1
        self._down.append({"cursor": self._cursor, **body})
        self._news.set()

    @property
    def absent(self) -> bool:
        """Whether nobody answers usefully now."""
        return asyncio.get_running_loop().time() < self.absent_until

    async def request(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """One request: status and body of the answer."""
        if self.absent:
            return 503, b"{}"
        if body is not None and headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        path, _, query = url.partition("?")
        match path.rpartition("/")[2]:
            case "hello":
                status, answer = self._hello(json.loads(body or b"{}"))
            case "events":
                status, answer = self._events(json.loads(body or b"[]"))
            case "down":
                asked = dict(pair.split("=") for pair in query.split("&"))
                status, answer = await self._page(int(asked["after"]), float(asked["wait"]))
            case "status":
                self.status = json.loads(body or b"{}")
                status, answer = (200, {"now": self._now()}) if self.epoch else (403, {})
            case _:
                status, answer = 404, {}
        return status, json.dumps(answer).encode()

    def _hello(self, hello: Json) -> tuple[int, Json]:
        if self.epoch not in {None, hello["epoch"]}:
            self.wrong.append("another database's epoch")
        self.epoch = hello["epoch"]
        if hello["last_seq"] < self.acked:
            self.wrong.append(f"the daemon's last event is {hello['last_seq']}, the office holds {self.acked}")
        intervals = {"status": 1800.0, "wait": 300.0}
        answer = {"registration": "accepted", "acked": self.acked, "now": self._now(), "intervals": intervals}
        return 200, answer

    def _events(self, batch: list[Json]) -> tuple[int, Json]:
        fresh = []
        expected = self.acked
        for event in batch:
            epoch, _, seq = event["id"].partition(":")
            if epoch != self.epoch:
                return 409, {"acked": self.acked, "reason": "epoch"}
            if int(seq) > expected + 1:
                self.wrong.append(f"a gap: {seq} after {expected}")
                return 409, {"acked": self.acked, "reason": "gap"}
            if int(seq) <= expected:
                self.duplicates += 1
                continue
            expected = int(seq)
            fresh.append((expected, event))
        for number, event in fresh:
            if event["type"] == "lockerd.code.expired":
                self.ended.add(event["data"]["claim_id"])
            self._on_event(number, event["type"], event["data"])
        self.acked = expected
        return 200, {"acked": self.acked}

    async def _page(self, after: int, wait: float) -> tuple[int, Json]:
        while self._down and self._down[0]["cursor"] <= after:
            self._down.popleft()
        if not self._down:
            self._news.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                pass
        items = list(self._down)[:20]
        cursor = items[-1]["cursor"] if items else after
        return 200, {"items": items, "cursor": cursor, "has_more": len(self._down) > len(items)}
