"""The citizen's pages as the browser's tests look at them: each state that has words of its own."""

from __future__ import annotations

from msgspec.structs import replace

from lockerd.model.policy import Evidence
from lockerd.model.view import FaultKind, Notice, Progress, Screen, View, Whereabouts

TICKET = "A-0427"
BOTH = (Whereabouts.NEW_SAFE_INSIDE, Whereabouts.OLD_WITH_YOU)
CONFIRM = View(Screen.CONFIRM, masked_name="欧阳*明", masked_number="9901**********1237")
VIEWS: dict[str, View] = {
    "1-code": View(Screen.CODE),
    "1-code-wrong": View(Screen.CODE, notice=Notice.CODE_WRONG, attempts_left=4),
    "1-code-last-try": View(Screen.CODE, notice=Notice.CODE_WRONG, attempts_left=0),
    "1-code-always": View(Screen.CODE, no_code_allowed=False),
    "1-code-limited": View(Screen.CODE, reader_available=False, renewal_available=False),
    "1-code-finger": View(Screen.CODE, finger_available=False, renewal_available=False),
    "2-identify": View(Screen.IDENTIFY),
    "2-identify-checking": View(Screen.IDENTIFY, progress=Progress.CHECKING),
    "2-identify-locked": View(Screen.IDENTIFY, notice=Notice.CODE_LOCKED, number_allowed=False),
    "2-identify-closed": View(Screen.IDENTIFY, notice=Notice.CODE_LOCKED_COUNTER, number_allowed=False),
    "2-identify-lost-counter": View(Screen.IDENTIFY, notice=Notice.CARD_LOST_COUNTER, number_allowed=False),
    "2-identify-no-code": View(Screen.IDENTIFY, number_allowed=False),
    "1-code-sent": View(Screen.CODE, notice=Notice.CODE_SENT),
    "2-identify-card-for-code": View(Screen.IDENTIFY, number_allowed=False, notice=Notice.CARD_FOR_CODE),
    "2-identify-card-needed": View(Screen.IDENTIFY, number_allowed=False, notice=Notice.CARD_NEEDED),
    "2-identify-no-way": View(Screen.IDENTIFY, number_allowed=False, reader_available=False),
    "2-identify-unreadable": View(Screen.IDENTIFY, notice=Notice.CARD_UNREADABLE, attempts_left=2),
    "2-identify-lost": View(Screen.IDENTIFY, notice=Notice.CARD_LOST),
    "2-identify-number": View(Screen.IDENTIFY, notice=Notice.READER_DOWN, reader_available=False),
    "2-identify-warn": View(Screen.IDENTIFY, warn=True, seconds_left=20),
    "3-face": View(Screen.FACE, progress=Progress.LOOKING),
    "3-face-light": View(Screen.FACE, progress=Progress.LOOKING, notice=Notice.FACE_LIGHT),
    "3-face-retry": View(
        Screen.FACE, progress=Progress.LOOKING, notice=Notice.FACE_RETRY, attempts_left=2, another_way=True
    ),
    "3-face-warn": View(Screen.FACE, progress=Progress.LOOKING, notice=Notice.FACE_NO_FACE, warn=True, seconds_left=20),
    "3-face-off": View(Screen.FACE, progress=Progress.LOOKING, face_available=False),
    "3-fingerprint-warn": View(Screen.FINGERPRINT, another_way=True, warn=True, seconds_left=20),
    "3-fingerprint": View(Screen.FINGERPRINT, another_way=True),
    "3-face-wait": View(Screen.FACE, progress=Progress.LOOKING, notice=Notice.FACE_WAIT),
    "3-fingerprint-retry": View(Screen.FINGERPRINT, notice=Notice.FINGER_RETRY, attempts_left=2),
    "3-review": View(Screen.REVIEW, another_way=True),
    "3-review-asked": View(Screen.REVIEW, progress=Progress.REVIEWING),
    "4-confirm": replace(CONFIRM, renewal=True),
    "4-confirm-other": replace(CONFIRM, renewal=True, for_other=True),
    "5-old-card": View(Screen.OLD_CARD, renewal=True),
    "5-old-card-damaged": View(Screen.OLD_CARD, renewal=True, damaged=True),
    "5-old-card-not-yours": View(Screen.OLD_CARD, Progress.RETURNING_OLD_CARD, Notice.OLD_CARD_NOT_YOURS, renewal=True),
    "5-old-card-again": View(Screen.OLD_CARD, notice=Notice.OLD_CARD_NOT_YOURS, renewal=True),
    "5-old-card-others": View(Screen.OLD_CARD, notice=Notice.OLD_CARD_NOT_THEIRS, renewal=True, for_other=True),
    "5-old-card-lost": View(Screen.OLD_CARD, notice=Notice.OLD_CARD_LOST, renewal=True),
    "5-old-card-found": View(Screen.OLD_CARD, hand_in=True),
    "5-old-card-reading": View(Screen.OLD_CARD, renewal=True, progress=Progress.READING_OLD_CARD),
    "6-take-fetching": View(Screen.TAKE, renewal=True, progress=Progress.FETCHING),
    "6-take-reader-asked": View(Screen.TAKE, renewal=True, progress=Progress.FETCHING, notice=Notice.READER_ASKED),
    "6-take": View(Screen.TAKE, seconds_left=45),
    "4-confirm-warn": replace(CONFIRM, warn=True, seconds_left=20),
    "6-take-warn": View(Screen.TAKE, renewal=True, seconds_left=20, warn=True),
    "7-done": View(Screen.DONE, renewal=True),
    "7-done-keeping": View(Screen.DONE, progress=Progress.FINISHING, renewal=True),
    "7-done-hand-in": View(Screen.DONE, hand_in=True),
    "7-done-lost-kept": View(Screen.DONE, notice=Notice.LOST_CARD_KEPT),
    "7-done-replacement": View(Screen.DONE, warn=True, seconds_left=20),
    "9-out-of-service": View(Screen.OUT_OF_SERVICE),
    "8-fault-nothing-held": View(Screen.FAULT, fault=FaultKind.POWER, whereabouts=(Whereabouts.OLD_WITH_YOU,)),
    "8-fault-old-inside": View(
        Screen.FAULT,
        fault=FaultKind.NO_MATCH,
        whereabouts=(Whereabouts.NEW_SAFE_INSIDE, Whereabouts.OLD_INSIDE),
        ticket=TICKET,
    ),
    "8-fault-recovering": View(Screen.FAULT, Progress.RECOVERING, fault=FaultKind.NOT_TAKEN, ticket=TICKET),
    "8-fault-stuck": View(Screen.FAULT, Progress.STUCK, fault=FaultKind.JAM, whereabouts=BOTH, seconds_left=200),
    "8-fault-stuck-leaving": View(
        Screen.FAULT, Progress.STUCK, fault=FaultKind.IN_DOUBT, whereabouts=BOTH, ticket=TICKET, seconds_left=200
    ),
    "8-fault-stuck-warn": View(
        Screen.FAULT, Progress.STUCK, fault=FaultKind.IN_DOUBT, whereabouts=BOTH, warn=True, seconds_left=20
    ),
    "8-fault-take-back": View(Screen.FAULT, Progress.RETURNING_OLD_CARD, fault=FaultKind.NOT_TAKEN, ticket=TICKET),
} | {f"8-fault-{kind}": View(Screen.FAULT, fault=kind, whereabouts=BOTH, ticket=TICKET) for kind in FaultKind}
WANTED = (Evidence.CODE, Evidence.ID_CARD, Evidence.FACE, Evidence.FINGERPRINT, Evidence.OLD_CARD)
VIEWS["8-fault-more_needed"] = replace(VIEWS["8-fault-more_needed"], wanted=WANTED)
AXE_VIEWS = [
    "1-code",
    "1-code-wrong",
    "2-identify",
    "2-identify-number",
    "2-identify-warn",
    "2-identify-locked",
    "3-face-light",
    "3-fingerprint-retry",
    "3-review",
    "3-review-asked",
    "4-confirm",
    "5-old-card",
    "5-old-card-found",
    "6-take-fetching",
    "6-take",
    "7-done",
    "7-done-hand-in",
    "8-fault-jam",
    "8-fault-old-inside",
    "8-fault-recovering",
    "8-fault-stuck",
    "8-fault-take-back",
    "9-out-of-service",
]
