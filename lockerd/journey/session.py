"""One journey at a time: takes events in order, lets the table decide, does what it asks, shows the page.

All deciding is in `lockerd.pickup`; all moving in `lockerd.motions`; this module only carries events and effects between
them. The session is the one owner of the floor: staff work and journeys exclude each other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from msgspec.structs import replace

from lockerd.errors import DeviceError, FloorTaken, StoreError
from lockerd.journey.doing import Doing
from lockerd.journey.lights import Lights
from lockerd.journey.page_time import PageTime
from lockerd.journey.recovery import Recovery
from lockerd.journey.resuming import Resume
from lockerd.journey.tries import Tries
from lockerd.journey.watching import Watching
from lockerd.model.view import Action, Progress, Screen, Tap, View, Ways
from lockerd.pickup.screens import STAGES, patience_of, view_of
from lockerd.pickup.state import Cleared, Effect, Event, Journey, Patience, Settled, Stage, Tapped, TimedOut
from lockerd.pickup.table import step
from lockerd.ports import Cabinet

log = structlog.get_logger(__name__)

OWN_TRY_SECONDS = 60.0  # that staff wait while the machine tries by itself
STUCK_SECONDS = 300.0  # several motions of half a minute each, with chip reads between them
_JAM = frozenset({Stage.CLEARING, Stage.JAMMED})
_OFFERS = frozenset(
    {Progress.NONE, Progress.LOOKING, Progress.REVIEWING, Progress.RETURNING_OLD_CARD, Progress.STUCK}
)  # pages that leave the citizen something to do; on all others nobody sees what else there is
NO_VISIT = -1  # of an answer that only wakes the session


@dataclass(frozen=True, slots=True)
class _Answer:
    """An event with the visit it was meant for; None fits any visit."""

    event: Event
    visit: int | None


class Session:
    """The floor of the machine. `run` is its whole life; `tap` and `staff_at_work` are how others reach it."""

    def __init__(
        self,
        *,
        doing: Doing,
        watching: Watching,
        recovery: Recovery,
        cabinet: Cabinet,
        show: Callable[[View], None],
        patience: Mapping[Patience, float],
        new_journey_id: Callable[[], str],
        ways: Callable[[], Ways],
        tries: Tries,
    ) -> None:
        self._doing = doing
        self._tries = tries
        self._watching = watching
        self._recovery = recovery
        self._lights = Lights(cabinet)
        self._show = show
        self._new_journey_id = new_journey_id
        self._ways = ways
        self._journey = Journey()
        self._offered = Ways(serving=False)
        self._answers: asyncio.Queue[_Answer] = asyncio.Queue(maxsize=256)
        self._page_time = PageTime(patience)
        self._staff = False
        self._fit = False
        self._recovering = True
        self._resting = False
        self._rest_ended = asyncio.Event()
        self._busy_since: float | None = None
        self._refresh_wanted = False
        self._resume: Resume | None = None
        self._staff_waits: asyncio.Future[bool] | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody is at the machine, and no old card in it waits for its journey."""
        busy = self._staff or self._resting or self._recovering or self._resume is not None
        return self._journey.stage is Stage.IDLE and not busy

    @property
    def recovered(self) -> bool:
        """Whether what a restart left open is settled."""
        return not self._recovering

    @property
    def fit(self) -> bool:
        """Whether the card path is at rest and a pickup can be served."""
        return self._fit

    def stuck(self) -> bool:
        """Whether the session has done one thing for longer than any takes; waiting for a citizen or a silent unit is none."""
        if self._busy_since is None:
            return False
        since = max(self._busy_since, self._recovery.waited_until)
        return asyncio.get_running_loop().time() - since > STUCK_SECONDS

    def tap(self, tap: Tap) -> None:
        """Take one tap of the citizen; taps that the page does not offer are ignored by the table."""
        with suppress(asyncio.QueueFull):
            self._answers.put_nowait(_Answer(Tapped(tap), None))

    def condition_changed(self) -> None:
        """A device failed or came back: show it, and bring to rest what was disturbed while nobody is at the machine."""
        self._refresh_wanted = True
        self._wake()

    def publish(self) -> None:
        """Show the page of the present state."""
        self._show(self._view())

    @asynccontextmanager
    async def staff_at_work(self) -> AsyncIterator[None]:
        """Keep citizens off while staff work. Raises FloorTaken while a journey or other staff work runs."""
        if self._staff:
            raise FloorTaken("staff work is under way at the machine; try again when it has ended")
        if self._resting or self._recovering:
            raise FloorTaken("the machine is bringing its card path to rest; try again in a minute")
        if not self.idle:
            raise FloorTaken(
                "the machine is in use; settle if a card is stuck, else wait until the screen shows its first page"
            )
        self._staff = True
        self.publish()
        try:
            yield
        finally:
            self._staff = False
            self._refresh_wanted = True
            self._wake()

    async def settle(self) -> bool:
        """Bring the card path to rest after staff cleared it; True when a pickup can be served again.

        A try that the machine makes by itself is waited out; in a journey that is stuck it is made there. Raises FloorTaken.
        """
        if self._journey.stage in _JAM:
            return await self._settle_in_journey()
        if self._resting:
            with suppress(TimeoutError):
                async with asyncio.timeout(OWN_TRY_SECONDS):
                    await self._rest_ended.wait()
        async with self.staff_at_work():
            await self._bring_to_rest()
        return self._fit

    async def _settle_in_journey(self) -> bool:
        """A citizen waits: try once more in their journey; whether the path is at rest."""
        if self._staff_waits is None:
            try:
                self._answers.put_nowait(_Answer(Settled(), None))
            except asyncio.QueueFull:
                raise FloorTaken("the machine is busy with the citizen's taps; try again") from None
            self._staff_waits = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._staff_waits)

    async def run(self) -> None:
        """Settle what a restart left open, then serve journeys until cancelled."""
        self._busy_since = asyncio.get_running_loop().time()
        self.publish()
        self._resume = await self._recovery.after_restart()
        self._fit = self._recovery.fit
        self._recovering = False
        self.publish()
        async with asyncio.TaskGroup() as group:
            lights = group.create_task(self._lights.run(), name="lights")
            watch: asyncio.Task[None] | None = None
            pending: deque[Event] = deque()
            try:
                while True:
                    before = self._journey
                    if self._resume is not None:
                        self._journey, effects = self._resume.journey, self._resume.effects
                        self._resume = None
                    else:
                        event = pending.popleft() if pending else await self._next_event()
                        if event is None:
                            continue
                        effects = await self._decide(event)
                    moved = (self._journey.stage, self._journey.visit) != (before.stage, before.visit)
                    if moved:
                        await _stop(watch)
                        self._enter()
                    elif self._journey != before:
                        self.publish()
                    pending.extend(await self._perform_all(effects, group))
                    if moved:
                        watch = self._start_watch(group)
                    if self._journey.stage is Stage.IDLE and before.stage is not Stage.IDLE and not pending:
                        await self._between_journeys(before)
            finally:
                await _stop(watch)
                await _stop(lights)

    # --- deciding and doing ------------------------------------------------------------------------------------------

    async def _decide(self, event: Event) -> tuple[Effect, ...]:
        before = self._journey
        self._journey, effects = step(before, event)
        self._answer_staff(event)
        self._tries.note(before, event)
        if before.stage is Stage.IDLE and self._journey.stage is not Stage.IDLE:
            self._journey = replace(self._journey, journey_id=self._new_journey_id())
            self._doing.begin(self._journey.journey_id)
        if self._journey.stage is not before.stage:
            log.info(
                "stage entered", journey=self._journey.journey_id, stage=self._journey.stage, fault=self._journey.fault
            )
        return effects

    async def _perform_all(self, effects: tuple[Effect, ...], group: asyncio.TaskGroup) -> list[Event]:
        answers: list[Event] = []
        for effect in effects:
            answer = await self._doing.perform(effect, self._journey, group)
            if answer is not None:
                answers.append(answer)
        return answers

    async def _next_event(self) -> Event | None:
        """The next event that is meant for the present visit; TimedOut when the stage's patience ends."""
        self._busy_since = None
        try:
            async with asyncio.timeout_at(self._page_time.next_wake()):
                answer = await self._answers.get()
        except TimeoutError:
            if self._page_time.over():
                return TimedOut()
            self.publish()
            return None
        finally:
            self._busy_since = asyncio.get_running_loop().time()
        if self._refresh_wanted:
            self._refresh_wanted = False
            if self.idle and self._recovery.disturbed():
                await self._bring_to_rest()
            self.publish()
            if self._resume is not None:
                return None
        if answer.visit is not None and answer.visit != self._journey.visit:
            return None
        event = answer.event
        if isinstance(event, Tapped):
            if event.tap.action is Action.MORE_TIME:
                if self._page_time.extend():
                    self.publish()
                return None
            if self._journey.stage is Stage.IDLE and not await self._may_begin():
                return None
        return event

    async def _may_begin(self) -> bool:
        """Whether a journey can begin; what a sensor sees in a path again is brought home first, it may be within reach."""
        if self._closed(self._ways()):
            return False
        if await self._disturbed_now():
            await self._bring_to_rest()
        return self._resume is None and not self._closed(self._ways())

    # --- page and watch ------------------------------------------------------------------------------------------

    def _answer_staff(self, event: Event) -> None:
        """Tell staff who wait that the path is at rest or not, or that no journey waits for it any longer."""
        tried = isinstance(event, Cleared)
        if self._staff_waits is not None and (tried or self._journey.stage not in _JAM):
            self._staff_waits.set_result(isinstance(event, Cleared) and event.at_rest)
            self._staff_waits = None

    def _enter(self) -> None:
        rule = STAGES[self._journey.stage]
        self._page_time.enter(patience_of(self._journey))
        self._lights.show(rule.light)
        self.publish()

    def _view(self) -> View:
        if self._recovering or self._resting:
            return View(Screen.OUT_OF_SERVICE, Progress.RECOVERING)
        if STAGES[self._journey.stage].progress in _OFFERS:
            self._offered = self._ways()
        if self._journey.stage is Stage.IDLE and self._closed(self._offered):
            return View(Screen.OUT_OF_SERVICE)
        left, warn = self._page_time.seconds_left(), self._page_time.warned
        return view_of(self._journey, seconds_left=left, warn=warn, ways=self._offered)

    def _start_watch(self, group: asyncio.TaskGroup) -> asyncio.Task[None] | None:
        visit = self._journey.visit

        def post(event: Event) -> None:
            with suppress(asyncio.QueueFull):
                self._answers.put_nowait(_Answer(event, visit))

        coroutine = self._watching.of(self._journey, post)
        return group.create_task(coroutine, name=f"watch:{self._journey.stage}") if coroutine else None

    def _wake(self) -> None:
        with suppress(asyncio.QueueFull):
            self._answers.put_nowait(_Answer(TimedOut(), NO_VISIT))

    # --- between journeys --------------------------------------------------------------------------------------------

    def _closed(self, ways: Ways) -> bool:
        """Whether no journey may begin: staff at work, a card path not at rest, or a part missing that all journeys need."""
        return self._staff or not self._fit or not ways.serving

    async def _between_journeys(self, ended: Journey) -> None:
        """Leave nothing on its way: a card in the path is brought home before the next citizen."""
        if ended.fault is not None or not self._fit or await self._disturbed_now():
            await self._bring_to_rest()

    async def _disturbed_now(self) -> bool:
        """Whether the session has to bring the path to rest; not where staff took the floor while the units were asked."""
        disturbed = await self._recovery.disturbed_now()
        return disturbed and not self._staff and self._resume is None

    async def _bring_to_rest(self) -> None:
        self._resting = True
        self._rest_ended.clear()
        self.publish()
        try:
            self._resume = await self._recovery.bring_to_rest()
        except (DeviceError, StoreError) as error:
            log.warning("card path not at rest", error=str(error))
        finally:
            self._resting = False
            self._rest_ended.set()
            self._fit = self._recovery.fit
            self.publish()


async def _stop(task: asyncio.Task[None] | None) -> None:
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task])
