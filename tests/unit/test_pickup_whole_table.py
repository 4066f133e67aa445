"""The journey's table as a whole: no dead end, no dead button, and on any sequence nothing handed out without proof."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockerd.model.cards import ClaimKind, LostReport
from lockerd.model.custody import Fault, Motion, Outcome, Place, Result
from lockerd.model.identity import FaceReason, FaceVerdict, FingerResult
from lockerd.model.policy import Policy
from lockerd.model.review import ReviewDecision
from lockerd.model.view import Action, FaultKind, Screen, Ways
from lockerd.pickup.diagram import mermaid
from lockerd.pickup.screens import STAGES, view_of, whereabouts
from lockerd.pickup.state import (
    CardFailed,
    CardSeen,
    ChipRead,
    ClaimChecked,
    Cleared,
    CodeSent,
    Event,
    ExitCleared,
    FaceDecided,
    FacePrompted,
    FingerDecided,
    Journey,
    MotionEnded,
    Patience,
    ReviewDecided,
    Settled,
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
from tests.pickup_walks import (
    CLAIM,
    FINGERED,
    FOREIGN_CHIP,
    NEW_CHIP,
    NUMBER,
    OLD_CHIP,
    REPLACEMENT,
    REVIEWED,
    ended,
    face,
    match,
    motions,
    seen,
    tap,
)


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
            assert any(row.on in (MotionEnded, ChipRead, ClaimChecked, Cleared, CodeSent) for row in rows), stage


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
    st.sampled_from([ThroatFilled(), ThroatCleared(), ExitCleared(), TicketIssued("A-0001"), Settled()]),
    st.builds(Cleared, st.booleans(), st.just(CLAIM), st.sampled_from(Place), st.sampled_from(Place)),
    st.sampled_from([ChipRead(chip) for chip in (None, NEW_CHIP, OLD_CHIP, FOREIGN_CHIP)]),
    st.sampled_from([ChipRead(chip, lost=LostReport("L-7", None)) for chip in (OLD_CHIP, FOREIGN_CHIP)]),
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
                forgotten = before.stage is Stage.DRAWING_FORGOTTEN
                assert journey.new_place is Place.TAKEN or forgotten or journey.lost is not None
            if motion is Motion.RETURN:
                assert journey.lost is None
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
