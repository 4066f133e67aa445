"""Times one verification by lockerd's chain against InsightFace's own `FaceAnalysis.get()`: same models, frames, threads.

Run by `make bench-face`. A verification is one transaction as the worker runs it: the frames of a second, 15 of them, fused into
one decision; lockerd compares as many of them as the worker does and glances at the others, whole. InsightFace does all
with the same frames. Both take turns, frame by frame of a round, so that a busy machine is busy for both; wall time and
the process's CPU time are given. It asserts nothing but that both see the same face: a figure of a busy machine is no figure.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import msgspec
import numpy as np
import onnxruntime

from lockerd.face.adapters import overlap
from lockerd.face.insight import _scaling
from lockerd.face.pack import KNOWN, Pack, load_pack, read_manifest
from lockerd.face.pipeline import Glimpse, Pipeline, Sighting, align, open_pipeline, stored_vector
from lockerd.face.transaction import Transaction
from lockerd.model.identity import FaceReason, FaceVerdict
from sim.faces import Nuisance, Person, draw_portrait, draw_scene, encode
from sim.faces.measure import PACK

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("LOCKERD_TEST_DATA", ROOT.parent / "shared" / "data")) / "face" / "models"
FRAME = (1280, 720)
A_SECOND = 15  # frames
WARM_UP = 2  # rounds
SETTLED = 0.05  # seconds until threads of the one before have stopped to spin
WHOLE = "lockerd, each frame searched whole and compared"
VERIFIED = "lockerd, a verification"
SAME_SIZE = "FaceAnalysis.get(), the pack's detection size"
OWN_SIZES = "FaceAnalysis.get(), its own detection sizes"


@dataclass(slots=True)
class Spent:
    """Milliseconds a frame of each round: wall time and CPU time of this process."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def said(self, ours: Spent | None = None) -> str:
        """Quickest and median wall time and median CPU time, and the ratio of lockerd's to each."""
        own = (min(self.wall), median(self.wall), median(self.cpu))
        text = "  ".join(f"{ms:7.2f}" for ms in own)
        if ours is not None:
            theirs = (min(ours.wall), median(ours.wall), median(ours.cpu))
            text += "   ratio " + " / ".join(f"{a / b:.2f}" for a, b in zip(theirs, own, strict=True))
        return text


def by_turns(works: dict[str, Callable[[], int]], rounds: int) -> dict[str, Spent]:
    """Run all works by turns, after a warm-up; each gives the number of frames it looked at."""
    spent = {name: Spent() for name in works}
    for turn in range(WARM_UP + rounds):
        for name, work in works.items():
            time.sleep(SETTLED)
            wall, cpu = time.perf_counter(), time.process_time()
            frames = work()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if turn >= WARM_UP:
                spent[name].wall.append(1000 * wall / frames)
                spent[name].cpu.append(1000 * cpu / frames)
    return spent


def frames_of(person: int) -> list[np.ndarray]:
    """A second before the camera: a drawn face that sways a little."""
    one = Person.from_seed(person)
    drawn = []
    for number in range(A_SECOND + 1):
        at = (0.5 + 0.01 * np.sin(number / 2), 0.45 + 0.005 * np.cos(number / 3))
        seen = Nuisance(eye_distance=0.14, at=at)
        drawn.append(draw_scene([one], np.random.default_rng(number), FRAME, nuisance=seen)[0])
    return [np.asarray(frame, np.uint8) for frame in drawn]


def each(work: Callable[[np.ndarray], object], frames: Sequence[np.ndarray]) -> int:
    """Do it with each frame; their number."""
    for frame in frames:
        work(frame)
    return len(frames)


def verification(pipeline: Pipeline, reference: np.ndarray, threshold: float, frames: list[np.ndarray]) -> int:
    """One transaction on the frames, as the worker runs it; the number of frames until the decision."""
    transaction = Transaction(reference, threshold, frames=5, span=1.0, deadline=20.0)
    for number, frame in enumerate(frames):
        now = number / A_SECOND
        aim = transaction.aim(now)
        if aim.compared:
            seen: Sighting | Glimpse | FaceReason = pipeline.look(frame, pipeline.gates_live, near=aim.near)
        else:
            seen = pipeline.glance(frame)
        decision = transaction.add(seen, now)
        if decision is not None:
            assert decision.verdict is FaceVerdict.VERIFIED
            return number + 1
    raise AssertionError("no decision on the frames of a second")


