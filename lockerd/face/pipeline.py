"""From a picture to a comparable vector: detect, gate, align, embed; then fuse and compare.

No I/O but the models' computation. Any picture gives a `Sighting` or a `FaceReason`; nothing that fails
matches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lockerd.errors import ConfigError
from lockerd.face.adapters import (
    Detector,
    Embedder,
    Face,
    Floats,
    Inputs,
    Liveness,
    open_liveness,
    open_models,
    surroundings,
)
from lockerd.face.gates import eye_distance, gate_crop, gate_geometry, one_face, reference_gates, turn
from lockerd.face.pack import Gates, Pack
from lockerd.face.picture import Picture, checked, decode
from lockerd.model.identity import Enrolment, FaceReason, FaceTemplate, ReferenceKind

WARM_UP = 8
_GOLDEN_COSINE = 0.98
_NEAR = 1.5  # times a face's box, where it is looked for in the next frame
_NEAR_SIZE = (160, 160)  # pixels of the detector's input for that
_GLANCE = (
    8 / 9
)  # of the input's sides, to see who is there: a frame of 16:9 is 160 rows then, and needs no padding to 192


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """One picture that passed the gates: where the face was, its L2-normalised embedding, and how live it is.

    `live` is 0..1, None where the pack has no liveness model. `eye_distance` in pixels, `turn` in eye distances.
    """

    box: Floats
    vector: Floats
    live: float | None = None
    eye_distance: float = 0.0
    turn: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Glimpse:
    """One picture in which one face stands before the machine, and where (a box in pixels); it was not compared."""

    box: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Pipeline:
    """A pack's models, ready to run; `choose` takes the face that is meant out of all that were found."""

    model_id: str
    detect: Detector
    embed: Embedder
    liveness: Liveness | None
    template: npt.NDArray[np.float64]
    crop_size: tuple[int, int]
    gates_live: Gates
    gates_reference: Gates
    inputs: Inputs
    glance_size: tuple[int, int]
    choose: Callable[[Picture, Sequence[Face]], Face | FaceReason] = one_face

    def look(
        self, picture: object, gates: Gates, *, live: bool = False, near: Floats | None = None
    ) -> Sighting | FaceReason:
        """The one face in a picture, or why it cannot be compared; never raises for any picture.

        With `live` the pack's liveness models, where it has them, look too. With `near`, the face's box in the frame
        before, it is looked for around there first, and in the whole picture only if it is not there.
        """
        usable = checked(picture)
        if isinstance(usable, FaceReason):
            return usable
        faces = self.around(usable, near) if near is not None else []
        face = self.choose(usable, faces or self.detect(usable))
        if isinstance(face, FaceReason):
            return face
        reason = gate_geometry(face, gates)
        if reason is not None:
            return reason
        crop = align(usable, face.landmarks, self.template, self.crop_size)
        reason = gate_crop(crop, self.template, gates)
        if reason is not None:
            return reason
        vector = normalised(self.embed(crop))
        if vector is None:
            return FaceReason.UNREADABLE_PICTURE
        score = self.liveness(usable, face.box) if live and self.liveness is not None else None
        return Sighting(face.box, vector, score, eye_distance(face), turn(face))

    def glance(self, picture: object) -> Glimpse | FaceReason:
        """The one face in a whole picture, or why there is not one; never raises for any picture.

        Costs the detector only: what is between two looks of a transaction, where nobody else may come in.
        """
        usable = checked(picture)
        if isinstance(usable, FaceReason):
            return usable
        face = self.choose(usable, self.detect(usable, self.glance_size))
        return face if isinstance(face, FaceReason) else Glimpse(face.box)

    def around(self, picture: Picture, box: Floats) -> list[Face]:
        """The faces near a box, in the whole picture's pixels; it shows a small face larger, for less time."""
        left, top, right, bottom = surroundings(picture.shape[1], picture.shape[0], box, _NEAR)
        corner = np.array([left, top], np.float32)
        return [
            Face(face.box + np.tile(corner, 2), face.landmarks + corner, face.score)
            for face in self.detect(picture[top:bottom, left:right], _NEAR_SIZE)
        ]

    def enrol(self, data: bytes, kind: ReferenceKind = ReferenceKind.PHOTO) -> Enrolment:
        """The template of the one face in a JPEG or PNG file, or why there is none; never raises."""
        picture = decode(data)
        gates = reference_gates(self.gates_reference, kind)
        seen = picture if isinstance(picture, FaceReason) else self.look(picture, gates)
        if not isinstance(picture, FaceReason):
            picture.fill(0)
        if isinstance(seen, FaceReason):
            return Enrolment(None, seen)
        template = FaceTemplate(self.model_id, seen.vector.astype("<f4").tobytes(), kind)
        seen.vector.fill(0.0)
        return Enrolment(template, FaceReason.MATCH)


