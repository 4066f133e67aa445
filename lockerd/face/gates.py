"""Which faces may be compared: the gates, each with the prompt that its reason stands for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from lockerd.face.adapters import Face
from lockerd.face.pack import NO_COVERING_GATE, Gates
from lockerd.face.picture import Picture
from lockerd.model.identity import FaceReason, ReferenceKind

_LEAST_CHROMA = 10.0  # skin that is greyer tells nothing
_PASSER_BY = 0.5  # a face narrower than this share of the nearest one is somebody in the street


def reference_gates(gates: Gates, kind: ReferenceKind) -> Gates:
    """The gates for references of a kind: a chip's photo is as small and soft as its kilobyte makes it."""
    return gates if kind is ReferenceKind.PHOTO else msgspec.structs.replace(gates, eye_distance=0.0, sharpness=0.0)


def one_face(_picture: Picture, faces: Sequence[Face]) -> Face | FaceReason:
    """The face that stands before the machine: the widest, if no other is nearly as wide."""
    if not faces:
        return FaceReason.NO_FACE
    ordered = sorted(faces, key=_width, reverse=True)
    if len(ordered) > 1 and _width(ordered[1]) >= _PASSER_BY * _width(ordered[0]):
        return FaceReason.SEVERAL_FACES
    return ordered[0]


def middle_face(picture: Picture, faces: Sequence[Face]) -> Face | FaceReason:
    """The face nearest the picture's middle of those that are large, as data sets label pictures; for measuring only."""
    if not faces:
        return FaceReason.NO_FACE
    middle = np.array([picture.shape[1], picture.shape[0]]) / 2
    widest = max(_width(face) for face in faces)
    large = [face for face in faces if _width(face) >= _PASSER_BY * widest]
    return min(large, key=lambda face: float(np.hypot(*((face.box[:2] + face.box[2:]) / 2 - middle))))


def _width(face: Face) -> float:
    return float(face.box[2] - face.box[0])


def eye_distance(face: Face) -> float:
    """Pixels between the eyes."""
    return float(np.hypot(*(face.landmarks[1] - face.landmarks[0]).astype(np.float64)))


def turn(face: Face) -> float:
    """How far the nose tip lies beside the middle of the eyes, in eye distances; above 0 towards the picture's right."""
    left, right, nose = (face.landmarks[i].astype(np.float64) for i in range(3))
    across = right - left
    power = float(across @ across)
    return float((nose - (left + right) / 2) @ across) / power if power > 0 else float("inf")


def gate_geometry(face: Face, gates: Gates) -> FaceReason | None:
    """TOO_FAR or TURNED_AWAY by the landmarks; None where the face may be compared."""
    left, right, nose = (face.landmarks[i].astype(np.float64) for i in range(3))
    mouth = face.landmarks[3:5].astype(np.float64).mean(axis=0)
    across = right - left
    distance = float(np.hypot(*across))
    if not distance >= gates.eye_distance:
        return FaceReason.TOO_FAR
    along = across / distance
    down = np.array([-along[1], along[0]])
    middle = (left + right) / 2
    length = float((mouth - middle) @ down)
    nod = float((nose - middle) @ down) / length if length > 0 else -1.0
    roll = float(np.degrees(np.arctan2(across[1], across[0])))
    upright = abs(turn(face)) <= gates.turn and gates.nod_low <= nod <= gates.nod_high and abs(roll) <= gates.roll
    return None if upright else FaceReason.TURNED_AWAY


def gate_crop(crop: Picture, template: npt.NDArray[np.float64], gates: Gates) -> FaceReason | None:
    """TOO_DARK, TOO_BRIGHT, BLURRED or MASKED by the aligned crop; None where the face may be compared."""
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    light = float(grey.mean())
    if light < gates.darkest:
        return FaceReason.TOO_DARK
    if light > gates.brightest:
        return FaceReason.TOO_BRIGHT
    if float(cv2.Laplacian(grey, cv2.CV_32F).var()) < gates.sharpness:
        return FaceReason.BLURRED
    if gates.covering < NO_COVERING_GATE and covering(crop, template) > gates.covering:
        return FaceReason.MASKED
    return None


def covering(crop: Picture, template: npt.NDArray[np.float64]) -> float:
    """How far the colour around the mouth lies from that between the eyes: distance in a* and b* by the latter's chroma.

    Skin beside skin is near 0, also in shadow and with lips; a white or black mask gives 1, a blue one more. A picture
    without colour gives 0.
    """
    eyes, nose, mouth = template[:2].mean(axis=0), template[2], template[3:].mean(axis=0)
    half = 0.14 * float(np.hypot(*(template[1] - template[0])))
    down = mouth - nose
    bridge = _colour(crop, eyes - half, eyes + half)
    low = np.array([template[3][0], nose[1] + 0.4 * down[1]])
    high = np.array([template[4][0], mouth[1] + 0.5 * down[1]])
    return float(np.hypot(*(_colour(crop, low, high) - bridge)) / max(float(np.hypot(*bridge)), _LEAST_CHROMA))


def _colour(crop: Picture, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The median a* and b* of a rectangle of the crop."""
    (left, top), (right, bottom) = np.maximum(low, 0).astype(int), np.ceil(high).astype(int)
    lab = cv2.cvtColor(crop[top : bottom + 1, left : right + 1], cv2.COLOR_BGR2LAB)
    middle: npt.NDArray[np.float64] = np.median(lab[..., 1:].reshape(-1, 2).astype(np.float64), axis=0)
    return middle - 128.0
