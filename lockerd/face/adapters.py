"""What each family of models wants and gives, behind three functions; a manifest names its adapter.

A detector takes a picture and gives faces in the picture's own pixels; an embedder takes an aligned crop; a liveness
model takes a picture and a face's box in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TypeVar

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


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A detected face in pixels: box (left, top, right, bottom), landmarks (5, 2), score 0..1.

    Landmark order: eye at the picture's left, eye at its right, nose tip, mouth corner left, right.
    """

    box: Floats
    landmarks: Floats
    score: float


Detector = Callable[[Picture], list[Face]]
Embedder = Callable[[Picture], Floats]
Liveness = Callable[[Picture, Floats], float]
T = TypeVar("T")


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
    # Waiting threads that spin take the core from the threads that work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return options


def open_models(pack: Pack, threads: int) -> tuple[Detector, Embedder]:
    """Detector and embedder of a pack. Raises ConfigError for an adapter that does not exist."""
    detector, embedder = pack.model("detector"), pack.model("embedder")
    if insight.ADAPTER in (detector.adapter, embedder.adapter):
        if detector.adapter != embedder.adapter:
            raise ConfigError(f"{pack.folder}: adapter {insight.ADAPTER!r} is for both models or none; correct it")
        return _insightface(pack, threads)
    return (
        _known(_DETECTORS, detector)(detector, open_session(pack.read(detector), threads)),
        _known(_EMBEDDERS, embedder)(embedder, open_session(pack.read(embedder), threads)),
    )


def _insightface(pack: Pack, threads: int) -> tuple[Detector, Embedder]:
    models = insight.open_insight(pack, _session_options(threads), MIN_SCORE)

    def detect(picture: Picture) -> list[Face]:
        boxes, marks = models.detect(picture)
        return [
            Face(box[:4].astype(np.float32), mark.astype(np.float32), float(box[4]))
            for box, mark in zip(boxes, marks, strict=True)
        ]

    return detect, models.embed


def open_liveness(pack: Pack, threads: int) -> Liveness | None:
    """The mean score of a pack's liveness models, 0 (a picture of a face) .. 1 (a face); None where it has none."""
    parts = [
        _known(_LIVENESS, model)(model, open_session(pack.read(model), threads)) for model in pack.liveness_models()
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


def _blob(picture: Picture, model: Model) -> Floats:
    """The input (1, 3, H, W) of a model from a picture of its size."""
    mean = (model.mean, model.mean, model.mean)
    blob = cv2.dnn.blobFromImage(picture, 1.0 / model.deviation, mean=mean, swapRB=model.colour_order == "RGB")
    return np.asarray(blob, np.float32)


def _anchors(width: int, height: int, each: int) -> Floats:
    """Anchor points and their stride (N, 3), row by row, `each` times a cell, finest stride first."""
    parts = []
    for stride in _STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        points = np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2) * stride, each, axis=0)
        parts.append(np.column_stack([points, np.full(len(points), stride)]))
    return np.concatenate(parts).astype(np.float32)


def _boxed(picture: Picture, width: int, height: int) -> tuple[Picture, float]:
    """The picture scaled into (width, height), padded right and below, and the scale."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    inside = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return _padded(cv2.resize(picture, inside, interpolation=cv2.INTER_LINEAR), width, height), scale  # type: ignore[arg-type]  # uint8 in, uint8 out


def _trimmed(picture: Picture, width: int, height: int, least: float = 1.0) -> tuple[Picture, float]:
    """The picture scaled into (width, height), enlarged to `least` of it at most, padded to the coarsest stride only."""
    fit = min(width / picture.shape[1], height / picture.shape[0])
    scale = min(fit, max(1.0, fit * least))
    inside = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    how = cv2.INTER_AREA if least < 1.0 and scale < 1.0 else cv2.INTER_LINEAR
    small = picture if scale == 1.0 else cv2.resize(picture, inside, interpolation=how)
    step = _STRIDES[-1]
    return _padded(small, -(-inside[0] // step) * step, -(-inside[1] // step) * step), scale  # type: ignore[arg-type]  # uint8 in, uint8 out


def _fit(session: onnxruntime.InferenceSession, least: float) -> Callable[[Picture, int, int], tuple[Picture, float]]:
    """How a picture is made to fit an input: boxed where its size is fixed, else trimmed, which costs less time."""
    fixed = all(isinstance(side, int) for side in session.get_inputs()[0].shape)
    return _boxed if fixed else partial(_trimmed, least=least)


def _padded(picture: Picture, width: int, height: int) -> Picture:
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[: picture.shape[0], : picture.shape[1]] = picture
    return canvas


def _faces(boxes: Floats, marks: Floats, scores: Floats, scale: float) -> list[Face]:
    """Candidates (boxes (N, 4), landmarks (N, 5, 2), scores (N,)) of the input that remain, best first.

    `scale` is the input's size divided by the picture's.
    """
    sound = np.isfinite(boxes).all(axis=1) & np.isfinite(marks).all(axis=(1, 2))
    shrink = np.float32(scale)
    boxes, marks, scores = boxes[sound] / shrink, marks[sound] / shrink, scores[sound]
    return [Face(boxes[i], marks[i], float(scores[i])) for i in _best(boxes, scores)]


def _scrfd(model: Model, session: onnxruntime.InferenceSession) -> Detector:
    """SCRFD's outputs (InsightFace): three strides of scores, of boxes, of landmarks; two anchors a cell."""
    width, height = model.input_size
    name = session.get_inputs()[0].name
    if len(session.get_outputs()) != 9:
        raise ConfigError(f"face pack: {model.file} has not the nine outputs of adapter 'scrfd'; install another")
    fit = _fit(session, 1.0)
    anchors_of = lru_cache(maxsize=8)(_anchors)

    def detect(picture: Picture) -> list[Face]:
        canvas, scale = fit(picture, width, height)
        anchors = anchors_of(canvas.shape[1], canvas.shape[0], 2)
        out = session.run(None, {name: _blob(canvas, model)})
        scores = np.concatenate([np.ravel(o) for o in out[:3]])
        chosen = np.flatnonzero(scores >= MIN_SCORE)
        at, stride = anchors[chosen, :2], anchors[chosen, 2:]
        distances = np.concatenate(out[3:6])[chosen] * stride
        boxes = np.concatenate([at - distances[:, :2], at + distances[:, 2:]], axis=1)
        marks = (np.concatenate(out[6:9])[chosen] * stride).reshape(-1, 5, 2) + at[:, None]
        return _faces(boxes, marks, scores[chosen], scale)

    return detect


