"""Writes the pack's manifest, calibrates its threshold and measures it, running lockerd's own chain."""

from __future__ import annotations

import datetime
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sim.faces.people import CALIBRATED, EVALUATED
from sim.faces.person import Person
from sim.faces.scene import Nuisance, draw_frame, draw_portrait, encode

PACK = Path(__file__).resolve().parent.parent / "packs" / "synthetic"
LICENCE = "Apache-2.0"
FRAMES = 15
_TEMPLATE = [
    [38.2946, 51.6963],
    [73.5318, 51.5014],
    [56.0252, 71.7366],
    [41.5493, 92.3655],
    [70.7299, 92.2041],
]


def draw_people(folder: Path, seeds: tuple[int, int], *, frames: int = FRAMES, seed: int = 7) -> None:
    """Write one folder a person: `reference.jpg`, the application photo, and camera pictures."""
    for number in range(*seeds):
        person = Person.from_seed(number)
        rng = np.random.default_rng([seed, number])
        home = folder / f"{number}"
        home.mkdir(parents=True)
        (home / "reference.jpg").write_bytes(encode(draw_portrait(person, rng)))
        for index in range(frames):
            frame = draw_frame(person, rng, nuisance=Nuisance.camera(rng))
            (home / f"frame-{index:02d}.jpg").write_bytes(encode(frame))


def run_report(pack: Path, images: Path, fuse: int, reference: str = "photo") -> dict[str, Any]:
    """The report of lockerd's own evaluation."""
    command = [sys.executable, "-m", "lockerd", "face", "evaluate", "--json", "--reference", reference]
    command += ["--pack", str(pack), "--images", str(images), "--fuse", str(fuse)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def sha256(file: Path) -> str:
    """Hexadecimal sha256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def write_manifest(pack: Path, version: str, threshold: dict[str, Any], date: str) -> None:
    """Describe the trained files in `pack`, with a golden picture whose vector lockerd checks at its start.

    `golden.json` comes from the training: the picture's vector as PyTorch gave it, so that lockerd's start
    checks the exported models and its own alignment against those that were trained.
    """
    common: dict[str, Any] = {"sha256": "", "licence": LICENCE, "commercial_use": True}
    common |= {"source": "python -m sim.faces train", "colour_order": "RGB"}
    models: list[dict[str, Any]] = [
        {"role": "detector", "file": "detector.onnx", "adapter": "scrfd", "input_size": [320, 256]}
        | common
        | {"mean": 127.5, "deviation": 128.0},
        {"role": "embedder", "file": "embedder.onnx", "adapter": "crop", "input_size": [112, 112]}
        | common
        | {"mean": 127.5, "deviation": 127.5, "template": _TEMPLATE, "dimension": 128},
        {"role": "liveness", "file": "liveness.onnx", "adapter": "minifasnet", "input_size": [96, 96]}
        | common
        | {"mean": 127.5, "deviation": 127.5, "crop_scale": 2.2},
    ]
    for model in models:
        model["sha256"] = sha256(pack / model["file"])
    manifest = {
        "name": "synthetic",
        "version": version,
        "domain": "synthetic",
        "note": "simulator only: knows drawn faces and nobody else",
        "licence": LICENCE,
        "models": models,
        "thresholds": [
            {"reference_kind": "photo", "date": date, "data_set": "drawn people", "comparisons": 0}
            | {"value": 0.5, "id": "provisional"}
            | threshold
        ],
        "golden": {
            "file": "golden.jpg",
            "sha256": sha256(pack / "golden.jpg"),
            "vector": json.loads((pack / "golden.json").read_text())["vector"],
        },
        "liveness": {"median": 0.5, "floor": 0.1, "id": "drawn-1", "date": date}
        | {"data_set": "drawn people, prints and replays; MODEL_CARD.md"},
        "gates_live": {"brightest": 225.0, "darkest": 35.0, "sharpness": 15.0},
        "gates_reference": {"eye_distance": 24.0, "brightest": 235.0, "darkest": 35.0},
    }
    (pack / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def calibrate(pack: Path, version: str, *, rate: str = "1e-4", people: int | None = None) -> dict[str, Any]:
    """Set the threshold of fused transactions against application photos; returns its report."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    write_manifest(pack, version, {}, date)
    seeds = (CALIBRATED[0], CALIBRATED[0] + people) if people else CALIBRATED
    with tempfile.TemporaryDirectory() as folder:
        draw_people(Path(folder), seeds)
        report = run_report(pack, Path(folder), 5)
    threshold = {
        "value": round(report["fnmr_at_fmr"][rate]["threshold"], 4),
        "id": f"photo-fused5-fmr{rate}",
        "data_set": f"drawn people {seeds[0]} to {seeds[1] - 1}, 5 frames fused, FMR {rate}",
        "comparisons": report["impostor"],
    }
    write_manifest(pack, version, threshold, date)
    return report


def calibrate_chip(pack: Path, *, rate: str = "1e-4", people: int | None = None) -> dict[str, Any]:
    """Set the threshold of fused transactions against chip-like photos, and nothing else; returns its report."""
    file = pack / "manifest.json"
    manifest = json.loads(file.read_text())
    seeds = (CALIBRATED[0], CALIBRATED[0] + people) if people else CALIBRATED
    with tempfile.TemporaryDirectory() as folder:
        draw_people(Path(folder), seeds)
        report = run_report(pack, Path(folder), 5, "chip")
    threshold = {
        "reference_kind": "chip",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "data_set": f"drawn people {seeds[0]} to {seeds[1] - 1}, chip-like photos, 5 frames fused, FMR {rate}",
        "comparisons": report["impostor"],
        "value": round(report["fnmr_at_fmr"][rate]["threshold"], 4),
        "id": f"chip-fused5-fmr{rate}",
    }
    others = [found for found in manifest["thresholds"] if found["reference_kind"] != "chip"]
    file.write_text(json.dumps(manifest | {"thresholds": [*others, threshold]}, indent=2) + "\n")
    return report


def evaluate(pack: Path, people: int | None = None) -> dict[str, Any]:
    """Measure on people that neither training nor calibration saw: single pictures, and five fused."""
    seeds = (EVALUATED[0], EVALUATED[0] + people) if people else EVALUATED
    with tempfile.TemporaryDirectory() as folder:
        draw_people(Path(folder), seeds)
        return {"single": run_report(pack, Path(folder), 1), "fused": run_report(pack, Path(folder), 5)}


def contact_sheet(file: Path, first: int, count: int = 5) -> None:
    """A picture of some people: application photos above, camera pictures below."""
    rng = np.random.default_rng(first)
    people = [Person.from_seed(first + index) for index in range(count)]
    photos = [draw_portrait(person, rng) for person in people]
    frames = [cv2.resize(draw_frame(person, rng), (358, 268)) for person in people]
    cv2.imwrite(str(file), np.vstack([np.hstack(photos), np.hstack(frames)]))
