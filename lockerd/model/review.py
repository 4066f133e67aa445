"""Values of a remote review: a reviewer at the office looks at one picture of whoever stands at the machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ReviewDecision(StrEnum):
    """How a review ended; only APPROVED is evidence."""

    APPROVED = "approved"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"  # no reviewer decided in time
    UNAVAILABLE = "unavailable"  # the office or the camera could not be reached


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """What the office is asked. `still` is one JPEG; it lives in memory only. `collector_id` is empty for the owner."""

    claim_id: str
    collector_id: str
    journey_id: str
    still: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Review:
    """The office's answer; `reviewer` is the reviewer's id at the office, empty where nobody decided."""

    decision: ReviewDecision
    reviewer: str = ""
