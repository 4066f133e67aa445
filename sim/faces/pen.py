"""A pen that knows a head's pose: shapes in face units, turned in space, filled as polygons."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sim.faces.person import Bgr

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

SHIFT = 4  # fractional bits of OpenCV's polygon coordinates


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a head is and how it is turned: middle of the eyes and face unit in pixels, angles in radians."""

    x: float
    y: float
    unit: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    smile: float = 0.0
    lids: float = 1.0
    gaze: float = 0.0
    clothes: Bgr = (110, 90, 70)


@dataclass(frozen=True, slots=True)
class Truth:
    """What a detector should find: box (left, top, right, bottom) and five landmarks (x, y), in pixels.

    Landmark order: eye at the picture's left, eye at its right, tip of the nose, mouth corner left, right.
    """

    box: Floats
    landmarks: Floats


def curve(points: list[tuple[float, float]], *, closed: bool, steps: int = 6) -> Floats:
    """A Catmull-Rom curve through the points (N, 2)."""
    knots = np.asarray(points, dtype=np.float64)
    ring = np.concatenate([knots[-1:], knots, knots[:2]]) if closed else np.concatenate([knots[:1], knots, knots[-1:]])
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (ring[i : len(ring) - 3 + i][:, None, :] for i in range(4))
    out = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    flat: Floats = out.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, knots[-1:]])


def mirrored(right: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A closed outline from its right side, top to bottom; points on the axis are not doubled."""
    return right + [(-x, y) for x, y in reversed(right) if abs(x) > 1e-9]


def scaled(colour: Bgr, factor: float) -> Bgr:
    """The colour made darker (factor < 1) or lighter."""
    return tuple(float(np.clip(c * factor, 0, 255)) for c in colour)  # type: ignore[return-value]  # three in, three out


class Pen:
    """Draws shapes in face units at one pose into one picture."""

    def __init__(self, pose: Pose, into: Picture) -> None:
        self.pose = pose
        self.picture = into
        cy, sy = np.cos(pose.yaw), np.sin(pose.yaw)
        cp, sp = np.cos(pose.pitch), np.sin(pose.pitch)
        cr, sr = np.cos(pose.roll), np.sin(pose.roll)
        yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        self._turn = (roll @ pitch @ yaw)[:2]

    def place(self, points: Floats | list[tuple[float, float]], z: float | Floats) -> Floats:
        """Pixels of face points (N, 2) that lie `z` face units in front of the ears' plane."""
        flat = np.asarray(points, dtype=np.float64)
        depth = np.broadcast_to(np.asarray(z, dtype=np.float64), (len(flat),))
        space = np.column_stack([flat, depth - 0.35])
        pixels: Floats = (space @ self._turn.T) * self.pose.unit + (self.pose.x, self.pose.y)
        return pixels

    def fill(
        self,
        points: Floats | list[tuple[float, float]],
        z: float | Floats,
        colour: Bgr,
        into: Picture | None = None,
    ) -> None:
        """Fill a polygon."""
        target = self.picture if into is None else into
        fixed = np.round(self.place(points, z) * (1 << SHIFT)).astype(np.int32)
        cv2.fillPoly(target, [fixed], colour, cv2.LINE_AA, SHIFT)

    def stroke(
        self,
        points: Floats | list[tuple[float, float]],
        z: float,
        colour: Bgr,
        width: float,
        *,
        closed: bool = False,
    ) -> None:
        """Draw a line `width` face units wide."""
        fixed = np.round(self.place(points, z) * (1 << SHIFT)).astype(np.int32)
        thickness = max(1, round(width * self.pose.unit))
        cv2.polylines(self.picture, [fixed], closed, colour, thickness, cv2.LINE_AA, SHIFT)

    def dot(self, x: float, y: float, z: float, radius: float, colour: Bgr, *, into: Picture | None = None) -> None:
        """Fill a circle."""
        angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        self.fill(np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)]), z, colour, into)
