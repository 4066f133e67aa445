"""An event loop in virtual time: its clock stands still while anything can run, and then jumps to the next timer.

The loop serves no file descriptors and no executors. Threads may answer through `call_soon_threadsafe`, each answer having
been announced by `expect`: the loop takes no further turn before every announced answer is there, so that neither time nor
the order of things depends on how fast a thread is. Equal programs make equal runs, in any process and under any
PYTHONHASHSEED.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from heapq import heapify, heappop, heappush
from queue import SimpleQueue
from typing import Any, NoReturn, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

_RESOLUTION = (
    1e-6  # of the clock; a nanosecond, as the base class has it, is less than a float can add after half a year
)

_MOST_GIVEN_UP = 200

ANSWER_WITHIN = 60.0
"""Seconds of real time for which a thread's announced answer is waited for."""


class Stalled(RuntimeError):
    """Nothing is ready, no timer runs and no thread will answer: the program waits for ever."""


Family = WeakValueDictionary[int, "asyncio.Task[Any]"]
"""Living tasks by number, in the order in which they were made."""

FAMILY: ContextVar[Family | None] = ContextVar("family", default=None)
"""Where a context's tasks, and theirs, are entered; None for nowhere."""


class NumberedTask(asyncio.Task[T]):
    """A task that hashes by its number, so that sets of tasks (as TaskGroup keeps) have the same order in every run."""

    def __init__(self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], number: int, **options: Any) -> None:
        self._number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class Call(asyncio.TimerHandle):
    """A callback that waits for its turn or its time; a handle with nothing but what it needs."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: VirtualLoop,
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._when = when
        self._loop = loop
        self._repr = None
        self._source_traceback = None

    def cancel(self) -> None:
        """Let it never run."""
        if not self._cancelled:
            self._cancelled = True
            self._callback, self._args = _nothing, ()
            self._loop.given_up += 1


def _nothing() -> None:
    """In place of a callback that was given up."""


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module. `time` is seconds since the loop was made."""

    def __init__(self) -> None:
        super().__init__()
        self.given_up = 0
        self._now = 0.0
        self._expected = 0
        self._answers: SimpleQueue[Call] = SimpleQueue()
        self._numbers = itertools.count(1)
        self._home = threading.get_ident()
        self._calls: deque[Call] = deque()
        self._timers: list[tuple[float, int, Call]] = []
        self._timer_numbers = itertools.count()

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def expect(self) -> None:
        """Announce one answer of a thread."""
        self._expected += 1

    def call_soon(  # type: ignore[override]  # the variadic generic of typeshed says no more than this
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Call:
        """Call in the next turn."""
        call = Call(0.0, callback, args, self, context)
        self._calls.append(call)
        return call

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Call:
        """Call at that virtual second; equal ones in the order in which they were asked for."""
        call = Call(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._timer_numbers), call))
        return call

    def call_later(  # type: ignore[override]  # as above
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Call:
        """Call after so many virtual seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_soon_threadsafe(  # type: ignore[override]  # as above
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Call:
        """From this thread like `call_soon`; from another, one announced answer."""
        if threading.get_ident() == self._home:
            return self.call_soon(callback, *args, context=context)
        call = Call(0.0, callback, args, self, context)
        self._answers.put(call)
        return call

    def run_in_executor(self, executor: object, func: object, *args: object) -> NoReturn:
        """Refused: a thread's pace would decide the run."""
        raise RuntimeError("no executor in virtual time")

    def create_task(
        self, coro: Coroutine[Any, Any, T] | Generator[Any, None, T], *, context: Context | None = None, **options: Any
    ) -> asyncio.Task[T]:
        """A numbered task, entered in the family of its context."""
        number = next(self._numbers)
        task = NumberedTask(coro, number, loop=self, context=context, **options)
        family = FAMILY.get() if context is None else context.get(FAMILY)
        if family is not None:
            family[number] = task
        return task

    def _run_once(self) -> None:
        """One turn: what is ready now, after the time has moved on if nothing was."""
        calls, timers = self._calls, self._timers
        while self._expected:
            self._expected -= 1
            calls.append(self._answers.get(timeout=ANSWER_WITHIN))
        while timers and timers[0][2]._cancelled:
            heappop(timers)
            self.given_up -= 1
        if not calls:
            if not timers:
                raise Stalled("the program waits for ever")
            self._now = max(self._now, timers[0][0])
        end = self._now + _RESOLUTION
        while timers and timers[0][0] < end:
            calls.append(heappop(timers)[2])
        for _ in range(len(calls)):
            call = calls.popleft()
            if call._cancelled:
                self.given_up -= 1
                continue
            try:
                call._context.run(call._callback, *call._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.call_exception_handler({"message": "a callback failed", "exception": error, "handle": call})
        if self.given_up > _MOST_GIVEN_UP:
            self._forget_given_up()

    def _forget_given_up(self) -> None:
        """Time-outs that did not happen leave the queue long before their time."""
        self._timers = [one for one in self._timers if not one[2]._cancelled]
        heapify(self._timers)
        self.given_up = 0


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def name_of(task: asyncio.Task[Any]) -> str:
    """The qualified name of the coroutine that a task runs."""
    return str(getattr(task.get_coro(), "__qualname__", ""))
