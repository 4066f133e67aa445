"""The journey's table: where both cards are on every way, from the first tap to the card taken, kept or given back."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from lockerd.model.cards import Chip, ClaimKind
from lockerd.model.custody import Fault, Motion, Place, Result
from lockerd.model.identity import FaceVerdict
from lockerd.model.policy import Collector, Relation
from lockerd.model.view import Action, FaultKind, Notice, Ways, Whereabouts
from lockerd.pickup.chips import LOOKS
from lockerd.pickup.screens import view_of, whereabouts
from lockerd.pickup.state import (
    CardSeen,
    CheckCode,
    ChipRead,
    Event,
    ExitCleared,
    IssueTicket,
    Journey,
    Move,
    Record,
    RecordOldTaken,
    RecordTaken,
    Stage,
    ThroatCleared,
    ThroatFilled,
    TicketIssued,
    TimedOut,
)
from lockerd.pickup.table import step
from tests.pickup_walks import (
    CLAIM,
    FOREIGN_CHIP,
    NEW_CHIP,
    NUMBER,
    OLD_CHIP,
    OTHER,
    REPLACEMENT,
    TO_CONFIRM,
    TO_ESCROW,
    TO_EXIT,
    TO_PICKING,
    ended,
    face,
    match,
    motions,
    tap,
    walk,
)


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


def test_a_guardian_shows_the_own_card_and_hands_in_the_minors() -> None:
    named = Collector(Relation.GUARDIAN, "N000001.1")
    entry = (tap(Action.CODE, "12345678"), CardSeen(FOREIGN_CHIP))
    journey, asked = walk(*entry, match(CLAIM, named), face(FaceVerdict.VERIFIED))
    assert asked[0] == CheckCode(OTHER, "12345678")
    view = view_of(journey, seconds_left=None, warn=False, ways=Ways())
    assert (view.for_other, view.masked_number[-4:]) == (True, NUMBER[-4:])
    to_escrow = (tap(Action.CONFIRM), ended(Motion.OPEN, None), ThroatFilled(), ended(Motion.ACCEPT, Place.ESCROW))
    journey, _ = walk(*to_escrow, start=journey)
    refused, _ = walk(ChipRead(FOREIGN_CHIP), start=journey)
    assert (refused.stage, refused.notice) == (Stage.REFUSING_OLD, Notice.OLD_CARD_NOT_THEIRS)
    assert walk(ChipRead(OLD_CHIP), start=journey)[0].stage is Stage.PICKING


def test_a_damaged_old_card_need_not_be_readable_but_may_not_be_anothers() -> None:
    damaged = replace(CLAIM, kind=ClaimKind.DAMAGED)
    entry = (tap(Action.CODE, "12345678"), tap(Action.NUMBER, NUMBER), match(damaged), face(FaceVerdict.VERIFIED))
    journey, _ = walk(*entry, *TO_ESCROW[4:])
    assert view_of(journey, seconds_left=None, warn=False, ways=Ways()).damaged
    assert walk(ChipRead(None), start=journey)[0].stage is Stage.PICKING
    assert walk(ChipRead(None, silent=True), start=journey)[0].stage is Stage.READING_OLD, "nobody knows yet"
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
    start, _ = walk(*TO_PICKING, ended(Motion.PICK, Place.SLOT, Result.NOT_MOVED), ended(Motion.RETURN, Place.THROAT))
    journey, asked = walk(TimedOut(), ended(Motion.ACCEPT, Place.ESCROW), ended(Motion.RETAIN, Place.BIN), start=start)
    assert (journey.stage, journey.fault) == (Stage.FAULT, FaultKind.OLD_CARD_KEPT)
    retain = asked[-1]
    assert isinstance(retain, Move)
    assert Record.OLD_KEPT in retain.records


def test_an_old_card_left_behind_is_taken_back_only_where_the_unit_sees_none() -> None:
    """Drawn in past a blind sensor it is in escrow, and the next try finds none in the throat."""
    start, _ = walk(*TO_PICKING, ended(Motion.PICK, Place.SLOT, Result.NOT_MOVED), ended(Motion.RETURN, Place.THROAT))
    none = walk(TimedOut(), ended(Motion.ACCEPT, Place.TAKEN, Result.FAILED, Fault.NO_CARD), start=start)
    one = walk(TimedOut(), ended(Motion.ACCEPT, Place.ESCROW, Result.FAILED, Fault.NO_CARD), start=start)
    assert (none[0].stage, one[0].stage) == (Stage.CLOSING, Stage.FAULT)
    assert [any(isinstance(effect, RecordOldTaken) for effect in asked) for _, asked in (none, one)] == [True, False]


@pytest.mark.parametrize(
    ("result", "place", "kind"),
    [
        (Result.NOT_MOVED, Place.SLOT, FaultKind.BUSY),
        (Result.FAILED, Place.IN_DOUBT, FaultKind.JAM),
        (Result.IN_DOUBT, Place.IN_DOUBT, FaultKind.IN_DOUBT),
    ],
)
def test_a_failed_pick_gives_the_old_card_back_with_a_ticket(result: Result, place: Place, kind: FaultKind) -> None:
    journey, asked = walk(*TO_PICKING, ended(Motion.PICK, place, result, Fault.SLOT_EMPTY, silent=True))
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


@pytest.mark.parametrize("before", [TO_ESCROW, (*TO_PICKING, ended(Motion.PICK, Place.TRANSPORT))], ids=["old", "new"])
def test_a_silent_reader_is_asked_again_and_is_no_mismatch(before: tuple[Event, ...]) -> None:
    """The page says so; then a ticket, the old card goes back, and the new one stays where it is."""
    journey, _ = walk(*before)
    stage = journey.stage
    for look in range(1, LOOKS):
        journey, asked = walk(ChipRead(None, silent=True), start=journey)
        assert (journey.stage, journey.silences, len(asked)) == (stage, look, 1)
        assert view_of(journey, seconds_left=None, warn=False, ways=Ways()).notice is Notice.READER_ASKED
    assert walk(ChipRead(OLD_CHIP if before == TO_ESCROW else NEW_CHIP), start=journey)[0].silences == 0
    journey, asked = walk(ChipRead(None, silent=True), start=journey)
    assert (journey.stage, journey.fault, journey.stopped) == (Stage.GIVING_BACK, FaultKind.BUSY, stage)
    assert asked == [IssueTicket(), Move(Motion.RETURN)]


def test_a_card_that_was_drawn_back_waits_for_its_silent_reader() -> None:
    journey, asked = walk(*TO_EXIT, TimedOut(), ended(Motion.RETRACT, Place.TRANSPORT))
    journey, asked = walk(*[ChipRead(None, silent=True)] * LOOKS, start=journey)
    assert (journey.stage, journey.fault, motions(asked)) == (Stage.GIVING_BACK, FaultKind.NOT_TAKEN, [Motion.RETURN])


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (None, Whereabouts.OLD_WITH_YOU),
        (Place.THROAT, Whereabouts.OLD_AT_THROAT),
        (Place.ESCROW, Whereabouts.OLD_INSIDE),
        (Place.IN_DOUBT, Whereabouts.OLD_IN_DOUBT),
    ],
)
def test_a_fault_page_tells_of_an_old_card_that_an_earlier_journey_left_inside(
    left: Place | None, told: Whereabouts
) -> None:
    journey = Journey(stage=Stage.FAULT, fault=FaultKind.BUSY, claim=replace(CLAIM, old_inside=left))
    assert whereabouts(journey)[-1] is told
    assert whereabouts(msgspec.structs.replace(journey, old_place=Place.TAKEN))[-1] is Whereabouts.OLD_WITH_YOU
