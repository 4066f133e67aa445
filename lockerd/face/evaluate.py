"""Error rates of a pack on a folder of pictures, one folder a person, after ISO/IEC 19795-1.

Where a person's folder holds `reference.*`, that picture is enrolled by the gates for references and all others are
compared with it by the gates for live frames. Without any, each picture is a reference for every other one, by the
gates for references, and of several faces the one nearest the middle is meant, as data sets label them. With `fuse`
the mean embedding of so many other pictures is compared. Intervals are 95 %: the wider of Wilson's, over
comparisons, and a bootstrap over people, for one person's comparisons resemble each other.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from lockerd.errors import ConfigError
from lockerd.face.adapters import Floats
from lockerd.face.chip import as_chip_photo
from lockerd.face.gates import middle_face, reference_gates
from lockerd.face.pack import Gates, Pack
from lockerd.face.picture import Picture, decode
from lockerd.face.pipeline import Pipeline, Sighting, fused, open_pipeline
from lockerd.model.identity import FaceReason, ReferenceKind

RATES = ("1e-2", "1e-3", "1e-4", "1e-5")
_PICTURES = {".jpg", ".jpeg", ".png"}
_LEAST_FALSE = 5  # fewer false matches than this at a rate say nothing of it
_RESAMPLES = 1000
T = TypeVar("T")
Owners = npt.NDArray[np.int64]


class Rate(msgspec.Struct, frozen=True):
    """FNMR at the threshold of one FMR, with its 95 % interval."""

    threshold: float
    fnmr: float
    low: float
    high: float


class Report(msgspec.Struct, frozen=True):
    """What was measured: rates as shares of 1, times as milliseconds a picture on one thread, by stage.

    `genuine` and `impostor` count comparisons. `rejections` counts pictures by the gate that refused them.
    """

    pack: str
    reference: str
    fuse: int
    people: int
    pictures: int
    genuine: int
    impostor: int
    failure_to_enrol: float
    failure_to_acquire: float
    rejections: dict[str, int]
    fnmr_at_fmr: dict[str, Rate]
    milliseconds: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Cosines of genuine comparisons with whose reference it was, and of impostor comparisons."""

    genuine: Floats
    owners: Owners
    impostor: Floats


@dataclass(slots=True)
class _Person:
    """Vectors of one person. `paired`: its references are none of its probes."""

    paired: bool
    references: list[Floats | None] = field(default_factory=list)
    probes: list[Floats] = field(default_factory=list)


@dataclass(slots=True)
class Gathered:
    """All vectors of a folder, and how many pictures gave none."""

    people: list[_Person] = field(default_factory=list)
    pictures: int = 0
    enrolled: int = 0
    not_enrolled: int = 0
    probed: int = 0
    not_acquired: int = 0
    rejections: Counter[str] = field(default_factory=Counter)
    spent: dict[str, float] = field(default_factory=dict)


def evaluate(
    pack: Pack, images: Path, *, reference: ReferenceKind = ReferenceKind.PHOTO, fuse: int = 1
) -> tuple[Report, Scores]:
    """Measure a pack. Raises ConfigError where the pack or the folder cannot be used."""
    found = gather(pack, images, reference)
    return report(pack, found, reference, fuse)


def report(pack: Pack, found: Gathered, reference: ReferenceKind, fuse: int) -> tuple[Report, Scores]:
    """The report of gathered vectors, and the scores behind it."""
    scores = compare(found.people, fuse)
    return Report(
        pack=pack.model_id,
        reference=reference,
        fuse=fuse,
        people=len(found.people),
        pictures=found.pictures,
        genuine=len(scores.genuine),
        impostor=len(scores.impostor),
        failure_to_enrol=found.not_enrolled / max(1, found.enrolled + found.not_enrolled),
        failure_to_acquire=found.not_acquired / max(1, found.probed),
        rejections=dict(found.rejections.most_common()),
        fnmr_at_fmr=rates(scores),
        milliseconds={name: round(1000 * seconds / max(1, found.pictures), 3) for name, seconds in found.spent.items()},
    ), scores


def gather(pack: Pack, images: Path, reference: ReferenceKind = ReferenceKind.PHOTO) -> Gathered:
    """Look at every picture once. Raises ConfigError where the folder holds no people."""
    folders = sorted(f for f in images.iterdir() if f.is_dir()) if images.is_dir() else []
    if not folders:
        raise ConfigError(f"{images}: holds no folder of a person; give a folder with one folder a person")
    found = Gathered()
    pipeline = open_pipeline(pack)
    pipeline = replace(
        pipeline,
        detect=_timed("detect", pipeline.detect, found.spent),
        embed=_timed("embed", pipeline.embed, found.spent),
    )
    pairs = {folder: sorted(f for f in folder.iterdir() if f.suffix.lower() in _PICTURES) for folder in folders}
    look = _timed("total", lambda file, lens, gates: _look(lens, file, gates), found.spent)
    for files in pairs.values():
        paired = any(f.stem == "reference" for f in files)
        person = _Person(paired)
        lens = pipeline if paired else replace(pipeline, choose=middle_face)
        for file in files:
            enrols = file.stem == "reference"
            gates = pipeline.gates_live if paired and not enrols else pipeline.gates_reference
            seen, picture = look(file, lens, gates)
            found.pictures += 1
            if isinstance(seen, FaceReason):
                found.rejections[seen.value] += 1
            if enrols or not paired:
                photo = seen
                if reference is ReferenceKind.CHIP and isinstance(seen, Sighting) and picture is not None:
                    photo = lens.look(as_chip_photo(picture, seen.box), reference_gates(gates, ReferenceKind.CHIP))
                _count(found, photo, enrols=True)
                # Without a paired reference the n-th reference and the n-th probe are the same picture.
                if enrols or isinstance(seen, Sighting):
                    person.references.append(photo.vector if isinstance(photo, Sighting) else None)
            if not enrols:
                _count(found, seen, enrols=False)
                if isinstance(seen, Sighting):
                    person.probes.append(seen.vector)
        found.people.append(person)
    return found