def insightface_get(
    pack: Pack, folder: Path, threads: int, size: tuple[int, int] | None
) -> Callable[[np.ndarray], list[Any]]:
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


def alike(
    ours: Pipeline, frames: list[np.ndarray], get: Callable[[np.ndarray], list[Any]], say: Callable[[str], object]
) -> None:
    """Print how near both chains' outputs are on the same frames."""
    cosines, apart, box = [], [], None
    for frame in frames:
        seen = ours.look(frame, ours.gates_live, near=box)
        (theirs,) = get(frame)
        assert isinstance(seen, Sighting)
        box = seen.box
        cosines.append(float(seen.vector @ theirs.normed_embedding))
        apart.append(overlap(seen.box, theirs.bbox))
    say(f"outputs on the same {len(frames)} frames: boxes overlap {min(apart):.2f} or more, ")
    say(f"embeddings' cosine {median(cosines):.2f} (least {min(cosines):.2f})\n")


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    cv2.setNumThreads(options.threads)
    pack = load_pack(PACK, production=False)
    ours = open_pipeline(pack, options.threads)
    frames = frames_of(8)
    template = ours.enrol(encode(draw_portrait(Person.from_seed(8), np.random.default_rng(1)))).template
    assert template is not None
    reference = stored_vector(template.vector)
    assert reference is not None
    say = sys.stdout.write
    with tempfile.TemporaryDirectory() as name:
        get = insightface_get(pack, Path(name), options.threads, pack.model("detector").input_size)
        own = insightface_get(pack, Path(name), options.threads, None)
        works = {
            WHOLE: lambda: each(lambda frame: ours.look(frame, ours.gates_live), frames),
            VERIFIED: lambda: verification(ours, reference, pack.threshold("photo").value, frames),
            SAME_SIZE: lambda: each(get, frames),
            OWN_SIZES: lambda: each(own, frames),
        }
        alike(ours, frames, get, say)
        spent = by_turns(works, options.rounds)
    say(f"synthetic models, {FRAME[0]}x{FRAME[1]}, {options.threads} thread(s), {options.rounds} rounds by turns, ")
    say(f"load {os.getloadavg()[0]:.1f}\n")
    say(f"  {'milliseconds a frame':48}    least   median      CPU   (ratio of the verification to it)\n")
    for what, took in spent.items():
        say(f"  {what:48}  {took.said(None if what == VERIFIED else spent[VERIFIED])}\n")
    if all((DATA / m.file).is_file() for m in read_manifest(KNOWN / "permissive-2026.json").models):
        real(options.threads, options.rounds, frames[0], say)
    return 0


def real(threads: int, rounds: int, frame: np.ndarray, say: Callable[[str], object]) -> None:
    """The stages of the real pack, on a frame with a drawn face."""
    pipeline = open_pipeline(load_pack(Path("permissive-2026"), production=False, models=DATA), threads)
    face = pipeline.detect(frame)[0]
    crop = align(frame, face.landmarks, pipeline.template, pipeline.crop_size)
    liveness = pipeline.liveness
    assert liveness is not None
    stages: dict[str, Callable[[np.ndarray], object]] = {
        "detect, whole": pipeline.detect,
        "detect, followed": lambda frame: pipeline.around(frame, face.box),
        "align": lambda frame: align(frame, face.landmarks, pipeline.template, pipeline.crop_size),
        "embed, and mirrored": lambda _: pipeline.embed(crop),
        "liveness": lambda frame: liveness(frame, face.box),
    }
    spent = by_turns({name: partial(each, work, [frame] * 5) for name, work in stages.items()}, rounds)
    say("permissive-2026, stages: " + ", ".join(f"{name} {min(took.wall):.2f}" for name, took in spent.items()))
    total = sum(min(took.wall) for name, took in spent.items() if name != "detect, followed")
    say(f"; all, searched whole, {total:.1f} ms, {1000 / total:.0f} frames a second\n")


if __name__ == "__main__":
    sys.exit(main())
