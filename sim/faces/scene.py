"""Pictures of drawn people: application photos and what a camera in a street wall sees."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sim.faces.draw import Head
from sim.faces.pen import Floats, Picture, Pose, Truth
from sim.faces.person import Bgr, Person


@dataclass(frozen=True, slots=True)
class Nuisance:
    """What changes from picture to picture of one person; lengths are shares of the frame's height.

    `eye_distance` between the eyes, `at` the middle between them, angles in radians, `gain` of the light,
    `side` its slope across the frame (-1..1), `warmth` its colour (-1..1), `blur` sigma and `noise` sigma of
    the camera for a frame 480 pixels high.
    """

    eye_distance: float = 0.17
    at: tuple[float, float] = (0.5, 0.45)
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    smile: float = 0.0
    lids: float = 1.0
    gaze: float = 0.0
    gain: float = 1.0
    side: float = 0.0
    warmth: float = 0.0
    blur: float = 0.6
    noise: float = 4.0

    @classmethod
    def camera(cls, rng: np.random.Generator, *, hard: float = 1.0) -> Nuisance:
        """A citizen before the machine's camera; `hard` = 1 is the whole range, 0 a model citizen."""

        def around(middle: float, spread: float) -> float:
            return float(middle + hard * np.clip(rng.normal(0.0, spread / 2), -spread, spread))

        return cls(
            eye_distance=around(0.19, 0.055),
            at=(around(0.5, 0.13), around(0.46, 0.07)),
            yaw=around(0.0, 0.3),
            pitch=around(0.0, 0.2),
            roll=around(0.0, 0.2),
            smile=around(0.2, 0.8),
            lids=around(0.95, 0.3),
            gaze=around(0.0, 1.0),
            gain=around(0.98, 0.32),
            side=around(0.0, 0.6),
            warmth=around(0.0, 0.8),
            blur=abs(around(0.7, 0.8)),
            noise=abs(around(4.0, 5.0)),
        )


def draw_portrait(person: Person, rng: np.random.Generator, size: tuple[int, int] = (358, 441)) -> Picture:
    """The photo of an application: plain ground, even light; BGR, `size` is (width, height)."""
    return draw_photo(person, rng, size)[0]


def draw_photo(person: Person, rng: np.random.Generator, size: tuple[int, int] = (358, 441)) -> tuple[Picture, Truth]:
    """The photo of an application and where its face is."""
    width, height = size
    picture = np.full((height, width, 3), (240, 238, 236), np.uint8)
    pose = Pose(
        x=width * (0.5 + float(rng.normal(0, 0.006))),
        y=height * (0.47 + float(rng.normal(0, 0.008))),
        unit=width * (0.285 + float(rng.normal(0, 0.006))),
        yaw=float(rng.normal(0, 0.02)),
        pitch=float(rng.normal(0, 0.02)),
        roll=float(rng.normal(0, 0.015)),
        clothes=_clothes(rng),
    )
    truth = Head(person, pose, picture).draw()
    return expose(picture, Nuisance(blur=0.4, noise=1.5), rng), truth


def draw_frame(
    person: Person | None,
    rng: np.random.Generator,
    size: tuple[int, int] = (640, 480),
    *,
    nuisance: Nuisance | None = None,
    second: Person | None = None,
) -> Picture:
    """A camera picture (BGR, `size` is (width, height)) of a person, of nobody, or with a `second` beside.

    Without `nuisance` the person stands well before the camera, a little different each time.
    """
    return draw_scene([one for one in (person, second) if one is not None], rng, size, nuisance=nuisance)[0]


def draw_scene(
    people: list[Person],
    rng: np.random.Generator,
    size: tuple[int, int] = (640, 480),
    *,
    nuisance: Nuisance | None = None,
) -> tuple[Picture, list[Truth]]:
    """A camera picture of these people (at most two) and where their faces are."""
    width, height = size
    picture = draw_background(rng, width, height)
    seen = nuisance or Nuisance.camera(rng, hard=0.3)
    truths = []
    for index, person in enumerate(people):
        look = seen
        if len(people) > 1:
            own = Nuisance.camera(rng, hard=0.5) if index else seen
            middle = (0.29, 0.71)[index] + float(rng.normal(0, 0.015))
            look = Nuisance(min(own.eye_distance, 0.17), (middle, own.at[1]), own.yaw, own.pitch, own.roll)
        pose = Pose(
            x=look.at[0] * width,
            y=look.at[1] * height,
            unit=look.eye_distance * height / (2 * person.eye_spacing),
            yaw=look.yaw,
            pitch=look.pitch,
            roll=look.roll,
            smile=look.smile,
            lids=look.lids,
            gaze=look.gaze,
            clothes=_clothes(rng),
        )
        truths.append(Head(person, pose, picture).draw())
    return expose(picture, seen, rng), truths


def _clothes(rng: np.random.Generator) -> Bgr:
    blue, green, red = (float(c) for c in rng.uniform(25, 215, 3))
    return blue, green, red


def draw_background(rng: np.random.Generator, width: int, height: int) -> Picture:
    """A street as a camera sees it out of focus: coarse patches, lamps and edges."""
    cells = rng.uniform(30, 200, (int(rng.integers(2, 7)), int(rng.integers(2, 9)), 3))
    cells = cells * 0.35 + cells.mean(axis=2, keepdims=True) * 0.65
    tint = rng.uniform(60, 170, (1, 1, 3))
    coarse = (cells * 0.6 + tint * 0.4).astype(np.uint8)
    flat = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 7))):
        colour = tuple(float(c) for c in rng.uniform(15, 235) + rng.uniform(-25, 25, 3))
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        if rng.random() < 0.5:
            cv2.circle(flat, (x, y), int(rng.uniform(0.02, 0.22) * height), colour, -1, cv2.LINE_AA)
        else:
            across, down = (int(v) for v in rng.uniform(0.03, 0.5, 2) * height)
            cv2.rectangle(flat, (x, y), (x + across, y + down), colour, -1)
    blurred: Picture = np.asarray(cv2.blur(flat, (height // 40 + 1, height // 40 + 1)), np.uint8)
    return blurred


def expose(picture: Picture, seen: Nuisance, rng: np.random.Generator) -> Picture:
    """Light and camera: slope and colour of the light, blur, noise."""
    height, width = picture.shape[:2]
    blur = seen.blur * height / 480
    soft = cv2.GaussianBlur(picture, (0, 0), blur) if blur > 0.25 else picture
    slope = seen.gain * (1.0 + seen.side * np.linspace(-0.6, 0.6, width))
    colour = np.array([1.0 - 0.12 * seen.warmth, 1.0, 1.0 + 0.12 * seen.warmth])
    light = (slope[:, None] * colour).astype(np.float32)
    noise = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(seen.noise)
    exposed: Picture = np.clip(soft * light[None] + noise, 0, 255).astype(np.uint8)
    return exposed


def encode(picture: Picture, quality: int = 92) -> bytes:
    """The picture as JPEG."""
    done, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError("the picture could not be coded as JPEG")
    return coded.tobytes()


__all__ = ["Floats", "Nuisance", "Picture", "Truth", "draw_frame", "draw_portrait", "draw_scene", "encode"]
