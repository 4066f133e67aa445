"""Where frames come from: a camera, or a file that another process replaces; both in the worker process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, Protocol

import cv2

from lockerd.face.messages import MAX_PICTURE_BYTES
from lockerd.face.picture import Picture, checked, decode

_BUFFERED_BELOW = 0.005  # seconds; a frame that comes sooner than this waited in the driver's buffer
_MAX_BUFFERED = 5
_REOPEN_AFTER = 1.0  # seconds


class FrameSource(Protocol):
    """The newest frame, on demand."""

    def newest(self) -> Picture | None:
        """A frame not given before, or None if there is no new one; never raises for a device's faults."""
        ...

    def is_up(self) -> bool:
        """Whether frames came lately."""
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...


class CameraSource:
    """A camera through OpenCV: index ("0"), device path or stream address; opened again after it fails."""

    def __init__(self, address: str, stale_after: float) -> None:
        self._address = address
        self._stale_after = stale_after
        self._capture: cv2.VideoCapture | None = None
        self._seen = float("-inf")
        self._tried = float("-inf")

    def newest(self) -> Picture | None:
        """The next frame the camera gives, blocking; what waited in the driver's buffer is passed over."""
        capture = self._opened()
        if capture is None:
            return None
        for _ in range(_MAX_BUFFERED):
            began = time.monotonic()
            if not capture.grab():
                self.close()
                return None
            if time.monotonic() - began > _BUFFERED_BELOW:
                break
        done, frame = capture.retrieve()
        picture = checked(frame) if done else None
        if picture is None or isinstance(picture, str):
            return None
        self._seen = time.monotonic()
        return picture

    def is_up(self) -> bool:
        """Whether the camera gave a frame within the time allowed."""
        return time.monotonic() - self._seen <= self._stale_after

    def close(self) -> None:
        """Let go of the camera; it is opened again on demand."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _opened(self) -> cv2.VideoCapture | None:
        if self._capture is not None:
            return self._capture
        if time.monotonic() - self._tried < _REOPEN_AFTER:
            return None
        self._tried = time.monotonic()
        try:
            capture = cv2.VideoCapture(int(self._address) if self._address.isdigit() else self._address)
        except cv2.error:
            return None
        if not capture.isOpened():
            capture.release()
            return None
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._capture = capture
        return capture


class FileSource:
    """A JPEG that another process replaces (write beside, then rename); one frame per replacement."""

    def __init__(self, path: Path, stale_after: float) -> None:
        self._path = path
        self._stale_after = stale_after
        self._version: tuple[int, int] | None = None
        self._changed = float("-inf")

    def newest(self) -> Picture | None:
        """The file's picture if it was replaced since the last call."""
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_PICTURE_BYTES + 1) if self._replaced() else None
        except OSError:
            self._changed = float("-inf")
            self._version = None
            return None
        picture = decode(data) if data is not None and self.is_up() else None
        return None if isinstance(picture, str) else picture

    def is_up(self) -> bool:
        """Whether the file was replaced within the time allowed."""
        return time.monotonic() - self._changed <= self._stale_after

    def close(self) -> None:
        """Nothing is held open."""

    def _replaced(self) -> bool:
        found = self._path.stat()
        version = (found.st_mtime_ns, found.st_ino)
        if version == self._version:
            return False
        # How old a file is that is seen for the first time, only the wall clock knows.
        age = 0.0 if self._version is not None else max(0.0, time.time() - found.st_mtime)
        self._version = version
        self._changed = time.monotonic() - age
        return True


def open_source(kind: Literal["camera", "file"], address: str, stale_after: float) -> FrameSource:
    """The configured source; opens nothing yet."""
    return CameraSource(address, stale_after) if kind == "camera" else FileSource(Path(address), stale_after)
