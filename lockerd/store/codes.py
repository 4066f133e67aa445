"""Pickup codes: look-up secrets bound to one claim, salted, memory-hard, keyed, and tried at most five times a day.

Source: NIST SP 800-63B-4, 3.1.2 (look-up secrets) and 3.2.2 (rate limiting).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from lockerd.model.cards import Claim
from lockerd.model.policy import THE_OWNER, Collector, Relation
from lockerd.store import attempts, claims
from lockerd.store.database import Database, Row, Transaction
from lockerd.store.hashing import ALGORITHM, SALT_BYTES
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

DIGITS = 8
LIFETIME = 7 * 86400.0  # seconds
TRIES = 5
WINDOW = 86400.0  # seconds
COMPARED = 3
"""Claims that a code is compared with: one's own, and those that one may collect for others; always so many comparisons."""


class CodeResult(StrEnum):
    """What became of one try; WRONG also stands for an unknown number, an expired code and a consumed one."""

    MATCH = "match"
    WRONG = "wrong"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """The answer to one try. `claim` is set on MATCH only, with who the number's holder is to its owner."""

    result: CodeResult
    claim: Claim | None
    attempts_left: int
    collector: Collector = THE_OWNER


def new_code(randbelow: Callable[[int], int]) -> str:
    """A code of eight digits; `randbelow` comes from a CSPRNG (`secrets.randbelow`)."""
    return f"{randbelow(10**DIGITS):0{DIGITS}}"


async def issue(tx: Transaction, vault: Vault, claim_id: str, code: str, stamp: Stamp) -> float:
    """Bind a code to a claim in place of an earlier one and give its end (UTC seconds).

    Tries already made stay counted. Raises StoreError for an unknown claim.
    """
    expires = await attempts.effective_now(tx, stamp.wall) + LIFETIME
    salt = vault.entropy(SALT_BYTES)
    await tx.execute(
        "INSERT INTO code (claim_id, algorithm, salt, hash, expires) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (claim_id) DO UPDATE SET algorithm = excluded.algorithm, salt = excluded.salt,"
        " hash = excluded.hash, expires = excluded.expires, consumed = NULL",
        (claim_id, ALGORITHM, salt, await hashed(tx, vault, code, salt), expires),
    )
    return expires


async def check(db: Database, vault: Vault, id_number: str, code: str, stamp: Stamp) -> CodeCheck:
    """Try a code for whoever has this ID number: for their own claim, or one that they may collect.

    The try is durable before the comparison. An unknown number costs the same work and gets the same answer. Raises
    StoreError.
    """
    subject = vault.blind(id_number)

    async def begin(tx: Transaction) -> tuple[int, int] | None:
        return await attempts.record(
            tx, subject, await attempts.effective_now(tx, stamp.wall), limit=TRIES, window=WINDOW
        )

    begun = await db.transaction(begin)
    if begun is None:
        return CodeCheck(CodeResult.LOCKED, None, 0)
    attempt_id, left = begun

    async def compare(tx: Transaction) -> tuple[Claim | None, Collector]:
        found = await _matching(tx, vault, subject, code, stamp)
        if found is None:
            return None, THE_OWNER
        await attempts.forgive(tx, attempt_id)
        return await claims.by_id(tx, vault, found[0]), found[1]

    claim, collector = await db.transaction(compare)
    if claim is None:
        return CodeCheck(CodeResult.WRONG, None, left)
    return CodeCheck(CodeResult.MATCH, claim, left + 1, collector)


async def consume(tx: Transaction, claim_id: str, stamp: Stamp) -> None:
    """Let a claim's code open nothing more, in the transaction of the dispense intent; nothing happens without a code."""
    await tx.execute("UPDATE code SET consumed = ? WHERE claim_id = ?", (stamp.wall, claim_id))


async def reinstate(tx: Transaction, claim_id: str) -> None:
    """Let a consumed code open its claim again until its end: the card is back in a slot. Tries stay counted."""
    await tx.execute("UPDATE code SET consumed = NULL WHERE claim_id = ?", (claim_id,))


async def hashed(tx: Transaction, vault: Vault, secret: str, salt: bytes) -> bytes:
    """HMAC(device key, Argon2id(secret, salt)), worked out in the database's thread (about 40 ms)."""
    row = await tx.one("SELECT argon2id(?, ?) AS hash", (secret.encode(), salt))
    assert row is not None
    return vault.peppered(row["hash"])


async def _matching(
    tx: Transaction, vault: Vault, subject: bytes, code: str, stamp: Stamp
) -> tuple[str, Collector] | None:
    """The claim that the code opens, and who the subject is to it; the work is the same whatever of it exists."""
    rows: list[Row | None] = [
        *await tx.all(
            "SELECT * FROM (SELECT code.*, 'owner' AS relation, '' AS collector_id, since FROM claim JOIN code USING (claim_id)"
            " WHERE claim.id_index = ?1 AND state = 'stocked'"
            " UNION ALL SELECT code.*, relation, collector_id, since"
            " FROM collector JOIN claim USING (claim_id) JOIN code USING (claim_id)"
            " WHERE collector.id_index = ?1 AND state = 'stocked')"
            " ORDER BY collector_id <> '', since, claim_id LIMIT ?2",
            (subject, COMPARED),
        )
    ]
    now = await attempts.effective_now(tx, stamp.wall)
    found = None
    for row in rows + [None] * (COMPARED - len(rows)):
        salt = subject[:SALT_BYTES] if row is None else row["salt"]
        equal = hmac.compare_digest(await hashed(tx, vault, code, salt), bytes(32) if row is None else row["hash"])
        if row is not None and equal and row["consumed"] is None and now < row["expires"] and found is None:
            found = str(row["claim_id"]), Collector(Relation(row["relation"]), row["collector_id"])
    return found
