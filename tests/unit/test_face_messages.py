"""Garbage between daemon and worker is declared garbage, and ends the worker."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockerd.face.messages import (
    HEADER_BYTES,
    Beat,
    Cancel,
    Decided,
    Enrol,
    FaceSettings,
    Prompt,
    Ready,
    SourceSettings,
    Start,
    pack_message,
    read_reply,
    read_request,
)
from lockerd.model.identity import FaceReason, FaceVerdict, ReferenceKind


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_the_declared_error(body: bytes) -> None:
    for read in (read_reply, read_request):
        try:
            read(body)
        except msgspec.DecodeError:
            continue


def test_messages_come_back() -> None:
    start = Start(FaceSettings("pack", SourceSettings("file", "camera.jpg")))
    for request in (start, Enrol(1, b"\xff"), Cancel(2)):
        assert read_request(pack_message(request)[HEADER_BYTES:]) == request
    decided = Decided(3, FaceVerdict.NOT_VERIFIED, FaceReason.NO_MATCH, 4)
    for reply in (
        decided,
        Ready("m", {ReferenceKind.PHOTO: "t"}, 128),
        Beat(camera_up=True),
        Prompt(1, FaceReason.TOO_FAR),
    ):
        assert read_reply(pack_message(reply)[HEADER_BYTES:]) == reply


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 0),
        (b"\xff\xff\xff\xff", 76),
        (b"\x04\x00\x00\x00junk", 76),
        (pack_message(Cancel(1)), 76),
        (pack_message(Start(FaceSettings("none", SourceSettings("file", "none")))), 78),
    ],
    ids=["end", "huge", "junk", "too-early", "no-pack"],
)
def test_the_worker_ends_on_what_it_cannot_serve(sent: bytes, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lockerd.face.worker"],
        input=sent,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == status
    assert done.stderr == b""
