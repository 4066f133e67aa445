"""Presentations of drawn faces: people, prints of them on paper and replays of them on a screen, to show the tools with."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sim.faces.person import Person
from sim.faces.scene import Nuisance, draw_frame, draw_portrait, encode

Picture = npt.NDArray[np.uint8]


def write_samples(folder: Path, people: int, *, first: int = 0, frames: int = 3) -> None:
    """Write `live`, `print` and `replay` with `frames` pictures of each person."""
    for number in range(first, first + people):
        person = Person.from_seed(number)
        rng = np.random.default_rng([number, 30107])
        for frame in range(frames):
            nuisance = Nuisance.camera(rng, hard=0.4)
            shots = {
                "live": draw_frame(person, rng, nuisance=nuisance),
                "print": _held(_printed(draw_portrait(person, rng), rng), rng, border=(235, 238, 240)),
                "replay": _held(_replayed(draw_portrait(person, rng), rng), rng, border=(18, 18, 18)),
            }
            for species, picture in shots.items():
                (folder / species).mkdir(parents=True, exist_ok=True)
                (folder / species / f"{number}-{frame}.jpg").write_bytes(encode(picture))


def draw_print(person: Person | None, rng: np.random.Generator) -> Picture:
    """A print of somebody's photo, or an empty sheet, held before the camera by a hand that hardly trembles; BGR."""
    steady = np.random.default_rng(0 if person is None else person.seed)
    sheet = np.full((441, 358, 3), 240, np.uint8) if person is None else draw_portrait(person, steady)
    return _held(_printed(sheet, steady), rng, border=(235, 238, 240))


def _printed(portrait: Picture, rng: np.random.Generator) -> Picture:
    """A print: less contrast and colour, and the grain of paper and dots."""
    height, width = portrait.shape[:2]
    y, x = np.mgrid[:height, :width]
    dots = 6.0 * np.sin(x * 1.9) * np.sin(y * 1.9)
    flat = 0.72 * portrait.astype(np.float64) + 45.0 + dots[..., None] + rng.normal(0, 3, portrait.shape)
    grey = flat.mean(axis=2, keepdims=True)
    return np.asarray(np.clip(grey + 0.7 * (flat - grey), 0, 255), np.uint8)


def _replayed(portrait: Picture, rng: np.random.Generator) -> Picture:
    """A screen: bluish, with moire of its pixels and a pane's reflection."""
    height, width = portrait.shape[:2]
    y, x = np.mgrid[:height, :width]
    phase = float(rng.uniform(0, 6))
    moire = 7.0 * np.sin((x * 0.9 + y * 0.2) + phase) + 5.0 * np.sin(y * 0.35 + phase)
    glare = 40.0 * np.exp(-(((x - 0.7 * width) / (0.2 * width)) ** 2 + ((y - 0.2 * height) / (0.3 * height)) ** 2))
    lit = portrait.astype(np.float64) * (1.12, 1.0, 0.92) + (moire + glare)[..., None]
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


def _held(sheet: Picture, rng: np.random.Generator, *, border: tuple[int, int, int]) -> Picture:
    """The sheet or screen, held a little askew before the camera."""
    framed = cv2.copyMakeBorder(sheet, 24, 24, 18, 18, cv2.BORDER_CONSTANT, value=border)
    height, width = framed.shape[:2]
    scale = float(rng.uniform(0.82, 0.98)) * 480 / height
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 4)), scale)
    turn[:, 2] += (320 - width / 2, 240 - height / 2)
    background = np.full((480, 640, 3), (96, 104, 110), np.uint8)
    held = cv2.warpAffine(framed, turn, (640, 480), dst=background, borderMode=cv2.BORDER_TRANSPARENT)
    soft = cv2.GaussianBlur(held, (0, 0), 0.8).astype(np.float64) + rng.normal(0, 3, (480, 640, 3))
    return np.clip(soft, 0, 255).astype(np.uint8)
