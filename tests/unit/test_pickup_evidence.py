"""The journey's table: who is let through, on which evidence, and what happens when a check does not do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockerd.model.identity import FaceReason, FaceResult, FaceVerdict, FingerResult
from lockerd.model.policy import Evidence, OwnerRows, Policy
from lockerd.model.review import ReviewDecision
from lockerd.model.view import Action, FaultKind, Notice, Ways
from lockerd.pickup.screens import STAGES, view_of
from lockerd.pickup.state import (
    CardSeen,
    CheckCode,
    ClaimChecked,
    CodeSent,
    EndJourney,
    Event,
    FaceDecided,
    FindClaim,
    FingerDecided,
    IssueTicket,
    ReviewDecided,
    SendCode,
    Stage,
    TimedOut,
    Watch,
)
from lockerd.web.render import render
from tests.pickup_walks import (
    FINGERED,
    NUMBER,
    OLD_CHIP,
    REPLACEMENT,
    REVIEWED,
    TO_CONFIRM,
    face,
    match,
    motions,
    tap,
    walk,
)


def test_the_code_is_compared_only_after_identity_and_never_shown() -> None:
    journey, asked = walk(tap(Action.CODE, "12345678"))
    assert asked == []
    assert "12345678" not in repr(journey)
    _, asked = walk(tap(Action.NUMBER, NUMBER.lower()), start=journey)
    assert asked == [CheckCode(NUMBER, "12345678")]


def test_wrong_code_and_unknown_card_look_the_same() -> None:
    journey, asked = walk(tap(Action.CODE, "12345678"), CardSeen(OLD_CHIP), ClaimChecked(None, attempts_left=4))
    assert (journey.stage, journey.notice, journey.attempts_left) == (Stage.IDLE, Notice.CODE_WRONG, 4)
    assert any(isinstance(effect, EndJourney) for effect in asked)


def test_only_the_code_way_locks() -> None:
    journey, _ = walk(tap(Action.CODE, "12345678"), CardSeen(OLD_CHIP), ClaimChecked(None, locked=True))
    assert (journey.stage, journey.notice) == (Stage.IDENTIFY, Notice.CODE_LOCKED)
    _, asked = walk(CardSeen(OLD_CHIP), start=journey)
    assert asked == [FindClaim(NUMBER)]
    assert walk(tap(Action.NUMBER, NUMBER), start=journey)[0].notice is Notice.CARD_NEEDED


def test_a_letter_code_goes_the_way_of_a_code() -> None:
    journey, asked = walk(tap(Action.LETTER_CODE, "0000000000000001"), CardSeen(OLD_CHIP))
    assert asked[-1] == CheckCode(NUMBER, "0000000000000001")
    assert journey.stage is Stage.CHECKING


def test_a_code_is_sent_to_the_holder_of_a_card_and_nobody_is_told_what_became_of_it() -> None:
    journey, _ = walk(tap(Action.NO_CODE), tap(Action.SEND_CODE))
    assert (journey.stage, journey.notice) == (Stage.IDENTIFY, Notice.CARD_FOR_CODE)
    assert walk(tap(Action.NUMBER, NUMBER), start=journey)[0].stage is Stage.IDENTIFY
    journey, asked = walk(CardSeen(OLD_CHIP), start=journey)
    assert asked == [SendCode(NUMBER)]
    journey, asked = walk(CodeSent(), start=journey)
    assert (journey.stage, journey.notice, journey.wants_code) == (Stage.IDLE, Notice.CODE_SENT, False)
    assert any(isinstance(effect, EndJourney) for effect in asked)
    assert walk(tap(Action.CODE, "12345678"), tap(Action.SEND_CODE))[0].wants_code is False


@pytest.mark.parametrize("number", [NUMBER[:-1] + ("1" if NUMBER[-1] != "1" else "2"), "", "1" * 18])
def test_a_number_with_a_wrong_check_digit_is_not_compared(number: str) -> None:
    journey, asked = walk(tap(Action.CODE, "12345678"), tap(Action.NUMBER, number))
    assert (journey.stage, journey.notice, asked) == (Stage.IDENTIFY, Notice.NUMBER_WRONG, [])


def test_a_face_gets_three_tries_and_then_a_ticket() -> None:
    journey, _ = walk(*TO_CONFIRM[:3])
    for left in (2, 1):
        journey, _ = walk(face(FaceVerdict.NOT_VERIFIED), start=journey)
        assert (journey.stage, journey.attempts_left) == (Stage.FACE, left)
    journey, asked = walk(face(FaceVerdict.NOT_VERIFIED), start=journey)
    assert (journey.stage, journey.fault) == (Stage.FAULT, FaultKind.NO_MATCH)
    assert asked == [IssueTicket()]


def test_an_absent_face_check_never_opens_anything() -> None:
    journey, asked = walk(*TO_CONFIRM[:3], face(FaceVerdict.UNAVAILABLE))
    assert (journey.stage, journey.fault, motions(asked)) == (Stage.FAULT, FaultKind.FACE_DOWN, [])


def test_without_a_face_check_the_counter_gets_a_ticket() -> None:
    journey, asked = walk(*TO_CONFIRM[:3], tap(Action.OTHER_WAY))
    assert (journey.stage, journey.fault, asked[-1]) == (Stage.FAULT, FaultKind.OTHER_WAY, IssueTicket())


def test_cancelling_before_the_camera_leads_back_to_the_first_page_without_a_ticket() -> None:
    journey, asked = walk(*TO_CONFIRM[:3], tap(Action.CANCEL))
    assert (journey.stage, journey.fault) == (Stage.IDLE, None)
    assert asked[-1] == EndJourney(journey.journey_id, "left")
    assert IssueTicket() not in asked


def test_a_template_of_another_model_is_no_failed_try_of_the_citizen() -> None:
    decided = FaceDecided(FaceResult(FaceVerdict.NOT_VERIFIED, FaceReason.WRONG_MODEL, "m", "t"))
    journey, asked = walk(*TO_CONFIRM[:3], decided)
    assert (journey.stage, journey.fault) == (Stage.FAULT, FaultKind.FACE_DOWN)
    assert asked[-1] == IssueTicket()
    assert motions(asked) == []


# --- the combination policy


STRICT = OwnerRows(replacement=((Evidence.CODE, Evidence.ID_CARD, Evidence.FACE),))
FAILED = (face(FaceVerdict.NOT_VERIFIED),) * 3


def with_card(rows: OwnerRows, code: bool = True) -> tuple[Event, ...]:
    entry = tap(Action.CODE, "12345678") if code else tap(Action.NO_CODE)
    return entry, CardSeen(OLD_CHIP), match(REPLACEMENT, policy=Policy(owner=rows))


def test_a_card_that_wants_more_than_was_shown_says_what_and_issues_a_ticket() -> None:
    journey, asked = walk(*with_card(STRICT, code=False))
    assert (journey.stage, journey.fault, asked[-1]) == (Stage.FAULT, FaultKind.MORE_NEEDED, IssueTicket())
    view = view_of(journey, seconds_left=None, warn=False, ways=Ways())
    assert view.wanted == STRICT.replacement[0]
    for words in ("pickup code", "your own ID card", "face check"):
        assert words in render(view, "en").html


def test_a_number_opens_nothing_where_the_card_itself_is_asked_for() -> None:
    number = tap(Action.NUMBER, NUMBER)
    journey, _ = walk(tap(Action.CODE, "12345678"), number, match(REPLACEMENT, policy=Policy(owner=STRICT)))
    assert journey.fault is FaultKind.MORE_NEEDED


def test_a_row_without_combinations_leaves_the_card_to_the_counter() -> None:
    assert walk(*with_card(OwnerRows(replacement=())))[0].fault is FaultKind.MORE_NEEDED


@pytest.mark.parametrize("lost", [FAILED, (face(FaceVerdict.UNAVAILABLE),), (tap(Action.OTHER_WAY),)])
def test_where_the_face_does_not_do_the_office_is_asked_only_with_consent(lost: tuple[Event, ...]) -> None:
    journey, asked = walk(*with_card(REVIEWED), *lost)
    assert (journey.stage, STAGES[journey.stage].watch) == (Stage.CONSENT, Watch.NOTHING)
    assert IssueTicket() not in asked
    journey, _ = walk(tap(Action.AGREE), start=journey)
    assert STAGES[journey.stage].watch is Watch.REVIEW
    journey, _ = walk(ReviewDecided(ReviewDecision.APPROVED), start=journey)
    assert journey.stage is Stage.CONFIRM


def test_without_the_code_that_a_review_wants_a_failed_face_ends_at_the_counter() -> None:
    assert walk(*with_card(REVIEWED, code=False), *FAILED)[0].fault is FaultKind.NO_MATCH


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        (ReviewDecided(ReviewDecision.REFUSED), FaultKind.REVIEW_REFUSED),
        (ReviewDecided(ReviewDecision.TIMED_OUT), FaultKind.NO_REVIEWER),
        (ReviewDecided(ReviewDecision.UNAVAILABLE), FaultKind.NO_REVIEWER),
    ],
)
def test_a_review_that_does_not_approve_ends_at_the_counter_with_a_ticket(event: Event, fault: FaultKind) -> None:
    journey, asked = walk(*with_card(REVIEWED), *FAILED, tap(Action.AGREE), event)
    assert (journey.stage, journey.fault, asked[-1]) == (Stage.FAULT, fault, IssueTicket())


def test_without_consent_no_picture_is_asked_for() -> None:
    journey, asked = walk(*with_card(REVIEWED), *FAILED, tap(Action.OTHER_WAY))
    assert (journey.stage, journey.fault, asked[-1]) == (Stage.FAULT, FaultKind.OTHER_WAY, IssueTicket())
    journey, _ = walk(*with_card(REVIEWED), *FAILED, TimedOut())
    assert journey.stage is Stage.IDLE


def test_face_and_review_may_both_be_asked_for() -> None:
    rows = OwnerRows(replacement=((Evidence.ID_CARD, Evidence.FACE, Evidence.REMOTE_REVIEW),))
    journey, _ = walk(*with_card(rows), face(FaceVerdict.VERIFIED))
    assert journey.stage is Stage.CONSENT
    assert walk(tap(Action.AGREE), ReviewDecided(ReviewDecision.APPROVED), start=journey)[0].stage is Stage.CONFIRM
    assert walk(*with_card(rows), *FAILED)[0].fault is FaultKind.NO_MATCH


def finger(result: FingerResult) -> FingerDecided:
    return FingerDecided(result)


def test_a_finger_is_asked_for_after_the_face_and_compared_with_the_chip_that_was_shown() -> None:
    chip = replace(OLD_CHIP, fingerprint=b"\x01" * 512)
    entry = (tap(Action.CODE, "12345678"), CardSeen(chip), match(REPLACEMENT, policy=Policy(owner=FINGERED)))
    journey, _ = walk(*entry, face(FaceVerdict.VERIFIED))
    assert (journey.stage, journey.finger) == (Stage.FINGERPRINT, chip.fingerprint)
    assert "\\x01" not in repr(journey)
    journey, _ = walk(finger(FingerResult.NO_MATCH), start=journey)
    assert (journey.stage, journey.notice, journey.attempts_left) == (Stage.FINGERPRINT, Notice.FINGER_RETRY, 2)
    assert walk(finger(FingerResult.MATCH), start=journey)[0].stage is Stage.CONFIRM


@pytest.mark.parametrize("code", [True, False])
@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ((finger(FingerResult.UNAVAILABLE),), FaultKind.FINGER_DOWN),
        ((finger(FingerResult.NO_TEMPLATE),), FaultKind.FINGER_DOWN),
        ((finger(FingerResult.NO_MATCH),) * 3, FaultKind.NO_MATCH),
        ((TimedOut(),), FaultKind.TIMED_OUT),
        ((tap(Action.OTHER_WAY),), FaultKind.OTHER_WAY),
    ],
)
def test_where_the_finger_does_not_do_there_is_another_way(
    events: tuple[Event, ...], fault: FaultKind, code: bool
) -> None:
    journey, _ = walk(*with_card(FINGERED, code=code), face(FaceVerdict.VERIFIED), *events)
    assert journey.stage is (Stage.CONSENT if code else Stage.FAULT)
    assert journey.fault is (None if code else fault)


@pytest.mark.parametrize("code", [True, False])
def test_the_page_says_whether_there_is_another_way_or_the_counter(code: bool) -> None:
    journey, _ = walk(*with_card(FINGERED, code=code), face(FaceVerdict.VERIFIED))
    assert journey.stage is Stage.FINGERPRINT
    assert view_of(journey, seconds_left=None, warn=False, ways=Ways()).another_way is code


def while_silent(*entry: Event) -> tuple[Event, ...]:
    """The entry of a journey, with the fingerprint sensor silent when the claim is compared."""
    return tuple(replace(event, no_finger=True) if isinstance(event, ClaimChecked) else event for event in entry)


@pytest.mark.parametrize("code", [True, False])
def test_while_the_sensor_is_silent_no_finger_is_asked_for(code: bool) -> None:
    journey, asked = walk(*while_silent(*with_card(FINGERED, code=code)))
    if code:
        assert (journey.stage, journey.opens) == (Stage.FACE, FINGERED.replacement[1:])
    else:
        assert (journey.stage, journey.fault, motions(asked)) == (Stage.FAULT, FaultKind.FINGER_DOWN, [])


def test_a_silent_sensor_is_no_excuse_for_what_was_not_shown() -> None:
    entry = (
        tap(Action.CODE, "12345678"),
        tap(Action.NUMBER, NUMBER),
        match(REPLACEMENT, policy=Policy(owner=FINGERED)),
    )
    assert walk(*while_silent(*entry))[0].fault is FaultKind.MORE_NEEDED


def test_nothing_opens_on_evidence_that_nobody_looked_at_whatever_a_table_says() -> None:
    journey, asked = walk(*with_card(OwnerRows(replacement=((Evidence.CODE, Evidence.ID_CARD),))))
    assert (journey.stage, motions(asked)) == (Stage.FAULT, [])
