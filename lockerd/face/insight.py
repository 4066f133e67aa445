"""Packs in InsightFace's layout: described by its manifest V2 or, for the classic layout, by file names; run by it.

InsightFace calls out for what it does not find and guesses models by shape. So only files whose sha256 was checked
are laid before it, in a folder that exists, under a manifest V2 that names each task. Import it in the face worker
or a command only: it takes 120 MB.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lockerd.errors import ConfigError
from lockerd.face.pack import MANIFEST, MAX_MANIFEST_BYTES, Manifest, Model, Pack, read_whole
from lockerd.face.picture import Picture

ADAPTER = "insightface"
TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
_LICENCE = "InsightFace model licence: non-commercial unless agreed otherwise"
_DETECTORS = ("det_*.onnx", "scrfd_*.onnx")
_EMBEDDERS = ("w600k_*.onnx", "glint*.onnx", "ms1mv3_*.onnx", "arcface_*.onnx")
_DETECTION, _RECOGNITION = "detection", "recognition"


class _Scaling(msgspec.Struct, frozen=True):
    mean: float
    std: float


class _Task(msgspec.Struct, frozen=True):
    file: str
    sha256: str
    preprocessing: _Scaling | str | None = None
    input_size: tuple[int, int] = (112, 112)
    embedding_dimension: int = 512


class _ManifestV2(msgspec.Struct, frozen=True):
    manifest_version: int
    model_id: str
    tasks: dict[str, _Task]


def describe(folder: Path) -> Manifest:
    """What is known of a pack that InsightFace supplied; for measuring, for it says nothing that production asks for.

    Raises ConfigError where a sha256 is missing or it cannot be told which file is what.
    """
    file = folder / MANIFEST
    if not file.is_file():
        detector, embedder = (_only(folder, names) for names in (_DETECTORS, _EMBEDDERS))
        return _manifest(folder.name, _measured(folder, detector, 128.0), _measured(folder, embedder, 127.5))
    try:
        found = msgspec.json.decode(read_whole(file, MAX_MANIFEST_BYTES), type=_ManifestV2)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: {error}; a sha256 for each task is needed here, add it") from error
    if found.manifest_version != 2:
        raise ConfigError(f"{file}: manifest_version {found.manifest_version} is unknown; take a pack of version 2")
    for task in (_DETECTION, _RECOGNITION):
        if task not in found.tasks:
            raise ConfigError(f"{file}: tasks.{task} is missing; take a pack that has it")
    return _manifest(found.model_id, found.tasks[_DETECTION], found.tasks[_RECOGNITION])


def _only(folder: Path, patterns: tuple[str, ...]) -> str:
    files = sorted(f.name for pattern in patterns for f in folder.glob(pattern))
    if len(files) != 1:
        raise ConfigError(
            f"{folder}: has {len(files)} files named like {' or '.join(patterns)}; keep one, or write a manifest.json"
        )
    return files[0]


def _measured(folder: Path, file: str, std: float) -> _Task:
    data = read_whole(folder / file, 512 * 1024 * 1024)
    return _Task(file, hashlib.sha256(data).hexdigest(), _Scaling(127.5, std))


def _manifest(name: str, detector: _Task, embedder: _Task) -> Manifest:
    return Manifest(
        name=name,
        version="0",
        domain="real",
        note="described from InsightFace's layout, for measuring",
        licence=_LICENCE,
        models=(
            _model("detector", detector, 128.0, input_size=(640, 640)),
            _model(
                "embedder",
                embedder,
                127.5,
                input_size=embedder.input_size,
                template=tuple(
                    (x * embedder.input_size[0] / 112, y * embedder.input_size[1] / 112) for x, y in TEMPLATE
                ),
                dimension=embedder.embedding_dimension,
            ),
        ),
    )


def _model(role: Any, task: _Task, std: float, **keys: Any) -> Model:
    scaling = task.preprocessing
    if not isinstance(scaling, _Scaling):
        scaling = _Scaling(127.5, std) if scaling is None else _Scaling(0.0, 1.0)  # "embedded": the model scales
    return Model(
        role=role,
        file=task.file,
        sha256=task.sha256,
        licence=_LICENCE,
        commercial_use=False,
        source="InsightFace",
        adapter=ADAPTER,
        colour_order="RGB",
        mean=scaling.mean,
        deviation=scaling.std,
        **keys,
    )


class InsightModels:
    """InsightFace's detector and recogniser, loaded; `detect` and `embed` are what lockerd.face.adapters promise."""

    def __init__(self, analysis: Any, dimension: int) -> None:
        self._detector = analysis.models[_DETECTION]
        self._recogniser = analysis.models[_RECOGNITION]
        self._dimension = dimension

    def detect(self, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
        """Boxes with their score (N, 5) and landmarks (N, 5, 2) in the picture's pixels."""
        boxes, marks = self._detector.detect(picture, max_num=0)
        return boxes, marks

    def embed(self, crop: Picture) -> np.ndarray:
        """The embedding of an aligned crop. Raises ConfigError where it is not of the manifest's dimension."""
        vector = np.asarray(self._recogniser.get_feat(crop), np.float32).ravel()
        if vector.size != self._dimension:
            raise ConfigError(f"face pack: InsightFace gives {vector.size} numbers, not the dimension; correct it")
        return vector


def open_insight(pack: Pack, session_options: Any, min_score: float) -> InsightModels:
    """Load a pack through InsightFace without its guessing or downloading. Raises ConfigError."""
    from insightface.app import FaceAnalysis

    detector, embedder = pack.model("detector"), pack.model("embedder")
    with tempfile.TemporaryDirectory(prefix="lockerd-pack-") as name:
        folder = Path(name)
        (folder / "detector.onnx").write_bytes(pack.read(detector))
        (folder / "embedder.onnx").write_bytes(pack.read(embedder))
        tasks = {
            _DETECTION: {"file": "detector.onnx"} | _scaling(detector),
            _RECOGNITION: {"file": "embedder.onnx", "embedding_dimension": embedder.dimension}
            | {"input_size": embedder.input_size}
            | _scaling(embedder),
        }
        document = {"manifest_version": 2, "model_id": "pack", "license": "MODEL.LICENSE", "tasks": tasks}
        (folder / MANIFEST).write_bytes(msgspec.json.encode(document))
        try:
            analysis = FaceAnalysis(
                str(folder),
                allowed_modules=[_DETECTION, _RECOGNITION],
                providers=["CPUExecutionProvider"],
                sess_options=session_options,
                static_shape_sessions=False,  # one for each resolution would be read from the folder later
            )
            analysis.prepare(ctx_id=0, det_thresh=min_score, det_size=detector.input_size)
        except Exception as error:  # InsightFace's and onnxruntime's errors share no base but Exception
            raise ConfigError(
                f"face pack: InsightFace refuses {pack.folder} ({type(error).__name__}); install another"
            ) from error
    return InsightModels(analysis, embedder.dimension)


def _scaling(model: Model) -> dict[str, Any]:
    return {"sha256": model.sha256.lower(), "preprocessing": {"mean": model.mean, "std": model.deviation}}
