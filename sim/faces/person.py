"""A drawn person: the parameters of a face that does not exist, derived from a seed.

Lengths are in face units: half the width of a mean face is 1, the eyes lie at y = 0, y grows towards the
chin. Colours are BGR, 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Bgr = tuple[float, float, float]

_SKIN: tuple[Bgr, ...] = (
    (176, 205, 236),
    (150, 186, 226),
    (128, 168, 214),
    (112, 152, 198),
    (92, 130, 178),
    (72, 104, 150),
)
_HAIR: tuple[Bgr, ...] = (
    (26, 22, 22),
    (30, 30, 38),
    (34, 42, 60),
    (36, 58, 92),
    (44, 52, 110),
    (120, 122, 124),
    (196, 198, 200),
)
_IRIS: tuple[Bgr, ...] = ((24, 34, 52), (30, 52, 84), (44, 74, 92), (60, 86, 78))


@dataclass(frozen=True, slots=True)
class Mole:
    """A dark spot on the skin: place and radius in face units."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True)
class Person:
    """One drawn person; equal seeds give equal persons."""

    seed: int
    skin: Bgr
    hair: Bgr
    iris: Bgr
    lips: Bgr
    forehead: float
    cheeks: float
    jaw: float
    chin_width: float
    chin_length: float
    skull: float
    ear: float
    hair_style: int
    hairline: float
    parting: float
    volume: float
    eye_spacing: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    iris_size: float
    lid: float
    brow_height: float
    brow_thickness: float
    brow_length: float
    brow_tilt: float
    brow_arch: float
    nose_length: float
    nose_width: float
    nose_bridge: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    mouth_curve: float
    beard: float
    moustache: float
    blush: float
    age: float
    glasses: int
    glasses_size: float
    moles: tuple[Mole, ...]

    @classmethod
    def from_seed(cls, seed: int) -> Person:
        """Draw the parameters of person number `seed` (>= 0)."""
        rng = np.random.default_rng([0x66616365, seed])

        def between(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        def mix(palette: tuple[Bgr, ...]) -> Bgr:
            """A colour between two neighbours of a palette, with a little of its own."""
            at = between(0.0, len(palette) - 1.001)
            low, part = int(at), at - int(at)
            jitter = rng.normal(0.0, 5.0, 3)
            blue, green, red = (
                float(np.clip(a + (b - a) * part + j, 8, 250))
                for a, b, j in zip(palette[low], palette[low + 1], jitter, strict=True)
            )
            return blue, green, red

        skin = mix(_SKIN)
        redness = between(0.0, 1.0)
        lips = (skin[0] * 0.72 - 18 * redness, skin[1] * 0.62 - 22 * redness, skin[2] * 0.90 + 8 * redness)
        bearded = rng.random() < 0.16
        return cls(
            seed=seed,
            skin=skin,
            hair=mix(_HAIR),
            iris=mix(_IRIS),
            lips=(max(lips[0], 20), max(lips[1], 20), min(lips[2], 235)),
            forehead=between(0.84, 1.04),
            cheeks=between(0.88, 1.10),
            jaw=between(0.76, 1.14),
            chin_width=between(0.7, 1.35),
            chin_length=between(0.9, 1.13),
            skull=between(0.94, 1.1),
            ear=between(0.75, 1.25),
            hair_style=int(rng.integers(0, 8)),
            hairline=between(-0.98, -0.62),
            parting=between(-0.6, 0.6),
            volume=between(0.08, 0.26),
            eye_spacing=between(0.37, 0.49),
            eye_width=between(0.17, 0.255),
            eye_height=between(0.065, 0.13),
            eye_tilt=between(-0.16, 0.2),
            iris_size=between(0.075, 0.105),
            lid=between(0.0, 1.0),
            brow_height=between(0.22, 0.38),
            brow_thickness=between(0.025, 0.085),
            brow_length=between(0.2, 0.31),
            brow_tilt=between(-0.2, 0.25),
            brow_arch=between(0.0, 0.1),
            nose_length=between(0.46, 0.68),
            nose_width=between(0.13, 0.25),
            nose_bridge=between(0.0, 1.0),
            mouth_y=between(0.24, 0.36),
            mouth_width=between(0.25, 0.41),
            upper_lip=between(0.03, 0.09),
            lower_lip=between(0.05, 0.12),
            mouth_curve=between(-0.05, 0.06),
            beard=between(0.25, 0.8) if bearded else 0.0,
            moustache=between(0.3, 0.9) if bearded and rng.random() < 0.7 else 0.0,
            blush=between(0.0, 1.0),
            age=between(0.0, 1.0),
            glasses=int(rng.choice((0, 0, 0, 0, 1, 2))),
            glasses_size=between(0.26, 0.33),
            moles=tuple(
                Mole(between(-0.72, 0.72), between(-0.45, 1.1), between(0.018, 0.042))
                for _ in range(int(rng.integers(0, 5)))
            ),
        )
