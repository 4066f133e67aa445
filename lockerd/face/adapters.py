"""What each family of models wants and gives, behind three functions; a manifest names its adapter.

A detector takes a picture, and the largest input that is worth its while, and gives faces in the picture's own pixels;
an embedder takes an aligned crop; a liveness model takes a picture and a face's box in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from lockerd.errors import ConfigError
from lockerd.face import insight
from lockerd.face.pack import Model, Pack
from lockerd.face.picture import Picture

Floats = npt.NDArray[np.float32]

MIN_SCORE = 0.5
_OVERLAP = 0.4
_STRIDES = (8, 16, 32)
_MOST_SIZES = 16  # of a camera there are one or two; files of an evaluation have any


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A detected face in pixels: box (left, top, right, bottom), landmarks (5, 2), score 0..1.

    Landmark order: eye at the picture's left, eye at its right, nose tip, mouth corner left, right.
    """

    box: Floats
    landmarks: Floats
    score: float


class Detector(Protocol):
    """Finds faces. Where a file's input has a fixed size, `size` changes nothing."""

    def __call__(self, picture: Picture, size: tuple[int, int] | None = None) -> list[Face]:
        """The faces of a picture, scaled into `size` (width, height in pixels), else into the manifest's."""
        ...


Embedder = Callable[[Picture], Floats]
Liveness = Callable[[Picture, Floats], float]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """The arrays that models look at, one for each size, used again and again; `wipe` overwrites what they hold."""

    _arrays: dict[tuple[str, int, int], Floats] = field(default_factory=dict)

    def of(self, picture: Picture, model: Model) -> Floats:
        """The input (1, 3, H, W) of a model from a picture of its size; holds until the model's next picture."""
        height, width = picture.shape[:2]
        key = (model.file, height, width)
        if key not in self._arrays:
            if len(self._arrays) >= _MOST_SIZES:
                self.wipe()
                self._arrays.clear()
            self._arrays[key] = np.empty((1, 3, height, width), np.float32)
        array = self._arrays[key]
        planes = cv2.split(picture)
        for plane, wanted in zip(planes if model.colour_order == "BGR" else planes[::-1], array[0], strict=True):
            np.multiply(plane, np.float32(1.0 / model.deviation), out=wanted)
        if model.mean:
            array -= np.float32(model.mean / model.deviation)
        return array

    def wipe(self) -> None:
        """Overwrite all."""
        for array in self._arrays.values():
            array.fill(0.0)


def open_session(data: bytes, threads: int) -> onnxruntime.InferenceSession:
    """Parse checked ONNX bytes; `threads` 1..2. Raises ConfigError where onnxruntime refuses them."""
    options = _session_options(threads)
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base but Exception
        raise ConfigError(
            f"face pack: onnxruntime refuses a model ({type(error).__name__}); install another"
        ) from error


def _session_options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Waiting threads that spin take the core from the threads that work; so long only as from one layer to the next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.intra_op.spin_duration_us", "100")
    options.log_severity_level = 4
    return options


def open_models(pack: Pack, threads: int, inputs: Inputs) -> tuple[Detector, Embedder]:
    """Detector and embedder of a pack. Raises ConfigError for an adapter that does not exist."""
    detector, embedder = pack.model("detector"), pack.model("embedder")
    if insight.ADAPTER in (detector.adapter, embedder.adapter):
        if detector.adapter != embedder.adapter:
            raise ConfigError(f"{pack.folder}: adapter {insight.ADAPTER!r} is for both models or none; correct it")
        return _insightface(pack, threads)
    return (
        _known(_DETECTORS, detector)(detector, open_session(pack.read(detector), threads), inputs),
        _known(_EMBEDDERS, embedder)(embedder, open_session(pack.read(embedder), threads), inputs),
    )


def _insightface(pack: Pack, threads: int) -> tuple[Detector, Embedder]:
    models = insight.open_insight(pack, _session_options(threads), MIN_SCORE)

    def detect(picture: Picture, size: tuple[int, int] | None = None) -> list[Face]:
        boxes, marks = models.detect(picture)
        return [
            Face(box[:4].astype(np.float32), mark.astype(np.float32), float(box[4]))
            for box, mark in zip(boxes, marks, strict=True)
        ]

    return detect, models.embed


def open_liveness(pack: Pack, threads: int, inputs: Inputs) -> Liveness | None:
    """The mean score of a pack's liveness models, 0 (a picture of a face) .. 1 (a face); None where it has none."""
    parts = [
        _known(_LIVENESS, model)(model, open_session(pack.read(model), threads), inputs)
        for model in pack.liveness_models()
    ]
    if not parts:
        return None
    return lambda picture, box: sum(part(picture, box) for part in parts) / len(parts)


def _known(adapters: dict[str, T], model: Model) -> T:
    try:
        return adapters[model.adapter]
    except KeyError:
        names = ", ".join(sorted(adapters))
        raise ConfigError(
            f"face pack: adapter {model.adapter!r} of {model.file} is unknown; use one of {names}"
        ) from None


