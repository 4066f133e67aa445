"""Pickup and letter codes: look-up secrets bound to one claim, salted, memory-hard, keyed, tried at most five times a day.

The salt is that of the person who types: so one memory-hard hash is compared with every code that the person could mean, and
a code is kept once for each person who may type it.

Source: NIST SP 800-63B-4, 3.1.2 (look-up secrets) and 3.2.2 (rate limiting).
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lockerd.model.cards import Claim
from lockerd.model.policy import THE_OWNER, Collector, Relation
from lockerd.store import attempts, claims
from lockerd.store.database import Database, Row, Transaction
from lockerd.store.hashing import ALGORITHM
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

DIGITS = 8
TRIES = 5
WINDOW = 86400.0  # seconds
MOST_IN_A_ROW = 100
"""Wrong tries in a row after which no code opens anything for this number any more; a new code does not set them back."""
BACK_OFF = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds between a try and its comparison, by the number of wrong tries within the window before it."""
COMPARED = 16
"""Claims that a code is compared with: one's own, and those that one may collect for others; always so many comparisons."""
CODE_ALGORITHM = f"{ALGORITHM}/salt-by-person"
"""Identifier stored with each code; one of another algorithm opens nothing and is replaced."""

_STAND_INS: Sequence[Mapping[str, Any]] = ({"hash": bytes(32), "consumed": 0.0},) * COMPARED
"""What is compared where there are fewer codes; it opens nothing."""

_MAY_COLLECT = (
    "SELECT id_index FROM claim WHERE claim_id = ?1 AND id_index IS NOT NULL"
    " UNION SELECT id_index FROM collector WHERE claim_id = ?1"
)
_HASH = "SELECT CASE WHEN ?1 IS NOT NULL THEN argon2id(?1, ?2) END AS hash"


class CodeKind(StrEnum):
    """How a code reaches the citizen; each kind has its own length, so that a typed code tells its kind."""

    PICKUP = "pickup"  # made here, sent by SMS
    LETTER = "letter"  # made by the office, printed in a letter


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


def kind_of(code: str) -> CodeKind:
    """The kind of a typed code, by its length."""
    return CodeKind.PICKUP if len(code) == DIGITS else CodeKind.LETTER


async def issue(tx: Transaction, vault: Vault, claim_id: str, code: str, expires: float | None) -> None:
    """Bind a code to a claim in place of an earlier one of its kind; `expires` is UTC seconds, None for not yet begun.

    Tries already made stay counted. While the claim's codes are consumed, so is this one: its card is out of its slot, perhaps on
    the way into a hand, and `reinstate` wakes both. Raises StoreError for an unknown claim.
    """
    kind = kind_of(code)
    await tx.execute(
        "INSERT INTO code (claim_id, kind, algorithm, expires, consumed)"
        " VALUES (?1, ?2, ?3, ?4, (SELECT max(consumed) FROM code WHERE claim_id = ?1))"
        " ON CONFLICT (claim_id, kind) DO UPDATE SET algorithm = excluded.algorithm,"
        " expires = excluded.expires, consumed = excluded.consumed, end_told = 0",
        (claim_id, kind, CODE_ALGORITHM, expires),
    )
    await tx.execute("DELETE FROM code_hash WHERE claim_id = ? AND kind = ?", (claim_id, kind))
    for row in await tx.all(f"{_MAY_COLLECT} ORDER BY id_index", (claim_id,)):
        subject = row["id_index"]
        await tx.execute(
            "INSERT INTO code_hash (claim_id, kind, id_index, hash) VALUES (?, ?, ?, ?)",
            (claim_id, kind, subject, await hashed(tx, vault, code, vault.salt(subject))),
        )


async def lacks_for_someone(tx: Transaction, claim_id: str) -> bool:
    """Whether somebody who may collect the claim has no code of it, for they were named after it was made."""
    row = await tx.one(
        f"SELECT 1 FROM ({_MAY_COLLECT}) WHERE id_index NOT IN (SELECT id_index FROM code_hash WHERE claim_id = ?1)",  # noqa: S608 a constant
        (claim_id,),
    )
    return row is not None


