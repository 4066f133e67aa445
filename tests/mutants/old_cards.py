"""Mutants of old cards: a lost one that is found, and under which name and on whose number an old card is kept."""

from __future__ import annotations

from tests.mutants.mutant import BUSY, Edit, Hunt, Mutant

FOUND = Hunt(1.0, slots=40, visits=500.0, faults=400.0, crowd="finders", only="unit_midway jam")
"""People who hand in what was lost, their own or another's, and recyclers that stop while it is inside."""

OLD_CARDS: tuple[Mutant, ...] = (
    Mutant(
        "lost-card-given-back",
        "Whoever found a card that was reported lost, or stole it, puts it in and gets it back.",
        (
            Edit(
                "lockerd.pickup.chips",
                "    return event.lost is not None or (event.chip is None and journey.lost is not None)\n",
                "    return False\n",
            ),
        ),
        FOUND,
    ),
    Mutant(
        "lost-card-given-back-after-a-restart",
        "A power cut while a lost card is inside, and it is offered to whoever stands there.",
        (
            Edit(
                "lockerd.journey.resuming",
                "        return await lost.report_of(tx, self.vault, chip) or await lost.flagged(tx, card_id)\n",
                "        return None\n",
            ),
        ),
        FOUND,
    ),
    Mutant(
        "lost-card-not-flagged",
        "A lost card lies in the bin like any other: the office looks for it, and its owner is not told.",
        (
            Edit(
                "lockerd.journey.moving",
                "            if Record.OLD_KEPT in effect.records and reported is not None and card_id is not None:\n",
                "            if Record.OLD_KEPT in effect.records and reported is None and False:\n",
            ),
        ),
        FOUND,
    ),
    Mutant(
        "lost-card-flagged-and-nobody-told",
        "Staff see on their page that a lost card was kept, and the office that took the report does not hear of it.",
        (
            Edit(
                "lockerd.store.lost",
                '    await journal.append(tx, "lockerd.old.reported_lost", told, stamp=stamp)\n',
                "    told.clear()\n",
            ),
        ),
        FOUND,
    ),
    Mutant(
        "lost-card-counts-for-who-brought-it",
        "Whoever hands in a stranger's lost card has handed in theirs: they get the new one and keep the old one.",
        (
            Edit(
                "lockerd.journey.moving",
                "        reported, kept_for = journey.lost, claim_id if journey.old_accepted else None\n",
                "        reported, kept_for = journey.lost, claim_id\n",
            ),
        ),
        FOUND,
    ),
    Mutant(
        "old-card-named-anew-at-each-restart",
        "The card in escrow gets one more name though its chip was read, and two people look for the one before for ever.",
        (
            Edit(
                "lockerd.journey.resuming",
                "        card_id = which_card(cards, place, by_chip, await lookups.last_in_recycler(tx))\n",
                "        card_id = None\n",
            ),
            Edit(
                "lockerd.journey.resuming",
                "            if card.place in _RECORDED and card.card_id != card_id:\n",
                "            if card.place in _RECORDED and card.place is not place:\n",
            ),
        ),
        BUSY,
    ),
    Mutant(
        "old-card-kept-on-the-visitors-number",
        "An old card that somebody else put in lies in the bin on the visitor's number: its owner's counts as never handed in.",
        (
            Edit(
                "lockerd.journey.moving",
                "                await ledger.name_owner(tx, card_id, kept_for)",
                "                await ledger.name_owner(tx, card_id, claim_id)",
            ),
        ),
        FOUND,
    ),
    Mutant(
        "old-card-name-given-twice",
        "After a restart old cards are numbered from the first again: two people's cards have one chain.",
        (
            Edit(
                "lockerd.app",
                "    async def begin(tx: Transaction) -> str:\n",
                "    async def begin(tx: Transaction) -> str:\n"
                "        await tx.execute(\"DELETE FROM meta WHERE key = 'last_old_card'\")\n",
            ),
            Edit(
                "lockerd.store.ledger",
                "        \"INSERT INTO card (card_id, role, claim_id, place, since) VALUES (?, 'old', ?, ?, ?)\",\n",
                "        \"INSERT INTO card (card_id, role, claim_id, place, since) VALUES (?, 'old', ?, ?, ?)\"\n"
                '        " ON CONFLICT (card_id) DO UPDATE SET claim_id = excluded.claim_id, place = excluded.place",\n',
            ),
        ),
        BUSY,
    ),
)
