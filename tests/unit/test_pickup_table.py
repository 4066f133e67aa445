"""The journey's table: what it promises on every path, and that no stage is a dead end."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_protocol.idnumber import check_digit
from lockerd.model.cards import Chip, Claim, ClaimKind, ClaimState, Person
from lockerd.model.custody import Fault, Motion, Observation, Outcome, Place, Result, Unit
from lockerd.model.identity import FaceReason, FaceResult, FaceVerdict, FingerResult
from lockerd.model.policy import Collector, Evidence, OwnerRows, Policy, Relation
from lockerd.model.review import ReviewDecision
from lockerd.model.view import Action, FaultKind, Notice, Screen, Tap, Ways
from lockerd.pickup.diagram import mermaid
from lockerd.pickup.screens import STAGES, view_of, whereabouts
from lockerd.pickup.state import (
    CardFailed,
    CardSeen,
    CheckCode,
    ChipRead,
    ClaimChecked,
    CodeSent,
    EndJourney,
    Event,
    ExitCleared,
    FaceDecided,
    FacePrompted,
    FindClaim,
    FingerDecided,
    IssueTicket,
    Journey,
    MotionEnded,
    Move,
    Patience,
    Record,
    RecordOldTaken,
    RecordTaken,
    ReviewDecided,
    SendCode,
    Stage,
    Tapped,
    ThroatCleared,
    ThroatFilled,
    TicketIssued,
    TimedOut,
    Watch,
)
from lockerd.pickup.table import TABLE, step
from lockerd.web.render import render

NUMBER = "99010119900307123" + check_digit("99010119900307123")
OTHER = "99010119900307125" + check_digit("99010119900307125")
PERSON = Person("李小明", NUMBER, "+8619900000001")
CLAIM = Claim("N000001", ClaimKind.RENEWAL, ClaimState.STOCKED, PERSON, "20261101", "20461101", 3, False)
REPLACEMENT = replace(CLAIM, kind=ClaimKind.REPLACEMENT)
NEW_CHIP = Chip("李小明", NUMBER, "20261101", "20461101", "exit")
OLD_CHIP = Chip("李小明", NUMBER, "20061101", "20261101", "throat")
FOREIGN_CHIP = Chip("王大", OTHER, "20061101", "20261101", "throat")


def tap(action: Action, value: str = "") -> Tapped:
    return Tapped(Tap(action, value))


def seen(place: Place | None, fault: Fault | None = None) -> Observation:
    return Observation(Unit.DISPENSER, 1, False, False, place, None, frozenset(), fault, 0, 0, 0)


def ended(motion: Motion, place: Place | None, result: Result = Result.DONE, fault: Fault | None = None) -> MotionEnded:
    return MotionEnded(motion, Outcome(result, fault, seen(place, fault)), place, "old-000001")


def face(verdict: FaceVerdict) -> FaceDecided:
    return FaceDecided(FaceResult(verdict, FaceReason.MATCH, "m", "t"))


OWNER = Collector()
DEFAULT = Policy()


def match(claim: Claim, collector: Collector = OWNER, policy: Policy = DEFAULT) -> ClaimChecked:
    return ClaimChecked(claim, collector, policy.opens(collector.relation, claim.kind))


TO_CONFIRM: tuple[Event, ...] = (
    tap(Action.CODE, "12345678"),
    CardSeen(OLD_CHIP),
    match(CLAIM),
    face(FaceVerdict.VERIFIED),
)
TO_ESCROW: tuple[Event, ...] = (
    *TO_CONFIRM,
    tap(Action.CONFIRM),
    ended(Motion.OPEN, None),
    ThroatFilled(),
    ended(Motion.ACCEPT, Place.ESCROW),
)
TO_PICKING: tuple[Event, ...] = (*TO_ESCROW, ChipRead(OLD_CHIP))
TO_EXIT: tuple[Event, ...] = (
    *TO_PICKING,
    ended(Motion.PICK, Place.TRANSPORT),
    ChipRead(NEW_CHIP),
    ended(Motion.PRESENT, Place.EXIT),
)


def walk(*events: Event, start: Journey | None = None) -> tuple[Journey, list[object]]:
    journey, asked = start or Journey(journey_id="j"), []
    for event in events:
        journey, effects = step(journey, event)
        asked += effects
    return journey, asked


def motions(asked: list[object]) -> list[Motion]:
    return [effect.motion for effect in asked if isinstance(effect, Move)]


def test_a_renewal_ends_with_the_new_card_taken_and_the_old_one_kept_after_it() -> None:
    journey, asked = walk(*TO_EXIT, ExitCleared(), ended(Motion.RETAIN, Place.BIN))
    assert journey.stage is Stage.DONE
    assert motions(asked) == [Motion.OPEN, Motion.ACCEPT, Motion.PICK, Motion.PRESENT, Motion.RETAIN]
    taken = next(i for i, effect in enumerate(asked) if isinstance(effect, RecordTaken))
    kept = next(i for i, effect in enumerate(asked) if isinstance(effect, Move) and effect.motion is Motion.RETAIN)
    assert taken < kept


def test_the_code_is_consumed_with_the_intent_of_the_pick_and_nowhere_else() -> None:
    _, asked = walk(*TO_EXIT)
    consuming = [
        effect.motion for effect in asked if isinstance(effect, Move) and Record.CONSUME_CODE in effect.records
    ]
    assert consuming == [Motion.PICK]


def test_a_replacement_wants_no_old_card() -> None:
    events = list(TO_CONFIRM)
    events[2] = match(REPLACEMENT)
    journey, asked = walk(*events, tap(Action.CONFIRM))
    assert journey.stage is Stage.PICKING
    assert motions(asked) == [Motion.PICK]


def test_an_old_card_that_is_already_kept_is_not_asked_for_again() -> None:
    events = list(TO_CONFIRM)
    events[2] = match(replace(CLAIM, old_card_kept=True))
    assert walk(*events, tap(Action.CONFIRM))[0].stage is Stage.PICKING


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
REVIEWED = OwnerRows(
    replacement=(
        (Evidence.ID_CARD, Evidence.FACE),
        (Evidence.CODE, Evidence.ID_CARD, Evidence.REMOTE_REVIEW),
    )
)
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


FINGERED = OwnerRows(
    replacement=(
        (Evidence.ID_CARD, Evidence.FACE, Evidence.FINGERPRINT),
        (Evidence.CODE, Evidence.ID_CARD, Evidence.FACE, Evidence.REMOTE_REVIEW),
    )
)


def finger(result: FingerResult) -> FingerDecided:
    return FingerDecided(result)


def test_a_finger_is_asked_for_after_the_face_and_compared_with_the_chip_that_was_shown() -> None:
    chip = replace(OLD_CHIP, fingerprint=b"\x01" * 512)
    entry = (tap(Action.CODE, "12345678"), CardSeen(chip), match(REPLACEMENT, policy=Policy(owner=FINGERED)))
    journey, _ = walk(*entry, face(FaceVerdict.VERIFIED))
    assert (journey.stage, journey.finger) == (Stage.FINGERPRINT, chip.fingerprint)
    assert "\\x01" not in repr(journey)
    journey, _ = walk(finger(FingerResult.NO_MATCH), finger(FingerResult.NO_FINGER), start=journey)
    assert (journey.stage, journey.notice, journey.attempts_left) == (Stage.FINGERPRINT, Notice.FINGER_RETRY, 1)
    assert walk(finger(FingerResult.MATCH), start=journey)[0].stage is Stage.CONFIRM


@pytest.mark.parametrize("code", [True, False])
@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ((finger(FingerResult.UNAVAILABLE),), FaultKind.FINGER_DOWN),
        ((finger(FingerResult.NO_TEMPLATE),), FaultKind.FINGER_DOWN),
        ((finger(FingerResult.NO_MATCH),) * 3, FaultKind.NO_MATCH),
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
def test_while_the_sensor_is_silent_no_finger_is_asked_for(code: bool) -> None:
    entry = with_card(FINGERED, code=code)
    journey, asked = walk(*entry[:-1], replace(entry[-1], no_finger=True))
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
    assert walk(*entry[:-1], replace(entry[-1], no_finger=True))[0].fault is FaultKind.MORE_NEEDED


def test_nothing_opens_on_evidence_that_nobody_looked_at_whatever_a_table_says() -> None:
    journey, asked = walk(*with_card(OwnerRows(replacement=((Evidence.CODE, Evidence.ID_CARD),))))
    assert (journey.stage, motions(asked)) == (Stage.FAULT, [])


def test_a_guardian_shows_the_own_card_and_hands_in_the_minors() -> None:
    named = Collector(Relation.GUARDIAN, "N000001.1")
    entry = (tap(Action.CODE, "12345678"), CardSeen(FOREIGN_CHIP))
    journey, asked = walk(*entry, match(CLAIM, named), face(FaceVerdict.VERIFIED))
    assert asked[0] == CheckCode(OTHER, "12345678")
    view = view_of(journey, seconds_left=None, warn=False, ways=Ways())
    assert (view.for_other, view.masked_number[-4:]) == (True, NUMBER[-4:])
    to_escrow = (tap(Action.CONFIRM), ended(Motion.OPEN, None), ThroatFilled(), ended(Motion.ACCEPT, Place.ESCROW))
    journey, _ = walk(*to_escrow, start=journey)
    assert walk(ChipRead(FOREIGN_CHIP), start=journey)[0].stage is Stage.REFUSING_OLD
    assert walk(ChipRead(OLD_CHIP), start=journey)[0].stage is Stage.PICKING


def test_a_damaged_old_card_need_not_be_readable_but_may_not_be_anothers() -> None:
    damaged = replace(CLAIM, kind=ClaimKind.DAMAGED)
    entry = (tap(Action.CODE, "12345678"), tap(Action.NUMBER, NUMBER), match(damaged), face(FaceVerdict.VERIFIED))
    journey, _ = walk(*entry, *TO_ESCROW[4:])
    assert view_of(journey, seconds_left=None, warn=False, ways=Ways()).damaged
    assert walk(ChipRead(None), start=journey)[0].stage is Stage.PICKING
    assert walk(ChipRead(None, silent=True), start=journey)[0].stage is Stage.REFUSING_OLD
    assert walk(ChipRead(FOREIGN_CHIP), start=journey)[0].stage is Stage.REFUSING_OLD
    assert walk(*TO_ESCROW, ChipRead(None))[0].stage is Stage.REFUSING_OLD


def test_the_old_card_of_someone_else_goes_back_and_can_be_replaced_by_the_right_one() -> None:
    journey, asked = walk(*TO_ESCROW, ChipRead(FOREIGN_CHIP))
    assert journey.stage is Stage.REFUSING_OLD
    assert motions(asked)[-1] is Motion.RETURN
    journey, asked = walk(ended(Motion.RETURN, Place.THROAT), ThroatCleared(), start=journey)
    assert (journey.stage, journey.notice) == (Stage.OPENING, Notice.OLD_CARD_NOT_YOURS)
    assert isinstance(asked[0], RecordOldTaken)
    assert asked[0].card_id == "old-000001"


def test_the_new_card_itself_is_no_old_card() -> None:
    assert walk(*TO_ESCROW, ChipRead(NEW_CHIP))[0].stage is Stage.REFUSING_OLD


@pytest.mark.parametrize("chip", [None, FOREIGN_CHIP, OLD_CHIP])
def test_the_gate_stays_shut_for_any_other_chip(chip: Chip | None) -> None:
    journey, asked = walk(*TO_PICKING, ended(Motion.PICK, Place.TRANSPORT), ChipRead(chip))
    assert journey.stage is Stage.CAPTURING
    assert Motion.PRESENT not in motions(asked)
    freeze = asked[-1]
    assert isinstance(freeze, Move)
    assert Record.FREEZE_SLOT in freeze.records
    journey, asked = walk(ended(Motion.CAPTURE, Place.RETRACT), start=journey)
    assert motions(asked) == [Motion.RETURN]
    assert journey.fault is FaultKind.CARD_MISMATCH


def test_a_card_not_taken_is_drawn_back_checked_and_stored_and_the_old_one_returned() -> None:
    journey, asked = walk(
        *TO_EXIT,
        TimedOut(),
        ended(Motion.RETRACT, Place.TRANSPORT),
        ChipRead(NEW_CHIP),
        ended(Motion.STORE, Place.SLOT),
    )
    assert journey.stage is Stage.GIVING_BACK
    assert motions(asked)[-3:] == [Motion.RETRACT, Motion.STORE, Motion.RETURN]
    journey, _ = walk(ended(Motion.RETURN, Place.THROAT), ThroatCleared(), ended(Motion.CLOSE, None), start=journey)
    assert (journey.stage, journey.fault) == (Stage.FAULT, FaultKind.NOT_TAKEN)


def test_a_hand_faster_than_the_retraction_has_taken_the_card() -> None:
    journey, asked = walk(*TO_EXIT, TimedOut(), ended(Motion.RETRACT, None, Result.FAILED, Fault.NO_CARD))
    assert journey.stage is Stage.KEEPING_OLD
    assert any(isinstance(effect, RecordTaken) for effect in asked)


def test_an_old_card_left_behind_is_kept_and_said_so() -> None:
    start, _ = walk(
        *TO_PICKING, ended(Motion.PICK, Place.IN_DOUBT, Result.IN_DOUBT), ended(Motion.RETURN, Place.THROAT)
    )
    journey, asked = walk(TimedOut(), ended(Motion.ACCEPT, Place.ESCROW), ended(Motion.RETAIN, Place.BIN), start=start)
    assert (journey.stage, journey.fault) == (Stage.FAULT, FaultKind.OLD_CARD_KEPT)
    retain = asked[-1]
    assert isinstance(retain, Move)
    assert Record.OLD_KEPT in retain.records


@pytest.mark.parametrize(
    ("result", "place", "kind"),
    [
        (Result.NOT_MOVED, Place.SLOT, FaultKind.BUSY),
        (Result.FAILED, Place.SLOT, FaultKind.JAM),
        (Result.IN_DOUBT, Place.IN_DOUBT, FaultKind.IN_DOUBT),
    ],
)
def test_a_failed_pick_gives_the_old_card_back_with_a_ticket(result: Result, place: Place, kind: FaultKind) -> None:
    journey, asked = walk(*TO_PICKING, ended(Motion.PICK, place, result, Fault.JAM))
    assert (journey.stage, journey.fault) == (Stage.GIVING_BACK, kind)
    assert IssueTicket() in asked
    assert motions(asked)[-1] is Motion.RETURN


def test_an_event_that_fits_no_row_changes_nothing() -> None:
    journey, _ = walk(*TO_PICKING)
    for event in (tap(Action.CODE, "12345678"), TimedOut(), ThroatFilled(), ExitCleared(), tap(Action.CANCEL)):
        assert step(journey, event) == (journey, ())


def test_a_ticket_is_noted_wherever_the_journey_stands() -> None:
    journey, _ = walk(*TO_PICKING)
    assert step(journey, TicketIssued("A-0427"))[0].ticket == "A-0427"


# --- the table as a whole ---------------------------------------------------------------------------------------------


def test_every_stage_is_reached_and_can_be_left() -> None:
    assert {row.source for row in TABLE} == set(Stage) == set(STAGES)
    reached = {row.to for row in TABLE} - {None}
    assert reached == set(Stage)


def test_every_stage_that_waits_for_a_person_has_a_time_out_row_or_a_watch_that_ends() -> None:
    for stage, rule in STAGES.items():
        rows = [row for row in TABLE if row.source is stage]
        if rule.patience is not Patience.ENDLESS:
            assert any(row.on is TimedOut and row.to is not None for row in rows), stage
        elif stage is not Stage.IDLE and rule.watch not in (Watch.FACE, Watch.REVIEW, Watch.FINGERPRINT):
            assert any(row.on in (MotionEnded, ChipRead, ClaimChecked, CodeSent) for row in rows), stage


def test_every_way_out_of_a_motion_is_decided() -> None:
    """Each stage that waits for a motion has a row for its every end."""
    for stage in Stage:
        waits = {row.on for row in TABLE if row.source is stage}
        if MotionEnded not in waits:
            continue
        for result in Result:
            for place in Place:
                motion = next((m for m in Motion if _done_leaves(stage, m)), Motion.CLOSE)
                journey = Journey(stage=stage, claim=CLAIM, fault=FaultKind.JAM)
                after, _ = step(journey, MotionEnded(motion, Outcome(result, Fault.JAM, seen(None)), place))
                assert after.stage is not stage, (stage, motion, result, place)


def _done_leaves(stage: Stage, motion: Motion) -> bool:
    journey = Journey(stage=stage, claim=CLAIM, fault=FaultKind.JAM)
    return step(journey, MotionEnded(motion, Outcome(Result.DONE), None))[0].stage is not stage


@pytest.mark.parametrize("stage", Stage)
def test_a_page_offers_exactly_the_taps_that_are_answered(stage: Stage) -> None:
    """No dead button, and no way out that is kept from the citizen."""
    journey = Journey(stage=stage, claim=CLAIM, code="12345678", fault=FaultKind.JAM, ticket="A-0001")
    views = [view_of(journey, seconds_left=None, warn=False, ways=Ways(no_code=allowed)) for allowed in (True, False)]
    pages = "".join(render(view, "en").html for view in views)
    offered = {Action(name) for name in re.findall(r'data-action="(\w+)"', pages)} - {Action.LANGUAGE}
    values = {Action.NUMBER: NUMBER, Action.CODE: "12345678", Action.LETTER_CODE: "0000000000000001"}
    assert offered == {
        action for action in Action if step(journey, tap(action, values.get(action, ""))) != (journey, ())
    }


def test_the_diagram_names_every_stage() -> None:
    text = mermaid()
    assert all(f" {stage}" in text for stage in Stage)


EVENTS = st.one_of(
    st.sampled_from([tap(action, "12345678") for action in Action] + [tap(Action.NUMBER, NUMBER)]),
    st.sampled_from([CardSeen(OLD_CHIP), CardFailed(silent=True), CardFailed(silent=False), TimedOut()]),
    st.sampled_from([match(CLAIM), match(REPLACEMENT), ClaimChecked(None), ClaimChecked(None, locked=True)]),
    st.builds(face, st.sampled_from(FaceVerdict)),
    st.builds(ReviewDecided, st.sampled_from(ReviewDecision)),
    st.builds(FingerDecided, st.sampled_from(FingerResult)),
    st.just(match(REPLACEMENT, policy=Policy(owner=FINGERED))),
    st.just(match(REPLACEMENT, policy=Policy(owner=REVIEWED))),
    st.builds(FacePrompted, st.sampled_from(FaceReason)),
    st.sampled_from([ThroatFilled(), ThroatCleared(), ExitCleared(), TicketIssued("A-0001")]),
    st.sampled_from([ChipRead(chip) for chip in (None, NEW_CHIP, OLD_CHIP, FOREIGN_CHIP)]),
    st.builds(
        ended,
        st.sampled_from(Motion),
        st.sampled_from(Place),
        st.sampled_from(Result),
        st.sampled_from([None, Fault.JAM, Fault.NO_CARD]),
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_on_any_sequence_nothing_is_presented_without_proof(events: list[Event]) -> None:
    journey = Journey(journey_id="j")
    verified = confirmed = chip_matched = False
    for event in events:
        before = journey
        journey, effects = step(journey, event)
        if before.stage is Stage.FACE and isinstance(event, FaceDecided):
            verified = event.result.verdict is FaceVerdict.VERIFIED
        if before.stage is Stage.REVIEWING and isinstance(event, ReviewDecided):
            verified = event.decision is ReviewDecision.APPROVED
        if before.stage is Stage.CONFIRM and isinstance(event, Tapped) and event.tap.action is Action.CONFIRM:
            confirmed = True
        if isinstance(event, ChipRead) and before.stage is Stage.CHECKING_NEW:
            chip_matched = event.chip == NEW_CHIP
        for motion in motions(list(effects)):
            if motion is Motion.PICK:
                assert verified
                assert confirmed
                assert journey.old_accepted or journey.claim is None or journey.claim.kind is ClaimKind.REPLACEMENT
            if motion is Motion.PRESENT:
                assert chip_matched
            if motion is Motion.RETAIN:
                assert journey.new_place is Place.TAKEN or before.stage is Stage.DRAWING_FORGOTTEN
        if journey.stage is Stage.IDLE:
            verified = confirmed = chip_matched = False
            assert journey.claim is None
            assert journey.code is None
        view = view_of(journey, seconds_left=None, warn=False, ways=Ways())
        assert NUMBER not in repr(view)
        assert "李小明" not in repr(view)
        if view.screen is Screen.FAULT:
            assert view.fault is not None
            assert whereabouts(journey)
