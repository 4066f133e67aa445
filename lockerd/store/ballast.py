"""Room on the disk that is kept for what must be recorded when there is no other: the outcome of a motion in hand."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SIZE = 8 * 1024 * 1024
"""Bytes: thousands of transactions, and more than the write-ahead log's limit."""


class Ballast:
    """A file of SIZE bytes beside the database; `held` tells whether it is there in full."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.held = False

    def make(self) -> bool:
        """Take the room unless it is held; whether it is. Blocks for some milliseconds."""
        if self.held:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, SIZE)
            finally:
                os.close(descriptor)
        except OSError:
            self.release()  # a part of it helps nobody
            return False
        self.held = True
        return True

    def release(self) -> bool:
        """Give the room back, also that of an earlier run; whether there was any."""
        self.held = False
        with suppress(OSError):
            self._path.unlink()
            return True
        return False