@lru_cache(maxsize=8)
def _anchors(width: int, height: int, each: int) -> tuple[Floats, ...]:
    """Anchor points (N, 2) of each stride, finest first: row by row, `each` times a cell."""
    parts = []
    for stride in _STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        parts.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2) * stride, each, axis=0).astype(np.float32))
    return tuple(parts)


def _boxed(picture: Picture, width: int, height: int) -> tuple[Picture, float]:
    """The picture scaled into (width, height), padded right and below, and the scale."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    inside = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return _padded(cv2.resize(picture, inside, interpolation=cv2.INTER_LINEAR), width, height), scale  # type: ignore[arg-type]  # uint8 in, uint8 out


def _trimmed(picture: Picture, width: int, height: int, least: float) -> tuple[Picture, float]:
    """The picture scaled into (width, height), enlarged to `least` of it at most, padded to the coarsest stride only."""
    fit = min(width / picture.shape[1], height / picture.shape[0])
    scale = min(fit, max(1.0, fit * least))
    inside = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    how = cv2.INTER_AREA if least < 1.0 and scale < 1.0 else cv2.INTER_LINEAR
    small = picture if scale == 1.0 else cv2.resize(picture, inside, interpolation=how)
    step = _STRIDES[-1]
    return _padded(small, -(-inside[0] // step) * step, -(-inside[1] // step) * step), scale  # type: ignore[arg-type]  # uint8 in, uint8 out


def _fit(session: onnxruntime.InferenceSession, model: Model, least: float) -> Callable[..., tuple[Picture, float]]:
    """How a picture is made to fit an input: boxed where its size is fixed, else trimmed, which costs less time."""
    fixed = all(isinstance(side, int) for side in session.get_inputs()[0].shape)

    def fit(picture: Picture, size: tuple[int, int] | None) -> tuple[Picture, float]:
        if fixed:
            return _boxed(picture, *model.input_size)
        return _trimmed(picture, *(size or model.input_size), least)

    return fit


def _padded(picture: Picture, width: int, height: int) -> Picture:
    if picture.shape[:2] == (height, width):
        return picture
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[: picture.shape[0], : picture.shape[1]] = picture
    return canvas


# Scores (N,), boxes (N, 4) and landmarks (N, 10) of the candidates of one stride, in pixels of the input.
Candidates = tuple[Floats, Floats, Floats]


def _faces(strides: Sequence[Candidates], scale: float) -> list[Face]:
    """The faces of all candidates after non-maximum suppression, best first; `scale` is input by picture."""
    scores, boxes, marks = (np.concatenate(parts) for parts in zip(*strides, strict=True))
    sound = np.isfinite(boxes).all(axis=1) & np.isfinite(marks).all(axis=1) & (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
    shrink = np.float32(scale)
    boxes, marks = (boxes / shrink).astype(np.float32), (marks / shrink).reshape(-1, 5, 2).astype(np.float32)
    rest = np.flatnonzero(sound)
    rest = rest[np.argsort(-scores[rest], kind="stable")]
    faces = []
    while len(rest):
        best, rest = rest[0], rest[1:]
        faces.append(Face(boxes[best], marks[best], float(scores[best])))
        rest = rest[_overlaps(boxes[best], boxes[rest]) <= _OVERLAP]
    return faces


def _scrfd(model: Model, session: onnxruntime.InferenceSession, inputs: Inputs) -> Detector:
    """SCRFD's outputs (InsightFace): three strides of scores, of boxes, of landmarks; two anchors a cell."""
    name = session.get_inputs()[0].name
    if len(session.get_outputs()) != 9:
        raise ConfigError(f"face pack: {model.file} has not the nine outputs of adapter 'scrfd'; install another")
    fit = _fit(session, model, 1.0)

    def detect(picture: Picture, size: tuple[int, int] | None = None) -> list[Face]:
        canvas, scale = fit(picture, size)
        out = session.run(None, {name: inputs.of(canvas, model)})
        anchors = _anchors(canvas.shape[1], canvas.shape[0], 2)
        return _faces(
            [chosen(*part) for part in zip(_STRIDES, anchors, out[:3], out[3:6], out[6:], strict=True)], scale
        )

    def chosen(stride: int, anchors: Floats, scores: Floats, distances: Floats, marks: Floats) -> Candidates:
        picked = np.flatnonzero(scores.ravel() >= MIN_SCORE)
        at, far = anchors[picked], distances[picked] * np.float32(stride)
        boxes = np.concatenate([at - far[:, :2], at + far[:, 2:]], axis=1)
        return scores.ravel()[picked], boxes, marks[picked] * np.float32(stride) + np.tile(at, 5)

    return detect


