"""The machine's camera: whoever stands before it is drawn into a picture file, again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_PERIOD = 1 / 12  # seconds between pictures while somebody looks
_IDLE_PERIODS = 6  # so many times longer otherwise


@dataclass(frozen=True, slots=True)
class Scene:
    """Who stands before the camera, by face seed; `beside` only with `person`."""

    person: int | None = None
    beside: int | None = None


async def film(path: Path, scene: Callable[[], Scene | None], draw: Callable[[Scene, int], bytes]) -> None:
    """Keep the picture (JPEG) at `path` fresh until cancelled; without a scene (camera off) and at the end there is no file.

    `draw` gets the scene and the number of the picture, and runs in a thread.
    """
    file = _File(path)
    number = 0
    shown: Scene | None = None
    idle = 0
    try:
        while True:
            seen = scene()
            idle += 1
            if seen is None:
                file.remove()
            elif seen.person is not None or seen != shown or idle >= _IDLE_PERIODS:
                picture = await asyncio.to_thread(draw, seen, number)
                number += 1
                idle = 0
                if scene() is not None:  # not switched off meanwhile
                    file.show(picture)
            shown = seen
            await asyncio.sleep(_PERIOD)
    finally:
        file.remove()


class _File:
    """A picture file that others see whole or not at all; a few kilobytes, so it is written between two events."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fresh = path.with_name(f".{path.name}.new")

    def show(self, picture: bytes) -> None:
        self._fresh.write_bytes(picture)
        self._fresh.replace(self._path)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def drawn(seed: int) -> Callable[[Scene, int], bytes]:
    """A `draw` for `film` that makes the same pictures for the same seed."""
    import numpy as np

    from sim.faces import Person, draw_frame, encode

    def draw(scene: Scene, number: int) -> bytes:
        person, beside = (None if face is None else Person.from_seed(face) for face in (scene.person, scene.beside))
        return encode(draw_frame(person, np.random.default_rng([seed, number]), second=beside))

    return draw
