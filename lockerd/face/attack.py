"""Error rates of presentation attack detection on a folder of samples, after ISO/IEC 30107-3.

Each sub-folder is a species of attack instrument; `live` or `bona_fide` holds presentations of people. Without
sub-folders the first letter after the last underscore tells: T a person, F an attack of the species "unnamed".
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from lockerd.errors import ConfigError
from lockerd.face.evaluate import wilson
from lockerd.face.pack import Pack
from lockerd.face.picture import decode
from lockerd.face.pipeline import open_pipeline
from lockerd.face.transaction import is_present
from lockerd.model.identity import FaceReason

_PICTURES = {".jpg", ".jpeg", ".png"}
_BONA_FIDE = ("live", "bona_fide")


class Share(msgspec.Struct, frozen=True):
    """A rate with its 95 % interval (Wilson), over presentations that gave an answer."""

    presentations: int
    no_response: int
    rate: float
    low: float
    high: float


class AttackReport(msgspec.Struct, frozen=True):
    """`apcer` by species: attacks taken for people; `apcer_highest` is the pack's. `bpcer`: people taken for attacks.

    `no_response` counts pictures that a gate refused; `classified` has each sample's score, None where refused.
    """

    pack: str
    limits: str
    apcer: dict[str, Share]
    apcer_highest: float | None
    bpcer: Share | None
    classified: dict[str, float | None]


def attack(pack: Pack, samples: Path) -> AttackReport:
    """Measure the liveness models of a pack. Raises ConfigError where pack or folder cannot be used."""
    limits = pack.manifest.liveness
    if limits is None:
        raise ConfigError(f"{pack.folder}: has no models of role 'liveness'; take a pack that has")
    if not samples.is_dir():
        raise ConfigError(f"{samples}: is no folder; give a folder of samples")
    pipeline = open_pipeline(pack)
    gates = msgspec.structs.replace(pipeline.gates_reference, eye_distance=0.0)
    scores: dict[str, list[float | None]] = {}
    classified: dict[str, float | None] = {}
    for file in sorted(f for f in samples.rglob("*") if f.suffix.lower() in _PICTURES):
        picture = decode(file.read_bytes())
        seen = picture if isinstance(picture, FaceReason) else pipeline.look(picture, gates, live=True)
        score = None if isinstance(seen, FaceReason) else seen.live
        scores.setdefault(_species(samples, file), []).append(score)
        classified[str(file.relative_to(samples))] = None if score is None else round(score, 4)
    if not scores:
        raise ConfigError(f"{samples}: holds no picture; give a folder of samples")
    apcer = {
        species: _share(found, [is_present([s], limits) for s in found if s is not None])
        for species, found in scores.items()
        if species not in _BONA_FIDE
    }
    people = [s for species in _BONA_FIDE for s in scores.get(species, [])]
    return AttackReport(
        pack=pack.model_id,
        limits=limits.id,
        apcer=apcer,
        apcer_highest=max((share.rate for share in apcer.values()), default=None),
        bpcer=_share(people, [not is_present([s], limits) for s in people if s is not None]) if people else None,
        classified=classified,
    )


def _share(all_of: list[float | None], wrong: list[bool]) -> Share:
    low, high = wilson(sum(wrong), len(wrong)) if wrong else (0.0, 1.0)
    return Share(len(all_of), len(all_of) - len(wrong), sum(wrong) / max(1, len(wrong)), low, high)


def _species(samples: Path, file: Path) -> str:
    inside = file.relative_to(samples).parts
    if len(inside) > 1:
        return inside[0]
    return "live" if file.stem.rpartition("_")[2].startswith("T") else "unnamed"
