"""What the chip of a card inside tells: whose it is, and whether it was reported lost; a silent reader tells nothing. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from lockerd.model.cards import Chip, Claim, ClaimKind
from lockerd.model.policy import Relation
from lockerd.model.view import Notice
from lockerd.pickup.guards import Row, all_of, asks, still_wanted
from lockerd.pickup.state import ChipRead, Event, Journey, ReadNew, ReadOld, Stage

LOOKS = 8  # at a card whose reader does not answer, a few seconds each


def chip_is_of_claim(chip: Chip | None, claim: Claim | None) -> bool:
    """Whether the chip is that of the claim's new card: same number and same start of validity."""
    return (
        chip is not None
        and claim is not None
        and chip.id_number == claim.person.id_number
        and chip.valid_from == claim.valid_from
    )


def chip_is_predecessor(chip: Chip | None, claim: Claim | None) -> bool:
    """Whether the chip is that of an older card of the claimant: same number, earlier start of validity."""
    return (
        chip is not None
        and claim is not None
        and chip.id_number == claim.person.id_number
        and chip.valid_from < claim.valid_from
    )


def passes_for_predecessor(read: ChipRead, claim: Claim | None) -> bool:
    """Whether a card is taken as a claim's predecessor: by its chip, or, where it was damaged, one whose chip no longer tells.

    A reader that does not answer knows of no card that it is damaged.
    """
    damaged = claim is not None and claim.kind is ClaimKind.DAMAGED
    return chip_is_predecessor(read.chip, claim) or (damaged and read.chip is None and not read.silent)


def is_new_card(journey: Journey, event: Event) -> bool:
    """The chip before the gate is the claim's new card."""
    return isinstance(event, ChipRead) and chip_is_of_claim(event.chip, journey.claim)


def is_predecessor(journey: Journey, event: Event) -> bool:
    """The card in escrow is taken as the claim's predecessor."""
    return isinstance(event, ChipRead) and passes_for_predecessor(event, journey.claim)


def is_lost(journey: Journey, event: Event) -> bool:
    """The card in escrow was reported lost; a chip that no longer answers does not undo that."""
    if not isinstance(event, ChipRead):
        return False
    return event.lost is not None or (event.chip is None and journey.lost is not None)


def lost(journey: Journey, event: Event) -> Journey:
    """Keep in mind what says that the card in escrow is lost, and whether it is also the one that was wanted."""
    if not isinstance(event, ChipRead):
        return journey
    if event.lost is None:
        return replace(journey, notice=None)
    wanted = still_wanted(journey, event) and is_predecessor(journey, event)
    counted = replace(journey, old_tries=journey.old_tries + 1, silences=0, notice=None)
    return replace(counted, lost=event.lost, old_accepted=wanted)


def lost_kept(journey: Journey, _event: Event) -> Journey:
    """A lost card that was not the one that was wanted is in the bin: another may be inserted."""
    return replace(journey, lost=None, old_card_id=None, old_place=None, notice=Notice.OLD_CARD_LOST)


def was_accepted(journey: Journey, _event: Event) -> bool:
    """The card that was handed in is the predecessor that was wanted."""
    return journey.old_accepted


def refused(journey: Journey, event: Event) -> Journey:
    """Count a card that is not the predecessor, and say why."""
    unreadable = isinstance(event, ChipRead) and event.chip is None
    own = journey.collector.relation is Relation.OWNER
    another = Notice.OLD_CARD_NOT_YOURS if own else Notice.OLD_CARD_NOT_THEIRS
    notice = Notice.OLD_CARD_UNREADABLE if unreadable else another
    counted = replace(journey, old_tries=journey.old_tries + 1, silences=0, notice=notice)
    return replace(counted, old_accepted=False, lost=None)


def unanswered(_journey: Journey, event: Event) -> bool:
    """The reader did not answer: nothing is known of the card, neither good nor bad."""
    return isinstance(event, ChipRead) and event.silent


def looks_left(journey: Journey, _event: Event) -> bool:
    """A silent reader is asked again."""
    return journey.silences + 1 < LOOKS


def asking_again(journey: Journey, _event: Event) -> Journey:
    """Count a look that the reader did not answer, and say so."""
    return replace(journey, silences=journey.silences + 1, notice=Notice.READER_ASKED)


def asked_again(source: Stage, look: ReadOld | ReadNew) -> Row:
    """The row of a chip reader that does not answer: it is asked a few times more, and the page says so."""
    return Row(
        source, ChipRead, source, "reader silent, asked again", all_of(unanswered, looks_left), asking_again, asks(look)
    )
