"""Thresholds for a pack from measured pictures, for the whole of what a citizen may try."""

from __future__ import annotations

import msgspec

from lockerd.errors import ConfigError
from lockerd.face.evaluate import Gathered, compare, threshold_at
from lockerd.face.pack import Manifest, Threshold
from lockerd.model.identity import ReferenceKind


def calibrated(
    manifest: Manifest,
    found: Gathered,
    *,
    reference: ReferenceKind,
    fmr: float,
    tries: int,
    frames: int,
    data_set: str,
    date: str,
) -> Manifest:
    """The manifest with its threshold for this kind of reference set anew.

    A stranger who may try `tries` times passes at most at `fmr` (union bound: each try gets its part). The highest of
    the thresholds for one to `frames` fused pictures is taken, for the frames of one track resemble each other more
    than pictures of different days. Raises ConfigError where the pictures are too few to tell.
    """
    found_at: list[tuple[float, int]] = []
    for fuse in range(1, frames + 1):
        impostor = compare(found.people, fuse).impostor
        value = threshold_at(impostor, fmr / tries)
        if value is not None:
            found_at.append((value, len(impostor)))
    if not found_at:
        raise ConfigError(f"calibration: too few people for an FMR of {fmr:g} over {tries} tries; take a larger set")
    value, comparisons = max(found_at)
    threshold = Threshold(
        reference_kind=reference,
        value=round(value + 5e-5, 4),
        id=f"{reference}-fmr{fmr:.0e}-tries{tries}",
        data_set=data_set,
        comparisons=comparisons,
        date=date,
    )
    others = tuple(t for t in manifest.thresholds if t.reference_kind != reference)
    return msgspec.structs.replace(manifest, thresholds=(*others, threshold))
