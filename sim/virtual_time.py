"""An event loop in virtual time: its clock stands still while anything can run, and then jumps to the next timer.

The loop serves no file descriptors, threads and executors, on whose pace the order of things would depend. Equal programs
make equal runs, in any process and under any PYTHONHASHSEED.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from heapq import heapify, heappop, heappush
from typing import Any, NoReturn, TypeVar
from weakref import WeakValueDictionary

import msgspec

T = TypeVar("T")

_LEAST_ROOM = 200
"""Timers, those that were given up among them, before they are looked through."""


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


class Call(msgspec.Struct, eq=False):
    """A callback that waits for its turn or its time; None once it was given up."""

    callback: Callable[..., object] | None
    args: tuple[Any, ...]
    context: Context

    def cancel(self) -> None:
        """Let it never run."""
        self.callback, self.args = None, ()

    def cancelled(self) -> bool:
        """Whether it was given up."""
        return self.callback is None


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module. `time` is seconds since the loop was made."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._stopping: bool  # of the base class
        self._numbers = itertools.count(1)
        self._calls: deque[Call] = deque()
        self._timers: list[tuple[float, int, Call]] = []  # all of them later than now
        self._timer_numbers = itertools.count()
        self._room = _LEAST_ROOM

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def call_soon(  # type: ignore[override]  # the variadic generic of typeshed says no more than this
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Call:
        """Call after all that is ready now."""
        call = Call(callback, args, copy_context() if context is None else context)
        self._calls.append(call)
        return call

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Call:
        """Call at that virtual second; equal ones in the order in which they were asked for."""
        call = Call(callback, args, copy_context() if context is None else context)
        if when <= self._now:
            self._calls.append(call)
            return call
        if len(self._timers) >= self._room:
            self._forget_given_up()
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
        """Like `call_soon`, for the handler of a signal; threads have no place here."""
        return self.call_soon(callback, *args, context=context)

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
        """All that is ready, after the time has moved on if nothing was."""
        calls = self._calls
        if not calls:
            self._move_on()
        while calls and not self._stopping:
            call = calls.popleft()
            if call.callback is None:
                continue
            try:
                call.context.run(call.callback, *call.args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.call_exception_handler({"message": "a callback failed", "exception": error, "handle": call})

    def _move_on(self) -> None:
        """To the next timer."""
        timers = self._timers
        while timers and timers[0][2].callback is None:
            heappop(timers)
        if not timers:
            raise Stalled("the program waits for ever")
        self._now = timers[0][0]
        while timers and timers[0][0] == self._now:
            self._calls.append(heappop(timers)[2])

    def _forget_given_up(self) -> None:
        """Time-outs that did not happen leave the queue long before their time."""
        self._timers = [one for one in self._timers if one[2].callback is not None]
        heapify(self._timers)
        self._room = max(2 * len(self._timers), _LEAST_ROOM)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def name_of(task: asyncio.Task[Any]) -> str:
    """The qualified name of the coroutine that a task runs."""
    return str(getattr(task.get_coro(), "__qualname__", ""))
