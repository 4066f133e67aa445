"""Trains the synthetic pack's detector, then its embedder on what that detector finds.

Needs the extra "train".
Everything is drawn on the fly; no picture of anybody is involved. Seeds of the people: see
`sim.faces.people`.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from sim.faces.nets import ANCHORS, DIMENSION, STRIDES, Detector, Embedder, export
from sim.faces.pen import Floats, Picture, Truth
from sim.faces.people import GOLDEN, TRAINED
from sim.faces.person import Person
from sim.faces.scene import Nuisance, draw_photo, draw_scene, encode

WIDTH, HEIGHT = 320, 256
# Greatest face side in pixels of the detector's input that each anchor answers for, finest first.
REACH = (40.0, 72.0, 104.0, 136.0, 176.0, 1000.0)
# InsightFace's template for 112 x 112 crops, so that its loader can run this pack too.
TEMPLATE: Floats = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
CROP = 112
PICTURES = 6


def similarity(source: Floats, target: Floats) -> Floats:
    """The (2, 3) rotation, scale and shift that takes `source` nearest to `target` (Umeyama 1991)."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    power = float((a * a).sum())
    cos = float((a * b).sum()) / power
    sin = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / power
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = target.mean(axis=0) - turn @ source.mean(axis=0)
    return np.column_stack([turn, shift])


def boxed(picture: Picture, truths: list[Truth]) -> tuple[Picture, list[Truth]]:
    """The picture scaled into the detector's input, padded right and below, and the truth in its pixels."""
    height, width = picture.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height)
    small = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR)
    canvas: Picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    return canvas, [Truth(t.box * scale, t.landmarks * scale) for t in truths]


def detector_sample(rng: np.random.Generator) -> tuple[Picture, list[Truth]]:
    """A picture with nobody, one or two people, or an application photo."""
    kind = rng.random()
    people = [Person.from_seed(int(rng.integers(*TRAINED))) for _ in range(2)]
    if kind < 0.08:
        people = []
    elif kind < 0.88:
        people = people[:1]
    if kind > 0.97:
        picture, truth = draw_photo(people[0], rng)
        return boxed(picture, [truth])
    seen = Nuisance.camera(rng)
    if rng.random() < 0.6:  # beyond what the gates let through, so that they can tell
        seen = dataclasses.replace(
            seen,
            eye_distance=float(rng.uniform(0.06, 0.3)),
            at=(float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.25, 0.75))),
            yaw=float(rng.uniform(-0.9, 0.9)),
            pitch=float(rng.uniform(-0.6, 0.6)),
            roll=float(rng.uniform(-0.7, 0.7)),
            gain=float(rng.uniform(0.15, 1.8)),
            blur=float(rng.uniform(0.0, 6.0)),
        )
    return boxed(*draw_scene(people, rng, (WIDTH, 240), nuisance=seen))


def cells() -> list[Floats]:
    """Anchor points of each stride (N, 2), as SCRFD counts them: rows, then columns, then anchors."""
    out = []
    for stride in STRIDES:
        y, x = np.mgrid[: HEIGHT // stride, : WIDTH // stride]
        points = np.stack([x, y], axis=-1).reshape(-1, 2) * float(stride)
        out.append(np.repeat(points, ANCHORS, axis=0))
    return out


def target(truths: list[Truth], anchors: list[Floats]) -> npt.NDArray[np.float32]:
    """For all anchors (N, 15): wanted score (1, 0, -1 "no matter"), box distances, landmark offsets."""
    parts = []
    for level, (stride, points) in enumerate(zip(STRIDES, anchors, strict=True)):
        want = np.zeros((len(points), 15), np.float32)
        for truth in truths:
            side = float(max(truth.box[2:] - truth.box[:2]))
            centre = truth.landmarks[:3].mean(axis=0)
            near = np.abs(points - centre).max(axis=1) <= 1.5 * stride
            for anchor in range(ANCHORS):
                index = level * ANCHORS + anchor
                low, high = (REACH[index - 1] if index else 0.0), REACH[index]
                mine = near & (np.arange(len(points)) % ANCHORS == anchor)
                if low < side <= high:
                    offsets = np.concatenate(
                        [
                            points - truth.box[:2],
                            truth.box[2:] - points,
                            (truth.landmarks.reshape(1, 10) - np.tile(points, 5)),
                        ],
                        axis=1,
                    )
                    want[mine, 0] = 1.0
                    want[mine, 1:] = (offsets / stride)[mine]
                elif low * 0.85 < side <= high * 1.15:
                    want[mine & (want[:, 0] == 0), 0] = -1.0
        parts.append(want)
    return np.concatenate(parts)


def as_input(pictures: list[Picture], deviation: float) -> torch.Tensor:
    """BGR pictures as a batch the networks take."""
    rgb = np.stack(pictures)[..., ::-1]
    return torch.from_numpy((rgb.astype(np.float32) - 127.5) / np.float32(deviation)).permute(0, 3, 1, 2).contiguous()


def schedule(optimiser: torch.optim.Optimizer, peak: float, steps: int) -> torch.optim.lr_scheduler.OneCycleLR:
    """Warm up, then fall to nothing."""
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=peak, total_steps=steps, pct_start=0.15)


