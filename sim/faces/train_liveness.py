"""Trains the synthetic pack's liveness model: drawn people against prints and replays of them.

Needs the extra "train". `cutout` (sim.faces.attacks) is never trained on: it tells what the model makes of a new species.
"""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from sim.faces.attacks import draw_attack
from sim.faces.nets import Liveness, export
from sim.faces.pen import Floats, Picture
from sim.faces.people import TRAINED
from sim.faces.person import Person
from sim.faces.scene import Nuisance, draw_scene, encode

SIDE = 96
CROP_SCALE = 2.2  # times the face's box
_CLASSES = ("print", "live", "replay")  # as the outputs stand
_SIZES = ((400, 300), (640, 480))


def surroundings(picture: Picture, box: Floats) -> Picture:
    """The input (SIDE, SIDE, 3): `CROP_SCALE` times a face's box, less or moved where the picture ends."""
    height, width = picture.shape[:2]
    sides = np.maximum(box[2:] - box[:2], 1.0)
    scale = min(CROP_SCALE, (width - 1) / sides[0], (height - 1) / sides[1])
    across, down = sides * scale
    left = min(max((box[0] + box[2] - across) / 2, 0.0), width - 1 - across)
    top = min(max((box[1] + box[3] - down) / 2, 0.0), height - 1 - down)
    cut = picture[int(top) : int(top + down) + 1, int(left) : int(left + across) + 1]
    return np.asarray(cv2.resize(cut, (SIDE, SIDE)), np.uint8)


def sample(rng: np.random.Generator, kind: str) -> Picture:
    """One input of a class, as the camera's file gives it; the face's box is a little off as a detector's."""
    person = Person.from_seed(int(rng.integers(*TRAINED)))
    size, hard = _SIZES[int(rng.integers(len(_SIZES)))], float(rng.uniform(0.2, 1.0))
    if kind == "live":
        picture, (truth,) = draw_scene([person], rng, size, nuisance=Nuisance.camera(rng, hard=hard))
    else:
        picture, truth = draw_attack(person, kind, rng, size, hard=hard)
    coded = np.frombuffer(encode(picture, int(rng.integers(75, 96))), np.uint8)
    sides = np.tile(truth.box[2:] - truth.box[:2], 2)
    return surroundings(
        np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8), truth.box + rng.normal(0, 0.04, 4) * sides
    )


def train_liveness(out: Path, seed: int, *, samples: int, steps: int, batch: int = 64) -> Path:
    """Train on `samples` drawn pictures, half of them of people; write and return `liveness.onnx`."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, 4])
    torch.manual_seed(seed + 2)
    label: npt.NDArray[np.int64] = np.array([1, 0, 1, 2] * (samples // 4))
    pictures = np.stack([sample(rng, _CLASSES[kind]) for kind in label])
    print(f"liveness: {len(pictures)} pictures", flush=True)
    net = Liveness().train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=1e-3)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps, pct_start=0.15)
    began = time.monotonic()
    for step in range(steps):
        chosen = rng.integers(0, len(pictures), batch)
        shown = pictures[chosen][..., ::-1]
        shown = np.where(rng.random((batch, 1, 1, 1)) < 0.5, shown, shown[:, :, ::-1])
        x = torch.from_numpy((shown.astype(np.float32) - 127.5) / np.float32(127.5)).permute(0, 3, 1, 2)
        wrong = functional.cross_entropy(
            net.logits(x.contiguous(memory_format=torch.channels_last)), torch.from_numpy(label[chosen])
        )
        optimiser.zero_grad()
        wrong.backward()  # type: ignore[no-untyped-call]  # torch's stub
        optimiser.step()
        falling.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"liveness {step:5d}/{steps} {wrong.item():.4f} {time.monotonic() - began:.0f} s", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "liveness.onnx"
    export(net.eval(), torch.zeros(1, 3, SIDE, SIDE), str(file), ["shares"], dynamic=False)
    return file
