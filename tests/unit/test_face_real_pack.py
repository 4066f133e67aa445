"""The same chain runs models for real people: another pack, by manifest only. Needs the shared test data."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lockerd.face.evaluate import evaluate
from lockerd.face.pack import load_pack
from lockerd.face.picture import decode
from lockerd.face.pipeline import Sighting, open_pipeline, self_test
from sim.faces import Person, draw_frame

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("LOCKERD_TEST_DATA", ROOT.parent / "shared" / "data")) / "face"
DETECTOR, EMBEDDER = "face_detection_yunet_2026may.onnx", "face-reidentification-retail-0095.onnx"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(
        not (DATA / "models" / DETECTOR).is_file() or not (DATA / "models" / EMBEDDER).is_file(),
        reason="test_face_real_pack: the shared face models are missing; set LOCKERD_TEST_DATA",
    ),
]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    common: dict[str, Any] = {"source": "test", "colour_order": "BGR", "mean": 0.0, "deviation": 1.0}
    template = [
        (0.315569, 0.461574),
        (0.682623, 0.461574),
        (0.500263, 0.640505),
        (0.349472, 0.824692),
        (0.653436, 0.824692),
    ]
    models = [
        {
            "role": "detector",
            "file": DETECTOR,
            "adapter": "yunet",
            "licence": "MIT",
            "input_size": [320, 320],
        },
        {"role": "embedder", "file": EMBEDDER, "adapter": "crop", "licence": "Apache-2.0"}
        | {"input_size": [128, 128], "dimension": 256}
        | {"template": [[x * 128, y * 128] for x, y in template]},
    ]
    for model in models:
        shutil.copy(DATA / "models" / str(model["file"]), folder)
        model.update(common)
        model["sha256"] = hashlib.sha256((folder / str(model["file"])).read_bytes()).hexdigest()
    manifest = {
        "name": "real",
        "version": "1",
        "domain": "real",
        "note": "for a test",
        "licence": "MIT and Apache-2.0",
        "gates_reference": {"eye_distance": 12.0},
        "models": models,
        "thresholds": [
            {"reference_kind": "photo", "value": 0.426, "id": "lfw-1e-4", "data_set": "LFW"}
            | {"comparisons": 29_500_000, "date": "2026-01-01"}
        ],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_real_people_are_told_apart(pack: Path, tmp_path: Path) -> None:
    loaded = load_pack(pack, production=True)
    self_test(loaded, open_pipeline(loaded))
    people = sorted(f for f in (DATA / "images").iterdir() if f.is_dir())[:25]
    for folder in people:
        (tmp_path / folder.name).symlink_to(folder.resolve())
    report = evaluate(pack, tmp_path)
    assert report.people == 25
    assert report.failure_to_acquire < 0.2  # several people on the picture
    assert report.fnmr_at_fmr["1e-2"].fnmr < 0.05


def test_real_models_do_not_verify_every_drawn_face_as_a_given_person(pack: Path) -> None:
    loaded = load_pack(pack, production=True)
    pipeline = open_pipeline(loaded)
    photo = next(iter(sorted((DATA / "images").iterdir()))) / ""
    picture = decode(next(iter(sorted(photo.glob("*.jpg")))).read_bytes())
    seen = pipeline.look(picture, pipeline.gates_reference)
    assert isinstance(seen, Sighting)
    for seed in range(5):
        drawn = pipeline.look(draw_frame(Person.from_seed(seed), np.random.default_rng(seed)), pipeline.gates_live)
        if isinstance(drawn, Sighting):
            assert float(seen.vector @ drawn.vector) < loaded.threshold("photo").value