async def outdated(tx: Transaction) -> list[tuple[str, CodeKind]]:
    """Delete the codes of another algorithm than today's, which open nothing: of which claims and kinds they were."""
    rows = await tx.all("DELETE FROM code WHERE algorithm <> ? RETURNING claim_id, kind", (CODE_ALGORITHM,))
    return sorted((row["claim_id"], CodeKind(row["kind"])) for row in rows)


async def forget(tx: Transaction, claim_id: str, kind: CodeKind) -> None:
    """Let a claim that is only announced have no code of this kind; others keep theirs."""
    await tx.execute(
        "DELETE FROM code WHERE claim_id = ?1 AND kind = ?2"
        " AND EXISTS (SELECT 1 FROM claim WHERE claim_id = ?1 AND state = 'expected')",
        (claim_id, kind),
    )


async def extend(tx: Transaction, claim_id: str, kind: CodeKind, expires: float) -> float | None:
    """Let a claim's code live until `expires` (UTC seconds), never shorter, also one that has expired or not yet begun.

    Gives its end, None where the claim has no code of this kind.
    """
    row = await tx.one(
        "UPDATE code SET expires = max(coalesce(expires, 0), ?), end_told = 0 WHERE claim_id = ? AND kind = ?"
        " RETURNING expires",
        (expires, claim_id, kind),
    )
    return None if row is None else float(row["expires"])


async def set_right(
    tx: Transaction, now: float, lifetimes: Mapping[CodeKind, float]
) -> list[tuple[str, CodeKind, float]]:
    """The clock was ahead, and `now` (UTC seconds) is right: no code ends more than its lifetime from now.

    Gives claim, kind and new end of the collectable ones that would have. An end that was told too early is told again.
    """
    found = []
    for kind, seconds in sorted(lifetimes.items()):
        rows = await tx.all(
            "UPDATE code SET expires = ?1 WHERE kind = ?2 AND expires > ?1 + ?3 RETURNING claim_id,"
            " EXISTS (SELECT 1 FROM claim WHERE claim.claim_id = code.claim_id AND state = 'stocked') AS waits",
            (now + seconds, kind, attempts.AHEAD_SECONDS),
        )
        found += [(str(row["claim_id"]), kind, now + seconds) for row in rows if row["waits"]]
    await tx.execute("UPDATE code SET end_told = 0 WHERE end_told = 1 AND expires > ?", (now,))
    return sorted(found)


async def ended(tx: Transaction, stamp: Stamp) -> list[tuple[str, CodeKind]]:
    """Codes of collectable claims that expired before `stamp` since this was last asked, each once."""
    rows = await tx.all(
        "UPDATE code SET end_told = 1 WHERE expires <= ? AND end_told = 0"
        " AND EXISTS (SELECT 1 FROM claim WHERE claim.claim_id = code.claim_id AND state = 'stocked')"
        " RETURNING claim_id, kind",
        (await attempts.effective_now(tx, stamp),),
    )
    return sorted((row["claim_id"], CodeKind(row["kind"])) for row in rows)


