"""Single requests to the central office: typed answers, bounded bodies and time, and every failure a LinkError."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from http import HTTPStatus
from typing import Protocol, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from lockerd.errors import LinkError
from lockerd.model.review import Review, ReviewDecision, ReviewRequest
from lockerd.office.manifest import BAD_JSON, Page

ANSWER_LIMIT = 8 << 20
"""Bytes of an answer after decompression; more is a LinkError."""
REQUEST_SECONDS = 30.0
"""Until a request without a long-poll's wait is given up."""
RETRY_AFTER_LIMIT = 3600.0
"""Seconds; an office that asks for more is asked again after this."""
GZIP_FROM = 1024
"""Bytes of a body from which on it is compressed."""
REVIEW_GRACE = 5.0
"""Seconds beyond a review's time limit until its answer must be here."""
_REVIEWER = re.compile(r"[A-Za-z0-9._-]{1,40}")


class OfficeAway(LinkError):
    """Nobody answered, or nobody who could."""


class OfficeBusy(OfficeAway):
    """The office answered 429 or 503; `retry_after` is what it asked for in seconds, 0 where it did not say."""

    def __init__(self, status: int, retry_after: float) -> None:
        super().__init__(f"the office is busy ({status})")
        self.retry_after = retry_after


class NotRegistered(LinkError):
    """The office does not know this locker's epoch (any more); say hello again."""


class Registration(msgspec.Struct, frozen=True):
    """The answer to a hello. `now` is the office's UTC seconds; `acked` the last event it holds of this epoch."""

    registration: str
    acked: int
    now: float
    intervals: Intervals
    reason: str = ""


class Intervals(msgspec.Struct, frozen=True):
    """Seconds that the office wants between two statuses, and for which a long-poll may be held."""

    status: float
    wait: float


class Hello(msgspec.Struct, frozen=True):
    """The greeting that registers a locker; `oldest_retained` is the oldest event that can still be sent."""

    locker: str
    epoch: str
    boot_id: str
    software: Mapping[str, str]
    schemas: tuple[str, ...]
    last_seq: int
    oldest_retained: int
    down_cursor: int


class Answer(Enum):
    """What the office did with a batch."""

    ACKNOWLEDGED = auto()
    GAP = auto()  # nothing kept: it misses events between its `acked` and this batch
    TOO_LARGE = auto()


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a batch; `acked` is 0 for TOO_LARGE, which does not say."""

    answer: Answer
    acked: int = 0


class _Acked(msgspec.Struct, frozen=True):
    acked: int
    reason: str = ""


class _Now(msgspec.Struct, frozen=True):
    now: float


class _Reviewed(msgspec.Struct, frozen=True):
    decision: ReviewDecision
    reviewer: str = ""


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer before anything of it is understood; `retry_after` is that header, None where it is absent."""

    status: int
    body: bytes
    retry_after: str | None = None


T = TypeVar("T")


