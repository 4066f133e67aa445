"""Times one verification by lockerd's chain against InsightFace's own `FaceAnalysis.get()`: same models, frame, threads.

Run by `make bench-face`: prints a table, and the stages of permissive-2026 where its weights are at hand. It asserts
nothing: a figure of a busy machine is no figure.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnxruntime

from lockerd.face.insight import _scaling
from lockerd.face.pack import KNOWN, Pack, load_pack, read_manifest
from lockerd.face.pipeline import Sighting, align, open_pipeline
from sim.faces import Nuisance, Person, draw_frame
from sim.faces.measure import PACK

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("LOCKERD_TEST_DATA", ROOT.parent / "shared" / "data")) / "face" / "models"
FRAME = (1280, 720)


def timed(work: Callable[[], object], rounds: int) -> float:
    """Milliseconds of the quickest of `rounds` calls, after a warm-up; what a busy machine adds is left out."""
    for _ in range(8):
        work()
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return 1000 * min(spent)


def frame_of(person: int) -> np.ndarray:
    """A camera frame of 1280 x 720 with one drawn face."""
    drawn = draw_frame(Person.from_seed(person), np.random.default_rng(1), nuisance=Nuisance(eye_distance=0.19))
    return np.asarray(cv2.resize(drawn, FRAME), np.uint8)


def insightface_get(
    pack: Pack, folder: Path, threads: int, size: tuple[int, int] | None
) -> Callable[[np.ndarray], object]:
    """InsightFace's own chain on the same weights, by its manifest V2; of onnxruntime's options only the threads are set."""
    from insightface.app import FaceAnalysis

    detector, embedder = pack.model("detector"), pack.model("embedder")
    for model in (detector, embedder):
        (folder / model.file).write_bytes(pack.read(model))
    tasks = {
        "detection": {"file": detector.file} | _scaling(detector),
        "recognition": {"file": embedder.file, "embedding_dimension": embedder.dimension} | _scaling(embedder),
    }
    document = {"manifest_version": 2, "model_id": "pack", "license": "MODEL.LICENSE", "tasks": tasks}
    (folder / "manifest.json").write_bytes(msgspec.json.encode(document))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    analysis = FaceAnalysis(str(folder), providers=["CPUExecutionProvider"], sess_options=options)
    analysis.prepare(ctx_id=0, det_size=size)
    return analysis.get  # type: ignore[no-any-return]


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    cv2.setNumThreads(options.threads)
    pack = load_pack(PACK, production=False)
    ours = open_pipeline(pack, options.threads)
    frame = frame_of(8)
    assert isinstance(ours.look(frame, ours.gates_live), Sighting)
    with tempfile.TemporaryDirectory() as name:
        own = insightface_get(pack, Path(name), options.threads, None)
        own_ms = timed(lambda: own(frame), options.rounds)
        get = insightface_get(pack, Path(name), options.threads, pack.model("detector").input_size)
        assert len(get(frame)) == 1  # type: ignore[arg-type]
        theirs_ms = timed(lambda: get(frame), options.rounds)
    ours_ms = timed(lambda: ours.look(frame, ours.gates_live), options.rounds)
    say = sys.stdout.write
    say(f"synthetic models, {FRAME[0]}x{FRAME[1]}, {options.threads} thread(s), quickest of {options.rounds}\n")
    say(f"  lockerd detect, gate, align, embed                   {ours_ms:6.2f} ms\n")
    for what, ms in (("its own detection sizes", own_ms), ("the pack's detection size", theirs_ms)):
        say(f"  FaceAnalysis.get(), {what:26}       {ms:6.2f} ms   ratio {ours_ms / ms:.2f}\n")
    if all((DATA / m.file).is_file() for m in read_manifest(KNOWN / "permissive-2026.json").models):
        real(options.threads, options.rounds, say)
    return 0


def real(threads: int, rounds: int, say: Callable[[str], object]) -> None:
    """The stages of the real pack, on the same frame with a drawn face."""
    pipeline = open_pipeline(load_pack(Path("permissive-2026"), production=False, models=DATA), threads)
    frame = frame_of(8)
    faces = pipeline.detect(frame)
    assert faces
    face = faces[0]
    crop = align(frame, face.landmarks, pipeline.template, pipeline.crop_size)
    liveness = pipeline.liveness
    assert liveness is not None
    stages: dict[str, Callable[[], object]] = {
        "detect": lambda: pipeline.detect(frame),
        "align": lambda: align(frame, face.landmarks, pipeline.template, pipeline.crop_size),
        "embed": lambda: pipeline.embed(crop),
        "liveness": lambda: liveness(frame, face.box),
    }
    spent = {name: timed(work, rounds) for name, work in stages.items()}
    total = sum(spent.values())
    say("permissive-2026, stages: " + ", ".join(f"{name} {ms:.2f}" for name, ms in spent.items()))
    say(f"; all {total:.1f} ms, {1000 / total:.0f} frames a second\n")


if __name__ == "__main__":
    sys.exit(main())
