"""What a page tells holds in the state that shows it, and where it sends people they get on."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec
import pytest

from lockerd.model.cards import ClaimKind, LostReport
from lockerd.model.custody import Fault, Motion, Place, Result
from lockerd.model.policy import Collector, OwnerRows, Policy, Relation
from lockerd.model.view import Action, FaultKind, Notice, Progress, Screen, View, Ways, Whereabouts
from lockerd.pickup.screens import patience_of, view_of, whereabouts
from lockerd.pickup.state import (
    CardFailed,
    CardSeen,
    ChipRead,
    ClaimChecked,
    Journey,
    Patience,
    Stage,
    ThroatCleared,
    ThroatFilled,
    TimedOut,
)
from lockerd.web.catalogue import LANGUAGES, catalogue
from lockerd.web.render import render
from tests.pickup_walks import (
    CLAIM,
    FOREIGN_CHIP,
    NEW_CHIP,
    OLD_CHIP,
    TO_CONFIRM,
    TO_DONE,
    TO_EXIT,
    ended,
    match,
    tap,
    walk,
)

TEXT = catalogue("en")
WITH_CODE = (tap(Action.CODE, "12345678"),)
HANDED_IN = (
    tap(Action.HAND_IN),
    ended(Motion.OPEN, None),
    ThroatFilled(),
    ended(Motion.ACCEPT, Place.ESCROW),
)


def shown(journey: Journey, ways: Ways | None = None) -> View:
    return view_of(journey, seconds_left=None, warn=False, ways=ways or Ways())


def english(view: View) -> str:
    message = render(view, "en")
    return re.sub(r"<[^>]+>", "", message.html).replace("&#39;", "'") + message.say


def test_what_was_told_of_one_try_ends_and_hurries_nobody() -> None:
    wrong, _ = walk(*WITH_CODE, CardSeen(OLD_CHIP), ClaimChecked(None, attempts_left=3))
    assert (patience_of(wrong), patience_of(Journey())) == (Patience.ANSWER, Patience.ENDLESS)
    view = view_of(wrong, seconds_left=12, warn=True, ways=Ways())
    assert (view.notice, view.warn, view.seconds_left) == (Notice.CODE_WRONG, False, None)
    after, _ = walk(TimedOut(), start=wrong)
    assert (after.stage, after.notice, after.attempts_left) == (Stage.IDLE, None, None)
    assert after.visit > wrong.visit, "entered anew, so that its time is that of the page without a notice"


def test_after_the_last_try_nobody_is_told_to_try_again() -> None:
    page = english(View(Screen.CODE, notice=Notice.CODE_WRONG, attempts_left=0))
    assert TEXT("notice.code_wrong_last") in page
    assert "again" not in page
    assert "Tries left" not in page


def test_a_notice_names_only_what_is_possible() -> None:
    no_code, with_code = (tap(Action.NO_CODE),), WITH_CODE
    lost, _ = walk(*with_code, CardFailed(lost=True))
    assert shown(lost).notice is Notice.CARD_LOST
    assert shown(lost, Ways(number=False)).notice is Notice.CARD_LOST_COUNTER
    for start in (no_code, with_code):
        silent, _ = walk(*start, CardFailed(silent=True))
        assert shown(silent, Ways(reader=False)).notice is Notice.READER_DOWN
        assert shown(silent).notice is Notice.CARD_UNREADABLE, "the reader answers again: lay the card on it"


def test_where_the_code_is_locked_and_nothing_else_opens_no_card_is_asked_for() -> None:
    locked, _ = walk(*WITH_CODE, CardSeen(OLD_CHIP), ClaimChecked(None, locked=True))
    page = english(shown(locked, Ways(no_code=False)))
    assert TEXT("notice.code_locked_counter") in page
    assert TEXT("identify.title") not in page
    assert 'data-action="send_code"' not in render(shown(locked, Ways(no_code=False)), "en").html


@pytest.mark.parametrize(
    ("view", "key"),
    [
        (View(Screen.IDENTIFY, number_allowed=False, reader_available=False), "identify.stuck_text"),
        (
            View(Screen.IDENTIFY, notice=Notice.CODE_LOCKED, number_allowed=False, reader_available=False),
            "identify.stuck_text",
        ),
        (View(Screen.IDENTIFY, reader_available=False), "notice.reader_down"),
        (View(Screen.CODE, reader_available=False), "say.code_only"),
        (View(Screen.FACE, Progress.LOOKING, face_available=False), "face.unavailable"),
        (View(Screen.CONFIRM, for_other=True), "say.confirm_other"),
    ],
)
def test_what_is_spoken_is_what_the_page_says(view: View, key: str) -> None:
    for language in LANGUAGES:
        message = render(view, language)
        assert catalogue(language)(key) in message.say
        assert catalogue(language)("say.identify_card") not in message.say
        assert catalogue(language)("progress.looking") not in message.html


def test_who_collects_for_another_is_told_of_no_card_of_their_own() -> None:
    pages = [View(screen, renewal=renewal, for_other=True) for screen in LAST_STEPS for renewal in (True, False)]
    pages += [View(Screen.DONE, for_other=True, hand_in=True), View(Screen.TAKE, Progress.FETCHING, for_other=True)]
    pages += [View(Screen.OLD_CARD, notice=Notice.OLD_CARD_LOST, for_other=True)]
    pages += [
        View(Screen.FAULT, fault=fault, whereabouts=(place,), for_other=True)
        for fault in FaultKind
        for place in Whereabouts
    ]
    assert [view for view in pages if re.search(r"\byour (own )?(new|old|lost)\b", english(view), re.I)] == []


LAST_STEPS = (Screen.CONFIRM, Screen.OLD_CARD, Screen.TAKE, Screen.DONE)


def test_an_old_card_that_is_kept_already_is_announced_as_no_step() -> None:
    kept = match(replace(CLAIM, old_card_kept=True))
    journey, _ = walk(*TO_CONFIRM[:2], kept, TO_CONFIRM[3])
    assert TEXT("confirm.renewal").split(".", maxsplit=1)[0] not in english(shown(journey))
    done = msgspec.structs.replace(journey, stage=Stage.DONE, new_place=Place.TAKEN)
    assert TEXT("done.renewal") in english(shown(done))


def test_a_card_that_the_policy_leaves_to_the_counter_asks_for_nothing_here() -> None:
    nothing = match(CLAIM, policy=Policy(owner=OwnerRows(renewal=())))
    journey, _ = walk(*TO_CONFIRM[:2], nothing)
    assert (journey.stage, journey.fault) == (Stage.FAULT, FaultKind.MORE_NEEDED)
    assert shown(journey).fault is FaultKind.COUNTER_ONLY


@pytest.mark.parametrize("place", [None, Place.THROAT, Place.ESCROW, Place.BIN, Place.IN_DOUBT])
def test_a_card_that_nothing_names_is_told_of_too(place: Place | None) -> None:
    """A journey that goes on after a restart may know no claim, and still hold a card."""
    told = whereabouts(Journey(stage=Stage.FAULT, fault=FaultKind.POWER, old_card_id="old", old_place=place))
    assert (told == (Whereabouts.NONE,)) is (place is None)


def test_the_new_card_was_taken_back_only_if_it_lies_in_its_slot() -> None:
    late, _ = walk(*TO_EXIT, TimedOut(), ended(Motion.RETRACT, Place.TRANSPORT), ChipRead(NEW_CHIP))
    for at, told in ((Place.SLOT, FaultKind.NOT_TAKEN), (Place.IN_DOUBT, FaultKind.IN_DOUBT)):
        result = Result.DONE if at is Place.SLOT else Result.IN_DOUBT
        journey, _ = walk(ended(Motion.STORE, at, result, silent=result is not Result.DONE), start=late)
        journey, _ = walk(ended(Motion.RETURN, Place.THROAT), ThroatCleared(), ended(Motion.CLOSE, None), start=journey)
        assert (journey.stage, journey.fault, shown(journey).fault) == (Stage.FAULT, FaultKind.NOT_TAKEN, told)


@pytest.mark.parametrize("place", [Whereabouts.NEW_IN_DOUBT, Whereabouts.OLD_INSIDE, Whereabouts.OLD_IN_DOUBT])
@pytest.mark.parametrize("fault", FaultKind)
def test_nobody_is_sent_to_try_again_while_a_card_is_out_of_place(fault: FaultKind, place: Whereabouts) -> None:
    view = View(Screen.FAULT, fault=fault, whereabouts=(place,), ticket="4821-7730")
    for language, words in (("en", r"start again|come back|try again"), ("zh", "重新开始|再来|再试")):
        message = render(view, language)
        assert not re.search(words, message.say + message.html, re.I)


@pytest.mark.parametrize("place", [Whereabouts.OLD_AT_THROAT, Whereabouts.OLD_KEPT])
@pytest.mark.parametrize("fault", [FaultKind.MORE_NEEDED, FaultKind.OLD_CARD_REFUSED])
def test_nobody_is_asked_to_come_back_with_an_old_card_that_the_machine_has(
    fault: FaultKind, place: Whereabouts
) -> None:
    assert "come back" not in english(View(Screen.FAULT, fault=fault, whereabouts=(place,))).lower()


def test_a_jam_does_not_promise_a_pickup_that_is_over() -> None:
    stuck = View(Screen.FAULT, Progress.STUCK, fault=FaultKind.JAM)
    leaving = msgspec.structs.replace(stuck, ticket="4821-7730")
    assert TEXT("fault.stuck") in english(stuck)
    assert TEXT("fault.stuck") not in english(leaving)
    assert TEXT("fault.stuck_ends") in english(leaving)


def test_a_found_card_that_stays_inside_is_not_asked_for_at_the_counter() -> None:
    read = ChipRead(OLD_CHIP, lost=LostReport("L-7", None))
    stays = ended(Motion.RETAIN, Place.ESCROW, Result.FAILED, Fault.BIN_FULL)
    journey, _ = walk(*TO_DONE, *HANDED_IN, read, stays)
    assert (journey.stage, shown(journey).notice) == (Stage.DONE, Notice.LOST_CARD_KEPT)
    assert TEXT("done.replacement") not in english(shown(journey))


def test_a_slot_that_does_not_open_offers_itself_no_more() -> None:
    closed = ended(Motion.OPEN, None, Result.FAILED, Fault.BIN_FULL)
    journey, _ = walk(*TO_DONE, tap(Action.HAND_IN), closed)
    assert (journey.stage, journey.notice) == (Stage.DONE, Notice.FOUND_AT_COUNTER)
    assert not shown(journey).hand_in


def test_another_card_is_asked_for_only_while_it_can_be_inserted() -> None:
    returned = (ended(Motion.RETURN, Place.THROAT), ThroatCleared(), ended(Motion.CLOSE, None))
    journey, _ = walk(*TO_DONE)
    for last in (False, False, True):
        journey, _ = walk(*HANDED_IN, ChipRead(FOREIGN_CHIP), start=journey)
        assert TEXT("found.promise") not in english(shown(journey)), "it is being given back"
        journey, _ = walk(*returned, start=journey)
        told = None if last else Notice.OLD_CARD_NOT_YOURS
        assert (journey.stage, shown(journey).notice, shown(journey).hand_in) == (Stage.DONE, told, not last)


def test_a_collector_confirms_with_the_words_of_the_button() -> None:
    named = Collector(Relation.GUARDIAN, "N000001.1")
    journey, _ = walk(*WITH_CODE, CardSeen(FOREIGN_CHIP), match(CLAIM, named), TO_CONFIRM[3])
    said, button = render(shown(journey), "en").say, TEXT("button.confirm_other").lower()
    assert button.removeprefix("yes, ") in said
    assert CLAIM.kind is ClaimKind.RENEWAL
