"""Claims: who may collect which card, encrypted at rest and found by a keyed hash of the ID number.

All functions work within the caller's transaction; the journey appends its own events.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lockerd.errors import StoreError
from lockerd.model.cards import Claim, ClaimKind, ClaimState, ManifestItem, Person
from lockerd.model.custody import Place, SlotState
from lockerd.model.identity import FaceTemplate, ReferenceKind
from lockerd.store import attempts, collectors, ledger, messages
from lockerd.store.collectors import Named
from lockerd.store.database import Row, Transaction
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault, erase

_CLAIMS = (
    "SELECT claim.*, wrapped, place, slot.slot, slot.state AS slot_state,"
    " (SELECT place FROM card AS old WHERE old.claim_id = claim.claim_id AND role = 'old'"
    " AND place IN ('throat', 'escrow', 'in_doubt') LIMIT 1) AS old_inside FROM claim"
    " LEFT JOIN data_key ON record = 'claim|' || claim.claim_id"
    " LEFT JOIN card ON card_id = claim.claim_id LEFT JOIN slot USING (card_id)"
)
"""Claims, each with the wrapped key of what is sealed in it and with where its card is."""


class _Sealed(msgspec.Struct, frozen=True):
    """What `claim.person` holds before sealing."""

    person: Person
    valid_from: str
    valid_to: str


async def put_item(
    tx: Transaction,
    vault: Vault,
    item: ManifestItem,
    template: FaceTemplate | None,
    stamp: Stamp,
    named: Sequence[Named] = (),
) -> bool:
    """Store an announced card and begin its custody at TRAY; again while EXPECTED, it replaces what was known.

    `named` are those who may collect beside the owner. Once STOCKED only they, and a template that is missing or of another
    model, are replaced, and only for the same ID number. Gives False, changing nothing, in all other cases.
    """
    known = await state_of(tx, item.claim_id)
    if known is ClaimState.STOCKED:
        if not await _is_of(tx, vault, item):
            return False
        enrolled = template is not None and await _enrol_again(tx, vault, item, template)
        return await collectors.put(tx, vault, item.claim_id, named) or enrolled
    if known not in (None, ClaimState.EXPECTED):
        return False
    key = await vault.create(tx, "claim", item.claim_id)
    sealed = _Sealed(Person(item.name, item.id_number, item.phone), item.valid_from, item.valid_to)
    await tx.execute(
        "INSERT INTO claim (claim_id, kind, state, id_index, person, since) VALUES (?, ?, 'expected', ?, ?, ?)"
        " ON CONFLICT (claim_id) DO UPDATE SET"
        " kind = excluded.kind, id_index = excluded.id_index, person = excluded.person, since = excluded.since",
        (
            item.claim_id,
            item.kind,
            vault.blind(item.id_number),
            key.seal("person", msgspec.json.encode(sealed)),
            stamp.wall,
        ),
    )
    if known is not None:
        await _erase_template(tx, item.claim_id)
    if template is not None:
        await _put_template(tx, vault, item.claim_id, template)
    if known is not None or named:
        await collectors.put(tx, vault, item.claim_id, named)
    if known is None:
        await ledger.add_new_card(tx, item.claim_id, stamp)
    return True


async def _is_of(tx: Transaction, vault: Vault, item: ManifestItem) -> bool:
    row = await tx.one("SELECT id_index FROM claim WHERE claim_id = ?", (item.claim_id,))
    return row is not None and row["id_index"] == vault.blind(item.id_number)


async def _enrol_again(tx: Transaction, vault: Vault, item: ManifestItem, template: FaceTemplate) -> bool:
    row = await tx.one("SELECT model_id FROM face_template WHERE claim_id = ?", (item.claim_id,))
    if row is not None and row["model_id"] == template.model_id:
        return False
    await _erase_template(tx, item.claim_id)
    await _put_template(tx, vault, item.claim_id, template)
    return True


async def _put_template(tx: Transaction, vault: Vault, claim_id: str, template: FaceTemplate) -> None:
    key = await vault.create(tx, "face_template", claim_id)
    await tx.execute(
        "INSERT INTO face_template (claim_id, model_id, vector, kind) VALUES (?, ?, ?, ?)",
        (claim_id, template.model_id, key.seal("vector", template.vector), template.kind),
    )


async def is_enrolled(tx: Transaction, claim_id: str) -> bool:
    """Whether there is a face template of a claim."""
    return await tx.one("SELECT 1 FROM face_template WHERE claim_id = ?", (claim_id,)) is not None


async def supply_template(tx: Transaction, vault: Vault, claim_id: str, template: FaceTemplate) -> bool:
    """Give a claim that is announced or stocked a template where it has none; whether it had none."""
    if await is_enrolled(tx, claim_id) or await state_of(tx, claim_id) not in (ClaimState.EXPECTED, ClaimState.STOCKED):
        return False
    await _put_template(tx, vault, claim_id, template)
    return True


async def withdraw(tx: Transaction, claim_id: str, stamp: Stamp) -> bool:
    """Take a claim back for the office; its card stays where it is.

    Gives False, changing nothing, when it is unknown, collected or withdrawn already.
    """
    if await state_of(tx, claim_id) not in (ClaimState.EXPECTED, ClaimState.STOCKED):
        return False
    await _set_state(tx, claim_id, ClaimState.WITHDRAWN, stamp)
    await tx.execute("DELETE FROM code WHERE claim_id = ?", (claim_id,))
    await messages.forget(tx, claim_id)
    return True


async def for_chip(tx: Transaction, vault: Vault, id_number: str, valid_from: str) -> Claim | None:
    """The claim of a new card that is found inside the machine, by its chip: announced, stocked or withdrawn.

    A collected one is not found: whoever took it put in another card, or the record is wrong, and staff have to look.
    """
    known = await _found(tx, vault, id_number, ClaimState.STOCKED, ClaimState.EXPECTED, ClaimState.WITHDRAWN)
    return next((claim for claim in known if claim.valid_from == valid_from), None)


async def replacing(tx: Transaction, vault: Vault, id_number: str, valid_from: str) -> Claim | None:
    """The claim of the new card that replaces an older one, by the older one's chip: stocked, announced or collected."""
    known = await _found(tx, vault, id_number, ClaimState.STOCKED, ClaimState.EXPECTED, ClaimState.COLLECTED)
    return next((claim for claim in known if valid_from < claim.valid_from), None)


