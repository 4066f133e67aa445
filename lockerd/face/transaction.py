"""One verification transaction: gated frames of one track are fused, then compared once."""

from __future__ import annotations

from dataclasses import dataclass, field

from lockerd.face.adapters import Floats, overlap
from lockerd.face.pipeline import Sighting, cosine, fused
from lockerd.model.identity import FaceReason, FaceVerdict

_SAME_TRACK = 0.2  # least overlap of a face's boxes in neighbouring frames
_MISSES = 8  # frames without a usable face after which a track has ended


@dataclass(frozen=True, slots=True)
class Decision:
    """How a transaction ended."""

    verdict: FaceVerdict
    reason: FaceReason
    bucket: int | None = None


@dataclass(slots=True)
class Transaction:
    """Collects sightings until `frames` of one track over `span` seconds are there, or `deadline` has passed.

    Times are of one monotonic clock, in seconds; the caller hands them in.
    """

    reference: Floats
    threshold: float
    frames: int
    span: float
    deadline: float
    _sightings: list[Sighting] = field(default_factory=list)
    _began: float = 0.0
    _missed: int = 0

    def add(self, seen: Sighting | FaceReason, now: float) -> Decision | None:
        """Take the newest frame's outcome; the decision once there is enough."""
        if isinstance(seen, FaceReason):
            self._missed += 1
            if seen is FaceReason.SEVERAL_FACES or self._missed > _MISSES:
                self.forget()
            return None
        self._missed = 0
        if self._sightings and overlap(self._sightings[-1].box, seen.box) < _SAME_TRACK:
            self.forget()  # somebody else may have stepped in
        if not self._sightings:
            self._began = now
        self._sightings.append(seen)
        if len(self._sightings) < self.frames or now - self._began < self.span:
            return None
        return self._decide()

    def overdue(self, now: float) -> Decision | None:
        """The decision that no usable face came in time."""
        if now < self.deadline:
            return None
        self.forget()
        return Decision(FaceVerdict.NOT_VERIFIED, FaceReason.TIMED_OUT)

    def forget(self) -> None:
        """Overwrite and drop the collected vectors."""
        for sighting in self._sightings:
            sighting.vector.fill(0.0)
        self._sightings.clear()

    def _decide(self) -> Decision:
        mean = fused(self._sightings)
        score = -1.0 if mean is None else cosine(mean, self.reference)
        self.forget()
        bucket = max(0, min(10, int(score * 10)))
        if score >= self.threshold:
            return Decision(FaceVerdict.VERIFIED, FaceReason.MATCH, bucket)
        return Decision(FaceVerdict.NOT_VERIFIED, FaceReason.NO_MATCH, bucket)
