"""Presentations of drawn faces: people, and pictures of them held before the same camera.

Species of instruments (ISO/IEC 30107-3): `print` on a sheet of paper, `replay` on a screen, `cutout`, a print cut along
the head and held before the street. The liveness model is trained on the first two; the third is for measuring.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sim.faces.pen import Floats, Truth
from sim.faces.person import Person
from sim.faces.scene import Nuisance, draw_background, draw_photo, draw_scene, encode, expose

Picture = npt.NDArray[np.uint8]

SPECIES = ("print", "replay", "cutout")


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A picture of a face on paper or on a screen, as it is held; `solid` (0..255) is where it hides what is behind."""

    picture: Picture
    truth: Truth
    solid: Picture


def write_samples(folder: Path, people: int, *, first: int = 0, frames: int = 3) -> None:
    """Write `live` and each species with `frames` pictures of each person, as the camera takes them."""
    for number in range(first, first + people):
        person = Person.from_seed(number)
        rng = np.random.default_rng([number, 30107])
        for frame in range(frames):
            shots = {"live": draw_scene([person], rng, nuisance=Nuisance.camera(rng, hard=0.6))[0]}
            shots |= {species: draw_attack(person, species, rng)[0] for species in SPECIES}
            for species, picture in shots.items():
                (folder / species).mkdir(parents=True, exist_ok=True)
                (folder / species / f"{number}-{frame}.jpg").write_bytes(encode(picture))


def draw_attack(
    person: Person, species: str, rng: np.random.Generator, size: tuple[int, int] = (640, 480), *, hard: float = 0.6
) -> tuple[Picture, Truth]:
    """A camera picture (BGR, `size` is (width, height)) of a picture of somebody, and where the face in it is."""
    seen = Nuisance.camera(rng, hard=hard)
    photo, truth = draw_photo(person, rng)
    if rng.random() < 0.5:  # taken by a telephone, not for a form
        photo, (truth,) = draw_scene([person], rng, (448, 448), nuisance=Nuisance.camera(rng, hard=0.4))
    if species == "replay":
        sheet = _framed(_replayed(photo, rng), truth, (18, 18, 18), int(rng.integers(4, 40)))
    elif species == "print":
        sheet = _framed(_printed(photo, rng), truth, (235, 238, 240), int(rng.integers(0, 60)))
    else:
        sheet = _cut(_printed(photo, rng), truth)
    eyes = float(np.hypot(*(truth.landmarks[1] - truth.landmarks[0])))
    scale = seen.eye_distance * size[1] / eyes
    picture, placed = _held(sheet, draw_background(rng, *size), scale, seen.at, float(rng.normal(0, 0.07)))
    return expose(picture, seen, rng), placed


def draw_print(person: Person | None, rng: np.random.Generator) -> Picture:
    """A print of somebody's photo, or an empty sheet, held before the camera by a hand that hardly trembles; BGR."""
    steady = np.random.default_rng(0 if person is None else person.seed)
    photo, truth = draw_photo(Person.from_seed(0) if person is None else person, steady)
    if person is None:
        photo[:] = 240
    sheet = _framed(_printed(photo, steady), truth, (235, 238, 240), 20)
    at = (0.5 + float(rng.normal(0, 0.004)), 0.46 + float(rng.normal(0, 0.004)))
    street = np.full((480, 640, 3), (96, 104, 110), np.uint8)
    return expose(_held(sheet, street, 0.9, at, float(rng.normal(0, 0.02)))[0], Nuisance(), rng)


def _printed(photo: Picture, rng: np.random.Generator) -> Picture:
    """A print: less contrast and colour, and the grain of paper and dots."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[:height, :width]
    pitch = float(rng.uniform(1.6, 2.2))
    dots = float(rng.uniform(4.0, 8.0)) * np.sin(x * pitch) * np.sin(y * pitch)
    contrast, colour = rng.uniform(0.62, 0.78), rng.uniform(0.6, 0.8)
    flat = contrast * photo.astype(np.float64) + 190.0 * (1 - contrast) + dots[..., None]
    flat += rng.normal(0, 3, photo.shape)
    grey = flat.mean(axis=2, keepdims=True)
    return np.asarray(np.clip(grey + colour * (flat - grey), 0, 255), np.uint8)


def _replayed(photo: Picture, rng: np.random.Generator) -> Picture:
    """A screen: bluish, with moire of its pixels and a pane's reflection."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[:height, :width]
    phase, fine, coarse = rng.uniform(0, 6), rng.uniform(0.7, 1.1), rng.uniform(0.25, 0.45)
    moire = 7.0 * np.sin((x * fine + y * 0.2) + phase) + 5.0 * np.sin(y * coarse + phase)
    across, down = rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.5)
    glare = rng.uniform(20, 50) * np.exp(
        -(((x - across * width) / (0.2 * width)) ** 2 + ((y - down * height) / (0.3 * height)) ** 2)
    )
    lit = photo.astype(np.float64) * (1.12, 1.0, 0.92) + (moire + glare)[..., None]
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


def _framed(picture: Picture, truth: Truth, colour: tuple[int, int, int], border: int) -> _Sheet:
    """The picture with a border of paper, or in a screen's case."""
    framed = np.asarray(
        cv2.copyMakeBorder(picture, border, border, border, border, cv2.BORDER_CONSTANT, value=colour), np.uint8
    )
    return _Sheet(framed, _moved(truth, np.array([[1.0, 0.0, border], [0.0, 1.0, border]])), np.full_like(framed, 255))


def _cut(picture: Picture, truth: Truth) -> _Sheet:
    """The picture cut along the head."""
    solid = np.zeros_like(picture)
    (left, top, right, bottom) = (float(v) for v in truth.box)
    centre = (round((left + right) / 2), round((top + bottom) / 2))
    cv2.ellipse(
        solid,
        centre,
        (round(0.62 * (right - left)), round(0.62 * (bottom - top))),
        0,
        0,
        360,
        (255,) * 3,
        -1,
        cv2.LINE_AA,
    )
    return _Sheet(picture, truth, solid)


def _held(sheet: _Sheet, street: Picture, scale: float, at: tuple[float, float], roll: float) -> tuple[Picture, Truth]:
    """The sheet before the street, a little askew, the middle of its face at `at` (shares of the picture)."""
    height, width = street.shape[:2]
    eyes = sheet.truth.landmarks[:2].mean(axis=0)
    turn: Floats = np.asarray(
        cv2.getRotationMatrix2D((float(eyes[0]), float(eyes[1])), float(np.degrees(roll)), scale), np.float64
    )
    turn[:, 2] += (at[0] * width - eyes[0], at[1] * height - eyes[1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    held = cv2.warpAffine(sheet.picture, turn, (width, height), flags=how).astype(np.float32)
    weight = cv2.warpAffine(sheet.solid, turn, (width, height), flags=how).astype(np.float32) / 255.0
    shown = held * weight + street.astype(np.float32) * (1 - weight)
    return np.clip(shown, 0, 255).astype(np.uint8), _moved(sheet.truth, turn)


def _moved(truth: Truth, turn: Floats) -> Truth:
    """Where the face is after an affine map (2, 3); the box holds the corners of the one before."""
    left, top, right, bottom = truth.box
    corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)]) @ turn[:, :2].T + turn[:, 2]
    marks = truth.landmarks @ turn[:, :2].T + turn[:, 2]
    return Truth(np.concatenate([corners.min(axis=0), corners.max(axis=0)]), marks)
