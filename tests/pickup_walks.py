"""Walks through the journey's table: synthetic people, the events of each step, and what was asked for on the way."""

from __future__ import annotations

from dataclasses import replace

from firmware_protocol.idnumber import check_digit
from lockerd.model.cards import Chip, Claim, ClaimKind, ClaimState, Person
from lockerd.model.custody import Fault, Motion, Observation, Outcome, Place, Result, Unit
from lockerd.model.identity import FaceReason, FaceResult, FaceVerdict
from lockerd.model.policy import Collector, Evidence, OwnerRows, Policy
from lockerd.model.view import Action, Tap
from lockerd.pickup.state import (
    CardSeen,
    ChipRead,
    ClaimChecked,
    Event,
    ExitCleared,
    FaceDecided,
    Journey,
    MotionEnded,
    Move,
    Tapped,
    ThroatFilled,
)
from lockerd.pickup.table import step

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


def ended(
    motion: Motion,
    place: Place | None,
    result: Result = Result.DONE,
    fault: Fault | None = None,
    *,
    silent: bool = False,
) -> MotionEnded:
    observation = None if silent else seen(None if place is Place.TAKEN else place, fault)
    return MotionEnded(motion, Outcome(result, fault, observation), place, "old-000001")


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
TO_DONE: tuple[Event, ...] = (
    *TO_CONFIRM[:2],
    match(REPLACEMENT),
    TO_CONFIRM[3],
    tap(Action.CONFIRM),
    ended(Motion.PICK, Place.TRANSPORT),
    ChipRead(NEW_CHIP),
    ended(Motion.PRESENT, Place.EXIT),
    ExitCleared(),
)


def walk(*events: Event, start: Journey | None = None) -> tuple[Journey, list[object]]:
    journey = start or Journey(journey_id="j")
    asked: list[object] = []
    for event in events:
        journey, effects = step(journey, event)
        asked += effects
    return journey, asked


def motions(asked: list[object]) -> list[Motion]:
    return [effect.motion for effect in asked if isinstance(effect, Move)]


REVIEWED = OwnerRows(
    replacement=(
        (Evidence.ID_CARD, Evidence.FACE),
        (Evidence.CODE, Evidence.ID_CARD, Evidence.REMOTE_REVIEW),
    )
)
FINGERED = OwnerRows(
    replacement=(
        (Evidence.ID_CARD, Evidence.FACE, Evidence.FINGERPRINT),
        (Evidence.CODE, Evidence.ID_CARD, Evidence.FACE, Evidence.REMOTE_REVIEW),
    )
)
