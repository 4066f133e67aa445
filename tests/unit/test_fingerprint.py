"""The fingerprint sensor behind its socket: the chip's block goes to the matcher, and a sensor that is gone is no match."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lockerd.devices.fingerprint import SocketMatcher
from lockerd.errors import DeviceError
from lockerd.model.identity import FingerResult
from sim.fingerprint import block_of, matcher

OWN, OTHERS = block_of("990101199001010018"), block_of("990101199001010026")


@pytest.mark.parametrize(
    ("block", "finger", "result"),
    [
        (OWN, OWN, FingerResult.MATCH),
        (OWN, OTHERS, FingerResult.NO_MATCH),
        (OWN, None, FingerResult.NO_FINGER),
        (OWN[:512], OWN, FingerResult.NO_MATCH),
        (OWN[:100], OWN, FingerResult.NO_TEMPLATE),
        (b"", OWN, FingerResult.NO_TEMPLATE),
    ],
)
async def test_a_finger_matches_its_own_chip_only(
    tmp_path: Path, block: bytes, finger: bytes | None, result: FingerResult
) -> None:
    async with matcher(tmp_path / "finger", lambda: finger, lambda: True):
        assert await SocketMatcher(tmp_path / "finger").verify(block, timeout=0.01) is result


async def test_a_sensor_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    assert await SocketMatcher(tmp_path / "none").verify(OWN, timeout=0.01) is FingerResult.UNAVAILABLE
    async with matcher(tmp_path / "finger", lambda: OWN, lambda: False):
        assert await SocketMatcher(tmp_path / "finger").verify(OWN, timeout=0.01) is FingerResult.UNAVAILABLE


async def test_the_last_answer_is_remembered_for_health(tmp_path: Path) -> None:
    there = False
    sensor = SocketMatcher(tmp_path / "finger")
    assert not sensor.last_answer_ok
    async with matcher(tmp_path / "finger", lambda: None, lambda: there):
        with pytest.raises(DeviceError, match="fingerprint: does not answer"):
            await sensor.probe()
        there = True
        await sensor.probe()
        assert sensor.last_answer_ok
        assert await sensor.verify(OWN, timeout=0.01) is FingerResult.NO_FINGER
        assert sensor.last_answer_ok
        there = False
        assert await sensor.verify(OWN, timeout=0.01) is FingerResult.UNAVAILABLE
        assert not sensor.last_answer_ok


@pytest.mark.parametrize("answer", [b'{"result": "match"}\n', b'{"result": "unavailable"}\n'])
async def test_a_matcher_that_matches_nothing_with_a_finger_is_not_well(tmp_path: Path, answer: bytes) -> None:
    sensor = SocketMatcher(tmp_path / "finger")
    async with answering(tmp_path / "finger", answer):
        with pytest.raises(DeviceError):
            await sensor.probe()
    assert not sensor.last_answer_ok


@asynccontextmanager
async def answering(path: Path, answer: bytes) -> AsyncIterator[None]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    try:
        yield
    finally:
        server.close()


@pytest.mark.parametrize(
    "answer", [b"match\n", b'{"result": "surely"}\n', b"[]\n", b"\xff\n", b'{"result": "' + b"x" * 5000 + b'"}\n', b""]
)
async def test_an_answer_of_other_words_is_no_match(tmp_path: Path, answer: bytes) -> None:
    async with answering(tmp_path / "finger", answer):
        assert await SocketMatcher(tmp_path / "finger").verify(OWN, timeout=1.0) is FingerResult.UNAVAILABLE


async def test_cancelling_closes_the_connection(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asked.set()
        await reader.read()
        ended.set()
        writer.close()

    asked = asyncio.Event()
    server = await asyncio.start_unix_server(serve, str(tmp_path / "finger"))
    task = asyncio.create_task(SocketMatcher(tmp_path / "finger").verify(OWN, timeout=60.0))
    async with asyncio.timeout(10):
        await asked.wait()
        task.cancel()
        await ended.wait()
    server.close()