def train_detector(seed: int, steps: int, batch: int = 16) -> Detector:
    """Train on pictures drawn for this call."""
    rng = np.random.default_rng([seed, 1])
    torch.manual_seed(seed)
    net = Detector().train().to(memory_format=torch.channels_last)
    for head in net.heads:
        nn.init.constant_(head.bias[::15], -4.0)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=1e-4)
    falling = schedule(optimiser, 4e-3, steps)
    anchors = cells()
    began = time.monotonic()
    for step in range(steps):
        samples = [detector_sample(rng) for _ in range(batch)]
        x = as_input([s[0] for s in samples], 128.0).to(memory_format=torch.channels_last)
        want = torch.from_numpy(np.stack([target(s[1], anchors) for s in samples]))
        raw = torch.cat(net.maps(x), dim=1)
        hit, counted = want[..., 0] > 0.5, want[..., 0] >= 0
        positives = hit.sum().clamp(min=1)
        chance = torch.sigmoid(raw[..., 0])
        wrong = torch.where(hit, 1 - chance, chance)
        entropy = functional.binary_cross_entropy_with_logits(raw[..., 0], hit.float(), reduction="none")
        score_loss = (entropy * wrong**2 * counted).sum() / positives
        box_loss = functional.smooth_l1_loss(raw[hit][:, 1:5], want[hit][:, 1:5], beta=0.1)
        mark_loss = functional.smooth_l1_loss(raw[hit][:, 5:], want[hit][:, 5:], beta=0.05)
        loss = score_loss + box_loss + 8.0 * mark_loss
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's stub
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimiser.step()
        falling.step()
        if step % 50 == 0 or step == steps - 1:
            print(
                f"detector {step:5d}/{steps} score {float(score_loss):.3f} box {float(box_loss):.3f} "
                f"landmarks {float(mark_loss):.4f} {time.monotonic() - began:.0f} s",
                flush=True,
            )
    return net.eval()


