"""The log holds what it may: allowed keys only, exceptions without their messages, libraries without their words."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from lockerd.log import ALLOWED, configure

SECRET = "990101199001010015"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure(stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_level_and_utc_time(written: io.StringIO) -> None:
    structlog.get_logger().warning("motion ended", unit="dispenser", slot=3)
    (line,) = lines(written)
    assert (line["event"], line["level"], line["unit"], line["slot"]) == ("motion ended", "warning", "dispenser", 3)
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("key", ["code", "name", "id_number", "phone", "text", "tap"])
def test_a_key_that_is_not_allowed_loses_its_value_and_stays_visible(written: io.StringIO, key: str) -> None:
    assert key not in ALLOWED
    structlog.get_logger().info("something", **{key: SECRET})
    assert SECRET not in written.getvalue()
    assert lines(written)[0][key] == "[not allowed]"


def test_an_exception_is_its_types_and_places_without_its_message(written: io.StringIO) -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as inner:
            raise ValueError(f"bad {SECRET}") from inner
    except ValueError:
        structlog.get_logger().exception("something broke")
    assert SECRET not in written.getvalue()
    (line,) = lines(written)
    assert line["exception"]["type"] == "ValueError"
    assert any("test_log.py" in frame for frame in line["exception"]["frames"])


def test_what_a_library_logs_is_told_without_its_words(written: io.StringIO) -> None:
    logging.getLogger("aiohttp.server").error("Error handling %s", SECRET, exc_info=ValueError(SECRET))
    assert SECRET not in written.getvalue()
    (line,) = lines(written)
    assert line["event"] == "library message"
    assert line["kind"].startswith("aiohttp.server:")
    assert line["exception"]["type"] == "ValueError"


def test_a_library_below_warning_is_silent(written: io.StringIO) -> None:
    logging.getLogger("aiohttp.access").info("GET /")
    assert written.getvalue() == ""


@pytest.mark.usefixtures("written")
def test_a_line_that_cannot_be_written_stops_nothing() -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    configure(Full())
    structlog.get_logger().info("told", count=1)
    structlog.get_logger().warning("told", count=1)
    logging.getLogger("library").warning("told")
