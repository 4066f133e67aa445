"""What is told of an exception that nobody expected: in the simulator itself, or one that ended the daemon."""

from __future__ import annotations

import traceback
from pathlib import Path

_LINES = 12
_ROOT = Path(__file__).parents[2]


def innermost(error: BaseException) -> BaseException:
    """The first error of a group of groups, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def named(error: BaseException) -> str:
    """Type and words of an error, in one line."""
    error = innermost(error)
    return " ".join(f"{type(error).__name__}: {error}".split())


def last_lines(error: BaseException) -> list[str]:
    """The last lines of its traceback."""
    text = "".join(traceback.format_exception(innermost(error)))
    return text.rstrip().splitlines()[-_LINES:]


def whose(error: BaseException) -> str:
    """Whose code it was raised in: the daemon's or the simulation's."""
    for frame in reversed(traceback.extract_tb(innermost(error).__traceback__)):
        path = Path(frame.filename)
        room = path.relative_to(_ROOT).parts[0] if path.is_relative_to(_ROOT) else ""
        if room in {"lockerd", "sim"}:
            return "the daemon" if room == "lockerd" else "the simulation"
    return "the simulation"
