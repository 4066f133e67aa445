"""The evidence of a journey: what the combination policy still asks for, and the rows that go on to it. Pure."""

from __future__ import annotations

import dataclasses

from msgspec.structs import replace

from lockerd.model.identity import FingerResult
from lockerd.model.policy import Combinations, Evidence
from lockerd.model.review import ReviewDecision
from lockerd.model.view import FaultKind, Notice
from lockerd.pickup.guards import Change, Do, Guard, Row, all_of, asks, nothing
from lockerd.pickup.state import (
    ClaimChecked,
    Event,
    FingerDecided,
    IssueTicket,
    Journey,
    ReviewDecided,
    Stage,
)

STEPS: dict[Evidence, Stage] = {
    Evidence.FACE: Stage.FACE,
    Evidence.REMOTE_REVIEW: Stage.CONSENT,
    Evidence.FINGERPRINT: Stage.FINGERPRINT,
}
"""What is asked for after the claim is known, in this order, and the stage that asks for it."""

FINGER_TRIES = 3

LOOKED_AT = frozenset({Evidence.FACE, Evidence.REMOTE_REVIEW})
"""Without one of these nothing opens, whatever a table says."""

_ENTRY = frozenset({Evidence.CODE, Evidence.ID_CARD, Evidence.NUMBER})


def missing(journey: Journey) -> Evidence | None:
    """What is to be shown next of the first combination that is still open; None when only the old card is left of it."""
    if not journey.opens:
        return None
    return next((one for one in STEPS if one in journey.opens[0] and one not in journey.shown), None)


def wants_old(journey: Journey, _event: Event) -> bool:
    """The combination that was shown asks for the predecessor, and it is not in the bin already."""
    kept = journey.claim is not None and journey.claim.old_card_kept
    return bool(journey.opens) and Evidence.OLD_CARD in journey.opens[0] and not kept


def take_claim(journey: Journey, event: Event) -> Journey:
    """Go on with the matched claim: what was shown is noted, the code is forgotten, and what cannot open is dropped."""
    if not isinstance(event, ClaimChecked) or event.claim is None:
        return journey
    shown = {Evidence.ID_CARD if journey.by_card else Evidence.NUMBER}
    if journey.code is not None:
        shown.add(Evidence.CODE)
    return replace(
        journey,
        claim=event.claim,
        collector=event.collector,
        code=None,
        notice=None,
        attempts_left=None,
        shown=frozenset(shown),
        opens=tuple(
            one
            for one in event.opens
            if _ENTRY & set(one) <= shown and not (event.no_finger and Evidence.FINGERPRINT in one)
        ),
        wanted=event.opens[0] if event.opens else (),
    )


def only_by_finger(journey: Journey, event: Event) -> bool:
    """What was shown would do, if the fingerprint sensor answered."""
    if not isinstance(event, ClaimChecked) or not event.no_finger:
        return False
    return bool(take_claim(journey, dataclasses.replace(event, no_finger=False)).opens)


def showing(evidence: Evidence) -> Change:
    """Note that this was shown."""
    return lambda journey, _event: replace(journey, shown=journey.shown | {evidence}, notice=None, attempts_left=None)


def without(evidence: Evidence) -> Change:
    """Drop every combination that needs this: it cannot be shown, or was not what it should be."""
    return lambda journey, _event: replace(
        journey, opens=_lacking(journey.opens, evidence), notice=None, attempts_left=None
    )


def _lacking(opens: Combinations, evidence: Evidence) -> Combinations:
    return tuple(one for one in opens if evidence not in one)


def going_on(
    source: Stage, on: type, label: str, when: Guard, change: Change, *to: Stage, do: Do = nothing
) -> tuple[Row, ...]:
    """The rows to whatever is asked for next after `change`, as far as it can be: a further evidence, or the confirmation."""

    def next_is(stage: Stage) -> Guard:
        def holds(journey: Journey, event: Event) -> bool:
            changed = change(journey, event)
            wanted = missing(changed)
            if wanted is None:
                return stage is Stage.CONFIRM and bool(changed.opens) and bool(changed.shown & LOOKED_AT)
            return STEPS[wanted] is stage

        return all_of(when, holds)

    return tuple(Row(source, on, stage, label + _NEXT.get(stage, ""), next_is(stage), change, do) for stage in to)


_NEXT = {stage: f", {evidence.replace('_', ' ')} wanted" for evidence, stage in STEPS.items()}


def otherwise(
    source: Stage, on: type, evidence: Evidence, label: str, fault: FaultKind, when: Guard, *to: Stage
) -> tuple[Row, ...]:
    """The rows of evidence that failed: another combination that is still open, as far as it can be, else the counter."""
    drop = without(evidence)

    def lost(journey: Journey, event: Event) -> Journey:
        return replace(drop(journey, event), fault=fault)

    return (
        *going_on(source, on, label, when, drop, *to),
        Row(source, on, Stage.FAULT, label, when, lost, asks(IssueTicket())),
    )


def decided(*wanted: ReviewDecision) -> Guard:
    """The office's review ended so."""
    return lambda _journey, event: isinstance(event, ReviewDecided) and event.decision in wanted


def finger(*wanted: FingerResult) -> Guard:
    """The comparison of the finger ended so."""
    return lambda _journey, event: isinstance(event, FingerDecided) and event.result in wanted


def finger_again(journey: Journey, event: Event) -> bool:
    """The finger was another's, and another try may follow."""
    return finger(FingerResult.NO_MATCH)(journey, event) and journey.finger_tries + 1 < FINGER_TRIES


def count_finger(journey: Journey, _event: Event) -> Journey:
    """Count a finger that did not do."""
    tries = journey.finger_tries + 1
    return replace(journey, finger_tries=tries, notice=Notice.FINGER_RETRY, attempts_left=FINGER_TRIES - tries)
