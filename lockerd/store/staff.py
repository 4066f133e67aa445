"""Accounts of the staff, with PINs kept and tried like pickup codes."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from lockerd.errors import StoreError
from lockerd.store import attempts, codes
from lockerd.store.database import Database, Transaction
from lockerd.store.hashing import ALGORITHM, SALT_BYTES
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

ROLE = "operator"
"""The one role so far: loads cards, sees slots, empties the bin."""

TRIES = 5
WINDOW = 900.0  # seconds
MIN_PIN = 6


@dataclass(frozen=True, slots=True)
class StaffMember:
    """Who is logged in at the console."""

    name: str
    role: str


async def add(tx: Transaction, vault: Vault, name: str, pin: str, stamp: Stamp) -> StaffMember:
    """Make an account, or give an existing one another PIN. Raises StoreError for a name or PIN that nobody can type."""
    if not name.strip() or not name.isprintable():
        raise StoreError("an account needs a name of letters, digits, signs")
    if len(pin) < MIN_PIN or not pin.isprintable():
        raise StoreError(f"a PIN has at least {MIN_PIN} characters, all of which can be typed")
    salt = vault.entropy(SALT_BYTES)
    await tx.execute(
        "INSERT INTO staff (name, role, algorithm, salt, hash, since) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET algorithm = excluded.algorithm, salt = excluded.salt, hash = excluded.hash",
        (name, ROLE, ALGORITHM, salt, await codes.hashed(tx, vault, pin, salt), stamp.wall),
    )
    return StaffMember(name, ROLE)


async def check_pin(db: Database, vault: Vault, name: str, pin: str, stamp: Stamp) -> StaffMember | None:
    """Who has this name and PIN; None for a wrong one, an unknown name, and after five wrong tries in fifteen minutes.

    The try is durable before the comparison; an unknown name costs the same work. Raises StoreError.
    """
    subject = vault.blind(f"staff|{name}")

    async def begin(tx: Transaction) -> tuple[int, int] | None:
        return await attempts.record(tx, subject, await attempts.effective_now(tx, stamp), limit=TRIES, window=WINDOW)

    begun = await db.transaction(begin)
    if begun is None:
        return None

    async def compare(tx: Transaction) -> StaffMember | None:
        row = await tx.one("SELECT * FROM staff WHERE name = ?", (name,))
        salt = subject[:SALT_BYTES] if row is None else row["salt"]
        equal = hmac.compare_digest(await codes.hashed(tx, vault, pin, salt), b"" if row is None else row["hash"])
        if row is None or not equal:
            return None
        await attempts.forgive(tx, begun[0], subject)
        return StaffMember(row["name"], row["role"])

    return await db.transaction(compare)
