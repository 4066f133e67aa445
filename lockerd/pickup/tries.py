"""What of a journey's events is a try to show who one is, and what came of it: values without any personal data. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lockerd.model.identity import FaceReason, FaceVerdict, FingerResult
from lockerd.model.policy import Evidence
from lockerd.model.review import ReviewDecision
from lockerd.model.view import Action, Notice
from lockerd.pickup.chips import is_predecessor, looks_left, lost, refused, unanswered
from lockerd.pickup.evidence import finger_again
from lockerd.pickup.guards import face_tries_left, face_unavailable, number_ok, old_tries_left, still_wanted
from lockerd.pickup.state import (
    CardFailed,
    ChipRead,
    ClaimChecked,
    Event,
    FaceDecided,
    FingerDecided,
    Journey,
    ReviewDecided,
    Stage,
    Tapped,
    TimedOut,
)


class TryResult(StrEnum):
    """What became of one try."""

    ACCEPT = "accept"
    RETRY = "retry"  # not accepted, and may be tried again
    REJECT = "reject"  # not accepted, and this way is closed in this journey


@dataclass(frozen=True, slots=True)
class Try:
    """One try; `reason` is one of a few dozen words, so that it may name a metric."""

    evidence: Evidence
    result: TryResult
    reason: str


def try_of(journey: Journey, event: Event) -> Try | None:
    """The try that `event` decides in the journey as it was before it; None for all other events."""
    match journey.stage, event:
        case Stage.CHECKING, ClaimChecked():
            return _compared(journey, event)
        case Stage.IDENTIFY, CardFailed():
            reason = "reported_lost" if event.lost else "silent" if event.silent else "unreadable"
            return Try(Evidence.ID_CARD, TryResult.RETRY, reason)
        case Stage.IDENTIFY, Tapped() if event.tap.action is Action.NUMBER and not number_ok(journey, event):
            reason = "malformed" if journey.code is not None else "code_needed"
            return Try(Evidence.NUMBER, TryResult.RETRY, reason)
        case Stage.FACE, FaceDecided():
            return Try(Evidence.FACE, _face(journey, event), event.result.reason.value)
        case Stage.FACE, TimedOut():
            return Try(Evidence.FACE, TryResult.REJECT, FaceReason.TIMED_OUT.value)
        case Stage.REVIEWING, ReviewDecided():
            approved = event.decision is ReviewDecision.APPROVED
            return Try(Evidence.REMOTE_REVIEW, TryResult.ACCEPT if approved else TryResult.REJECT, event.decision.value)
        case Stage.FINGERPRINT, FingerDecided():
            return Try(Evidence.FINGERPRINT, _finger(journey, event), event.result.value)
        case Stage.FINGERPRINT, TimedOut():
            return Try(Evidence.FINGERPRINT, TryResult.REJECT, FingerResult.NO_FINGER.value)
        case Stage.READING_OLD, ChipRead() if still_wanted(journey, event):
            asked_again = unanswered(journey, event) and looks_left(journey, event)
            return None if asked_again else _old_card(journey, event)
    return None


def _compared(journey: Journey, event: ClaimChecked) -> Try:
    evidence = Evidence.CODE if journey.code is not None else Evidence.ID_CARD
    if event.failed:
        return Try(evidence, TryResult.REJECT, "not_known")
    if event.claim is not None:
        return Try(evidence, TryResult.ACCEPT, "match")
    if event.locked:
        return Try(evidence, TryResult.REJECT, "locked")
    if evidence is Evidence.CODE:
        return Try(evidence, TryResult.RETRY if event.attempts_left else TryResult.REJECT, "no_match")
    return Try(evidence, TryResult.REJECT, "no_claim")


def _face(journey: Journey, event: FaceDecided) -> TryResult:
    if event.result.verdict is FaceVerdict.VERIFIED:
        return TryResult.ACCEPT
    again = face_tries_left(journey, event) and not face_unavailable(journey, event)
    return TryResult.RETRY if again else TryResult.REJECT


def _finger(journey: Journey, event: FingerDecided) -> TryResult:
    if event.result is FingerResult.MATCH:
        return TryResult.ACCEPT
    return TryResult.RETRY if finger_again(journey, event) else TryResult.REJECT


def _old_card(journey: Journey, event: ChipRead) -> Try:
    if is_predecessor(journey, event):
        return Try(Evidence.OLD_CARD, TryResult.ACCEPT, "match" if event.chip is not None else "unreadable")
    if unanswered(journey, event):
        return Try(Evidence.OLD_CARD, TryResult.REJECT, "silent")
    after = lost(journey, event) if event.lost else refused(journey, event)
    reason = "unreadable" if after.notice is Notice.OLD_CARD_UNREADABLE else "not_yours"
    if event.lost:
        reason = "reported_lost"
    return Try(Evidence.OLD_CARD, TryResult.RETRY if old_tries_left(after, event) else TryResult.REJECT, reason)
