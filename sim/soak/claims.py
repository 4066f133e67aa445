"""What the claims say, against where their cards really are."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sim.soak.seams import Fetch
from sim.world import Place, Spots

_BELIED = """
SELECT claim_id, state FROM claim WHERE state = 'stocked' AND claim_id IN (SELECT value FROM json_each(?))
UNION ALL SELECT claim_id, state FROM claim WHERE state = 'collected' AND claim_id IN (SELECT value FROM json_each(?))
"""


async def belied(fetch: Fetch, claims: Mapping[str, object], spots: Spots) -> list[tuple[str, str]]:
    """Of these claims, each with its state: those that are stocked and in somebody's hand, or collected and not."""
    in_hand = claims.keys() & spots.at(Place.PERSON).keys()
    elsewhere = claims.keys() - in_hand
    rows = await fetch(_BELIED, msgspec.json.encode(in_hand).decode(), msgspec.json.encode(elsewhere).decode())
    return [(claim, state) for claim, state in rows]
