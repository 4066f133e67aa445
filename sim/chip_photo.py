"""The photo on a simulated chip: the real codec is licensed, so the bytes only name a drawn face, and the decoder draws it.

`python -m sim chip-photo` is the decoder: the chip's 1,024 bytes on standard input, a PNG on standard output.
"""

from __future__ import annotations

import argparse
import sys

LENGTH = 1024
WIDTH, HEIGHT = 102, 126  # pixels, GA 490
_MARK = b"SIMULATED PHOTO\0"


def photo_block(face_seed: int) -> bytes:
    """What a simulated chip holds in the place of its photo."""
    return (_MARK + face_seed.to_bytes(8, "big")).ljust(LENGTH, b"\0")


def picture_of(block: bytes) -> bytes:
    """The PNG of a simulated chip's photo, as small and coarse as a real one. Raises ValueError for other bytes."""
    if len(block) != LENGTH or not block.startswith(_MARK):
        raise ValueError("no photo of a simulated chip")
    import cv2
    import numpy as np

    from sim.faces import Person, draw_portrait

    seed = int.from_bytes(block[len(_MARK) : len(_MARK) + 8], "big")
    portrait = draw_portrait(Person.from_seed(seed), np.random.default_rng(seed))
    small = cv2.resize(portrait, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    quality = next(
        q for q in range(95, 0, -5) if len(cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, q])[1]) <= LENGTH
    )
    coded = cv2.imdecode(cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    assert coded is not None
    return cv2.imencode(".png", coded)[1].tobytes()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(_arguments: argparse.Namespace) -> int:
    """Decode one photo; exit status 1 where it is none."""
    try:
        sys.stdout.buffer.write(picture_of(sys.stdin.buffer.read(LENGTH + 1)))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
