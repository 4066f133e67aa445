"""An event loop in virtual time: its clock stands still while anything can run, and then jumps to the next timer.

The loop serves no file descriptors and no executors. Threads may answer through `call_soon_threadsafe`, each answer having
been announced by `expect`: the loop takes no further turn before every announced answer is there, so that neither time nor
the order of things depends on how fast a thread is. Equal programs make equal runs, in any process and under any
PYTHONHASHSEED.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextvars import Context, ContextVar
from queue import SimpleQueue
from typing import Any, NoReturn, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

_RESOLUTION = (
    1e-6  # of the clock; a nanosecond, as the base class has it, is less than a float can add after half a year
)

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


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. `time` is seconds since the loop was made."""

    def __init__(self) -> None:
        self._now = 0.0
        self._expected = 0
        self._answers: SimpleQueue[asyncio.Handle] = SimpleQueue()
        self._numbers = itertools.count(1)
        self._home = threading.get_ident()
        super().__init__(_NoFiles(self._turn))
        self._clock_resolution = _RESOLUTION
        self.set_task_factory(self._numbered)

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def expect(self) -> None:
        """Announce one answer of a thread."""
        self._expected += 1

    def call_soon_threadsafe(  # type: ignore[override]  # the variadic generic of typeshed says no more than this
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """From this thread like `call_soon`; from another, one announced answer."""
        if threading.get_ident() == self._home:
            return self.call_soon(callback, *args, context=context)
        handle = asyncio.Handle(callback, args, self, context)
        self._answers.put(handle)
        return handle

    def run_in_executor(self, executor: object, func: object, *args: object) -> NoReturn:
        """Refused: a thread's pace would decide the run."""
        raise RuntimeError("no executor in virtual time")

    def _numbered(
        self, _loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T] | Generator[Any, None, T], **options: Any
    ) -> asyncio.Task[T]:
        number = next(self._numbers)
        task = NumberedTask(coro, number, loop=self, **options)
        context: Context | None = options.get("context")
        family = FAMILY.get() if context is None else context.get(FAMILY)
        if family is not None:
            family[number] = task
        return task

    def _turn(self, timeout: float | None) -> None:
        """Called once a turn in place of waiting for files; `timeout` is the time until the next timer, None without any."""
        ready: Any = self._ready  # type: ignore[attr-defined]  # the loop's own queue
        if self._expected:
            while self._expected:
                self._expected -= 1
                ready.append(self._answers.get(timeout=ANSWER_WITHIN))
        elif timeout is None:
            raise Stalled("the program waits for ever")
        elif timeout > 0:
            self._now = self._scheduled[0]._when  # type: ignore[attr-defined]  # exactly, where now + timeout would round


class _NoFiles(selectors.BaseSelector):
    """A selector for a loop that has no files but its own wake-up pipe, which nobody uses."""

    def __init__(self, turn: Callable[[float | None], None]) -> None:
        self._turn = turn
        self._map: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, fileobj, events, data)  # asyncio gives descriptors
        self._map[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._map.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turn(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._map


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def name_of(task: asyncio.Task[Any]) -> str:
    """The qualified name of the coroutine that a task runs."""
    return str(getattr(task.get_coro(), "__qualname__", ""))
