"""The audit chain: each event and each link of custody carries the hash of its predecessor, so history is not changed unseen.

What a hash covers: `lockerd.store.hashing.chained` over the row's other columns in the order of the table.
What retention deletes is a beginning of the chain; its anchor keeps where the rest begins. A nightly checkpoint tells the
office how far both chains reach: whoever holds that can prove the rest against somebody who rewrote the whole file.
"""

from __future__ import annotations

from enum import StrEnum

from lockerd.store.database import Transaction


class Chain(StrEnum):
    """A table whose rows are chained."""

    JOURNAL = "journal"
    CARD_MOVE = "card_move"


_KEY = {Chain.JOURNAL: "seq", Chain.CARD_MOVE: "move_id"}


async def anchor(tx: Transaction, chain: Chain, upto: int, wall: float) -> None:
    """Let the chain begin after row `upto`, whose hash is kept; the caller deletes that row and all before it."""
    await tx.execute(
        f"UPDATE audit_anchor SET upto = ?1, wall = ?2, hash = (SELECT hash FROM {chain} WHERE {_KEY[chain]} = ?1)"  # noqa: S608 constants
        " WHERE chain = ?3",
        (upto, wall, chain),
    )


async def heads(tx: Transaction) -> dict[str, dict[str, int | str]]:
    """How far each chain reaches: the number of its last row as "upto", and that row's hash in hexadecimal digits."""
    found: dict[str, dict[str, int | str]] = {}
    for chain, key in _KEY.items():
        row = await tx.one(
            f"SELECT {key} AS upto, hash FROM {chain} UNION ALL"  # noqa: S608 constants
            f" SELECT upto, hash FROM audit_anchor WHERE chain = '{chain}' ORDER BY upto DESC LIMIT 1"
        )
        assert row is not None
        found[chain.value] = {"upto": row["upto"], "hash": row["hash"].hex()}
    return found
