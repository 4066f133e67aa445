"""Face templates as an office makes them that runs the machines' own models: of its drawn photo, by the simulator's own code."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

PACK = Path(__file__).resolve().parent / "packs" / "synthetic"
OTHER_MODEL = "another-pack/1/000000000000"
_PARTS = ("role", "sha256", "input_size", "mean", "deviation", "colour_order")


def model_id(manifest: dict[str, Any]) -> str:
    """The name under which templates of a pack are comparable (docs/identity.md, "References")."""
    identity = hashlib.sha256()
    for model in manifest["models"]:
        if model["role"] != "liveness":
            identity.update(msgspec.json.encode(([model[part] for part in _PARTS], model.get("template", []))))
    return f"{manifest['name']}/{manifest['version']}/{identity.hexdigest()[:12]}"


def template(face_seed: int, *, ours: bool = True) -> dict[str, str]:
    """`template` of a manifest item for a drawn face; without `ours` it says that other models made it."""
    import cv2
    import numpy as np

    from sim.faces.person import Person
    from sim.faces.scene import draw_photo

    manifest = _manifest()
    embedder = next(model for model in manifest["models"] if model["role"] == "embedder")
    picture, truth = draw_photo(Person.from_seed(face_seed), np.random.default_rng(face_seed))
    target = np.array(embedder["template"])
    crop = cv2.warpAffine(picture, _similarity(truth.landmarks, target), tuple(embedder["input_size"]))
    seen = (crop[:, :, ::-1].astype(np.float32) - embedder["mean"]) / embedder["deviation"]
    (found,) = _net().run(None, {"input": seen.transpose(2, 0, 1)[None]})
    vector = (found[0] / np.linalg.norm(found[0])).astype("<f4").tobytes()
    name = model_id(manifest) if ours else OTHER_MODEL
    return {"model_id": name, "vector": base64.b64encode(vector).decode("ascii")}


def _similarity(source: Any, target: Any) -> Any:
    """The (2, 3) rotation, scale and shift that takes `source` nearest to `target` (Umeyama 1991)."""
    import numpy as np

    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    cos = float((a * b).sum()) / float((a * a).sum())
    sin = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / float((a * a).sum())
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([turn, target.mean(axis=0) - turn @ source.mean(axis=0)])


@cache
def _manifest() -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode((PACK / "manifest.json").read_bytes())
    return found


@cache
def _net() -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(PACK / "embedder.onnx"), providers=["CPUExecutionProvider"])
