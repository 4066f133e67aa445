"""The evaluation counts what ISO/IEC 19795-1 counts, and says nothing where the numbers are too few."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lockerd.face.evaluate import evaluate, main, rates, wilson
from sim.faces.measure import PACK, draw_people


def test_rates_at_known_scores() -> None:
    impostor = np.linspace(0.0, 0.5, 1000, dtype=np.float32)
    genuine = np.array([0.1] * 3 + [0.9] * 97, np.float32)
    found = rates(genuine, impostor)
    assert set(found) == {"1e-2"}, "1,000 impostor comparisons cannot tell an FMR of 1e-3"
    assert (impostor >= found["1e-2"].threshold).mean() == pytest.approx(0.01)
    assert found["1e-2"].fnmr == pytest.approx(0.03)
    assert found["1e-2"].low < 0.03 < found["1e-2"].high
    assert rates(np.zeros(0, np.float32), impostor) == {}


def test_an_interval_of_a_share() -> None:
    assert wilson(0, 100) == pytest.approx((0.0, 0.037), abs=1e-3)
    assert wilson(50, 100) == pytest.approx((0.404, 0.596), abs=1e-3)


def test_a_folder_of_drawn_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_people(tmp_path, (100, 112), frames=4)
    assert main(["--pack", str(PACK), "--images", str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["people"], report["pictures"]) == (12, 60)
    assert report["genuine"] + sum(report["rejections"].values()) == 48
    assert report["impostor"] == report["genuine"] * 11
    assert report["fnmr_at_fmr"]["1e-2"]["fnmr"] == 0.0
    fused = evaluate(PACK, tmp_path, fuse=2)
    assert fused.genuine <= 24


def test_what_cannot_be_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pack", str(PACK), "--images", str(tmp_path / "none")]) == 78
    assert main(["--pack", str(tmp_path), "--images", str(tmp_path)]) == 78
    assert str(tmp_path) in capsys.readouterr().err
