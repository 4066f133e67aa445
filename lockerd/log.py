"""Logging: structlog, JSON lines, and an allow-list of keys, so that no personal data can slip into a log."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import structlog

ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "logger", "exception",
        "address", "attempts_left", "backlog", "boot", "bucket", "cause", "check", "claim", "card", "count", "cursor",
        "device", "dropped", "error", "fault", "file", "journey", "key", "kind", "message_id", "model", "motion", "offset",
        "pid", "port", "reason", "remedy", "restarts", "result", "seconds", "seq", "signal", "slot", "stage", "state",
        "status", "type", "unit", "verdict", "version",
    }
)  # fmt: skip
"""Keys that may be logged; "code" is not one of them, for it would be taken for a pickup code. `error` is the text of a
LockerError, which holds no personal data by contract."""


def allow_listed(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the value of every key that is not allowed; the key stays, so that the mistake is seen."""
    for key in event:
        if key not in ALLOWED:
            event[key] = "[not allowed]"
    return event


def _without_values(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Turn an exception into its types and places; messages of foreign exceptions may quote data."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    if isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if info and info[0] is not None:
        frames = []
        trace = info[2]
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next
        event["exception"] = {"type": info[0].__name__, "frames": frames}
    return event


def configure(stream: TextIO) -> None:
    """Send structlog, and the standard library's warnings and errors, to `stream` as JSON lines."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_values,
            allow_listed,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)


class _Lines(structlog.PrintLogger):
    """A line that cannot be written (a full disk, a reader that went) is lost, and the machine goes on."""

    def msg(self, message: str) -> None:
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warning = error = critical = exception = msg


class _Bridge(logging.Handler):
    """Libraries' own records: level, logger and kind only, for their messages may quote what they handled."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            record.levelno, "library message", kind=f"{record.name}:{record.lineno}", exc_info=record.exc_info
        )
