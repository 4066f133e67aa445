"""The evaluation counts what ISO/IEC 19795-1 counts, and says nothing where the numbers are too few."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from lockerd.__main__ import main
from lockerd.errors import ConfigError
from lockerd.face.calibrate import calibrated
from lockerd.face.chip import as_chip_photo
from lockerd.face.det import det_curve, det_png, det_svg
from lockerd.face.evaluate import Gathered, Scores, _Person, compare, evaluate, interval, rates, threshold_at, wilson
from lockerd.face.pack import load_pack, read_manifest
from lockerd.model.identity import ReferenceKind
from sim.faces.measure import PACK, draw_people


def scores(genuine: list[float], impostor: np.ndarray) -> Scores:
    return Scores(np.array(genuine, np.float32), np.arange(len(genuine)) // 4, impostor.astype(np.float32))


def test_rates_at_known_scores() -> None:
    impostor = np.linspace(0.0, 0.5, 1000, dtype=np.float32)
    found = rates(scores([0.1] * 3 + [0.9] * 97, impostor))
    assert set(found) == {"1e-2"}, "1,000 impostor comparisons cannot tell an FMR of 1e-3"
    assert (impostor >= found["1e-2"].threshold).mean() == pytest.approx(0.01)
    assert found["1e-2"].fnmr == pytest.approx(0.03)
    assert found["1e-2"].low < 0.03 < found["1e-2"].high
    assert rates(scores([], impostor)) == {}
    assert threshold_at(impostor[:100], 0.01) is None


def test_an_interval_of_a_share() -> None:
    assert wilson(0, 100) == pytest.approx((0.0, 0.037), abs=1e-3)
    assert wilson(50, 100) == pytest.approx((0.404, 0.596), abs=1e-3)
    spread = interval(np.arange(1000) % 20 == 0, np.arange(1000) // 20)
    assert spread == pytest.approx(wilson(50, 1000))
    one_person = interval(np.arange(1000) < 50, np.arange(1000) // 50)
    assert one_person[1] > 0.1, "all misses of one person of twenty tell less than their number says"


def people(*vectors: list[int]) -> list[_Person]:
    """People whose pictures point along the given axes."""
    made = [[np.eye(8, dtype=np.float32)[axis] for axis in axes] for axes in vectors]
    return [_Person(False, list(pictures), list(pictures)) for pictures in made]


def test_each_pair_counts_once() -> None:
    found = compare(people([0, 0, 1], [2, 2]), 1)
    assert sorted(found.genuine) == [0.0, 0.0, 1.0, 1.0]
    assert len(found.impostor) == 6
    assert list(found.owners) == [0, 0, 0, 1]


def test_fused_probes_never_hold_their_own_reference() -> None:
    found = compare(people([0, 1, 2], [3, 4, 5]), 2)
    assert len(found.genuine) == 6
    assert not found.genuine.any(), "the reference was among the fused"
    assert len(found.impostor) == 6  # each reference against the other's one group


def test_no_people_no_rates() -> None:
    assert rates(compare([], 1)) == {}
    assert rates(compare(people([0], [1]), 1)) == {}


def test_a_folder_of_drawn_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_people(tmp_path / "people", (100, 112), frames=4)
    options = ["face", "evaluate", "--pack", str(PACK), "--images", str(tmp_path / "people")]
    assert main([*options, "--json", "--out", str(tmp_path / "out")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["people"], report["pictures"]) == (12, 60)
    assert report["genuine"] + sum(report["rejections"].values()) == 48
    assert report["impostor"] == report["genuine"] * 11
    assert report["fnmr_at_fmr"]["1e-2"]["fnmr"] == 0.0
    assert set(report["fnmr_at_fmr"]["1e-2"]) == {"threshold", "fnmr", "low", "high"}
    assert report["milliseconds"]["total"] > report["milliseconds"]["detect"] > 0
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert "ISO/IEC 19795-1" in (tmp_path / "out" / "report.txt").read_text()
    ET.parse(tmp_path / "out" / "det.svg")
    assert cv2.imread(str(tmp_path / "out" / "det.png")) is not None
    pack = load_pack(PACK, production=False)
    fused, _ = evaluate(pack, tmp_path / "people", fuse=2)
    assert fused.genuine <= 24
    chip, _ = evaluate(pack, tmp_path / "people", reference=ReferenceKind.CHIP)
    assert chip.failure_to_enrol < 0.5
    assert chip.reference == "chip"


def test_people_without_a_reference_are_compared_picture_by_picture(tmp_path: Path) -> None:
    draw_people(tmp_path, (100, 104), frames=3)
    for photo in tmp_path.glob("*/reference.jpg"):
        photo.rename(photo.with_name("photo.jpg"))
    report, _ = evaluate(load_pack(PACK, production=False), tmp_path)
    seen = report.pictures - sum(report.rejections.values())
    assert report.genuine + report.impostor == seen * (seen - 1) // 2
    assert report.failure_to_enrol == report.failure_to_acquire


def test_what_cannot_be_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["face", "evaluate", "--pack", str(PACK), "--images", str(tmp_path / "none")]) == 78
    assert main(["face", "evaluate", "--pack", str(tmp_path), "--images", str(tmp_path)]) == 78
    assert main(["face", "attack", "--pack", str(PACK), "--samples", str(tmp_path)]) == 78
    pack = Path(shutil.copytree(PACK, tmp_path / "pack"))
    manifest = json.loads((pack / "manifest.json").read_text()) | {"liveness": None}
    manifest["models"] = [model for model in manifest["models"] if model["role"] != "liveness"]
    (pack / "manifest.json").write_text(json.dumps(manifest))
    capsys.readouterr()
    assert main(["face", "attack", "--pack", str(pack), "--samples", str(tmp_path)]) == 78
    assert "liveness" in capsys.readouterr().err


def test_a_calibration_covers_all_tries_and_both_ways_of_fusing() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(60, 6, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    found = Gathered([_Person(False, list(v), list(v)) for v in vectors])
    manifest = read_manifest(PACK / "manifest.json")
    common = {"reference": "chip", "fmr": 0.01, "frames": 3, "data_set": "random", "date": "2026-01-01"}
    once = calibrated(manifest, found, tries=1, **common)  # type: ignore[arg-type]
    thrice = calibrated(manifest, found, tries=3, **common)  # type: ignore[arg-type]
    values = [next(t for t in m.thresholds if t.reference_kind == "chip").value for m in (once, thrice)]
    assert values[1] > values[0]
    for fuse in (1, 3):
        assert (compare(found.people, fuse).impostor >= values[1]).mean() <= 0.01 / 3
    assert [t.reference_kind for t in thrice.thresholds] == ["photo", "chip"]
    with pytest.raises(ConfigError, match="too few"):
        calibrated(manifest, Gathered(found.people[:2]), tries=3, **common)  # type: ignore[arg-type]


def test_calibrate_writes_a_manifest_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_people(tmp_path / "people", (100, 110), frames=3)
    out = tmp_path / "manifest.json"
    options = ["--pack", str(PACK), "--images", str(tmp_path / "people"), "--data-set", "drawn", "--out", str(out)]
    assert main(["face", "calibrate", *options, "--fmr", "0.1", "--frames", "1"]) == 0
    threshold = json.loads(capsys.readouterr().out)
    assert threshold["data_set"] == "drawn"
    pack = load_pack(out, production=False, models=PACK)
    assert pack.threshold("photo").value == threshold["value"]
    assert pack.model_id == load_pack(PACK, production=False).model_id


def test_a_chip_photo_is_small_and_keeps_the_face() -> None:
    picture = np.full((300, 300, 3), 60, np.uint8)
    cv2.circle(picture, (150, 150), 50, (120, 150, 200), -1)
    photo = as_chip_photo(picture, np.array([100, 100, 200, 200], np.float32))
    assert photo.shape == (126, 102, 3)
    assert abs(int(photo[68, 51, 2]) - 200) < 40
    assert photo[5, 5].min() > 200, "background goes, as on an ID photo"


def test_the_curve_falls() -> None:
    rng = np.random.default_rng(2)
    curve = det_curve(rng.normal(0.6, 0.1, 500).astype(np.float32), rng.normal(0, 0.1, 5000).astype(np.float32))
    assert all(a[0] < b[0] and a[1] >= b[1] for a, b in pairwise(curve))
    assert curve[-1] == (1.0, 0.0)
    assert "<polyline" in det_svg(curve, "a < b & c")
    ET.fromstring(det_svg(curve, "a < b & c"))
    assert det_png([], "nothing").startswith(b"\x89PNG")
