"""What each slot is recorded to hold, against the chains and the carousel: nearly all cards are found at home in one look."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from sim.soak.seams import Fetch
from sim.world import Spots

_SLOTS = "SELECT slot, state, slot.card_id, place FROM slot LEFT JOIN card USING (card_id)"
_IN_SLOTS = "SELECT count(*) FROM card WHERE place = 'slot'"
_ELSEWHERE = """
SELECT card_id, place, slot.slot, state FROM card LEFT JOIN slot USING (card_id)
WHERE place < 'removed' OR place > 'removed' AND place < 'slot' OR place > 'slot' AND place < 'taken' OR place > 'taken'
"""
_NOWHERE = """
SELECT card_id, place, NULL, NULL FROM card
WHERE place = 'slot' AND card_id NOT IN (SELECT card_id FROM slot WHERE card_id NOT NULL)
"""

Standing = tuple[str, str, int | None, str | None]
"""A card with its place, its slot if any, and that slot's state."""


async def looked_at(
    fetch: Fetch, chains: Mapping[str, tuple[str, int | None]], spots: Spots, suspects: AbstractSet[str]
) -> tuple[set[str | None], list[Standing], list[tuple[int, str]]]:
    """All slots, and all cards that did not leave: which are at home, the other cards, and the free slots that really hold one.

    At home: recorded in a stocked slot, by the end of its chain too, really there, and no one of the `suspects`.
    """
    home: set[str | None] = set()
    elsewhere: list[Standing] = []
    filled: list[tuple[int, str]] = []
    in_slots = 0
    for slot, state, card, place in await fetch(_SLOTS):
        there = spots.in_slot(slot)
        if card is None:
            if state == "free" and there is not None:
                filled.append((slot, there))
            continue
        if place != "slot":
            continue  # among those elsewhere
        in_slots += 1
        if there == card and state == "stocked" and chains.get(card) == ("slot", slot) and card not in suspects:
            home.add(card)
        else:
            elsewhere.append((card, place, slot, state))
    elsewhere += await fetch(_ELSEWHERE)
    if (await fetch(_IN_SLOTS))[0][0] != in_slots:
        elsewhere += await fetch(_NOWHERE)
    return home, elsewhere, filled
