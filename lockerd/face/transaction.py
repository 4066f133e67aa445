"""One verification transaction: gated frames of one track are fused, then compared once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from statistics import median

from lockerd.face.adapters import Floats, overlap
from lockerd.face.pack import LivenessLimits
from lockerd.face.pipeline import Glimpse, Sighting, cosine, fused
from lockerd.model.identity import FaceReason, FaceVerdict, Presence

_SAME_TRACK = 0.2  # least overlap of a face's boxes in neighbouring frames
_MISSES = 8  # frames without a usable face after which a track has ended
_CLOSER = 1.25  # times the eye distance before
_TURNED = 0.15  # eye distances that the nose tip moves sideways


class Challenge(StrEnum):
    """What the citizen is asked to do once the frames are there; left and right are the citizen's own."""

    CLOSER = "closer"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"

    def met(self, before: Sequence[Sighting], now: Sighting) -> bool:
        """Whether the face did it, measured against the sightings before."""
        if self is Challenge.CLOSER:
            return now.eye_distance >= _CLOSER * median(seen.eye_distance for seen in before)
        moved = now.turn - median(seen.turn for seen in before)
        return (moved if self is Challenge.TURN_LEFT else -moved) >= _TURNED

    @property
    def prompt(self) -> FaceReason:
        """What is said to the citizen."""
        return _PROMPTS[self]


_PROMPTS = {
    Challenge.CLOSER: FaceReason.MOVE_CLOSER,
    Challenge.TURN_LEFT: FaceReason.TURN_LEFT,
    Challenge.TURN_RIGHT: FaceReason.TURN_RIGHT,
}


def draw_challenge(kinds: Sequence[str], random: Random) -> Challenge | None:
    """One of the configured kinds ("closer", "turn") by chance; None where none is configured."""
    choices = {"closer": (Challenge.CLOSER,), "turn": (Challenge.TURN_LEFT, Challenge.TURN_RIGHT)}
    return random.choice(choices[random.choice(kinds)]) if kinds else None


def is_present(scores: Sequence[float | None], limits: LivenessLimits) -> bool:
    """Whether liveness scores (0..1) of a transaction's frames are those of a person: median and floor are kept."""
    known = [score for score in scores if score is not None]
    return len(known) == len(scores) > 0 and median(known) >= limits.median and min(known) >= limits.floor


@dataclass(frozen=True, slots=True)
class Decision:
    """How a transaction ended."""

    verdict: FaceVerdict
    reason: FaceReason
    bucket: int | None = None
    presence: Presence = Presence.NOT_CHECKED


@dataclass(frozen=True, slots=True, eq=False)
class Aim:
    """How a frame is to be looked at: compared or only glanced at; around `near` (a box) or, where that is None, whole."""

    compared: bool
    near: Floats | None = None


@dataclass(slots=True)
class Transaction:
    """Collects sightings until `frames` of one track over `span` seconds are there, or `deadline` has passed.

    Times are of one monotonic clock, in seconds; the caller hands them in. With `limits` the frames must also be
    those of a present person; with a `challenge` the same track must meet it after them.
    """

    reference: Floats
    threshold: float
    frames: int
    span: float
    deadline: float
    limits: LivenessLimits | None = None
    challenge: Challenge | None = None
    asking: bool = False
    _sightings: list[Sighting] = field(default_factory=list)
    _box: Floats | None = None
    _began: float = 0.0
    _missed: int = 0
    _followed: bool = False

    def aim(self, now: float) -> Aim:
        """How to look at the next frame.

        Compared are as many frames of a track as are wanted, evenly over its span; all others are glanced at, whole. A frame
        that is compared is looked at around the track's last face only, unless so was the one before or it completes
        the track: whoever comes in beside the face is seen in this frame or the next. A challenge is measured by frames
        that are looked at alike.
        """
        followed, self._followed = self._followed, False
        if self._box is None:
            return Aim(compared=True)
        if self.asking:
            if followed:
                return Aim(compared=False)
        else:
            if len(self._sightings) + 1 >= self.frames and now - self._began >= self.span:
                return Aim(compared=True)
            if now < self._began + self.span * len(self._sightings) / max(1, self.frames - 1):
                return Aim(compared=False)
            if followed:
                return Aim(compared=True)
        self._followed = True
        return Aim(compared=True, near=self._box)

    def add(self, seen: Sighting | Glimpse | FaceReason, now: float) -> Decision | None:
        """Take the newest frame's outcome; the decision once there is enough."""
        if isinstance(seen, FaceReason):
            self._missed += 1
            if seen is FaceReason.SEVERAL_FACES or self._missed > _MISSES:
                self.forget()
            return None
        if self._box is not None and overlap(self._box, seen.box) < _SAME_TRACK:
            self.forget()  # somebody else may have stepped in
        if isinstance(seen, Glimpse):
            self._box = seen.box if self._box is not None else None
            return None
        self._missed = 0
        self._box = seen.box
        if not self._sightings:
            self._began = now
        if self.asking and self.challenge is not None:
            if not self.challenge.met(self._sightings, seen):
                seen.vector.fill(0.0)
                return None
            self._sightings.append(seen)
            return self._decide()
        self._sightings.append(seen)
        if len(self._sightings) < self.frames or now - self._began < self.span:
            return None
        if self.challenge is not None:
            self.asking = True
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
        self._box = None
        self.asking = False

    def _decide(self) -> Decision:
        mean = fused(self._sightings)
        score = -1.0 if mean is None else cosine(mean, self.reference)
        presence = Presence.NOT_CHECKED
        if self.limits is not None:
            live = is_present([seen.live for seen in self._sightings], self.limits)
            presence = Presence.LIVE if live else Presence.NOT_LIVE
        self.forget()
        bucket = max(0, min(10, int(score * 10)))
        if not score >= self.threshold:
            return Decision(FaceVerdict.NOT_VERIFIED, FaceReason.NO_MATCH, bucket, presence)
        if presence is Presence.NOT_LIVE:
            return Decision(FaceVerdict.NOT_VERIFIED, FaceReason.NOT_LIVE, bucket, presence)
        return Decision(FaceVerdict.VERIFIED, FaceReason.MATCH, bucket, presence)


@dataclass(slots=True)
class Agreement:
    """One transaction for each source; all must verify, the first that does not decides for all."""

    parts: tuple[Transaction, ...]
    _verified: dict[int, Decision] = field(default_factory=dict)

    def add(self, source: int, seen: Sighting | Glimpse | FaceReason, now: float) -> Decision | None:
        """Take the newest frame's outcome of one source; the decision once all agree or one does not."""
        if source in self._verified:
            return None
        decision = self.parts[source].add(seen, now)
        if decision is None:
            return None
        if decision.verdict is not FaceVerdict.VERIFIED:
            self.forget()
            return decision
        self._verified[source] = decision
        if len(self._verified) < len(self.parts):
            return None
        weakest = min(d.bucket or 0 for d in self._verified.values())
        first = self._verified[0]
        return Decision(first.verdict, first.reason, weakest, first.presence)

    def prompt(self) -> FaceReason | None:
        """What the citizen is to do now, beside keeping to the gates."""
        return next((p.challenge.prompt for p in self.parts if p.asking and p.challenge is not None), None)

    def overdue(self, now: float) -> Decision | None:
        """The decision that no usable face came in time."""
        decision = self.parts[0].overdue(now)
        if decision is not None:
            self.forget()
        return decision

    def forget(self) -> None:
        """Overwrite and drop all collected vectors, and what was verified."""
        for part in self.parts:
            part.forget()
        self._verified.clear()
