"""Encryption at rest: a key for each record, wrapped by a key that is never in the database.

Erasing a record is destroying its key; what `secure_delete` leaves in the write-ahead log goes with
`Database.truncate_wal`. Sealed values carry an algorithm identifier, so that others (SM4-GCM) can be added.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lockerd.errors import StoreError
from lockerd.store.database import Transaction

AES_256_GCM = 1
"""Algorithm identifier, first byte of a sealed value: then a nonce of 12 bytes, the ciphertext and a tag of 16 bytes."""

_NONCE_BYTES = 12
_KEY_BYTES = 32


class RecordKey:
    """The data key of one record, able to seal and open its columns."""

    __slots__ = ("_entropy", "_key", "_row", "_table")

    def __init__(self, key: bytes, table: str, row: str, entropy: Callable[[int], bytes]) -> None:
        self._key = key
        self._table = table
        self._row = row
        self._entropy = entropy

    def seal(self, column: str, plaintext: bytes) -> bytes:
        """Encrypt the value of one column; it opens in the same table, column and row only."""
        return _seal(self._key, plaintext, f"{self._table}|{column}|{self._row}", self._entropy)

    def open(self, column: str, sealed: bytes) -> bytes:
        """Decrypt the value of one column. Raises StoreError when it was changed or moved."""
        return _open(self._key, sealed, f"{self._table}|{column}|{self._row}")


class Vault:
    """Holds the keys derived from the device's master key (32 bytes). `entropy` gives that many random bytes."""

    def __init__(self, master_key: bytes, *, entropy: Callable[[int], bytes] = os.urandom) -> None:
        if len(master_key) != _KEY_BYTES:
            raise StoreError(f"the master key has {len(master_key)} bytes, not {_KEY_BYTES}; make the key file again")
        self.entropy = entropy
        self._wrapping = _derived(master_key, b"lockerd/1 key encryption")
        self._index = _derived(master_key, b"lockerd/1 blind index")
        self._pepper = _derived(master_key, b"lockerd/1 pickup code")

    async def verify(self, tx: Transaction) -> None:
        """Check that the master key belongs to this database; a fresh database is bound to it. Raises StoreError."""
        row = await tx.one("SELECT value FROM meta WHERE key = 'key_check'")
        if row is None:
            check = _seal(self._wrapping, b"lockerd", "meta|value|key_check", self.entropy)
            await tx.execute("INSERT INTO meta (key, value) VALUES ('key_check', ?)", (check,))
            return
        _open(self._wrapping, row["value"], "meta|value|key_check")

    async def create(self, tx: Transaction, table: str, row: str) -> RecordKey:
        """A fresh key for a record; an older one of the same record is destroyed."""
        key = self.entropy(_KEY_BYTES)
        record = f"{table}|{row}"
        await tx.execute(
            "INSERT INTO data_key (record, wrapped) VALUES (?, ?)"
            " ON CONFLICT (record) DO UPDATE SET wrapped = excluded.wrapped",
            (record, _seal(self._wrapping, key, f"data_key|wrapped|{record}", self.entropy)),
        )
        return RecordKey(key, table, row, self.entropy)

    async def open(self, tx: Transaction, table: str, row: str) -> RecordKey | None:
        """The key of a record, None once it is erased. Raises StoreError with a foreign master key."""
        record = f"{table}|{row}"
        found = await tx.one("SELECT wrapped FROM data_key WHERE record = ?", (record,))
        if found is None:
            return None
        return RecordKey(
            _open(self._wrapping, found["wrapped"], f"data_key|wrapped|{record}"), table, row, self.entropy
        )

    def blind(self, id_number: str) -> bytes:
        """Keyed hash (HMAC-SHA256) of an ID number, to look it up and to count its tries without storing it."""
        return hmac.digest(self._index, id_number.upper().encode(), "sha256")

    def peppered(self, hashed: bytes) -> bytes:
        """Keyed hash (HMAC-SHA256) over an Argon2id result, worthless to whoever has the database alone."""
        return hmac.digest(self._pepper, hashed, "sha256")


async def erase(tx: Transaction, table: str, row: str) -> None:
    """Destroy the key of a record: what it sealed can never be opened again."""
    await tx.execute("DELETE FROM data_key WHERE record = ?", (f"{table}|{row}",))


def _derived(master_key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=purpose).derive(master_key)


def _seal(key: bytes, plaintext: bytes, associated: str, entropy: Callable[[int], bytes]) -> bytes:
    nonce = entropy(_NONCE_BYTES)
    return bytes((AES_256_GCM,)) + nonce + AESGCM(key).encrypt(nonce, plaintext, associated.encode())


def _open(key: bytes, sealed: bytes, associated: str) -> bytes:
    if sealed[:1] != bytes((AES_256_GCM,)):
        raise StoreError(f"a value of {associated.rpartition('|')[0]} is sealed with an unknown algorithm")
    nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, associated.encode())
    except (InvalidTag, ValueError) as error:
        raise StoreError(
            f"a value of {associated.rpartition('|')[0]} cannot be opened: the key file does not belong to this database,"
            " or the value was changed"
        ) from error
