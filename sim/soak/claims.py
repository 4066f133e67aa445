"""What the claims say, against where their cards really are."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sim.soak.seams import Fetch
from sim.world import Place, Spots

_BELIED = """
SELECT claim_id, state FROM claim WHERE state = 'stocked' AND claim_id IN (SELECT value FROM json_each(?))
UNION ALL SELECT claim_id, state FROM claim WHERE state = 'collected' AND claim_id IN (SELECT value FROM json_each(?))
"""


async def belied(fetch: Fetch, claims: Iterable[str], spots: Spots) -> list[tuple[str, str]]:
    """Of these claims, each with its state: those that are stocked and in somebody's hand, or collected and not."""
    in_hand: list[str] = []
    elsewhere: list[str] = []
    for claim in claims:
        (in_hand if spots[claim].place is Place.PERSON else elsewhere).append(claim)
    rows = await fetch(_BELIED, msgspec.json.encode(in_hand).decode(), msgspec.json.encode(elsewhere).decode())
    return [(claim, state) for claim, state in rows]