def _yunet(model: Model, session: onnxruntime.InferenceSession, inputs: Inputs) -> Detector:
    """YuNet's outputs (OpenCV zoo): `cls`, `obj`, `bbox`, `kps` of each stride; one anchor a cell.

    Where the file's input has no fixed size, `input_size` is the largest: a small picture costs less time.
    """
    name = session.get_inputs()[0].name
    fit = _fit(session, model, 0.5)
    wanted = [f"{kind}_{stride}" for stride in _STRIDES for kind in ("cls", "obj", "bbox", "kps")]
    if not set(wanted) <= {output.name for output in session.get_outputs()}:
        raise ConfigError(f"face pack: {model.file} has not the outputs of adapter 'yunet'; install another")

    def detect(picture: Picture, size: tuple[int, int] | None = None) -> list[Face]:
        canvas, scale = fit(picture, size)
        parts = session.run(wanted, {name: inputs.of(canvas, model)})
        out = [part.reshape(-1, part.shape[-1]) for part in parts]
        anchors = _anchors(canvas.shape[1], canvas.shape[0], 1)
        found = (chosen(s, a, *out[4 * n : 4 * n + 4]) for n, (s, a) in enumerate(zip(_STRIDES, anchors, strict=True)))
        return _faces(list(found), scale)

    def chosen(
        stride: int, anchors: Floats, classes: Floats, objects: Floats, far: Floats, marks: Floats
    ) -> Candidates:
        scores = np.sqrt(np.clip(classes, 0, 1) * np.clip(objects, 0, 1)).ravel()
        picked = np.flatnonzero(scores >= MIN_SCORE)
        at, far = anchors[picked], far[picked]
        centre = at + far[:, :2] * stride
        half = np.exp(np.minimum(far[:, 2:], 10.0)) * stride / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        return scores[picked], boxes, marks[picked] * np.float32(stride) + np.tile(at, 5)

    return detect


def overlap(a: Floats, b: Floats) -> float:
    """Intersection over union of two boxes, 0..1."""
    return float(_overlaps(a, b[None])[0])


def _overlaps(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union of a box with each of (N, 4), 0..1."""
    sides = np.maximum(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0)
    shared = sides[:, 0] * sides[:, 1]
    own, each = box[2:] - box[:2], boxes[:, 2:] - boxes[:, :2]
    whole = own[0] * own[1] + each[:, 0] * each[:, 1] - shared
    shares: Floats = np.where(whole > 0, shared / np.maximum(whole, np.float32(1e-9)), np.float32(0.0))
    return shares


def _crop_to_vector(model: Model, session: onnxruntime.InferenceSession, inputs: Inputs) -> Embedder:
    """A crop in, one row of `dimension` numbers out."""
    name = session.get_inputs()[0].name

    def row(crop: Picture) -> Floats:
        vector = np.asarray(session.run(None, {name: inputs.of(crop, model)})[0], np.float32).ravel()
        if vector.size != model.dimension:
            raise ConfigError(f"face pack: {model.file} gives {vector.size} numbers, not its dimension; correct it")
        return vector

    def both(crop: Picture) -> Floats:
        return row(crop) + row(np.ascontiguousarray(crop[:, ::-1]))

    return both if model.mirrored else row


def _minifasnet(model: Model, session: onnxruntime.InferenceSession, inputs: Inputs) -> Liveness:
    """MiniFASNet (minivision): the share of class 1 of three, of a crop `crop_scale` times the face's box."""
    name = session.get_inputs()[0].name

    def score(picture: Picture, box: Floats) -> float:
        left, top, right, bottom = surroundings(picture.shape[1], picture.shape[0], box, model.crop_scale)
        crop = cv2.resize(picture[top:bottom, left:right], model.input_size)
        out = np.asarray(session.run(None, {name: inputs.of(crop, model)})[0], np.float32).ravel()  # type: ignore[arg-type]  # uint8 in, uint8 out
        if out.size != 3:
            raise ConfigError(f"face pack: {model.file} has not the output of adapter 'minifasnet'; install another")
        live = float(out[1])
        return live if np.isfinite(live) else 0.0

    return score


def surroundings(width: int, height: int, box: Floats, scale: float) -> tuple[int, int, int, int]:
    """The rectangle `scale` times a face's box, smaller or moved where the picture (width, height) ends; in pixels."""
    box_width = max(float(box[2] - box[0]), 1.0)
    box_height = max(float(box[3] - box[1]), 1.0)
    scale = min(scale, (width - 1) / box_width, (height - 1) / box_height)
    across, down = box_width * scale, box_height * scale
    left = min(max(float(box[0] + box[2]) / 2 - across / 2, 0.0), width - 1 - across)
    top = min(max(float(box[1] + box[3]) / 2 - down / 2, 0.0), height - 1 - down)
    left, top = max(left, 0.0), max(top, 0.0)
    return int(left), int(top), min(width, int(left + across) + 1), min(height, int(top + down) + 1)


_DETECTORS: dict[str, Callable[[Model, onnxruntime.InferenceSession, Inputs], Detector]] = {
    "scrfd": _scrfd,
    "yunet": _yunet,
}
_EMBEDDERS: dict[str, Callable[[Model, onnxruntime.InferenceSession, Inputs], Embedder]] = {"crop": _crop_to_vector}
_LIVENESS: dict[str, Callable[[Model, onnxruntime.InferenceSession, Inputs], Liveness]] = {"minifasnet": _minifasnet}