def _yunet(model: Model, session: onnxruntime.InferenceSession) -> Detector:
    """YuNet's outputs (OpenCV zoo): `cls`, `obj`, `bbox`, `kps` of each stride; one anchor a cell.

    Where the file's input has no fixed size, `input_size` is the largest: a small picture costs less time.
    """
    width, height = model.input_size
    name = session.get_inputs()[0].name
    fit = _fit(session, 0.5)
    wanted = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in _STRIDES]
    if not set(wanted) <= {output.name for output in session.get_outputs()}:
        raise ConfigError(f"face pack: {model.file} has not the outputs of adapter 'yunet'; install another")
    anchors_of = lru_cache(maxsize=8)(_anchors)

    def detect(picture: Picture) -> list[Face]:
        canvas, scale = fit(picture, width, height)
        anchors = anchors_of(canvas.shape[1], canvas.shape[0], 1)
        parts = session.run(wanted, {name: _blob(canvas, model)})
        out = [part.reshape(-1, part.shape[-1]) for part in parts]
        classes, objects, boxes, marks = (np.concatenate(out[at : at + 3]) for at in (0, 3, 6, 9))
        scores = np.sqrt(np.clip(classes, 0, 1) * np.clip(objects, 0, 1)).ravel()
        chosen = np.flatnonzero(scores >= MIN_SCORE)
        at, stride = anchors[chosen, :2], anchors[chosen, 2:]
        centre = at + boxes[chosen, :2] * stride
        half = np.exp(np.minimum(boxes[chosen, 2:], 10.0)) * stride / 2
        spots = (marks[chosen] * stride).reshape(-1, 5, 2) + at[:, None]
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        return _faces(boxes, spots, scores[chosen], scale)

    return detect


def _best(boxes: Floats, scores: Floats) -> list[int]:
    """Indices of boxes that remain after non-maximum suppression, best first."""
    order = list(np.argsort(-scores, kind="stable"))
    kept: list[int] = []
    for index in order:
        if all(overlap(boxes[index], boxes[other]) <= _OVERLAP for other in kept):
            kept.append(int(index))
    return kept


def overlap(a: Floats, b: Floats) -> float:
    """Intersection over union of two boxes, 0..1."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    whole = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
    return shared / whole if whole > 0 else 0.0


def _crop_to_vector(model: Model, session: onnxruntime.InferenceSession) -> Embedder:
    """A crop in, one row of `dimension` numbers out."""
    name = session.get_inputs()[0].name

    def row(crop: Picture) -> Floats:
        vector = np.asarray(session.run(None, {name: _blob(crop, model)})[0], np.float32).ravel()
        if vector.size != model.dimension:
            raise ConfigError(f"face pack: {model.file} gives {vector.size} numbers, not its dimension; correct it")
        return vector

    def both(crop: Picture) -> Floats:
        return row(crop) + row(np.ascontiguousarray(crop[:, ::-1]))

    return both if model.mirrored else row


def _minifasnet(model: Model, session: onnxruntime.InferenceSession) -> Liveness:
    """MiniFASNet (minivision): the share of class 1 of three, of a crop `crop_scale` times the face's box."""
    name = session.get_inputs()[0].name

    def score(picture: Picture, box: Floats) -> float:
        left, top, right, bottom = surroundings(picture.shape[1], picture.shape[0], box, model.crop_scale)
        crop = cv2.resize(picture[top:bottom, left:right], model.input_size)
        out = np.asarray(session.run(None, {name: _blob(crop, model)})[0], np.float32).ravel()  # type: ignore[arg-type]  # uint8 in, uint8 out
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


_DETECTORS: dict[str, Callable[[Model, onnxruntime.InferenceSession], Detector]] = {
    "scrfd": _scrfd,
    "yunet": _yunet,
}
_EMBEDDERS: dict[str, Callable[[Model, onnxruntime.InferenceSession], Embedder]] = {"crop": _crop_to_vector}
_LIVENESS: dict[str, Callable[[Model, onnxruntime.InferenceSession], Liveness]] = {"minifasnet": _minifasnet}
