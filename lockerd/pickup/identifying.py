"""The first half of the journey's table: from the code to the confirmed card; nothing moves yet but the carousel. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from lockerd.model.custody import Motion
from lockerd.model.identity import FaceVerdict, FingerResult
from lockerd.model.policy import Evidence
from lockerd.model.review import ReviewDecision
from lockerd.model.view import Action, FaultKind, Notice
from lockerd.pickup.evidence import (
    count_finger,
    decided,
    finger,
    finger_again,
    going_on,
    only_by_finger,
    otherwise,
    showing,
    take_claim,
    wants_old,
)
from lockerd.pickup.guards import (
    PICK,
    Row,
    all_of,
    always,
    asks,
    begun,
    begun_for_code,
    by_card,
    check_failed,
    compared,
    count_face,
    count_wrong_code,
    ends,
    face_tries_left,
    face_unavailable,
    fault_of,
    locked,
    matched,
    number_ok,
    prompted,
    send_code,
    setting,
    tapped,
    verdict,
    wants_code,
    with_code,
    without_code,
)
from lockerd.pickup.state import (
    CardFailed,
    CardSeen,
    ClaimChecked,
    CodeSent,
    FaceDecided,
    FacePrompted,
    FingerDecided,
    IssueTicket,
    Move,
    Prepare,
    ReviewDecided,
    Stage,
    Tapped,
    TimedOut,
)

_S = Stage

IDENTITY_ROWS: tuple[Row, ...] = (
    # code: the attract page
    Row(_S.IDLE, Tapped, _S.IDENTIFY, "code entered", tapped(Action.CODE), begun),
    Row(_S.IDLE, Tapped, _S.IDENTIFY, "letter code entered", tapped(Action.LETTER_CODE), begun),
    Row(_S.IDLE, Tapped, _S.IDENTIFY, "no code", tapped(Action.NO_CODE), begun),
    Row(_S.IDLE, Tapped, _S.IDENTIFY, "code wanted", tapped(Action.SEND_CODE), begun_for_code),
    Row(_S.IDLE, TimedOut, _S.IDLE, "forget the notice", change=setting(notice=None, attempts_left=None)),
    # identity first, then the code is compared against that one record
    Row(_S.IDENTIFY, Tapped, None, "code wanted", all_of(tapped(Action.SEND_CODE), without_code),
        setting(wants_code=True, notice=Notice.CARD_FOR_CODE)),
    Row(_S.IDENTIFY, CardSeen, _S.SENDING, "card read, code wanted", wants_code, by_card, send_code),
    Row(_S.SENDING, CodeSent, _S.IDLE, "code asked for", change=setting(notice=Notice.CODE_SENT), do=ends("code_sent")),
    Row(_S.IDENTIFY, CardSeen, _S.CHECKING, "card read", change=by_card, do=compared),
    Row(_S.IDENTIFY, CardFailed, None, "reader silent", lambda _j, e: isinstance(e, CardFailed) and e.silent,
        setting(notice=Notice.READER_DOWN)),
    Row(_S.IDENTIFY, CardFailed, None, "card reported lost", lambda _j, e: isinstance(e, CardFailed) and e.lost,
        setting(notice=Notice.CARD_LOST)),
    Row(_S.IDENTIFY, CardFailed, None, "card unreadable", change=setting(notice=Notice.CARD_UNREADABLE)),
    Row(_S.IDENTIFY, Tapped, _S.CHECKING, "number typed", all_of(tapped(Action.NUMBER), number_ok), by_card, compared),
    Row(_S.IDENTIFY, Tapped, None, "number without code", all_of(tapped(Action.NUMBER), lambda j, _e: j.code is None),
        setting(notice=Notice.CARD_NEEDED)),
    Row(_S.IDENTIFY, Tapped, None, "number wrong", tapped(Action.NUMBER), setting(notice=Notice.NUMBER_WRONG)),
    *(
        row
        for when, name in ((tapped(Action.CANCEL), "cancelled"), (always, "time-out"))
        for on in (Tapped if name == "cancelled" else TimedOut,)
        for row in (
            Row(_S.IDENTIFY, on, _S.FAULT, f"{name} while the code is locked",
                all_of(when, lambda j, _e: j.notice is Notice.CODE_LOCKED), fault_of(FaultKind.NO_MATCH),
                asks(IssueTicket())),
            Row(_S.IDENTIFY, on, _S.IDLE, name, when, do=ends("left")),
        )
    ),
    Row(_S.CHECKING, ClaimChecked, _S.FAULT, "store cannot tell", check_failed, fault_of(FaultKind.BUSY),
        asks(IssueTicket())),
    *going_on(_S.CHECKING, ClaimChecked, "match", matched, take_claim, _S.FACE, _S.CONSENT, do=asks(Prepare())),
    Row(_S.CHECKING, ClaimChecked, _S.FAULT, "match, but the fingerprint sensor is silent",
        all_of(matched, only_by_finger), lambda j, e: replace(take_claim(j, e), fault=FaultKind.FINGER_DOWN),
        asks(IssueTicket())),
    Row(_S.CHECKING, ClaimChecked, _S.FAULT, "match, but more is asked for than can be shown", matched,
        lambda j, e: replace(take_claim(j, e), fault=FaultKind.MORE_NEEDED), asks(IssueTicket())),
    Row(_S.CHECKING, ClaimChecked, _S.IDENTIFY, "code locked", locked,
        setting(code=None, notice=Notice.CODE_LOCKED, attempts_left=None)),
    Row(_S.CHECKING, ClaimChecked, _S.IDLE, "code wrong", with_code, count_wrong_code,
        ends("code_wrong")),
    Row(_S.CHECKING, ClaimChecked, _S.FAULT, "no claim", change=fault_of(FaultKind.NO_MATCH),
        do=asks(IssueTicket())),
    # face
    Row(_S.FACE, FacePrompted, None, "prompt", change=prompted),
    *going_on(_S.FACE, FaceDecided, "verified", verdict(FaceVerdict.VERIFIED), showing(Evidence.FACE),
              _S.CONSENT, _S.FINGERPRINT, _S.CONFIRM),
    *otherwise(_S.FACE, FaceDecided, Evidence.FACE, "face check unavailable", FaultKind.FACE_DOWN, face_unavailable,
               _S.CONSENT),
    Row(_S.FACE, FaceDecided, _S.FACE, "not verified, try again", face_tries_left, count_face),
    *otherwise(_S.FACE, FaceDecided, Evidence.FACE, "not verified", FaultKind.NO_MATCH, always, _S.CONSENT),
    *otherwise(_S.FACE, Tapped, Evidence.FACE, "no face check", FaultKind.OTHER_WAY, tapped(Action.OTHER_WAY),
               _S.CONSENT),
    *otherwise(_S.FACE, TimedOut, Evidence.FACE, "no face came", FaultKind.NO_MATCH, always, _S.CONSENT),
    Row(_S.FACE, Tapped, _S.IDLE, "cancelled", tapped(Action.CANCEL), do=ends("left")),
    # a reviewer at the office, with the citizen's consent
    Row(_S.CONSENT, Tapped, _S.REVIEWING, "agreed", tapped(Action.AGREE)),
    *otherwise(_S.CONSENT, Tapped, Evidence.REMOTE_REVIEW, "no review", FaultKind.OTHER_WAY,
               tapped(Action.OTHER_WAY), _S.FACE, _S.FINGERPRINT, _S.CONFIRM),
    Row(_S.CONSENT, Tapped, _S.IDLE, "cancelled", tapped(Action.CANCEL), do=ends("left")),
    Row(_S.CONSENT, TimedOut, _S.IDLE, "time-out", do=ends("left")),
    *going_on(_S.REVIEWING, ReviewDecided, "approved", decided(ReviewDecision.APPROVED),
              showing(Evidence.REMOTE_REVIEW), _S.FINGERPRINT, _S.CONFIRM),
    *otherwise(_S.REVIEWING, ReviewDecided, Evidence.REMOTE_REVIEW, "refused", FaultKind.REVIEW_REFUSED,
               decided(ReviewDecision.REFUSED), _S.FACE, _S.FINGERPRINT, _S.CONFIRM),
    *otherwise(_S.REVIEWING, ReviewDecided, Evidence.REMOTE_REVIEW, "no reviewer in time", FaultKind.NO_REVIEWER,
               always, _S.FACE, _S.FINGERPRINT, _S.CONFIRM),
    Row(_S.REVIEWING, Tapped, _S.IDLE, "cancelled", tapped(Action.CANCEL), do=ends("left")),
    # a finger, compared with the chip of the ID card that was shown
    *going_on(_S.FINGERPRINT, FingerDecided, "finger matches", finger(FingerResult.MATCH),
              showing(Evidence.FINGERPRINT), _S.CONFIRM),
    Row(_S.FINGERPRINT, FingerDecided, _S.FINGERPRINT, "no match, try again", finger_again, count_finger),
    *otherwise(_S.FINGERPRINT, FingerDecided, Evidence.FINGERPRINT, "fingerprint unavailable", FaultKind.FINGER_DOWN,
               finger(FingerResult.UNAVAILABLE, FingerResult.NO_TEMPLATE), _S.FACE, _S.CONSENT, _S.CONFIRM),
    *otherwise(_S.FINGERPRINT, TimedOut, Evidence.FINGERPRINT, "no finger came", FaultKind.TIMED_OUT, always,
               _S.FACE, _S.CONSENT, _S.CONFIRM),
    *otherwise(_S.FINGERPRINT, FingerDecided, Evidence.FINGERPRINT, "no match", FaultKind.NO_MATCH, always,
               _S.FACE, _S.CONSENT, _S.CONFIRM),
    *otherwise(_S.FINGERPRINT, Tapped, Evidence.FINGERPRINT, "no fingerprint", FaultKind.OTHER_WAY,
               tapped(Action.OTHER_WAY), _S.FACE, _S.CONSENT, _S.CONFIRM),
    Row(_S.FINGERPRINT, Tapped, _S.IDLE, "cancelled", tapped(Action.CANCEL), do=ends("left")),
    # confirm
    Row(_S.CONFIRM, Tapped, _S.OPENING, "confirmed, renewal", all_of(tapped(Action.CONFIRM), wants_old),
        do=asks(Move(Motion.OPEN))),
    Row(_S.CONFIRM, Tapped, _S.PICKING, "confirmed", tapped(Action.CONFIRM), do=asks(PICK)),
    Row(_S.CONFIRM, Tapped, _S.IDLE, "cancelled", tapped(Action.CANCEL), do=ends("left")),
    Row(_S.CONFIRM, TimedOut, _S.IDLE, "time-out", do=ends("left")),
)  # fmt: skip
