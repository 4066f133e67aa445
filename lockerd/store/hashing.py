"""Hashes that are SQL functions: memory-hard ones of short secrets (pickup codes, staff PINs), and the audit chain's.

`argon2id(secret, salt)` takes about 40 ms in the database's own thread, so that the event loop goes on and no second thread
is needed. `chained(before, ...)` lets one statement write a row with its hash.
"""

from __future__ import annotations

import hashlib
import json

from argon2.low_level import Type, hash_secret_raw

ALGORITHM = "argon2id-19456-2-1/hmac-sha256"
"""Identifier stored beside each hash: memory in KiB, passes, lanes; then the keyed hash over the result."""

SALT_BYTES = 16


_JSON = json.JSONEncoder(separators=(",", ":")).encode


def argon2id(secret: bytes, salt: bytes) -> bytes:
    """32 bytes of Argon2id version 1.3 (RFC 9106) with 19 MiB, 2 passes and 1 lane."""
    return hash_secret_raw(
        secret, salt, time_cost=2, memory_cost=19456, parallelism=1, hash_len=32, type=Type.ID, version=0x13
    )


def chained(before: bytes, *columns: str | int | float | None) -> bytes:
    """The hash of a row of the audit chain, 32 bytes; `before` is its predecessor's.

    SHA-256 over `before` and the row's other columns as a JSON array (RFC 8259) without spaces, non-ASCII escaped.
    """
    return hashlib.sha256(before + _JSON(columns).encode()).digest()
