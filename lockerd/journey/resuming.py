"""An old card that stands in the recycler after a restart or a fault: whose it is, by evidence, and how its journey goes on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from lockerd.journey.reading import Readers, look_at_chip, read_chip
from lockerd.model.cards import HANDED_IN, Chip, Claim, ClaimState, LostReport
from lockerd.model.custody import Motion, Place, Result
from lockerd.model.view import FaultKind
from lockerd.pickup.chips import chip_is_predecessor, passes_for_predecessor
from lockerd.pickup.state import ChipRead, Effect, IssueTicket, Journey, Move, Record, Stage
from lockerd.store import claims, journeys, ledger, lookups, lost
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp
from lockerd.store.ledger import CardAt
from lockerd.store.vault import Vault

NOBODY_WAITS_SECONDS = 3600.0
"""After which whoever inserted a card no longer stands at the machine: what is offered then, anybody can take."""

_RECORDED = (Place.THROAT, Place.ESCROW)
_STEPS: dict[Motion, tuple[Stage, Stage]] = {
    Motion.OPEN: (Stage.OPENING, Stage.AWAIT_OLD),
    Motion.ACCEPT: (Stage.DRAWING_OLD, Stage.READING_OLD),
    Motion.PICK: (Stage.PICKING, Stage.CHECKING_NEW),
    Motion.PRESENT: (Stage.PRESENTING, Stage.AWAIT_TAKEN),
    Motion.RETRACT: (Stage.RETRACTING, Stage.CHECKING_RETRACTED),
    Motion.STORE: (Stage.RESTOWING, Stage.GIVING_BACK),
    Motion.CAPTURE: (Stage.CAPTURING, Stage.GIVING_BACK),
    Motion.RETURN: (Stage.GIVING_BACK, Stage.AWAIT_GIVEN_BACK),
    Motion.RETAIN: (Stage.KEEPING_OLD, Stage.KEEPING_OLD),
    Motion.CLOSE: (Stage.CLOSING, Stage.CLOSING),
}
"""By its last motion: the step at which a journey stopped when the motion was not DONE, and when it was."""


@dataclass(frozen=True, slots=True)
class Resume:
    """A journey to go on with, and what to do first: an old card still inside waits for its owner or the bin."""

    journey: Journey
    effects: tuple[Effect, ...]


def which_card(cards: Sequence[CardAt], seen: Place, by_chip: Collection[str], moved_last: str | None) -> str | None:
    """Which of the old cards in the path or in doubt is the one that the sensors see at `seen`; None where nothing tells.

    In this order: the chip (`by_chip` are the cards that it fits; entries of one person's visits are told apart by the record
    only), the record of a card in the path, and, where one card only is in doubt, that the recycler was ordered to move it
    last. Pure.
    """
    evident = [card for card in cards if card.card_id in by_chip] or list(cards)
    recorded = sorted((card for card in evident if card.place in _RECORDED), key=lambda card: card.place is not seen)
    if recorded:
        return recorded[0].card_id
    only = evident[0].card_id if len(evident) == 1 else None
    return only if only in by_chip or only == moved_last else None


def step_of(last: tuple[Motion, Result | None] | None) -> Stage | None:
    """At which step a journey stopped whose last motion ended so, for the ticket; None where nothing tells. Pure."""
    if last is None or last[0] not in _STEPS:
        return None
    under_way, after = _STEPS[last[0]]
    return after if last[1] is Result.DONE else under_way


@dataclass(frozen=True, slots=True)
class Resuming:
    """Names the card that stands in the recycler and makes the journey that brings it to its owner or into the bin."""

    db: Database
    vault: Vault
    readers: Readers
    stamp: Callable[[], Stamp]
    new_journey_id: Callable[[], str]

    async def of_card_at(self, place: Place) -> Resume:
        """Record the card that stands at THROAT or ESCROW, and give its journey.

        It goes back to its owner, unless it was reported lost, or the new card is in their hand or may be: it was on its way to
        the gate, and is in doubt. It is kept, too, where nobody waits for it any more: it was drawn in long ago, by whichever
        clock, or its claim is erased; and where nothing tells whose it is while a lost card is in doubt. A card that nothing names
        gets a name of its own, and those in doubt stay so. Where its chip does not tell whether it is the predecessor, or the
        claim is erased, it counts as that if the journey that drew it in had accepted it.
        """
        read = await look_at_chip(self.readers.throat) if place is Place.ESCROW else ChipRead(None, silent=True)
        chip = read.chip
        journey_id = self.new_journey_id()

        async def begin(tx: Transaction) -> tuple[str, Claim | None, ClaimState | None, bool, bool, Stage | None]:
            step = step_of(await lookups.last_at_recycler(tx))
            card_id, claim = await self._name(tx, place, chip, journey_id)
            long_ago = abs(self.stamp().wall - await lookups.last_drawn_in(tx, card_id)) > NOBODY_WAITS_SECONDS
            await journeys.begin(tx, journey_id, self.stamp())
            claim_id = await ledger.claim_of(tx, card_id)
            state = None
            if claim_id is not None:
                await journeys.attach(tx, journey_id, claim_id)
                state = await claims.state_of(tx, claim_id)
            untold = place is Place.ESCROW and (chip is None or claim is None)
            known = untold and await lookups.accepted(tx, card_id)
            erased = claim_id is not None and claim is None
            nameless = place is Place.ESCROW and chip is None and claim_id is None
            kept = long_ago or erased or (nameless and await lost.in_doubt(tx))
            return card_id, claim, state, known or passes_for_predecessor(read, claim), kept, step

        card_id, claim, state, accepted, left, step = await self.db.transaction(begin)
        collected = state is ClaimState.COLLECTED
        journey = Journey(
            journey_id=journey_id,
            stage=Stage.GIVING_BACK,
            claim=claim,
            old_card_id=card_id,
            old_place=place,
            old_accepted=accepted,
            new_place=Place.TAKEN if collected else None,
            fault=FaultKind.POWER,
            stopped=step,
        )
        if place is Place.THROAT:
            return Resume(replace(journey, stage=Stage.AWAIT_GIVEN_BACK), (IssueTicket(),))
        keep = Move(Motion.RETAIN, (Record.OLD_KEPT,))
        reported = await self.db.read(lambda tx: self._lost(tx, chip, card_id))
        if reported is not None:
            kept = replace(journey, stage=Stage.KEEPING_LOST, lost=reported)
            return Resume(replace(kept, fault=None), (keep,)) if collected else Resume(kept, (IssueTicket(), keep))
        if collected and (accepted if claim is None else claim.kind in HANDED_IN):
            return Resume(replace(journey, stage=Stage.KEEPING_OLD, fault=None), (keep,))
        if claim is not None and await self.db.read(lambda tx: lookups.lost_at_the_gate(tx, claim.claim_id)):
            kept = replace(journey, stage=Stage.KEEPING_FORGOTTEN, new_place=Place.IN_DOUBT, fault=FaultKind.IN_DOUBT)
            return Resume(kept, (IssueTicket(), keep))
        if left:
            return Resume(replace(journey, stage=Stage.KEEPING_FORGOTTEN), (IssueTicket(), keep))
        return Resume(journey, (IssueTicket(), Move(Motion.RETURN)))

    async def record(self, place: Place, journey_id: str) -> str:
        """In a journey: record the card that stands at THROAT or ESCROW, and give its name."""
        chip = await read_chip(self.readers.throat) if place is Place.ESCROW else None
        return (await self.db.transaction(lambda tx: self._name(tx, place, chip, journey_id)))[0]

    async def _lost(self, tx: Transaction, chip: Chip | None, card_id: str) -> LostReport | None:
        """What says that a card is lost: its chip now, or, when it was read before, the flag."""
        return await lost.report_of(tx, self.vault, chip) or await lost.flagged(tx, card_id)

    async def _name(
        self, tx: Transaction, place: Place, chip: Chip | None, journey_id: str
    ) -> tuple[str, Claim | None]:
        cards = [card for card in await ledger.cards_at(tx, *_RECORDED, Place.IN_DOUBT) if card.role == "old"]
        claim_of = {
            card.card_id: await claims.by_id(tx, self.vault, card.claim_id)
            for card in cards
            if card.claim_id is not None
        }
        by_chip = {card_id for card_id, claim in claim_of.items() if chip_is_predecessor(chip, claim)}
        card_id = which_card(cards, place, by_chip, await lookups.last_in_recycler(tx))
        if card_id is None:
            claim = (
                await claims.replacing(tx, self.vault, chip.id_number, chip.valid_from) if chip is not None else None
            )
            card_id = await ledger.add_old_card(tx, claim.claim_id if claim else None, journey_id, self.stamp(), place)
        else:
            claim = claim_of.get(card_id)
        for card in cards:
            if card.place in _RECORDED and card.card_id != card_id:
                await ledger.move(tx, card.card_id, Place.IN_DOUBT, self.stamp(), "another card stands in the recycler")
        if (await ledger.place_of(tx, card_id))[0] is not place:
            await ledger.move(
                tx, card_id, place, self.stamp(), "chip and sensor" if chip else "sensor after an interruption"
            )
        return card_id, claim
