"""Finding frames in a stream of bytes: the one mechanism behind every serial protocol here that starts with a fixed header.

A protocol gives its header, how large a frame is by its prefix, and how a whole frame decodes; the search, the bound of the
buffer and the accounting of every byte are the same for all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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


class Parser(Generic[FrameT]):
    """Finds frames in a stream, whatever else is in it; holds no clock and does no I/O. Never raises for what it is fed.

    Every byte fed ends as part of a frame, is counted in `dropped_bytes`, or waits in a buffer of at most `bound` bytes.
    A candidate with a wrong length or check costs one byte: the search goes on right behind it, so a true frame inside a
    false one is found. `bad_frames` counts candidates whose header and length were right and whose check was not.
    """

    def __init__(self, framing: Framing[FrameT]) -> None:
        self._framing = framing
        marks = [re.escape(mark) for mark in (framing.header, *(bytes([byte]) for byte in framing.controls))]
        self._mark = re.compile(b"|".join(marks), re.DOTALL)
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
        return self._take(at_end=True)

    def _take(self, *, at_end: bool) -> list[FrameT]:
        found: list[FrameT] = []
        buffer, framing = self._buffer, self._framing
        position = 0
        while True:
            mark = self._mark.search(buffer, position)
            if mark is None:
                start = len(buffer) if at_end else max(position, len(buffer) - self._header_begun())
                self.dropped_bytes += start - position
                position = start
                break
            start = mark.start()
            self.dropped_bytes += start - position
            position = start
            control = framing.controls.get(buffer[start])
            if control is not None:
                self.frames += 1
                found.append(control)
                position += 1
                continue
            end = self._end_of_frame(start)
            if end is not None and end > len(buffer):
                if not at_end:
                    break
                end = None
            frame = None if end is None else self._decoded(bytes(buffer[start:end]))
            if frame is None or end is None:
                self.dropped_bytes += 1
                position += 1
            else:
                self.frames += 1
                found.append(frame)
                position = end
        del buffer[:position]
        return found

    def _decoded(self, wire: bytes) -> FrameT | None:
        try:
            return self._framing.decode(wire)
        except FrameError:
            self.bad_frames += 1
            return None

    def _end_of_frame(self, start: int) -> int | None:
        """Where the frame at `start` ends, beyond the buffer when more is needed, None when it cannot be one."""
        prefix_end = start + self._framing.prefix_length
        if prefix_end > len(self._buffer):
            return prefix_end
        size = self._framing.size_of(bytes(self._buffer[start:prefix_end]))
        return None if size is None else start + size

    def _header_begun(self) -> int:
        """Length of the longest start of a header that ends the buffer."""
        header = self._framing.header
        return next((n for n in range(len(header) - 1, 0, -1) if self._buffer.endswith(header[:n])), 0)


def xor_of(data: bytes | bytearray) -> int:
    """XOR of all bytes; over a frame's checked part and its check it is 0."""
    # Folding one big number halves the work at each step; byte by byte, garbage full of headers would hold the loop up.
    value = int.from_bytes(data, "big")
    size = len(data)
    while size > 1:
        half = (size + 1) // 2
        value = (value >> 8 * half) ^ (value & (1 << 8 * half) - 1)
        size = half
    return value