async def check(
    db: Database,
    vault: Vault,
    id_number: str,
    code: str,
    stamp: Stamp,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> CodeCheck:
    """Try a code for whoever has this ID number: for their own claim, or one that they may collect.

    The try is durable before the comparison, and after wrong ones `pause` waits between the two. An unknown number costs the
    same work and gets the same answer. Raises StoreError.
    """
    subject = vault.blind(id_number)

    async def begin(tx: Transaction) -> tuple[int, int] | None:
        now = await attempts.effective_now(tx, stamp)
        recorded = await attempts.record(tx, subject, now, limit=TRIES, window=WINDOW)
        if recorded is None or await attempts.in_a_row(tx, subject, now) > MOST_IN_A_ROW:
            return None
        return recorded

    begun = await db.transaction(begin)
    if begun is None:
        return CodeCheck(CodeResult.LOCKED, None, 0)
    attempt_id, left = begun
    await pause(BACK_OFF[TRIES - left - 1])

    async def compare(tx: Transaction) -> tuple[Claim | None, Collector]:
        found = await _matching(tx, vault, subject, code, stamp)
        return (None, THE_OWNER) if found is None else (await claims.by_id(tx, vault, found[0]), found[1])

    claim, collector = await db.read(compare)
    if claim is None:
        return CodeCheck(CodeResult.WRONG, None, left)
    db.along(lambda tx: attempts.forgive(tx, attempt_id, subject))  # lost, the right try counts as a wrong one
    return CodeCheck(CodeResult.MATCH, claim, left + 1, collector)


async def newly_locked(tx: Transaction, stamp: Stamp) -> list[tuple[str, Collector]]:
    """Collectable claims that somebody can open by no code any more, for wrong tries made before `stamp`; each lock once.

    With who that is to the owner. Other people's codes of the same claim still open it.
    """
    closed = await attempts.newly_closed(
        tx, await attempts.effective_now(tx, stamp), limit=TRIES, window=WINDOW, most=MOST_IN_A_ROW
    )
    found = []
    for subject in closed:
        for row in await tx.all(
            "SELECT claim.claim_id AS claim_id, coalesce(relation, 'owner') AS relation,"
            " coalesce(collector_id, '') AS collector_id FROM claim"
            " LEFT JOIN collector ON collector.claim_id = claim.claim_id AND collector.id_index = ?1"
            " WHERE state = 'stocked' AND (claim.id_index = ?1 OR collector_id IS NOT NULL) ORDER BY 1",
            (subject,),
        ):
            found.append((str(row["claim_id"]), Collector(Relation(row["relation"]), row["collector_id"])))
    return found


async def consume(tx: Transaction, claim_id: str, stamp: Stamp) -> None:
    """Let a claim's codes open nothing more, in the transaction of the dispense intent; nothing happens without a code."""
    await tx.execute("UPDATE code SET consumed = ? WHERE claim_id = ?", (stamp.wall, claim_id))


async def reinstate(tx: Transaction, claim_id: str) -> None:
    """Let consumed codes open their claim again until their end: the card is back in a slot. Tries stay counted."""
    await tx.execute("UPDATE code SET consumed = NULL WHERE claim_id = ?", (claim_id,))


async def hashed(tx: Transaction, vault: Vault, secret: str, salt: bytes) -> bytes:
    """HMAC(device key, Argon2id(secret, salt)), worked out in the database's thread (about 40 ms)."""
    row = await tx.one(_HASH, (secret.encode(), salt))
    await tx.one(_HASH, (None, None))  # SQLite keeps what was bound to a statement until it is bound anew
    assert row is not None
    return vault.peppered(row["hash"])


async def _matching(
    tx: Transaction, vault: Vault, subject: bytes, code: str, stamp: Stamp
) -> tuple[str, Collector] | None:
    """The claim that the code opens, and who the subject is to it; the work is the same whatever of it exists.

    Where there are fewer than COMPARED codes, stand-ins that nothing opens are compared in their places.
    """
    rows = await tx.all(
        "SELECT claim.claim_id AS claim_id, hash, expires, consumed, coalesce(relation, 'owner') AS relation,"
        " coalesce(collector_id, '') AS collector_id"
        " FROM code_hash JOIN code USING (claim_id, kind) JOIN claim USING (claim_id)"
        " LEFT JOIN collector ON collector.claim_id = claim.claim_id AND collector.id_index = ?1"
        " WHERE code_hash.id_index = ?1 AND code_hash.kind = ?2 AND state = 'stocked'"
        " AND (claim.id_index = ?1 OR collector_id IS NOT NULL)"
        " ORDER BY coalesce(collector_id, ''), since, claim_id LIMIT ?3",
        (subject, kind_of(code), COMPARED),
    )
    tried = await hashed(tx, vault, code, vault.salt(subject))
    now = await attempts.latest(tx, stamp)
    found = None
    compared: Sequence[Row | Mapping[str, Any]] = (*rows, *_STAND_INS[len(rows) :])
    for row in compared:
        equal = hmac.compare_digest(tried, row["hash"])
        if equal and found is None and _lives(row, now):
            found = str(row["claim_id"]), Collector(Relation(row["relation"]), row["collector_id"])
    return found


def _lives(row: Row | Mapping[str, Any], now: float) -> bool:
    return row["consumed"] is None and row["expires"] is not None and bool(now < row["expires"])