class Transport(Protocol):
    """The small transport that the exchange sees; HTTP and memory differ only in the composition root."""

    async def request(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Raw:
        """Send one request and give its whole answer, however long that takes. Raises LinkError, OfficeAway."""


OpenTransport = Callable[[], AbstractAsyncContextManager[Transport]]
"""Opens the transport for the life of the link."""


@asynccontextmanager
async def http_transport() -> AsyncIterator[Transport]:
    """The real one: one session without cookies."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), raise_for_status=False) as session:
        yield HttpTransport(session)


class HttpTransport:
    """A `Transport` over an aiohttp session."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Raw:
        """See `Transport.request`."""
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return Raw(response.status, await _bounded(response), response.headers.get("Retry-After"))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise OfficeAway(f"the office could not be reached ({type(error).__name__})") from error


class Exchange:
    """The office's interface for one locker; `now` is UTC seconds, for a Retry-After that is a date.

    Every method raises LinkError, and only that, for whatever the network or the office does.
    """

    def __init__(self, transport: Transport, url: str, locker_id: str, now: Callable[[], float]) -> None:
        self._transport = transport
        self._root = url.rstrip("/") + "/v1"
        self._locker = f"{self._root}/lockers/{quote(locker_id, safe='')}"
        self._now = now

    async def hello(self, hello: Hello) -> Registration:
        """Register, or learn that the office does not want this locker."""
        raw = await self._request("POST", f"{self._root}/hello", body=msgspec.json.encode(hello))
        return _decoded(raw, Registration)

    async def send(self, batch: bytes) -> Receipt:
        """Deliver a CloudEvents batch. Raises NotRegistered for a stale epoch."""
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        raw = await self._request(
            "POST", f"{self._locker}/events", body=batch, headers=headers, expected=(200, 409, 413)
        )
        if raw.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return Receipt(Answer.TOO_LARGE)
        told = _decoded(raw, _Acked)
        if raw.status == HTTPStatus.OK:
            return Receipt(Answer.ACKNOWLEDGED, told.acked)
        if told.reason == "epoch":
            raise NotRegistered("the office knows this locker under another epoch")
        return Receipt(Answer.GAP, told.acked)

    async def down(self, after: int, wait: float) -> Page:
        """Items after a cursor; the office may hold the answer for `wait` seconds until there is one."""
        url = f"{self._locker}/down?after={after}&wait={wait:g}"
        page = _decoded(await self._request("GET", url, seconds=wait + REQUEST_SECONDS), Page)
        if page.cursor < after:
            raise LinkError("the office's cursor went back")
        return page

    async def put_status(self, status: Mapping[str, object]) -> float:
        """Replace the locker's status; returns the office's time in UTC seconds."""
        raw = await self._request("PUT", f"{self._locker}/status", body=msgspec.json.encode(status))
        return _decoded(raw, _Now).now

    async def review(self, request: ReviewRequest, seconds: float) -> Review:
        """Ask a reviewer about a picture, and wait at most `seconds` for the decision."""
        about = {"claim": request.claim_id, "journey": request.journey_id, "wait": f"{seconds:g}"}
        if request.collector_id:
            about["collector"] = request.collector_id
        raw = await self._request(
            "POST",
            f"{self._locker}/reviews?{urlencode(about)}",
            body=request.still,
            headers={"Content-Type": "image/jpeg"},
            seconds=seconds + REVIEW_GRACE,
        )
        told = _decoded(raw, _Reviewed)
        if told.decision in (ReviewDecision.APPROVED, ReviewDecision.REFUSED):
            if not _REVIEWER.fullmatch(told.reviewer):
                raise LinkError("the office does not say who reviewed")
            return Review(told.decision, told.reviewer)
        return Review(told.decision)

    async def _request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        expected: tuple[int, ...] = (200,),
        seconds: float = REQUEST_SECONDS,
    ) -> Raw:
        sent = {"Content-Type": "application/json", **(headers or {})} if body is not None else {}
        if body is not None and len(body) >= GZIP_FROM and sent["Content-Type"] != "image/jpeg":
            body = gzip.compress(body, compresslevel=6, mtime=0)
            sent["Content-Encoding"] = "gzip"
        try:
            async with asyncio.timeout(seconds):
                raw = await self._transport.request(method, url, body, sent)
        except TimeoutError as error:
            raise OfficeAway(f"the office gave no answer within {seconds:g} s") from error
        if raw.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            raise OfficeBusy(raw.status, retry_after(raw.retry_after, self._now()))
        if raw.status == HTTPStatus.FORBIDDEN:
            raise NotRegistered("the office asks for a hello")
        if raw.status not in expected:
            raise LinkError(f"the office answered {raw.status} to {method}")
        return raw


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    parts = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        parts += chunk
        if len(parts) > ANSWER_LIMIT:
            raise LinkError(f"the office's answer is longer than {ANSWER_LIMIT} bytes")
    return bytes(parts)


def _decoded(raw: Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw.body, type=kind)
    except BAD_JSON:
        # msgspec's message may quote what was sent
        raise LinkError(f"the office's answer ({raw.status}) cannot be read") from None


def retry_after(header: str | None, now: float) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date), within 0 and `RETRY_AFTER_LIMIT`.

    0 for a missing or unreadable header.
    """
    if header is None:
        return 0.0
    if header.strip().isascii() and header.strip().isdigit():
        return min(float(header), RETRY_AFTER_LIMIT)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    until = date if date.tzinfo else date.replace(tzinfo=UTC)
    return min(max((until - datetime.fromtimestamp(now, UTC)).total_seconds(), 0.0), RETRY_AFTER_LIMIT)
