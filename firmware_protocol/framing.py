"""Finding frames in a stream of bytes: the one mechanism behind every serial protocol here that starts with a fixed header.

A protocol gives its header, how large a frame is by its prefix, and how a whole frame decodes; the search, the bound of the
buffer and the accounting of every byte are the same for all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Generic, TypeVar


class FrameError(ValueError):
    """The bytes are no frame; base of the errors of each serial protocol."""


FrameT = TypeVar("FrameT")


@dataclass(frozen=True, slots=True)
class Framing(Generic[FrameT]):
    """How the frames of one direction look.

    `size_of` tells the size of a whole frame from its first `prefix_length` bytes, None when no frame begins so; it is at
    most `greatest`. `decode` gives the frame in exactly one whole frame and raises FrameError. `controls` are single bytes
    with a meaning of their own between frames.
    """

    header: bytes
    prefix_length: int
    greatest: int
    size_of: Callable[[bytes], int | None]
    decode: Callable[[bytes], FrameT]
    controls: Mapping[int, FrameT] = field(default_factory=dict)


@cache
def _mark_of(header: bytes, controls: bytes) -> re.Pattern[bytes]:
    """What a frame can begin with: the header, or in group 1 a control byte."""
    escaped = b"(" + b"|".join(re.escape(bytes([byte])) for byte in controls) + b")"
    return re.compile(re.escape(header) + (b"|" + escaped if controls else b""))


class Parser(Generic[FrameT]):
    """Finds frames in a stream, whatever else is in it; holds no clock and does no I/O. Never raises for what it is fed.

    Every byte fed ends as part of a frame, is counted in `dropped_bytes`, or waits in a buffer of at most `bound` bytes.
    A candidate with a wrong length or check costs one byte: the search goes on right behind it, so a true frame inside a
    false one is found. `bad_frames` counts candidates whose header and length were right and whose check was not.
    """

    def __init__(self, framing: Framing[FrameT]) -> None:
        self._framing = framing
        self._mark = _mark_of(framing.header, bytes(framing.controls))
        self._buffer = bytearray()
        self.frames = 0
        self.bad_frames = 0
        self.dropped_bytes = 0

    @property
    def bound(self) -> int:
        """Greatest number of bytes that wait between two calls."""
        return self._framing.greatest - 1

    @property
    def waiting(self) -> int:
        """Number of bytes that wait for the rest of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[FrameT]:
        """Take the next bytes of the stream, in any split; returns the frames that they complete, in order."""
        self._buffer += data
        return self._take(at_end=False)

    def flush(self) -> list[FrameT]:
        """Tell that the line fell silent: what waits will not be completed. Returns the frames found behind it."""
        return self._take(at_end=True) if self._buffer else []

    def _take(self, *, at_end: bool) -> list[FrameT]:
        found: list[FrameT] = []
        buffer, framing = self._buffer, self._framing
        search, available = self._mark.search, len(buffer)
        position = framed = 0
        while position < available:
            mark = search(buffer, position)
            if mark is None:
                position = available if at_end else max(position, available - self._header_begun())
                break
            position = mark.start()
            if mark.lastindex:
                found.append(framing.controls[buffer[position]])
                position += 1
                framed += 1
                continue
            prefix = bytes(buffer[position : position + framing.prefix_length])
            size = framing.size_of(prefix) if len(prefix) == framing.prefix_length else framing.prefix_length
            if size is not None and position + size > available:
                if not at_end:
                    break
                size = None
            frame = None if size is None else self._decoded(bytes(buffer[position : position + size]))
            if frame is None or size is None:
                position += 1
            else:
                found.append(frame)
                framed += size
                position += size
        del buffer[:position]
        self.frames += len(found)
        self.dropped_bytes += position - framed
        return found

    def _decoded(self, wire: bytes) -> FrameT | None:
        try:
            return self._framing.decode(wire)
        except FrameError:
            self.bad_frames += 1
            return None

    def _header_begun(self) -> int:
        """Length of the longest start of a header that ends the buffer."""
        header = self._framing.header
        return next((n for n in range(len(header) - 1, 0, -1) if self._buffer.endswith(header[:n])), 0)