async def stocked(tx: Transaction, claim_id: str, slot: int, stamp: Stamp) -> None:
    """The announced card lies in its slot: from now on it can be collected.

    Call it after the STORE intent is settled. Raises StoreError when the claim is not EXPECTED or the ledger does not have
    its card in that slot.
    """
    stocked = await tx.one(
        "UPDATE claim SET state = 'stocked', since = ?2 WHERE claim_id = ?1 AND state = 'expected' AND EXISTS"
        " (SELECT 1 FROM card JOIN slot USING (card_id) WHERE card_id = ?1 AND place = 'slot' AND slot = ?3) RETURNING 1",
        (claim_id, stamp.wall, slot),
    )
    if stocked is not None:
        return
    if await ledger.place_of(tx, claim_id) != (Place.SLOT, slot):
        raise StoreError(f"claim {claim_id}: the ledger does not have its card in slot {slot}")
    state = await state_of(tx, claim_id)
    raise StoreError(f"claim {claim_id} is {state or 'unknown'}, not {ClaimState.EXPECTED}")


async def for_id(tx: Transaction, vault: Vault, id_number: str) -> Claim | None:
    """The collectable claim of an ID number, the oldest first; None also for a number nobody has."""
    found = await all_for_id(tx, vault, id_number)
    return found[0] if found else None


async def all_for_id(tx: Transaction, vault: Vault, id_number: str) -> Sequence[Claim]:
    """The collectable claims of an ID number, the oldest first."""
    return await _found(tx, vault, id_number, ClaimState.STOCKED)


async def by_id(tx: Transaction, vault: Vault, claim_id: str) -> Claim | None:
    """A claim in whatever state; None when unknown or erased."""
    row = await tx.one(f"{_CLAIMS} WHERE claim.claim_id = ?", (claim_id,))
    return None if row is None else _claim(vault, row)


async def template(tx: Transaction, vault: Vault, claim_id: str) -> FaceTemplate | None:
    """The face template of a claim; None when there is none or it is erased."""
    row = await tx.one(
        "SELECT face_template.*, wrapped FROM face_template JOIN data_key ON record = 'face_template|' || claim_id"
        " WHERE claim_id = ?",
        (claim_id,),
    )
    key = None if row is None else vault.unwrap("face_template", claim_id, row["wrapped"])
    if row is None or key is None:
        return None
    return FaceTemplate(row["model_id"], key.open("vector", row["vector"]), ReferenceKind(row["kind"]))


