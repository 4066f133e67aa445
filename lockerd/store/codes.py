"""Pickup codes: look-up secrets bound to one claim, salted, memory-hard, keyed, and tried at most five times a day.

Source: NIST SP 800-63B-4, 3.1.2 (look-up secrets) and 3.2.2 (rate limiting).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from lockerd.model.cards import Claim
from lockerd.store import attempts, claims
from lockerd.store.database import Database, Transaction
from lockerd.store.hashing import ALGORITHM, SALT_BYTES
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

DIGITS = 8
LIFETIME = 7 * 86400.0  # seconds
TRIES = 5
WINDOW = 86400.0  # seconds


class CodeResult(StrEnum):
    """What became of one try; WRONG also stands for an unknown number, an expired code and a consumed one."""

    MATCH = "match"
    WRONG = "wrong"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """The answer to one try. `claim` is set on MATCH only."""

    result: CodeResult
    claim: Claim | None
    attempts_left: int


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
    """Try a code for whoever has this ID number.

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

    async def compare(tx: Transaction) -> Claim | None:
        claim_id = await _matching(tx, vault, subject, code, stamp)
        if claim_id is None:
            return None
        await attempts.forgive(tx, attempt_id)
        return await claims.by_id(tx, vault, claim_id)

    claim = await db.transaction(compare)
    if claim is None:
        return CodeCheck(CodeResult.WRONG, None, left)
    return CodeCheck(CodeResult.MATCH, claim, left + 1)


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


async def _matching(tx: Transaction, vault: Vault, subject: bytes, code: str, stamp: Stamp) -> str | None:
    """The claim that the code opens; the work is the same whether or not the number and its code exist."""
    row = await tx.one(
        "SELECT code.* FROM claim JOIN code USING (claim_id) WHERE id_index = ? AND state = 'stocked'"
        " ORDER BY claim.since, claim_id LIMIT 1",
        (subject,),
    )
    now = await attempts.effective_now(tx, stamp.wall)
    salt = subject[:SALT_BYTES] if row is None else row["salt"]
    equal = hmac.compare_digest(await hashed(tx, vault, code, salt), bytes(32) if row is None else row["hash"])
    if row is None or not equal or row["consumed"] is not None or now >= row["expires"]:
        return None
    return str(row["claim_id"])
