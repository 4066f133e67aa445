"""The locker's link to the central office: dials out, drains the outbox, waits for what the office sends, reports its status.

Source: HTTP interface of the office, version 1. Order is by sequence number only; whatever fails is tried again for ever.
While the office is away only the hello is repeated; everything else waits until it was answered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

import msgspec
import structlog
from msgspec.structs import replace

from lockerd.errors import LinkError, LockerError
from lockerd.model.polling import AWAY_SECONDS
from lockerd.model.review import Review, ReviewRequest
from lockerd.office.events import batch
from lockerd.office.exchange import (
    Answer,
    Exchange,
    Hello,
    Intervals,
    NotRegistered,
    OfficeAway,
    OfficeBusy,
    OpenTransport,
    Registration,
    http_transport,
)
from lockerd.office.manifest import DownItem, Refused, decode
from lockerd.ports import Clock, Outbox

CLOCK_TOLERANCE = 30.0
"""Seconds between the office's time and ours from which on it is a warning."""
SCHEMAS = ("lockerd.events/1",)

_log = structlog.get_logger(__name__)


class JournalPosition(Protocol):
    """Which events there are: `oldest_retained` can still be sent (`last_seq` + 1 if none), `acked` are safe at the office."""

    @property
    def last_seq(self) -> int: ...  # noqa: D102  # described by the class

    @property
    def oldest_retained(self) -> int: ...  # noqa: D102

    @property
    def acked(self) -> int: ...  # noqa: D102


class JournalOutbox(Outbox, Protocol):
    """An outbox that knows where it stands and can offer again what an office restored from a backup has lost."""

    async def position(self) -> JournalPosition:
        """Where it stands now. Raises StoreError."""

    async def rewind(self, seq: int) -> None:
        """Offer all events after `seq` again. Raises StoreError when they are no longer held."""


