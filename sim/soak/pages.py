"""What the screen says to a citizen, against what is so: a ticket that the counter finds, success only with the card in the hand.

A page counts when its reader acts on it: until then the daemon may still be about to change it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sim.soak.door import Page
from sim.soak.seams import Fetch
from sim.soak.stage import Stage
from sim.soak.town import Resident
from sim.world import Place

_WORKING = frozenset({"recovering", "stuck", "closing", "finishing"})
"""Progress of a last page that is not the last word yet."""

CODE_SECONDS = 86400.0
"""For which a code opens at the least."""

_ISSUED = "SELECT claim_id FROM journey WHERE ticket = ?"


class Pages:
    """`wrong` is told of each breach; `doubtful` says of a real card that its record may be wrong for a reason that is no fault.

    A fault page bears a ticket; the ticket is that of a journey of its reader's claim, of one that could not be told whose it is,
    or of the claim of an old or lost card that the reader put in: after a restart the machine goes by what stands inside.
    Who reads that all is done has the new card. What a fault page says of a card that is kept, or with them, is so.
    """

    def __init__(
        self,
        stage: Stage,
        wrong: Callable[[str], None],
        doubtful: Callable[[str], bool],
        place_of: Callable[[str], str | None],
    ) -> None:
        self._town = stage.town
        self._world = stage.machine.world
        self._wrong = wrong
        self._doubtful = doubtful
        self._place_of = place_of
        self._shown: list[tuple[str, set[str], str]] = []  # person, claims, ticket, until the ledger is asked

    def told(self, kind: str, data: dict[str, object]) -> None:
        """One event: a code that was made in place of another makes it open what a message says."""
        if kind == "lockerd.code.reissued" and (resident := self._town.by_claim.get(str(data["claim_id"]))):
            resident.another_code = True

    def refused(self, resident: Resident) -> None:
        """Somebody typed the only code that was ever made for them, with their own number or card, and is told that it is wrong."""
        who, card = resident.who.person_id, resident.who.new_card.card_id
        young = asyncio.get_running_loop().time() - resident.code_since < CODE_SECONDS and not resident.another_code
        if young and self._place_of(card) == "slot" and not self._doubtful(card):
            self._wrong(f"{who} typed the code that {card} was announced with, and is told that it is wrong")

    def read(self, resident: Resident, page: Page, given: Sequence[str] = ()) -> None:
        """A citizen reads the last page of their journey, and is about to close it; `given` is what they put in, in order."""
        if page.progress in _WORKING or page.screen not in {"fault", "done"}:
            return
        who, new = resident.who.person_id, resident.who.new_card.card_id
        in_hand = self._world.spots[new].place is Place.PERSON
        if page.screen == "done" and not in_hand and not self._doubtful(new):
            self._wrong(f"{who} reads that all is done, and {new} is at {self._world.spots[new].place}")
        if page.screen == "fault":
            if page.ticket:
                owners = [self._town.by_old_card[card] for card in given if card in self._town.by_old_card]
                self._shown.append((who, {new, *(one.who.new_card.card_id for one in owners)}, page.ticket))
            else:
                self._wrong(f"{who} reads of a fault, and of no ticket for the counter")
            self._whereabouts(resident, page, given)

    def _whereabouts(self, resident: Resident, page: Page, given: Sequence[str]) -> None:
        new, old, lost = resident.who.new_card, resident.who.old_card, resident.who.lost_card
        gave = old is not None and list(given[-1:]) == [old.card_id]
        for word in page.whereabouts:
            card = new if word.startswith("new_") else lost if word == "lost_kept" else old
            if card is None or self._doubtful(card.card_id) or (word == "old_kept" and not gave):
                continue
            place = self._world.spots[card.card_id].place
            if word in _SAID and not _SAID[word](place):
                self._wrong(f"{resident.who.person_id} reads {word}, and {card.card_id} is at {place}")

    async def committed(self, fetch: Fetch) -> None:
        """Something became durable: so is each ticket that was shown."""
        shown, self._shown = self._shown, []
        for who, claims, ticket in shown:
            rows = await fetch(_ISSUED, ticket)
            if not any(row["claim_id"] in claims | {None} for row in rows):
                whose = ", ".join(str(row["claim_id"]) for row in rows) or "nobody's"
                self._wrong(f"{who} was shown ticket {ticket}, which is {whose} in the ledger")


_SAID: dict[str, Callable[[Place], bool]] = {
    "new_safe_inside": lambda place: place is not Place.PERSON,
    "old_with_you": lambda place: place is Place.PERSON,
    "old_kept": lambda place: place is Place.BIN,
    "lost_kept": lambda place: place is not Place.PERSON,
}
"""Where a card may really be by the words of a fault page; all other words leave it open."""
