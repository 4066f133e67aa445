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
    """Who stands before the camera, by face seed; `beside` only with `person`. `printed`: a print of `person` on paper."""

    person: int | None = None
    beside: int | None = None
    printed: bool = False


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


def drawn(seed: int, *, infrared: bool = False) -> Callable[[Scene, int], bytes]:
    """A `draw` for `film` that makes the same pictures for the same seed.

    An `infrared` camera sees paper without its ink; people it draws in colour, as the synthetic pack knows no others.
    """
    import numpy as np

    from sim.faces import Person, draw_frame, draw_print, encode

    def draw(scene: Scene, number: int) -> bytes:
        rng = np.random.default_rng([seed, number])
        if scene.printed and scene.person is not None:
            return encode(draw_print(None if infrared else Person.from_seed(scene.person), rng))
        person, beside = (None if face is None else Person.from_seed(face) for face in (scene.person, scene.beside))
        return encode(draw_frame(person, rng, second=beside))

    return draw
