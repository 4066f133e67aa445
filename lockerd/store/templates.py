"""Face templates that stopped being comparable: after a change of the model pack the office is asked for photos again."""

from __future__ import annotations

from lockerd.store import journal
from lockerd.store.database import Transaction
from lockerd.store.journal import Stamp

_ASKED = "templates_asked_for"


async def ask_again(tx: Transaction, model_id: str, stamp: Stamp) -> int:
    """Tell the office, once for each change of model, of every claim with a template that another model made; gives their number.

    A claim that has no template was announced with a photo that nobody could use; it is not asked for again.
    """
    asked = await tx.one("SELECT value FROM meta WHERE key = ?", (_ASKED,))
    if asked is not None and asked["value"] == model_id:
        return 0
    rows = await tx.all(
        "SELECT claim_id FROM claim WHERE state IN ('expected', 'stocked') AND claim_id IN ("
        "SELECT claim_id FROM face_template WHERE model_id != ?1"
        " UNION SELECT claim_id FROM collector WHERE model_id != ?1) ORDER BY claim_id",
        (model_id,),
    )
    for row in rows:
        data = {"claim_id": row["claim_id"], "model": model_id}
        await journal.append(tx, "lockerd.template.wanted", data, stamp=stamp)
    await tx.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (_ASKED, model_id),
    )
    return len(rows)
