"""Packs in InsightFace's layout run through InsightFace itself, without the network, and see what our adapters see."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lockerd.errors import ConfigError
from lockerd.face.insight import describe
from lockerd.face.pack import load_pack
from sim.faces.measure import PACK

CHECK = """
import socket, sys
from pathlib import Path
def refused(*_a, **_k): raise AssertionError("the network was asked")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refused
import numpy as np
from lockerd.face.pack import load_pack
from lockerd.face.pipeline import Sighting, align, cosine, normalised, open_pipeline, self_test
from sim.faces import Person, draw_portrait
ours = open_pipeline(load_pack(Path(sys.argv[1]), production=False))
pack = load_pack(Path(sys.argv[2]), production=False)
theirs = open_pipeline(pack)
self_test(pack, theirs)
for seed in range(4):
    picture = draw_portrait(Person.from_seed(seed), np.random.default_rng(seed))
    face = ours.choose(picture, ours.detect(picture))
    crop = align(picture, face.landmarks, ours.template, ours.crop_size)
    assert cosine(normalised(ours.embed(crop)), normalised(theirs.embed(crop))) > 0.999
    again = theirs.detect(picture)
    if pack.model("detector").input_size == (320, 256):  # what it was trained for
        seen = theirs.look(picture, ours.gates_reference)
        assert isinstance(seen, Sighting), seen
        assert cosine(ours.look(picture, ours.gates_reference).vector, seen.vector) > 0.9
print("the same")
"""


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def v2(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    shutil.copy(PACK / "detector.onnx", folder / "det.onnx")
    shutil.copy(PACK / "embedder.onnx", folder / "rec.onnx")
    tasks: dict[str, Any] = {
        "detection": {"file": "det.onnx", "sha256": sha256(folder / "det.onnx")},
        "recognition": {"file": "rec.onnx", "sha256": sha256(folder / "rec.onnx"), "embedding_dimension": 128},
    }
    for task, keys in changes.items():
        tasks[task].update(keys)
    manifest = {"manifest_version": 2, "model_id": "drawn", "license": "MODEL.LICENSE", "tasks": tasks}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def compared(pack: Path) -> subprocess.CompletedProcess[str]:
    """Run both loaders in a process of its own: InsightFace warns, and changes onnxruntime's log level."""
    command = [sys.executable, "-W", "ignore", "-c", CHECK, str(PACK), str(pack)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_pack_with_manifest_v2(tmp_path: Path) -> None:
    done = compared(v2(tmp_path / "pack"))
    assert done.stdout.endswith("the same\n"), done.stderr[-2000:]


def test_a_pack_under_our_own_manifest(tmp_path: Path) -> None:
    pack = Path(shutil.copytree(PACK, tmp_path / "pack"))
    manifest = json.loads((pack / "manifest.json").read_text())
    for model in manifest["models"]:
        if model["role"] != "liveness":
            model["adapter"] = "insightface"
    (pack / "manifest.json").write_text(json.dumps(manifest))
    done = compared(pack)
    assert done.stdout.endswith("the same\n"), done.stderr[-2000:]
    manifest["models"][0]["adapter"] = "scrfd"
    (pack / "manifest.json").write_text(json.dumps(manifest))
    assert "for both models or none" in compared(pack).stderr


def test_the_classic_layout_is_told_by_names(tmp_path: Path) -> None:
    shutil.copy(PACK / "detector.onnx", tmp_path / "det_500m.onnx")
    shutil.copy(PACK / "embedder.onnx", tmp_path / "w600k_mbf.onnx")
    shutil.copy(PACK / "embedder.onnx", tmp_path / "2d106det.onnx")
    manifest = describe(tmp_path)
    assert [model.file for model in manifest.models] == ["det_500m.onnx", "w600k_mbf.onnx"]
    assert not any(model.commercial_use for model in manifest.models)
    assert load_pack(tmp_path, production=False).manifest == manifest
    # The drawn embedder gives 128 numbers, not the 512 of the classic layout: said, not used.
    assert "dimension" in compared(tmp_path).stderr
    shutil.copy(PACK / "embedder.onnx", tmp_path / "glintr100.onnx")
    with pytest.raises(ConfigError, match="keep one"):
        describe(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recognition": {"sha256": "0" * 64}}, "sha256"),
        ({"recognition": {"sha256": None}}, "sha256"),
        ({"detection": {"file": "../det.onnx"}}, "outside"),
        ({"detection": {"file": "gone.onnx"}}, "cannot be read"),
    ],
)
def test_a_manifest_v2_that_does_not_vouch(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_pack(v2(tmp_path / "pack", **changes), production=False)


def test_production_takes_no_pack_without_our_manifest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="manifest"):
        load_pack(v2(tmp_path / "pack"), production=True, signed_by="00" * 32)
