"""Offline checks of claims: their cards, codes and secrets; and of the journal's numbers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

Words = Iterator[str]


def claims(db: sqlite3.Connection) -> Words:
    """What a claim says and where its card is belong together; what was collected left no secret behind."""
    for row in db.execute(
        "SELECT claim.claim_id, claim.state, person IS NOT NULL AND id_index IS NOT NULL AS known, card.place,"
        " card.claim_id AS owner,"
        " EXISTS (SELECT 1 FROM code WHERE code.claim_id = claim.claim_id"
        " AND NOT (code.kind = 'letter' AND claim.state = 'expected')) AS code,"
        " EXISTS (SELECT 1 FROM face_template WHERE face_template.claim_id = claim.claim_id) AS template,"
        " EXISTS (SELECT 1 FROM collector WHERE collector.claim_id = claim.claim_id) AS collectors"
        " FROM claim LEFT JOIN card ON card.card_id = claim.claim_id ORDER BY claim.claim_id"
    ):
        yield from (f"claim {row['claim_id']} {words}" for words in _claim(row))
    for row in db.execute("SELECT card_id, claim_id FROM card WHERE role = 'new' AND card_id <> claim_id"):
        yield f"card {row['card_id']} is a new card, but belongs to claim {row['claim_id']}"


def _claim(row: sqlite3.Row) -> Words:
    state, place = row["state"], row["place"]
    if place is None or row["owner"] != row["claim_id"]:
        yield "has no card"
    elif state == "collected" and place != "taken":
        yield f"is collected, but its card is recorded at {place}"
    elif state in ("expected", "stocked") and place == "taken":
        yield f"is {state}, but its card was taken"
    elif state == "stocked" and place in ("tray", "load"):
        yield f"is stocked, but its card was never stored: it is recorded at {place}"
    elif state == "expected" and place in ("slot", "exit"):
        yield f"is expected, but its card is recorded at {place}: nobody was told to collect it"
    if row["code"] and state != "stocked":
        yield f"is {state}, but has a code"
    if row["template"] and state == "collected":
        yield "is collected, but its face template is still there"
    if row["collectors"] and state == "collected":
        yield "is collected, but who else might have collected it is still there"
    if not row["known"] and state in ("expected", "stocked"):
        yield f"is {state}, but whose it is was erased"


def codes(db: sqlite3.Connection) -> Words:
    """No code opens anything while its card is on its way to a hand, unless another was made since; a card is collected once."""
    for row in db.execute(
        "SELECT card.card_id, card.place, max(intent.opened) AS ordered FROM card JOIN code USING (claim_id)"
        " JOIN intent ON intent.card_id = card.card_id AND intent.motion = 'present'"
        " WHERE code.consumed IS NULL AND (place = 'exit' OR intent.result IS NULL) GROUP BY card.card_id ORDER BY 1"
    ):
        again = db.execute(
            "SELECT 1 FROM journal WHERE type = 'lockerd.code.reissued' AND data ->> 'claim_id' = ?", (row["card_id"],)
        ).fetchone()
        if again is None:
            yield f"card {row['card_id']} is offered (recorded at {row['place']}), but its code still opens"
    for row in db.execute(
        "SELECT data ->> 'claim_id' AS claim_id, count(*) AS n FROM journal WHERE type = 'lockerd.card.taken'"
        " GROUP BY 1 HAVING n > 1 ORDER BY 1"
    ):
        yield f"the office was told {row['n']} times that the card of claim {row['claim_id']} was taken"


_SEALED = {
    "claim": "SELECT claim_id FROM claim WHERE person IS NOT NULL",
    "face_template": "SELECT claim_id FROM face_template",
    "collector": "SELECT collector_id FROM collector WHERE vector IS NOT NULL",
    "message": "SELECT message_id FROM message WHERE phone IS NOT NULL OR text IS NOT NULL",
}


def keys(db: sqlite3.Connection) -> Words:
    """Each sealed record has its key, and a key that seals nothing is destroyed.

    In a backup keys may be missing: what was erased since is erased there by its key alone, until `lockerd restore` ends it.
    """
    backup = db.execute("SELECT 1 FROM meta WHERE key = 'epoch'").fetchone() is None
    sealed = {f"{table}|{row[0]}" for table, rows in _SEALED.items() for row in db.execute(rows)}
    keys = {str(row[0]) for row in db.execute("SELECT record FROM data_key")}
    for record in sorted(set() if backup else sealed - keys):
        yield f"the {record.replace('|', ' ')} is sealed, but its key is not there; a backup is put back by `lockerd restore` only"
    for record in sorted(keys - sealed):
        yield f"the key of {record.replace('|', ' ')} is still there, but nothing that it opens"
    for (message_id,) in db.execute(
        "SELECT message_id FROM message WHERE sent = 1 AND coalesce(phone, text) IS NOT NULL"
        " OR sent = 0 AND (phone IS NULL OR text IS NULL) ORDER BY message_id"
    ):
        yield f"message {message_id} is sent and was not erased, or was erased before it was sent"


def journal(db: sqlite3.Connection) -> Words:
    """No event is lost before the office has it, and the last one written is the last one numbered."""
    meta = {row["key"]: row["value"] for row in db.execute("SELECT key, value FROM meta")}
    last, acked = int(meta.get("last_seq", 0)), int(meta.get("acked_seq", 0))
    oldest, newest = db.execute("SELECT min(seq), max(seq) FROM journal").fetchone()
    if acked > last:
        yield f"the office acknowledged event {acked}, but the last one written is {last}"
    if (newest or last) != last:
        yield f"the last event in the journal is {newest}, but the last number given is {last}"
    if (oldest or last + 1) > acked + 1:
        yield f"events {acked + 1} to {(oldest or last + 1) - 1} are gone, but the office has not acknowledged them"
    named = db.execute("SELECT max(card_id) FROM card WHERE role = 'old' AND card_id GLOB 'old-*'").fetchone()[0]
    if named is not None and int(named.removeprefix("old-")) > int(meta.get("last_old_card", 0)):
        yield f"card {named} has a number that will be given again"
