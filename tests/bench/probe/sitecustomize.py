"""Measures how late an event loop calls back what is due, in a process that knows nothing of it.

Python imports this module at its start where its folder is in PYTHONPATH. With LOOP_LAG_FILE in the environment, `lockerd ... run`
writes lines "due lag" there when its loop ends: both in seconds, due on CLOCK_MONOTONIC.
"""

import asyncio
import os
import sys
from pathlib import Path

_PERIOD = 0.005  # seconds
_RUN = asyncio.BaseEventLoop.run_forever
_lags: list[tuple[float, float]] = []


def _run_forever(loop: asyncio.BaseEventLoop) -> None:
    def called(due: float) -> None:
        now = loop.time()
        _lags.append((due, now - due))
        timer[:] = [loop.call_at(now + _PERIOD, called, now + _PERIOD)]

    timer: list[asyncio.TimerHandle] = []
    called(loop.time())
    try:
        _RUN(loop)
    finally:
        timer[0].cancel()
        Path(os.environ["LOOP_LAG_FILE"]).write_text("".join(f"{due} {lag}\n" for due, lag in _lags))


if "LOOP_LAG_FILE" in os.environ and "lockerd" in sys.orig_argv and sys.orig_argv[-1] == "run":
    asyncio.BaseEventLoop.run_forever = _run_forever  # type: ignore[method-assign, assignment]  # wrapped
