"""What of a journey is told to the office: the event of each motion, what was shown, and that the new card was taken."""

from __future__ import annotations

from collections.abc import Mapping

from lockerd.model.custody import Motion, Place
from lockerd.model.policy import Evidence
from lockerd.pickup.state import Journey
from lockerd.store import claims, journal, journeys, ledger
from lockerd.store.database import Transaction
from lockerd.store.journal import JSON, Stamp

EVENTS: Mapping[Motion, str] = {
    Motion.PRESENT: "lockerd.card.presented",
    Motion.RETRACT: "lockerd.card.retracted",
    Motion.STORE: "lockerd.card.restowed",
    Motion.CAPTURE: "lockerd.card.captured",
    Motion.ACCEPT: "lockerd.old.inserted",
    Motion.RETURN: "lockerd.old.returned",
    Motion.RETAIN: "lockerd.old.retained",
}
"""The office's event for each motion that is DONE in a journey."""


def opened_by(journey: Journey) -> dict[str, JSON]:
    """What the journal says of evidence: who collects which card, and what was shown."""
    return {
        "claim_id": journey.claim.claim_id if journey.claim else None,
        "journey_id": journey.journey_id,
        "relation": journey.collector.relation,
        "collector_id": journey.collector.collector_id or None,
        "evidence": sorted(journey.shown | ({Evidence.OLD_CARD} if journey.old_accepted else set())),
    }


async def record_taken(tx: Transaction, claim_id: str, journey_id: str, stamp: Stamp, reason: str) -> None:
    """The new card is in the citizen's hand: place, total, claim and the office's event in one transaction."""
    await ledger.move(tx, claim_id, Place.TAKEN, stamp, reason=reason)
    await ledger.count_taken(tx)
    await claims.collected(tx, claim_id, stamp)
    data = {"claim_id": claim_id, "card_id": claim_id, "journey_id": journey_id}
    collector = await journeys.collector_of(tx, claim_id)
    if collector is not None:
        data["relation"] = collector.relation
        if collector.collector_id:
            data["collector_id"] = collector.collector_id
    await journal.append(tx, "lockerd.card.taken", data, stamp=stamp)