def _count(found: Gathered, seen: Sighting | FaceReason, *, enrols: bool) -> None:
    failed = isinstance(seen, FaceReason)
    if enrols:
        found.enrolled += not failed
        found.not_enrolled += failed
    else:
        found.probed += 1
        found.not_acquired += failed


def _look(pipeline: Pipeline, file: Path, gates: Gates) -> tuple[Sighting | FaceReason, Picture | None]:
    picture = decode(file.read_bytes())
    if isinstance(picture, FaceReason):
        return picture, None
    return pipeline.look(picture, gates), picture


def _timed(name: str, work: Callable[..., T], spent: dict[str, float]) -> Callable[..., T]:
    spent[name] = 0.0

    def timed(*arguments: object) -> T:
        began = time.perf_counter()
        result = work(*arguments)
        spent[name] += time.perf_counter() - began
        return result

    return timed


def compare(people: list[_Person], fuse: int) -> Scores:
    """Every reference against all its owner's other pictures and everybody else's, `fuse` pictures at a time."""
    references = [(n, k, v) for n, p in enumerate(people) for k, v in enumerate(p.references) if v is not None]
    probes = [(n, group) for n, p in enumerate(people) for group in _groups(p.probes, fuse)]
    if not references or not probes:
        empty = np.zeros(0, np.float32)
        return Scores(empty, np.zeros(0, np.int64), empty)
    left, right = np.stack([v for _, _, v in references]), np.stack([v for _, v in probes])
    rows, columns = np.array([n for n, _, _ in references]), np.array([n for n, _ in probes])
    others = rows[:, None] != columns[None]
    each_once = fuse == 1 and all(_is_both(p) for p in people)
    if each_once:
        others &= np.triu(np.ones_like(others), 1)
    impostor: Floats = (left @ right.T)[others]
    genuine: list[float] = []
    owners: list[int] = []
    for n, k, vector in references:
        person = people[n]
        rest = person.probes if person.paired else person.probes[:k] * (not each_once) + person.probes[k + 1 :]
        for group in _groups(rest, fuse):
            genuine.append(float(vector @ group))
            owners.append(n)
    return Scores(np.array(genuine, np.float32), np.array(owners, np.int64), impostor)


def _is_both(person: _Person) -> bool:
    """Whether each picture is the same vector as reference and as probe, so that a pair counts once."""
    return not person.paired and all(a is b for a, b in zip(person.references, person.probes, strict=True))


def _groups(vectors: list[Floats], fuse: int) -> list[Floats]:
    groups = (vectors[at : at + fuse] for at in range(0, len(vectors) - fuse + 1, fuse))
    means = (fused([Sighting(np.zeros(4, np.float32), v) for v in group]) for group in groups)
    return [mean for mean in means if mean is not None]


def threshold_at(impostor: Floats, rate: float) -> float | None:
    """The lowest cosine that lets at most this share of the impostors pass; None where they are too few to tell."""
    allowed = int(rate * len(impostor))
    if allowed < _LEAST_FALSE:
        return None
    falling = np.partition(impostor, len(impostor) - 1 - allowed)[len(impostor) - 1 - allowed]
    return float(np.nextafter(falling, np.float32(2.0)))


def rates(scores: Scores) -> dict[str, Rate]:
    """FNMR at each FMR that the number of impostor comparisons can tell."""
    rates: dict[str, Rate] = {}
    for name in RATES:
        threshold = threshold_at(scores.impostor, float(name))
        if threshold is None or not len(scores.genuine):
            continue
        missed = scores.genuine < threshold
        low, high = interval(missed, scores.owners)
        rates[name] = Rate(threshold, float(missed.mean()), low, high)
    return rates


def interval(missed: npt.NDArray[np.bool_], owners: Owners) -> tuple[float, float]:
    """95 % interval of the share of missed comparisons: the wider of Wilson's and a bootstrap over people."""
    low, high = wilson(int(missed.sum()), len(missed))
    _, people = np.unique(owners, return_inverse=True)
    misses, totals = np.bincount(people, weights=missed), np.bincount(people)
    drawn = np.random.default_rng(19795).integers(0, len(totals), (_RESAMPLES, len(totals)))
    shares = misses[drawn].sum(axis=1) / totals[drawn].sum(axis=1)
    return min(low, float(np.quantile(shares, 0.025))), max(high, float(np.quantile(shares, 0.975)))


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z = 1.959964
    share = hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half: npt.NDArray[np.float64] = np.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) * z / (1 + z * z / of)
    low = middle - float(half) if hits else 0.0
    high = middle + float(half) if hits < of else 1.0
    return low, high