async def collected(tx: Transaction, claim_id: str, stamp: Stamp) -> None:
    """The citizen has the card. Templates and collectors go at once, the rest within a day (`erase_collected`).

    Also for a claim WITHDRAWN while its card was on the way: the hand was faster. Raises StoreError for any other state.
    """
    taken = await tx.one(
        "UPDATE claim SET state = 'collected', since = ? WHERE claim_id = ? AND state IN ('stocked', 'withdrawn') RETURNING 1",
        (stamp.wall, claim_id),
    )
    if taken is None:
        raise StoreError(f"claim {claim_id} is {await state_of(tx, claim_id) or 'unknown'}, not {ClaimState.STOCKED}")
    await _erase_template(tx, claim_id)
    await collectors.forget(tx, claim_id)
    await tx.execute("DELETE FROM code WHERE claim_id = ?", (claim_id,))
    await messages.forget(tx, claim_id)


async def old_card_kept(tx: Transaction, claim_id: str) -> None:
    """The predecessor is in the bin; a later try of the same claim does not ask for it. Raises StoreError if unknown."""
    row = await tx.one("UPDATE claim SET old_card_kept = 1 WHERE claim_id = ? RETURNING claim_id", (claim_id,))
    if row is None:
        raise StoreError(f"there is no claim {claim_id}")


async def erase_collected(tx: Transaction, older_than: float) -> int:
    """Destroy the personal data of claims collected or withdrawn before `older_than` (UTC seconds); gives their number.

    Call `Database.truncate_wal` after it, so that the destroyed keys leave the disk.
    """
    rows = await tx.all(
        "SELECT claim_id, id_index FROM claim"
        " WHERE id_index IS NOT NULL AND state IN ('collected', 'withdrawn') AND since < ?",
        (older_than,),
    )
    for row in rows:
        await erase(tx, "claim", row["claim_id"])
        await _erase_template(tx, row["claim_id"])
        await collectors.forget(tx, row["claim_id"])
        await tx.execute("UPDATE claim SET person = NULL, id_index = NULL WHERE claim_id = ?", (row["claim_id"],))
        if await tx.one("SELECT 1 FROM claim WHERE id_index = ?", (row["id_index"],)) is None:
            await attempts.erase(tx, row["id_index"])
    return len(rows)


async def set_right(tx: Transaction, now: float) -> None:
    """What was collected after `now` was so at the latest now: the clock, now right (UTC seconds), was ahead."""
    await tx.execute(
        "UPDATE claim SET since = ?1 WHERE id_index IS NOT NULL AND state IN ('collected', 'withdrawn') AND since > ?1",
        (now,),
    )


async def _erase_template(tx: Transaction, claim_id: str) -> None:
    await erase(tx, "face_template", claim_id)
    await tx.execute("DELETE FROM face_template WHERE claim_id = ?", (claim_id,))


async def state_of(tx: Transaction, claim_id: str) -> ClaimState | None:
    """The state of a claim; None for an unknown one."""
    row = await tx.one("SELECT state FROM claim WHERE claim_id = ?", (claim_id,))
    return None if row is None else ClaimState(row["state"])


async def _set_state(tx: Transaction, claim_id: str, state: ClaimState, stamp: Stamp) -> None:
    await tx.execute("UPDATE claim SET state = ?, since = ? WHERE claim_id = ?", (state, stamp.wall, claim_id))


async def _found(tx: Transaction, vault: Vault, id_number: str, *states: ClaimState) -> Sequence[Claim]:
    """The claims of an ID number, those of the first of `states` first, the oldest of each first."""
    rows = await tx.all(f"{_CLAIMS} WHERE id_index = ? ORDER BY claim.since, claim.claim_id", (vault.blind(id_number),))
    rows = sorted((row for row in rows if row["state"] in states), key=lambda row: states.index(row["state"]))
    return [claim for row in rows if (claim := _claim(vault, row)) is not None]


def _claim(vault: Vault, row: Row) -> Claim | None:
    """The value of a row of _CLAIMS."""
    claim_id = row["claim_id"]
    key = vault.unwrap("claim", claim_id, row["wrapped"])
    if key is None or row["person"] is None:
        return None
    sealed = msgspec.json.decode(key.open("person", row["person"]), type=_Sealed)
    in_slot = row["place"] == Place.SLOT
    return Claim(
        claim_id=claim_id,
        kind=ClaimKind(row["kind"]),
        state=ClaimState(row["state"]),
        person=sealed.person,
        valid_from=sealed.valid_from,
        valid_to=sealed.valid_to,
        slot=row["slot"] if in_slot else None,
        old_card_kept=bool(row["old_card_kept"]),
        slot_blocked=in_slot and row["slot_state"] != SlotState.STOCKED,
        old_inside=Place(row["old_inside"]) if row["old_inside"] else None,
    )
