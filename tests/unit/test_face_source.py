"""A source gives each frame once, says when nothing comes, and survives its device."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np

from lockerd.face.source import CameraSource, FileSource, open_source
from sim.faces import encode

GREY = encode(np.full((64, 64, 3), 99, np.uint8))


def replace(file: Path, data: bytes) -> None:
    beside = file.with_suffix(".new")
    beside.write_bytes(data)
    beside.replace(file)


def test_a_file_gives_one_frame_per_replacement(tmp_path: Path) -> None:
    file = tmp_path / "camera.jpg"
    source = FileSource(file, stale_after=30.0)
    assert source.newest() is None
    assert not source.is_up()
    for _ in range(3):
        replace(file, GREY)
        picture = source.newest()
        assert picture is not None
        assert picture.shape == (64, 64, 3)
        assert source.newest() is None
        assert source.is_up()
    replace(file, b"garbage")
    assert source.newest() is None
    file.unlink()
    assert source.newest() is None
    assert not source.is_up()


def test_a_file_that_was_left_behind_is_no_camera(tmp_path: Path) -> None:
    file = tmp_path / "camera.jpg"
    file.write_bytes(GREY)
    old = time.time() - 60
    os.utime(file, (old, old))
    source = FileSource(file, stale_after=5.0)
    assert source.newest() is None
    assert not source.is_up()


def test_a_folder_in_the_files_place(tmp_path: Path) -> None:
    source = FileSource(tmp_path, stale_after=5.0)
    assert source.newest() is None
    assert not source.is_up()


def test_a_camera_that_ends_is_down(tmp_path: Path) -> None:
    video = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 64))
    for _ in range(12):
        writer.write(np.full((64, 64, 3), 99, np.uint8))
    writer.release()
    source = open_source("camera", str(video), stale_after=0.05)
    picture = source.newest()
    assert picture is not None
    assert abs(int(picture.mean()) - 99) < 5
    assert source.is_up()
    while source.newest() is not None:
        pass
    deadline = time.monotonic() + 5.0
    while source.is_up():
        assert time.monotonic() < deadline
    source.close()


def test_a_camera_that_is_not_there() -> None:
    source = CameraSource("/dev/video-none", stale_after=5.0)
    assert source.newest() is None
    assert source.newest() is None
    assert not source.is_up()
    source.close()
