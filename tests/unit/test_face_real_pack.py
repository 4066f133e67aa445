"""The known pack permissive-2026 with its real weights, on real people. Needs the shared test data."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lockerd.__main__ import main
from lockerd.face.gates import covering, middle_face
from lockerd.face.pack import KNOWN, load_pack, read_manifest
from lockerd.face.picture import decode
from lockerd.face.pipeline import Pipeline, Sighting, align, open_pipeline, self_test
from lockerd.face.transaction import Transaction
from lockerd.model.identity import FaceReason, FaceVerdict
from sim.faces import Person, draw_frame

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("LOCKERD_TEST_DATA", ROOT.parent / "shared" / "data")) / "face"
NAME = "permissive-2026"
PACK = ["--pack", NAME, "--models", str(DATA / "models")]

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(
        not all((DATA / "models" / model.file).is_file() for model in read_manifest(KNOWN / f"{NAME}.json").models),
        reason="test_face_real_pack: the shared face models are missing; set LOCKERD_TEST_DATA",
    ),
]


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    pack = load_pack(Path(NAME), production=False, models=DATA / "models")
    pipeline = open_pipeline(pack)
    self_test(pack, pipeline)
    return pipeline


def test_the_known_manifest_fits_the_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify", NAME, "--models", str(DATA / "models")]) == 0
    assert capsys.readouterr().out.count("sha256 right") == 4


def test_production_takes_it_once_it_is_signed(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    manifest = Path(shutil.copy(KNOWN / f"{NAME}.json", tmp_path / "manifest.json"))
    (tmp_path / "manifest.json.sig").write_bytes(key.sign(manifest.read_bytes()))
    signed_by = key.public_key().public_bytes_raw().hex()
    pack = load_pack(manifest, production=True, models=DATA / "models", signed_by=signed_by)
    assert pack.threshold("photo").comparisons > 100_000
    assert pack.threshold("chip").comparisons > 100_000


def test_real_people_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = sorted(f for f in (DATA / "images").iterdir() if f.is_dir())[:20]
    for folder in people:
        (tmp_path / folder.name).symlink_to(folder.resolve())
    assert main(["face", "evaluate", *PACK, "--images", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["people"] == 20
    assert report["failure_to_acquire"] < 0.1
    assert report["fnmr_at_fmr"]["1e-2"]["fnmr"] < 0.05


def test_the_attack_samples_are_classified_rightly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["face", "attack", *PACK, "--samples", str(DATA / "attack-samples"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["apcer"]["unnamed"] == report["apcer"]["unnamed"] | {
        "presentations": 2,
        "no_response": 0,
        "rate": 0.0,
    }
    assert report["bpcer"] == report["bpcer"] | {"presentations": 1, "no_response": 0, "rate": 0.0}


def test_a_painted_mask_is_asked_off(pipeline: Pipeline) -> None:
    asked = 0
    photos = sorted((DATA / "images").glob("*/*_0001.jpg"))[:20]
    for photo in photos:
        picture = decode(photo.read_bytes())
        assert not isinstance(picture, FaceReason)
        face = middle_face(picture, pipeline.detect(picture))
        assert not isinstance(face, FaceReason)
        nose, (left, right) = face.landmarks[2], face.landmarks[3:]
        top, bottom = int(nose[1]), int(2.2 * max(left[1], right[1]) - 1.2 * nose[1])
        picture[top:bottom, int(left[0] - 15) : int(right[0] + 15)] = (225, 225, 225)
        crop = align(picture, face.landmarks, pipeline.template, pipeline.crop_size)
        asked += covering(crop, pipeline.template) > pipeline.gates_live.covering
    assert asked >= 18


def test_real_models_do_not_verify_every_drawn_face_as_a_given_person(pipeline: Pipeline) -> None:
    threshold = load_pack(Path(NAME), production=False, models=DATA / "models").threshold("photo").value
    picture = decode(next(iter(sorted((DATA / "images").glob("*/*.jpg")))).read_bytes())
    seen = pipeline.look(picture, pipeline.gates_reference)
    assert isinstance(seen, Sighting)
    for seed in range(5):
        drawn = pipeline.look(draw_frame(Person.from_seed(seed), np.random.default_rng(seed)), pipeline.gates_live)
        if isinstance(drawn, Sighting):
            assert float(seen.vector @ drawn.vector) < threshold


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ("image_T1.jpg", FaceReason.MATCH),
        ("image_F1.jpg", FaceReason.NOT_LIVE),
        ("image_F2.jpg", FaceReason.NOT_LIVE),
    ],
)
def test_a_photo_or_a_screen_of_the_right_face_is_not_verified(
    pipeline: Pipeline, sample: str, reason: FaceReason
) -> None:
    picture = decode((DATA / "attack-samples" / sample).read_bytes())
    gates = msgspec.structs.replace(pipeline.gates_reference, eye_distance=0.0)
    limits = read_manifest(KNOWN / f"{NAME}.json").liveness
    looks = [pipeline.look(picture, gates, live=True) for _ in range(3)]
    assert all(isinstance(seen, Sighting) for seen in looks)
    first, *rest = [seen for seen in looks if isinstance(seen, Sighting)]
    transaction = Transaction(first.vector, 0.5, frames=2, span=0.0, deadline=9.0, limits=limits)
    decision = [transaction.add(seen, now) for now, seen in enumerate(rest)][-1]
    assert decision is not None
    assert decision.reason is reason
    assert (decision.verdict is FaceVerdict.VERIFIED) is (reason is FaceReason.MATCH)