def open_pipeline(pack: Pack, threads: int = 1) -> Pipeline:
    """Load a pack's models (about 0.2 s). Raises ConfigError."""
    embedder, (width, height) = pack.model("embedder"), pack.model("detector").input_size
    inputs = Inputs()
    detect, embed = open_models(pack, threads, inputs)
    return Pipeline(
        model_id=pack.model_id,
        detect=detect,
        embed=embed,
        liveness=open_liveness(pack, threads, inputs),
        template=np.array(embedder.template, np.float64),
        crop_size=embedder.input_size,
        gates_live=pack.manifest.gates_live,
        gates_reference=pack.manifest.gates_reference,
        inputs=inputs,
        glance_size=(int(_GLANCE * width), int(_GLANCE * height)),
    )


def self_test(pack: Pack, pipeline: Pipeline) -> None:
    """Warm the models up and check that the golden picture still gives its vector. Raises ConfigError."""
    try:
        _self_test(pack, pipeline)
    except ConfigError:
        raise
    except Exception as error:  # whatever a foreign model's outputs break
        raise ConfigError(
            f"{pack.folder}: self-test: a model cannot be run ({type(error).__name__}); install another pack"
        ) from error


def _self_test(pack: Pack, pipeline: Pipeline) -> None:
    blank = np.full((480, 640, 3), 127, np.uint8)
    crop = np.full((*pipeline.crop_size[::-1], 3), 127, np.uint8)
    for _ in range(WARM_UP):
        pipeline.detect(blank)
        if normalised(pipeline.embed(crop)) is None:
            raise ConfigError(f"{pack.folder}: the embedder gives no finite vector; install another pack")
        if pipeline.liveness is not None:
            pipeline.liveness(blank, np.array([270, 180, 370, 300], np.float32))
    golden = pack.manifest.golden
    if golden is None:
        return
    enrolment = pipeline.enrol(pack.read(golden))
    if enrolment.template is None:
        raise ConfigError(f"{pack.folder}: self-test: golden picture gives {enrolment.reason}; install the pack again")
    seen = stored_vector(enrolment.template.vector)
    wanted = stored_vector(golden.vector)
    if seen is None or wanted is None or cosine(seen, wanted) < _GOLDEN_COSINE:
        raise ConfigError(f"{pack.folder}: self-test: golden picture gives another vector; install the pack again")


def similarity(source: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The (2, 3) rotation, scale and shift that takes points `source` nearest to `target`, least squares.

    Closed form in two dimensions; without reflection (Umeyama 1991).
    """
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    power = max(float((a * a).sum()), 1e-12)
    cos = float((a * b).sum()) / power
    sin = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / power
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([turn, target.mean(axis=0) - turn @ source.mean(axis=0)])


def align(picture: Picture, landmarks: Floats, template: npt.NDArray[np.float64], size: tuple[int, int]) -> Picture:
    """The face's crop of `size` (width, height) with its landmarks nearest to `template`."""
    crop: Picture = cv2.warpAffine(picture, similarity(landmarks.astype(np.float64), template), size)  # type: ignore[assignment]  # uint8 in, uint8 out
    return crop


def normalised(vector: Floats) -> Floats | None:
    """The vector at length 1; None where it has none or is not finite."""
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(length) or length < 1e-6:
        return None
    return (vector / length).astype(np.float32)


def stored_vector(data: bytes) -> Floats | None:
    """The vector of a template's bytes, at length 1; None where the bytes hold none."""
    if not data or len(data) % 4:
        return None
    return normalised(np.frombuffer(data, "<f4").astype(np.float32))


def fused(sightings: Sequence[Sighting]) -> Floats | None:
    """The mean embedding at length 1."""
    if not sightings:
        return None
    return normalised(np.mean([s.vector for s in sightings], axis=0))


def cosine(a: Floats, b: Floats) -> float:
    """Likeness of two vectors of length 1, -1..1; -1 where they cannot be compared."""
    if a.shape != b.shape:
        return -1.0
    likeness = float(a.astype(np.float64) @ b.astype(np.float64))
    return likeness if np.isfinite(likeness) else -1.0
