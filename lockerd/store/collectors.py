"""Who may collect a card beside its owner: found by a keyed hash of their own ID number, recognised by a sealed template.

All functions work within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lockerd.model.identity import FaceTemplate, ReferenceKind
from lockerd.model.policy import Relation
from lockerd.store.database import Transaction
from lockerd.store.vault import Vault, erase


@dataclass(frozen=True, slots=True)
class Named:
    """Somebody whom the office named; `template` is None where the photo could not be used."""

    relation: Relation
    id_number: str = field(repr=False)
    template: FaceTemplate | None = field(repr=False)


async def put(tx: Transaction, vault: Vault, claim_id: str, named: Sequence[Named]) -> bool:
    """Let exactly these people collect a claim beside its owner; whether there are or were any."""
    before = await forget(tx, claim_id)
    for number, one in enumerate(named, start=1):
        collector_id = f"{claim_id}.{number}"
        vector = None
        if one.template is not None:
            key = await vault.create(tx, "collector", collector_id)
            vector = key.seal("vector", one.template.vector)
        await tx.execute(
            "INSERT INTO collector (collector_id, claim_id, relation, id_index, model_id, vector, kind)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                collector_id,
                claim_id,
                one.relation,
                vault.blind(one.id_number),
                one.template.model_id if one.template else None,
                vector,
                one.template.kind if one.template else ReferenceKind.PHOTO,
            ),
        )
    await tx.execute(
        "DELETE FROM code_hash WHERE claim_id = ?1"
        " AND id_index NOT IN (SELECT id_index FROM claim WHERE claim_id = ?1 AND id_index IS NOT NULL)"
        " AND id_index NOT IN (SELECT id_index FROM collector WHERE claim_id = ?1)",
        (claim_id,),
    )
    return before or bool(named)


async def forget(tx: Transaction, claim_id: str) -> bool:
    """Destroy what is known of a claim's collectors; whether there was anybody."""
    rows = await tx.all("DELETE FROM collector WHERE claim_id = ? RETURNING collector_id", (claim_id,))
    for row in rows:
        await erase(tx, "collector", row["collector_id"])
    return bool(rows)


async def template(tx: Transaction, vault: Vault, collector_id: str) -> FaceTemplate | None:
    """The face template of a collector; None when there is none or it is erased."""
    row = await tx.one("SELECT model_id, vector, kind FROM collector WHERE collector_id = ?", (collector_id,))
    key = await vault.open(tx, "collector", collector_id)
    if row is None or row["vector"] is None or key is None:
        return None
    return FaceTemplate(row["model_id"], key.open("vector", row["vector"]), ReferenceKind(row["kind"]))
