"""From a stage to what the machine does meanwhile: page, patience, watch, light. Pure look-ups."""

from __future__ import annotations

from dataclasses import dataclass

from lockerd.model.cards import HANDED_IN, ClaimKind, masked_name, masked_number
from lockerd.model.custody import Place
from lockerd.model.policy import Relation
from lockerd.model.view import Action, FaultKind, Notice, Progress, Screen, Tap, View, Ways, Whereabouts
from lockerd.pickup.evidence import STEPS
from lockerd.pickup.guards import may_hand_in
from lockerd.pickup.state import Journey, Patience, Stage, Tapped, Watch
from lockerd.pickup.table import step


@dataclass(frozen=True, slots=True)
class StageRule:
    """What belongs to one stage: its page, how long it waits, what is watched, which light shows the way."""

    screen: Screen
    progress: Progress = Progress.NONE
    patience: Patience = Patience.ENDLESS
    watch: Watch = Watch.NOTHING
    light: str | None = None


STAGES: dict[Stage, StageRule] = {
    Stage.IDLE: StageRule(Screen.CODE),
    Stage.IDENTIFY: StageRule(Screen.IDENTIFY, patience=Patience.ANSWER, watch=Watch.READER, light="reader"),
    Stage.SENDING: StageRule(Screen.IDENTIFY, Progress.CHECKING),
    Stage.CHECKING: StageRule(Screen.IDENTIFY, Progress.CHECKING, light="reader"),
    Stage.FACE: StageRule(Screen.FACE, Progress.LOOKING, Patience.ANSWER, Watch.FACE, "camera"),
    Stage.CONSENT: StageRule(Screen.REVIEW, patience=Patience.ANSWER, light="camera"),
    Stage.REVIEWING: StageRule(Screen.REVIEW, Progress.REVIEWING, watch=Watch.REVIEW, light="camera"),
    Stage.FINGERPRINT: StageRule(Screen.FINGERPRINT, patience=Patience.ANSWER, watch=Watch.FINGERPRINT),
    Stage.CONFIRM: StageRule(Screen.CONFIRM, patience=Patience.ANSWER),
    Stage.OPENING: StageRule(Screen.OLD_CARD, Progress.OPENING, light="throat"),
    Stage.AWAIT_OLD: StageRule(Screen.OLD_CARD, patience=Patience.INSERT, watch=Watch.THROAT_FILLED, light="throat"),
    Stage.DRAWING_OLD: StageRule(Screen.OLD_CARD, Progress.READING_OLD_CARD),
    Stage.READING_OLD: StageRule(Screen.OLD_CARD, Progress.READING_OLD_CARD),
    Stage.KEEPING_LOST: StageRule(Screen.OLD_CARD, Progress.READING_OLD_CARD),
    Stage.REFUSING_OLD: StageRule(Screen.OLD_CARD, Progress.RETURNING_OLD_CARD, light="throat"),
    Stage.AWAIT_REFUSED: StageRule(
        Screen.OLD_CARD,
        Progress.RETURNING_OLD_CARD,
        Patience.GIVE_BACK,
        Watch.THROAT_CLEARED,
        "throat",
    ),
    Stage.CLOSING: StageRule(Screen.FAULT, Progress.CLOSING),
    Stage.PICKING: StageRule(Screen.TAKE, Progress.FETCHING),
    Stage.CHECKING_NEW: StageRule(Screen.TAKE, Progress.FETCHING),
    Stage.PRESENTING: StageRule(Screen.TAKE, Progress.FETCHING, light="exit"),
    Stage.AWAIT_TAKEN: StageRule(Screen.TAKE, patience=Patience.TAKE, watch=Watch.EXIT_CLEARED, light="exit"),
    Stage.KEEPING_OLD: StageRule(Screen.DONE, Progress.FINISHING),
    Stage.DONE: StageRule(Screen.DONE, patience=Patience.READ),
    Stage.ENDING: StageRule(Screen.DONE, Progress.CLOSING),
    Stage.RETRACTING: StageRule(Screen.FAULT, Progress.RECOVERING),
    Stage.CHECKING_RETRACTED: StageRule(Screen.FAULT, Progress.RECOVERING),
    Stage.RESTOWING: StageRule(Screen.FAULT, Progress.RECOVERING),
    Stage.CAPTURING: StageRule(Screen.FAULT, Progress.RECOVERING),
    Stage.GIVING_BACK: StageRule(Screen.FAULT, Progress.RETURNING_OLD_CARD, light="throat"),
    Stage.AWAIT_GIVEN_BACK: StageRule(
        Screen.FAULT,
        Progress.RETURNING_OLD_CARD,
        Patience.GIVE_BACK,
        Watch.THROAT_CLEARED,
        "throat",
    ),
    Stage.DRAWING_FORGOTTEN: StageRule(Screen.FAULT, Progress.RECOVERING),
    Stage.KEEPING_FORGOTTEN: StageRule(Screen.FAULT, Progress.RECOVERING),
    Stage.CLEARING: StageRule(Screen.FAULT, Progress.RECOVERING),
    Stage.JAMMED: StageRule(Screen.FAULT, Progress.STUCK, Patience.CLEAR),
    Stage.FAULT: StageRule(Screen.FAULT, patience=Patience.READ),
}


def patience_of(journey: Journey) -> Patience:
    """How long the page of a journey waits. The first page waits for ever; what it says of one citizen's try does not."""
    told = journey.stage is Stage.IDLE and journey.notice is not None
    return Patience.ANSWER if told else STAGES[journey.stage].patience


