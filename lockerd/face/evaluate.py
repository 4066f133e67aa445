"""Error rates of a pack on a folder of pictures, one folder a person: `python -m lockerd.face.evaluate`.

Where a person's folder holds `reference.*`, that picture is enrolled by the gates for references and all
others are
compared with it by the gates for live frames; without any, each picture is compared with every other one.
Reported after ISO/IEC 19795-1: failures to enrol and acquire apart from FNMR at given FMR, with 95 %
intervals (Wilson).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from lockerd.errors import ConfigError
from lockerd.face.adapters import Floats
from lockerd.face.pack import Gates, load_pack
from lockerd.face.picture import decode
from lockerd.face.pipeline import Pipeline, Sighting, fused, open_pipeline
from lockerd.model.identity import FaceReason

RATES = ("1e-2", "1e-3", "1e-4", "1e-5")
_PICTURES = {".jpg", ".jpeg", ".png"}
_LEAST_FALSE = 5  # fewer false matches than this at a rate say nothing of it


class Rate(msgspec.Struct, frozen=True):
    """FNMR at the threshold of one FMR, with its 95 % interval."""

    threshold: float
    fnmr: float
    low: float
    high: float


class Report(msgspec.Struct, frozen=True):
    """What was measured: rates as shares of 1; `milliseconds` the whole chain's mean for one picture."""

    pack: str
    people: int
    pictures: int
    fuse: int
    genuine: int
    impostor: int
    failure_to_enrol: float
    failure_to_acquire: float
    rejections: dict[str, int]
    fnmr_at_fmr: dict[str, Rate]
    milliseconds: float


@dataclass(slots=True)
class _Gathered:
    """Vectors of one side of the comparisons and whose they are."""

    vectors: list[Floats] = field(default_factory=list)
    whose: list[int] = field(default_factory=list)

    def add(self, person: int, vector: Floats) -> None:
        self.vectors.append(vector)
        self.whose.append(person)


def evaluate(pack_path: Path, images: Path, *, fuse: int = 1) -> Report:
    """Measure a pack. Raises ConfigError where the pack or the folder cannot be used."""
    pack = load_pack(pack_path, production=False)
    pipeline = open_pipeline(pack)
    folders = sorted(f for f in images.iterdir() if f.is_dir()) if images.is_dir() else []
    if not folders:
        raise ConfigError(f"{images}: holds no folder of a person; give a folder with one folder a person")
    references, probes = _Gathered(), _Gathered()
    rejections: Counter[str] = Counter()
    tried = {"reference": 0, "probe": 0}
    failed = {"reference": 0, "probe": 0}
    spent, looked = 0.0, 0
    for person, folder in enumerate(folders):
        files = sorted(f for f in folder.iterdir() if f.suffix.lower() in _PICTURES)
        paired = any(f.stem == "reference" for f in files)
        sightings: list[Sighting] = []
        for file in files:
            role = "reference" if file.stem == "reference" else "probe"
            gates = pack.manifest.gates_live if paired and role == "probe" else pack.manifest.gates_reference
            began = time.perf_counter()
            seen = _look(pipeline, file, gates)
            spent, looked = spent + time.perf_counter() - began, looked + 1
            tried[role] += 1
            if isinstance(seen, FaceReason):
                rejections[seen.value] += 1
                failed[role] += 1
            elif role == "reference":
                references.add(person, seen.vector)
            else:
                sightings.append(seen)
        for at in range(0, len(sightings) - fuse + 1, fuse):
            vector = fused(sightings[at : at + fuse])
            if vector is not None:
                probes.add(person, vector)
    genuine, impostor = _scores(references, probes)
    return Report(
        pack=pack.model_id,
        people=len(folders),
        pictures=looked,
        fuse=fuse,
        genuine=len(genuine),
        impostor=len(impostor),
        failure_to_enrol=failed["reference"] / max(1, tried["reference"]),
        failure_to_acquire=failed["probe"] / max(1, tried["probe"]),
        rejections=dict(rejections.most_common()),
        fnmr_at_fmr=rates(genuine, impostor),
        milliseconds=1000 * spent / max(1, looked),
    )


def _look(pipeline: Pipeline, file: Path, gates: Gates) -> Sighting | FaceReason:
    picture = decode(file.read_bytes())
    return picture if isinstance(picture, FaceReason) else pipeline.look(picture, gates)


def _scores(references: _Gathered, probes: _Gathered) -> tuple[Floats, Floats]:
    """Cosines of genuine and of impostor comparisons."""
    if not probes.vectors:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    right = np.stack(probes.vectors)
    left = np.stack(references.vectors) if references.vectors else right
    rows = np.array(references.whose if references.vectors else probes.whose)
    same = rows[:, None] == np.array(probes.whose)[None]
    counted = np.ones_like(same) if references.vectors else np.triu(np.ones_like(same), 1)
    scores: Floats = left @ right.T
    return scores[same & counted], scores[~same & counted]


def rates(genuine: Floats, impostor: Floats) -> dict[str, Rate]:
    """FNMR at each FMR that the number of impostor comparisons can tell."""
    rates: dict[str, Rate] = {}
    falling = np.sort(impostor)[::-1]
    for name in RATES:
        allowed = int(float(name) * len(falling))
        if allowed < _LEAST_FALSE or not len(genuine):
            continue
        threshold = float(np.nextafter(falling[allowed], np.float32(2.0)))
        missed = int((genuine < threshold).sum())
        low, high = wilson(missed, len(genuine))
        rates[name] = Rate(threshold, missed / len(genuine), low, high)
    return rates


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z = 1.959964
    share = hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half: npt.NDArray[np.float64] = np.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) * z / (1 + z * z / of)
    low = middle - float(half) if hits else 0.0
    high = middle + float(half) if hits < of else 1.0
    return low, high


def main(arguments: list[str] | None = None) -> int:
    """Print the report as JSON. Exit status 78 where pack or folder cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m lockerd.face.evaluate", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True, help="folder of the model pack")
    parser.add_argument("--images", type=Path, required=True, help="folder with one folder a person")
    parser.add_argument("--fuse", type=int, default=1, help="pictures fused into one comparison")
    options = parser.parse_args(arguments)
    try:
        report = evaluate(options.pack, options.images, fuse=max(1, options.fuse))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 78
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
