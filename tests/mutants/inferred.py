"""Mutants of what a restart, a fault or a lying sensor leaves to infer: where a card is that nobody saw move."""

from __future__ import annotations

from tests.mutants.mutant import BUSY, LIED, LIED_LONG, Edit, Mutant

INFERRED: tuple[Mutant, ...] = (
    Mutant(
        "resumed-journey-begun-twice",
        "After a power cut two sessions are responsible for the old card that stands inside, and one of them never ends.",
        (
            Edit(
                "lockerd.journey.session",
                "        self._resume = await self._recovery.after_restart()\n",
                "        await self._recovery.after_restart()\n"
                "        self._resume = await self._recovery.bring_to_rest()\n",
            ),
        ),
        BUSY,
    ),
    Mutant(
        "renewal-open-while-a-card-stands-in-the-path",
        "The next citizen is asked for an old card while another's stands in the throat or in escrow: the two are mixed up.",
        (
            Edit(
                "lockerd.condition",
                'renewal=not bad & {"recycler", "reader.throat", "bin"},',
                'renewal=not bad & {"reader.throat", "bin"},',
            ),
            Edit(
                "lockerd.journey.moving",
                "return None if seen.place is None else Fault.TARGET_OCCUPIED",
                "return None",
            ),
        ),
        LIED,
    ),
    Mutant(
        "slot-not-looked-into",
        "The slot that a card in doubt may be in stands at the picker, and it is recorded there unseen: its owner is sent a code.",
        (
            Edit(
                "lockerd.journey.recovery",
                "made.outcome.result is not Result.DONE or seen is None or Sensor.SLOT not in seen.sensors",
                "made.outcome.result is not Result.DONE or seen is None",
            ),
        ),
        LIED,
    ),
    Mutant(
        "one-hand-took-every-card-in-doubt",
        "The dispenser counted one hand, and each new card in doubt is recorded as collected: one that is still inside, too.",
        (
            Edit(
                "lockerd.journey.recovery",
                "if card.card_id == taken and card.place is not Place.TRANSPORT and card.claim_id is not None",
                'if counted and card.role == "new" and card.claim_id is not None',
            ),
        ),
        LIED_LONG,
    ),
    Mutant(
        "old-card-in-doubt-taken-because-none-is-seen",
        "An old card that no sensor sees is recorded as back in a hand: nobody looks for it, and its owner has none.",
        (
            Edit(
                "lockerd.journey.recovery",
                "        for card in await ledger.cards_at(tx, Place.THROAT, Place.ESCROW):\n",
                "        for card in await ledger.cards_at(tx, Place.THROAT, Place.ESCROW, Place.IN_DOUBT):\n"
                '            if card.role == "new" or (card.place is Place.IN_DOUBT and seen.place is not None):\n'
                "                continue\n",
            ),
            Edit(
                "lockerd.journey.recovery",
                "Place.TAKEN if offered and card.place is Place.THROAT and seen.place is None else",
                "Place.TAKEN if offered and seen.place is None else",
            ),
            Edit(
                "lockerd.journey.recovery",
                "            if target is Place.BIN:\n",
                "            if target is Place.BIN and card.place is not Place.IN_DOUBT:\n",
            ),
        ),
        LIED,
    ),
    Mutant(
        "unclear-path-counts-as-empty",
        "A recycler that cannot tell its place, for it sees two cards, is taken for empty: the one in the throat counts as taken.",
        (
            Edit(
                "lockerd.journey.recovery",
                "Place.TAKEN if offered and card.place is Place.THROAT and seen.place is None else",
                "Place.TAKEN if offered and card.place is Place.THROAT else",
            ),
        ),
        LIED,
    ),
    Mutant(
        "ticket-not-recorded",
        "Who goes home without a card holds a number that the counter does not find.",
        (
            Edit(
                "lockerd.journey.doing",
                "        ticket = await self.db.transaction(\n"
                "            lambda tx: journeys.issue_ticket(tx, journey.journey_id, reason, self.stamp(), step)\n"
                "        )\n",
                '        ticket = f"A-{len(reason + str(step)):04}"\n',
            ),
        ),
        BUSY,
    ),
)