def whereabouts(journey: Journey) -> tuple[Whereabouts, ...]:
    """Where the citizen's new and old card are, as far as a fault page has to say it."""
    claim = journey.claim
    found = []
    if claim is not None and journey.new_place is not Place.TAKEN:
        found.append(_NEW.get(journey.new_place, Whereabouts.NEW_SAFE_INSIDE))
    old_place = journey.old_place or (claim.old_inside if claim is not None else None)
    kept_before = claim is not None and claim.old_card_kept and journey.old_place is None
    asked_for = claim is not None and claim.kind in HANDED_IN and not kept_before
    if journey.lost is not None:
        found.append(Whereabouts.LOST_KEPT)
    elif asked_for or old_place in _OLD:
        found.append(_OLD.get(old_place, Whereabouts.OLD_WITH_YOU))
    return tuple(found) or (Whereabouts.NONE,)


def _fault(journey: Journey) -> FaultKind | None:
    """The fault that the page tells of: that of the jam while it is waited for, and nothing that turned out otherwise."""
    if journey.stage in (Stage.CLEARING, Stage.JAMMED) and journey.jam is not None:
        return journey.jam.kind
    if journey.fault is FaultKind.MORE_NEEDED and not journey.wanted:
        return FaultKind.COUNTER_ONLY
    back = journey.stage is not Stage.FAULT or journey.new_place is Place.SLOT
    return FaultKind.IN_DOUBT if journey.fault is FaultKind.NOT_TAKEN and not back else journey.fault


def _notice(journey: Journey, ways: Ways) -> Notice | None:
    """What the page tells beside itself, as far as it holds with what is possible now."""
    match journey.notice:
        case Notice.CODE_LOCKED if not ways.no_code:
            return Notice.CODE_LOCKED_COUNTER
        case Notice.CARD_LOST if not ways.number:
            return Notice.CARD_LOST_COUNTER
        case Notice.READER_DOWN if ways.reader:  # it answers again, or something else hid what it read
            return Notice.CARD_UNREADABLE
    if journey.stage is not Stage.DONE or journey.claim is None or journey.claim.kind in HANDED_IN:
        return journey.notice
    if journey.lost is not None and journey.old_place in (Place.ESCROW, Place.BIN, Place.IN_DOUBT):
        return Notice.LOST_CARD_KEPT
    return None if journey.notice in _INSERT_ANOTHER and not may_hand_in(journey) else journey.notice


_INSERT_ANOTHER = frozenset({Notice.OLD_CARD_NOT_YOURS, Notice.OLD_CARD_NOT_THEIRS, Notice.OLD_CARD_UNREADABLE})
_NEW: dict[Place | None, Whereabouts] = {
    Place.EXIT: Whereabouts.NEW_AT_EXIT,
    Place.IN_DOUBT: Whereabouts.NEW_IN_DOUBT,
}
_OLD: dict[Place | None, Whereabouts] = {
    Place.THROAT: Whereabouts.OLD_AT_THROAT,
    Place.ESCROW: Whereabouts.OLD_INSIDE,
    Place.IN_DOUBT: Whereabouts.OLD_IN_DOUBT,
    Place.BIN: Whereabouts.OLD_KEPT,
}


def view_of(
    journey: Journey,
    *,
    seconds_left: int | None,
    warn: bool,
    ways: Ways,
) -> View:
    """The page of a journey; everything personal on it is masked."""
    rule = STAGES[journey.stage]
    first = journey.stage is Stage.IDLE  # nothing of it ends but a notice, and nobody has to hurry for that
    person = journey.claim.person if journey.claim and journey.stage is Stage.CONFIRM else None
    on_fault = rule.screen is Screen.FAULT
    hand_in = (
        may_hand_in(journey) and ways.renewal and journey.notice is not Notice.FOUND_AT_COUNTER
        if rule.screen is Screen.DONE
        else rule.screen is Screen.OLD_CARD and journey.new_place is Place.TAKEN
    )
    return View(
        screen=rule.screen,
        progress=rule.progress,
        notice=_notice(journey, ways),
        fault=_fault(journey) if on_fault else None,
        whereabouts=whereabouts(journey) if on_fault else (),
        ticket=journey.ticket,
        attempts_left=journey.attempts_left,
        seconds_left=None if first else seconds_left,
        warn=warn and not first,
        masked_name=masked_name(person.name) if person else "",
        masked_number=masked_number(person.id_number) if person else "",
        renewal=journey.claim is not None
        and journey.claim.kind in HANDED_IN
        and (rule.screen is Screen.DONE or not journey.claim.old_card_kept),
        damaged=journey.claim is not None and journey.claim.kind is ClaimKind.DAMAGED,
        for_other=journey.collector.relation is not Relation.OWNER,
        wanted=journey.wanted if journey.fault is FaultKind.MORE_NEEDED else (),
        hand_in=hand_in,
        no_code_allowed=ways.no_code,
        number_allowed=journey.code is not None and ways.number,
        reader_available=ways.reader,
        face_available=ways.face,
        renewal_available=ways.renewal,
        finger_available=ways.finger,
        another_way=_another_way(journey),
    )


def _another_way(journey: Journey) -> bool:
    """Whether the table goes on with another evidence for who does not want the one that is asked for."""
    if journey.stage not in STEPS.values():
        return False
    return step(journey, Tapped(Tap(Action.OTHER_WAY)))[0].stage is not Stage.FAULT
