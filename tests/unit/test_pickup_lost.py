"""A card that was reported lost, in the throat of the journey's table: kept in any case, and what follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockerd.model.cards import ClaimKind, LostReport
from lockerd.model.custody import Fault, Motion, Place, Result
from lockerd.model.view import Action, FaultKind, Notice, Ways, Whereabouts
from lockerd.pickup.guards import OLD_CARD_TRIES
from lockerd.pickup.screens import view_of, whereabouts
from lockerd.pickup.state import (
    ChipRead,
    Cleared,
    Event,
    IssueTicket,
    Journey,
    Stage,
    ThroatCleared,
    ThroatFilled,
    TimedOut,
)
from tests.pickup_walks import (
    FOREIGN_CHIP,
    NEW_CHIP,
    OLD_CHIP,
    REPLACEMENT,
    TO_DONE,
    TO_ESCROW,
    ended,
    motions,
    tap,
    walk,
)

LOST = LostReport("L-7", "N000009")
KEPT = ended(Motion.RETAIN, Place.BIN)
AGAIN: tuple[Event, ...] = (ended(Motion.OPEN, None), ThroatFilled(), ended(Motion.ACCEPT, Place.ESCROW))
TO_FOUND: tuple[Event, ...] = (*TO_DONE, tap(Action.HAND_IN), *AGAIN)


def test_somebody_elses_lost_card_is_kept_and_the_own_old_card_is_asked_for() -> None:
    journey, asked = walk(*TO_ESCROW, ChipRead(FOREIGN_CHIP, lost=LOST))
    assert (journey.stage, journey.lost, journey.old_accepted) == (Stage.KEEPING_LOST, LOST, False)
    assert motions(asked)[-1] is Motion.RETAIN
    journey, asked = walk(KEPT, start=journey)
    assert (journey.stage, journey.notice, journey.old_card_id) == (Stage.OPENING, Notice.OLD_CARD_LOST, None)
    assert motions(asked) == [Motion.OPEN]
    assert walk(*AGAIN, ChipRead(OLD_CHIP), start=journey)[0].stage is Stage.PICKING


def test_the_predecessor_that_was_reported_lost_is_kept_at_once_and_the_new_card_comes() -> None:
    journey, asked = walk(*TO_ESCROW, ChipRead(OLD_CHIP, lost=LOST), KEPT)
    assert journey.stage is Stage.PICKING
    assert motions(asked)[-2:] == [Motion.RETAIN, Motion.PICK]
    journey, asked = walk(ended(Motion.PICK, Place.SLOT, Result.FAILED, Fault.JAM), start=journey)
    assert Motion.RETURN not in motions(asked)


def test_lost_cards_are_not_taken_for_ever() -> None:
    events: list[Event] = [*TO_ESCROW, ChipRead(FOREIGN_CHIP, lost=LOST), KEPT]
    for _ in range(OLD_CARD_TRIES - 1):
        events += [*AGAIN, ChipRead(FOREIGN_CHIP, lost=LOST), KEPT]
    journey, asked = walk(*events)
    assert (journey.stage, journey.fault) == (Stage.FAULT, FaultKind.OLD_CARD_REFUSED)
    assert any(isinstance(effect, IssueTicket) for effect in asked)
    assert Whereabouts.LOST_KEPT in whereabouts(journey)


@pytest.mark.parametrize("result", [Result.FAILED, Result.IN_DOUBT, Result.NOT_MOVED])
@pytest.mark.parametrize("before", [TO_ESCROW, TO_FOUND])
def test_a_lost_card_that_is_stuck_is_not_given_back(result: Result, before: tuple[Event, ...]) -> None:
    stuck = ended(Motion.RETAIN, Place.ESCROW, result, Fault.JAM)
    journey, asked = walk(*before, ChipRead(OLD_CHIP, lost=LOST), stuck)
    if result is not Result.NOT_MOVED:
        assert journey.stage is Stage.CLEARING
        inside = Cleared(True, journey.claim, Place.ESCROW, journey.new_place)
        assert walk(inside, ChipRead(None), start=journey)[0].stage is Stage.KEEPING_LOST, "the chip told before"
        journey, asked = walk(Cleared(False), tap(Action.TICKET), start=journey)
        assert whereabouts(journey)[-1] is Whereabouts.LOST_KEPT
        assert any(isinstance(effect, IssueTicket) for effect in asked)
    assert Motion.RETURN not in motions(asked)
    assert journey.stage is (Stage.DONE if before is TO_FOUND and result is Result.NOT_MOVED else Stage.FAULT)
    assert view_of(journey, seconds_left=None, warn=False, ways=Ways()).hand_in is False


def test_the_owner_of_a_replacement_hands_the_found_card_in_after_the_new_one_is_taken() -> None:
    journey, _ = walk(*TO_DONE)
    assert view_of(journey, seconds_left=None, warn=False, ways=Ways()).hand_in
    assert not view_of(journey, seconds_left=None, warn=False, ways=Ways(renewal=False)).hand_in
    journey, asked = walk(tap(Action.HAND_IN), *AGAIN, start=journey)
    assert motions(asked) == [Motion.OPEN, Motion.ACCEPT]
    assert view_of(journey, seconds_left=None, warn=False, ways=Ways()).hand_in
    journey, asked = walk(ChipRead(OLD_CHIP, lost=LOST), KEPT, start=journey)
    assert (journey.stage, journey.notice) == (Stage.DONE, Notice.LOST_CARD_KEPT)
    assert motions(asked) == [Motion.RETAIN]
    assert walk(tap(Action.HAND_IN), start=journey)[0].stage is Stage.DONE, "there is only one"


@pytest.mark.parametrize("chip", [NEW_CHIP, FOREIGN_CHIP, OLD_CHIP, None])
def test_another_card_comes_back_then_and_no_second_new_card_is_fetched(chip: object) -> None:
    journey, asked = walk(*TO_FOUND, ChipRead(chip), ended(Motion.RETURN, Place.THROAT), ThroatCleared())  # type: ignore[arg-type]
    assert journey.stage is Stage.ENDING
    assert motions(asked).count(Motion.PICK) == 1
    journey, asked = walk(ended(Motion.CLOSE, None), start=journey)
    assert (journey.stage, journey.fault, asked) == (Stage.DONE, None, [])


@pytest.mark.parametrize("event", [tap(Action.CANCEL), TimedOut()])
def test_whoever_has_no_card_after_all_ends_on_the_last_page(event: Event) -> None:
    journey, asked = walk(*TO_DONE, tap(Action.HAND_IN), ended(Motion.OPEN, None), event, ended(Motion.CLOSE, None))
    assert (journey.stage, journey.fault, journey.ticket) == (Stage.DONE, None, None)
    assert motions(asked)[-1] is Motion.CLOSE


def test_a_throat_that_stays_shut_sends_the_found_card_to_the_counter() -> None:
    journey, _ = walk(*TO_DONE, tap(Action.HAND_IN), ended(Motion.OPEN, None, Result.FAILED, Fault.MOTOR))
    assert (journey.stage, journey.notice) == (Stage.DONE, Notice.FOUND_AT_COUNTER)


def test_nobody_else_is_asked_for_a_found_card() -> None:
    for claim in (replace(REPLACEMENT, kind=ClaimKind.RENEWAL), None):
        journey = Journey(stage=Stage.DONE, claim=claim, new_place=Place.TAKEN)
        assert walk(tap(Action.HAND_IN), start=journey)[0].stage is Stage.DONE