@dataclass(frozen=True, slots=True)
class LockerIdentity:
    """Who dials: `epoch` names the database, `boot_id` this run of the machine, `software` is name -> version."""

    locker_id: str
    epoch: str
    boot_id: str
    software: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How the office is dialled. Times are seconds.

    `batch` is the most events of one request; `idle` is how often the outbox is looked at unasked; a failed request is
    repeated after `backoff_first`, doubled up to `backoff_limit`, less up to half of it at random.
    """

    url: str
    batch: int = 100
    idle: float = 3600.0
    backoff_first: float = 1.0
    backoff_limit: float = AWAY_SECONDS


class LinkStatus(msgspec.Struct, frozen=True):
    """The link as health shows it.

    `last_success` is the event loop's time of the last good answer, None before the first; `backlog` counts events that wait;
    `clock_offset` is the office's time less ours in seconds; `skipped` counts items of the down channel passed over;
    `trouble` says what fails now, empty when nothing does. `caught_up` tells that all that the office had to announce was taken
    at least once since the start.
    """

    reachable: bool = False
    last_success: float | None = None
    backlog: int = 0
    acked: int = 0
    clock_offset: float | None = None
    skipped: int = 0
    trouble: str = ""
    caught_up: bool = False

    @property
    def catching_up(self) -> bool:
        """Whether what the office announced is still being read for the first time; never while the office is away."""
        return not self.caught_up and (self.reachable or not self.trouble)

    @property
    def clock_wrong(self) -> bool:
        """Whether the two clocks differ by more than `CLOCK_TOLERANCE`."""
        return self.clock_offset is not None and abs(self.clock_offset) > CLOCK_TOLERANCE


def backoff(settings: LinkSettings, failures: int, random: Random) -> float:
    """Seconds to wait after `failures` (from 1) failed tries in a row."""
    full = min(settings.backoff_first * 2.0 ** min(failures - 1, 30), settings.backoff_limit)
    return full * random.uniform(0.5, 1.0)


class OfficeLink:
    """The link; `run` is its life.

    `on_items` takes the items of a page, each with its cursor, and the page's cursor, and must have made all of it durable when it
    returns; what it could not take comes again after the cursor that `load_cursor` gives. `status` is asked for each heartbeat.
    """

    def __init__(
        self,
        settings: LinkSettings,
        identity: LockerIdentity,
        outbox: JournalOutbox,
        *,
        on_items: Callable[[Sequence[tuple[DownItem, int]], int], Awaitable[None]],
        load_cursor: Callable[[], Awaitable[int]],
        status: Callable[[], Mapping[str, object]],
        clock: Clock,
        random: Random,
        transport: OpenTransport = http_transport,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._identity = identity
        self._outbox = outbox
        self._on_items = on_items
        self._load_cursor = load_cursor
        self._status_of_machine = status
        self._clock = clock
        self._office_began: float | None = None  # the office's time when the event loop's was 0
        self._random = random
        self._exchange: Exchange | None = None
        self._status = LinkStatus()
        self._troubles: dict[str, str] = {}
        self._intervals = Intervals(status=30.0, wait=25.0)
        self._batch = settings.batch
        self._cursor: int | None = None  # as it is kept; None until it was loaded
        self._looked_at = -1
        self._more = asyncio.Event()
        self._registered = asyncio.Event()
        self._unregistered = asyncio.Event()
        self._unregistered.set()

    @property
    def status(self) -> LinkStatus:
        """The link as it is now."""
        return self._status

    def notify(self) -> None:
        """Say that the outbox has something new."""
        self._more.set()

    async def review(self, request: ReviewRequest, seconds: float) -> Review:
        """Ask the office's reviewer, once and at once (`lockerd.ports.Reviewer`). Raises LinkError."""
        if self._exchange is None or not self._registered.is_set():
            raise LinkError("the office was not reached yet")
        return await self._exchange.review(request, seconds)

    async def run(self) -> None:
        """Keep the link until cancelled; whatever else happens is logged and tried again."""
        async with self._transport() as transport:
            exchange = Exchange(transport, self._settings.url, self._identity.locker_id, self._clock.now)
            self._exchange = exchange
            async with asyncio.TaskGroup() as group:
                group.create_task(self._repeat(self._register, exchange), name="office-hello")
                group.create_task(self._repeat(self._drain, exchange), name="office-drain")
                group.create_task(self._repeat(self._listen, exchange), name="office-listen")
                group.create_task(self._repeat(self._report, exchange), name="office-status")

    async def _repeat(self, beat: Callable[[Exchange], Awaitable[None]], exchange: Exchange) -> None:
        """Do one beat after another for ever, with a growing pause after each failure."""
        failures = 0
        name = beat.__name__.strip("_")
        while True:
            asked, lost = 0.0, False
            try:
                await beat(exchange)
            except LinkError as error:
                failures += 1
                lost = isinstance(error, OfficeAway | NotRegistered)
                if isinstance(error, OfficeBusy):
                    asked = error.retry_after
                self._status = replace(self._status, reachable=False)
                self._failed(name, str(error))
            except LockerError as error:
                failures += 1
                self._failed(name, str(error))
            except Exception as error:
                # A defect here must not take the machine out of service; its text may be personal.
                failures += 1
                self._failed(name, type(error).__name__)
            else:
                failures = 0
                continue
            await asyncio.sleep(max(backoff(self._settings, failures, self._random), asked))
            if lost:
                self._registered.clear()
                self._unregistered.set()

    async def _register(self, exchange: Exchange) -> None:
        await self._unregistered.wait()
        here = await self._look()
        before = self._clock.now()
        answer = await exchange.hello(
            Hello(
                locker=self._identity.locker_id,
                epoch=self._identity.epoch,
                boot_id=self._identity.boot_id,
                software=self._identity.software,
                schemas=SCHEMAS,
                last_seq=here.last_seq,
                oldest_retained=here.oldest_retained,
                down_cursor=await self._known_cursor(),
            )
        )
        self._check_clock(before, answer.now)
        self._check_registration(answer, here)
        await self._go_to(answer.acked, here)
        self._intervals = Intervals(
            status=min(max(answer.intervals.status, 1.0), 3600.0), wait=min(max(answer.intervals.wait, 0.0), 300.0)
        )
        self._unregistered.clear()
        self._registered.set()

    def _check_registration(self, answer: Registration, here: JournalPosition) -> None:
        if answer.registration != "accepted":
            # `reason` is the office's free text: for the operator's screen, not for a program
            raise LinkError(f"the office answered {answer.registration!r:.40}: {answer.reason:.200}")
        if not here.oldest_retained - 1 <= answer.acked <= here.last_seq:
            raise LinkError(f"the office acknowledges {answer.acked}, events here are up to {here.last_seq}")
        self._answered("register")

    async def _drain(self, exchange: Exchange) -> None:
        await self._registered.wait()
        self._more.clear()
        most = self._batch
        pending = await self._outbox.pending(most)
        if not pending:
            self._status = replace(self._status, backlog=0)
            await self._until_more()
            return
        first, last = pending[0][0], pending[-1][0]
        receipt = await exchange.send(batch([event for _, event in pending]))
        match receipt.answer:
            case Answer.TOO_LARGE if len(pending) > 1:
                self._batch = max(len(pending) // 2, 1)
                return
            case Answer.TOO_LARGE:
                raise LinkError(f"the office refuses event {first} as too large")
            case Answer.ACKNOWLEDGED if first <= receipt.acked <= last:
                await self._outbox.acknowledge(receipt.acked)
                self._batch = min(self._batch * 2, self._settings.batch)
            case Answer.ACKNOWLEDGED:
                raise LinkError(f"the office acknowledges {receipt.acked} after a batch {first} to {last}")
            case Answer.GAP:
                await self._follow(receipt.acked, first)
        self._answered("drain")
        if receipt.answer is not Answer.ACKNOWLEDGED or len(pending) == most:
            await self._look()
        else:
            self._status = replace(self._status, backlog=last - receipt.acked, acked=receipt.acked)
            if receipt.acked == last:
                await self._until_more()

    async def _until_more(self) -> None:
        """Until there is something new, or it is time to look unasked."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.idle):
                await self._more.wait()

    async def _follow(self, acked: int, first: int) -> None:
        """Go where the office is: forward, or back when it lost what it once acknowledged."""
        here = await self._outbox.position()
        if acked > here.last_seq or acked + 1 == first:
            raise LinkError(f"the office refuses {first} after {acked} as a gap, events here are up to {here.last_seq}")
        if acked + 1 < here.oldest_retained:
            raise NotRegistered(
                f"the office misses events from {acked + 1} on, kept are those from {here.oldest_retained} on"
            )
        await self._go_to(acked, here)

    async def _go_to(self, acked: int, here: JournalPosition) -> None:
        if acked > here.acked:
            await self._outbox.acknowledge(acked)
        elif acked < here.acked:
            await self._outbox.rewind(acked)
            self._more.set()
        await self._look()

    async def _listen(self, exchange: Exchange) -> None:
        await self._registered.wait()
        kept = cursor = await self._known_cursor()
        at_once = "listen" in self._troubles or not self._status.caught_up
        wait = 0.0 if at_once else self._intervals.wait
        page = await exchange.down(cursor, wait)
        again = page.cursor <= self._looked_at  # it could not be taken; what is refused of it was told
        taken: list[tuple[DownItem, int]] = []
        for raw in page.items:
            at, found = decode(raw)
            if at is not None and not cursor < at <= page.cursor:
                continue  # already delivered, or numbered outside its page
            if isinstance(found, Refused) and not again:
                self._status = replace(self._status, skipped=self._status.skipped + 1)
                _log.warning("manifest item skipped", claim=found.claim_id, reason=found.reason.value)
            elif at is not None and not isinstance(found, Refused):
                taken.append((found, at))
            cursor = at or cursor
        if page.cursor > kept:
            self._looked_at = page.cursor
            self._cursor = None  # loaded again where not all of it can be taken
            await self._on_items(taken, page.cursor)
            self._cursor = page.cursor
        self._status = replace(self._status, caught_up=self._status.caught_up or not page.items)
        self._answered("listen")

    async def _known_cursor(self) -> int:
        if self._cursor is None:
            self._cursor = await self._load_cursor()
        return self._cursor

    async def _report(self, exchange: Exchange) -> None:
        await self._registered.wait()
        before = self._clock.now()
        self._check_clock(before, await exchange.put_status(self._status_of_machine()))
        self._answered("report")
        await asyncio.sleep(self._intervals.status)

    async def _look(self) -> JournalPosition:
        here = await self._outbox.position()
        self._status = replace(self._status, backlog=here.last_seq - here.acked, acked=here.acked)
        return here

    def clock_is_right(self) -> bool:
        """Whether the office answers, and its clock agrees with ours, which may have been set since they were compared."""
        if not self._status.reachable or self._office_began is None:
            return False
        return abs(self._office_began + asyncio.get_running_loop().time() - self._clock.now()) <= CLOCK_TOLERANCE

    def _check_clock(self, before: float, office: float) -> None:
        """Compare the office's time with the middle of the request."""
        known = self._status.clock_wrong
        now = self._clock.now()
        offset = office - (before + now) / 2
        self._office_began = now + offset - asyncio.get_running_loop().time()
        self._status = replace(self._status, clock_offset=offset)
        if self._status.clock_wrong and not known:
            _log.warning("office clock differs", offset=self._status.clock_offset)

    def _answered(self, beat: str) -> None:
        """The office gave `beat` a good answer."""
        self._troubles.pop(beat, None)
        if not self._status.reachable:
            _log.info("office reachable", backlog=self._status.backlog)
        now = asyncio.get_running_loop().time()
        self._status = replace(self._status, reachable=True, last_success=now, trouble=self._trouble())

    def _failed(self, beat: str, trouble: str) -> None:
        if self._troubles.get(beat) != trouble:
            _log.warning("office link failed", stage=beat, error=trouble, backlog=self._status.backlog)
        self._troubles[beat] = trouble
        self._status = replace(self._status, trouble=self._trouble())

    def _trouble(self) -> str:
        return "; ".join(f"{beat}: {trouble}" for beat, trouble in self._troubles.items())