@torch.no_grad()
def landmarks(net: Detector, pictures: list[Picture]) -> list[Floats | None]:
    """The best face's landmarks in each picture's own pixels; None where there is none."""
    small = [boxed(p, [])[0] for p in pictures]
    raw = torch.cat(net.maps(as_input(small, 128.0).to(memory_format=torch.channels_last)), dim=1).numpy()
    points = np.concatenate(cells())
    strides = np.concatenate([np.full(len(c), s) for c, s in zip(cells(), STRIDES, strict=True)])
    found: list[Floats | None] = []
    for picture, candidates in zip(pictures, raw, strict=True):
        best = int(candidates[:, 0].argmax())
        scale = min(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
        spot = points[best] + candidates[best, 5:].reshape(5, 2) * strides[best]
        found.append(spot / scale if candidates[best, 0] > 0 else None)
    return found


def crops(net: Detector, seed: int, people: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Aligned crops (N, 112, 112, 3) as the chain sees them, and whose they are (N,)."""
    rng = np.random.default_rng([seed, 2])
    out, whose = [], []
    for index in range(people):
        person = Person.from_seed(TRAINED[0] + index)
        pictures = [draw_photo(person, rng)[0]]
        for number in range(PICTURES - 1):
            seen = Nuisance.camera(rng, hard=1.0 if number % 2 else 0.6)
            size = (640, 480) if number == 0 else (400, 300)
            pictures.append(draw_scene([person], rng, size, nuisance=seen)[0])
        for picture, spot in zip(pictures, landmarks(net, pictures), strict=True):
            if spot is not None:
                out.append(cv2.warpAffine(picture, similarity(spot, TEMPLATE), (CROP, CROP)))
                whose.append(index)
        if index % 250 == 0:
            print(f"crops of person {index}/{people}", flush=True)
    return np.stack(out), np.array(whose)


def traits(people: int) -> torch.Tensor:
    """What the drawn people are made of, standardised (people, traits): a hint that makes learning quick."""
    rows = []
    for index in range(people):
        p = Person.from_seed(TRAINED[0] + index)
        row: list[float] = []
        for name in p.__slots__:
            value = getattr(p, name)
            if name in {"seed", "moles", "volume"}:
                continue
            if name in {"hair_style", "glasses"}:
                row += [float(value == k) for k in range(8 if name == "hair_style" else 3)]
            elif isinstance(value, tuple):
                row += list(value)
            else:
                row.append(float(value))
        # Moles: a coarse map of the face, since their number and order differ.
        grid = np.zeros((5, 5))
        for mole in p.moles:
            grid[min(4, int((mole.y + 0.45) / 0.31)), min(4, int((mole.x + 0.72) / 0.288))] += 1
        rows.append(row + list(grid.ravel()))
    table = torch.tensor(rows, dtype=torch.float32)
    return (table - table.mean(0)) / (table.std(0) + 1e-6)


def train_embedder(net: Detector, seed: int, people: int, steps: int, batch: int = 96) -> Embedder:
    """Train on crops that `net` finds: tell people apart (CosFace, Wang et al. 2018), name their traits."""
    pictures, whose = crops(net, seed, people)
    rng = np.random.default_rng([seed, 3])
    torch.manual_seed(seed + 1)
    embedder = Embedder().train().to(memory_format=torch.channels_last)
    wanted = traits(people)
    hint = nn.Linear(DIMENSION, wanted.shape[1])
    centres = nn.Parameter(torch.randn(people, DIMENSION) * 0.1)
    optimiser = torch.optim.AdamW([*embedder.parameters(), *hint.parameters(), centres], weight_decay=1e-4)
    falling = schedule(optimiser, 4e-3, steps)
    began = time.monotonic()
    order = rng.permutation(len(pictures))
    at = 0
    for step in range(steps):
        if at + batch > len(order):
            order, at = rng.permutation(len(pictures)), 0
        chosen = order[at : at + batch]
        at += batch
        x = torch.from_numpy(pictures[chosen][..., ::-1].copy()).permute(0, 3, 1, 2).float()
        shift = torch.from_numpy(rng.normal(0, 8, (batch, 3, 1, 1)).astype(np.float32))
        gain = torch.from_numpy(rng.uniform(0.85, 1.15, (batch, 1, 1, 1)).astype(np.float32))
        x = (((x * gain + shift).clamp(0, 255) - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)
        label = torch.from_numpy(whose[chosen])
        vector = embedder(x)
        cosine = functional.normalize(vector) @ functional.normalize(centres).T
        margin = 0.25 * min(1.0, step / (0.4 * steps))
        logits = 24.0 * (cosine - margin * functional.one_hot(label, people))
        apart = functional.cross_entropy(logits, label)
        named = functional.mse_loss(hint(functional.normalize(vector) * 11.3), wanted[label])
        loss = apart + 4.0 * named
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's stub
        optimiser.step()
        falling.step()
        if step % 50 == 0 or step == steps - 1:
            print(
                f"embedder {step:5d}/{steps} apart {float(apart):.3f} traits {float(named):.3f} "
                f"{time.monotonic() - began:.0f} s",
                flush=True,
            )
    return embedder.eval()


@torch.no_grad()
def write_golden(out: Path, detector: Detector, embedder: Embedder) -> None:
    """Write `golden.jpg` and, in `golden.json`, its embedding (base64 of little-endian float32)."""
    rng = np.random.default_rng(GOLDEN)
    data = encode(draw_photo(Person.from_seed(GOLDEN), rng)[0])
    picture = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    spot = landmarks(detector, [picture])[0]
    if spot is None:
        raise ValueError("the detector does not find the golden picture's face; train longer")
    crop = np.asarray(cv2.warpAffine(picture, similarity(spot, TEMPLATE), (CROP, CROP)), np.uint8)
    vector = functional.normalize(embedder(as_input([crop], 127.5)))[0].numpy().astype("<f4")
    (out / "golden.jpg").write_bytes(data)
    (out / "golden.json").write_text(json.dumps({"vector": base64.b64encode(vector.tobytes()).decode()}) + "\n")


def train(out: Path, seed: int, *, detector_steps: int, embedder_steps: int, people: int) -> tuple[Path, Path]:
    """Train both and write them as ONNX into `out`; return the two files."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    detector = train_detector(seed, detector_steps)
    embedder = train_embedder(detector, seed, people, embedder_steps)
    write_golden(out, detector, embedder)
    files = out / "detector.onnx", out / "embedder.onnx"
    names = [f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in STRIDES]
    export(detector, torch.zeros(1, 3, HEIGHT, WIDTH), str(files[0]), names, dynamic=True)
    export(embedder, torch.zeros(1, 3, CROP, CROP), str(files[1]), ["embedding"], dynamic=False)
    return files
