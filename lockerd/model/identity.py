"""Values of identity: face templates, verification results and the prompts that guide a citizen."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class FaceVerdict(StrEnum):
    """Result of one verification transaction; only VERIFIED opens anything."""

    VERIFIED = "verified"
    NOT_VERIFIED = "not_verified"
    UNAVAILABLE = "unavailable"


class FaceReason(StrEnum):
    """Why a verification or an enrolment ended as it did."""

    MATCH = "match"
    NO_MATCH = "no_match"
    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    TOO_FAR = "too_far"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    BLURRED = "blurred"
    TURNED_AWAY = "turned_away"
    MASKED = "masked"
    MOVE_CLOSER = "move_closer"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    NOT_LIVE = "not_live"
    UNREADABLE_PICTURE = "unreadable_picture"
    UNREADABLE_TEMPLATE = "unreadable_template"
    WRONG_MODEL = "wrong_model"
    NOT_CALIBRATED = "not_calibrated"
    TIMED_OUT = "timed_out"
    WORKER_DOWN = "worker_down"
    CAMERA_DOWN = "camera_down"
    TOO_MANY_TRIES = "too_many_tries"  # a prompt: the next verification waits


class FingerResult(StrEnum):
    """How one comparison of a finger with an ID card's chip ended; only MATCH is evidence."""

    MATCH = "match"
    NO_MATCH = "no_match"
    NO_FINGER = "no_finger"  # none came in time
    NO_TEMPLATE = "no_template"  # the chip holds no fingerprint, or none that the matcher knows
    UNAVAILABLE = "unavailable"  # no sensor, or it does not answer


class ReferenceKind(StrEnum):
    """What picture a template was made of; a pack has a threshold for each kind that it was calibrated for."""

    PHOTO = "photo"  # the office's application photo
    CHIP = "chip"  # the small photo on a resident ID card's chip


@dataclass(frozen=True, slots=True)
class FaceTemplate:
    """An embedding and the model that made it; comparable only within one model.

    `vector` is little-endian float32, L2-normalised. Personal data: it lives encrypted or in memory only.
    """

    model_id: str
    vector: bytes = field(repr=False)
    kind: ReferenceKind = ReferenceKind.PHOTO


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What became of one reference picture: a template, or the reason why there is none."""

    template: FaceTemplate | None
    reason: FaceReason


class Presence(StrEnum):
    """What presentation attack detection (ISO/IEC 30107-1) said; NOT_CHECKED where the pack has no model for it."""

    NOT_CHECKED = "not_checked"
    LIVE = "live"
    NOT_LIVE = "not_live"


@dataclass(frozen=True, slots=True)
class FaceResult:
    """One decision of one transaction; carries neither picture nor vector.

    `bucket` is the fused score in tenths (0..10), coarse enough for a log; None where nothing was compared.
    """

    verdict: FaceVerdict
    reason: FaceReason
    model_id: str
    threshold_id: str
    bucket: int | None = None
    presence: Presence = Presence.NOT_CHECKED
