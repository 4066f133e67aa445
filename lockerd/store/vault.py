"""Encryption at rest: a key for each record, wrapped by a key that is never in the database.

Erasing a record is destroying its key; what `secure_delete` leaves in the write-ahead log goes with
`Database.truncate_wal`. Sealed values carry an algorithm identifier, so a database may hold values of both ciphers: what was
sealed before the configuration changed stays readable.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping
from enum import IntEnum

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lockerd.errors import StoreError
from lockerd.store.database import Transaction
from lockerd.store.hashing import SALT_BYTES


class Sealing(IntEnum):
    """Algorithm identifier, first byte of a sealed value: then a nonce of 12 bytes, the ciphertext and a tag of 16 bytes.

    Sources: NIST SP 800-38D; GB/T 32907-2016 and RFC 8998 for SM4 in this mode.
    """

    AES_256_GCM = 1
    SM4_GCM = 2


_NONCE_BYTES = 12
_TAG_BYTES = 16
_MASTER_BYTES = 32
_RFC_KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")
_KEY_BYTES = {Sealing.AES_256_GCM: 32, Sealing.SM4_GCM: 16}


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
        return _seal(_fitting(self._key), self._key, plaintext, f"{self._table}|{column}|{self._row}", self._entropy)

    def open(self, column: str, sealed: bytes) -> bytes:
        """Decrypt the value of one column. Raises StoreError when it was changed or moved."""
        return _open({_fitting(self._key): self._key}, sealed, f"{self._table}|{column}|{self._row}")


class Vault:
    """Holds the keys derived from the device's master key (32 bytes).

    `entropy` gives that many random bytes; `sealing` is for what is sealed from now on.
    """

    def __init__(
        self,
        master_key: bytes,
        *,
        entropy: Callable[[int], bytes] = os.urandom,
        sealing: Sealing = Sealing.AES_256_GCM,
    ) -> None:
        if len(master_key) != _MASTER_BYTES:
            raise StoreError(
                f"the master key has {len(master_key)} bytes, not {_MASTER_BYTES}; put the machine's own key back"
            )
        self.entropy = entropy
        self._sealing = sealing
        self._wrapping = {
            Sealing.AES_256_GCM: _derived(master_key, b"lockerd/1 key encryption"),
            Sealing.SM4_GCM: _derived(master_key, b"lockerd/1 key encryption, SM4", 16),
        }
        self._index = _derived(master_key, b"lockerd/1 blind index")
        self._salt = _derived(master_key, b"lockerd/1 pickup code salt")
        self._pepper = _derived(master_key, b"lockerd/1 pickup code")

    async def verify(self, tx: Transaction) -> None:
        """Check that the master key belongs to this database; a fresh database is bound to it. Raises StoreError."""
        row = await tx.one("SELECT value FROM meta WHERE key = 'key_check'")
        if row is None:
            check = self._wrap(b"lockerd", "meta|value|key_check")
            await tx.execute("INSERT INTO meta (key, value) VALUES ('key_check', ?)", (check,))
            return
        _open(self._wrapping, row["value"], "meta|value|key_check")

    async def create(self, tx: Transaction, table: str, row: str) -> RecordKey:
        """A fresh key for a record; an older one of the same record is destroyed."""
        key = self.entropy(_KEY_BYTES[self._sealing])
        record = f"{table}|{row}"
        await tx.execute(
            "INSERT INTO data_key (record, wrapped) VALUES (?, ?)"
            " ON CONFLICT (record) DO UPDATE SET wrapped = excluded.wrapped",
            (record, self._wrap(key, f"data_key|wrapped|{record}")),
        )
        return RecordKey(key, table, row, self.entropy)

    async def open(self, tx: Transaction, table: str, row: str) -> RecordKey | None:
        """The key of a record, None once it is erased. Raises StoreError with a foreign master key."""
        found = await tx.one("SELECT wrapped FROM data_key WHERE record = ?", (f"{table}|{row}",))
        return self.unwrap(table, row, None if found is None else found["wrapped"])

    def unwrap(self, table: str, row: str, wrapped: bytes | None) -> RecordKey | None:
        """The key of a record from its `data_key.wrapped`, None where there is none. Raises StoreError as `open`."""
        if wrapped is None:
            return None
        return RecordKey(_open(self._wrapping, wrapped, f"data_key|wrapped|{table}|{row}"), table, row, self.entropy)

    def _wrap(self, plaintext: bytes, associated: str) -> bytes:
        return _seal(self._sealing, self._wrapping[self._sealing], plaintext, associated, self.entropy)

    def blind(self, id_number: str) -> bytes:
        """Keyed hash (HMAC-SHA256) of an ID number, to look it up and to count its tries without storing it."""
        return hmac.digest(self._index, id_number.upper().encode(), "sha256")

    def salt(self, subject: bytes) -> bytes:
        """The 16 bytes of salt of whoever has this keyed hash (`blind`), known here or not; in no database."""
        return hmac.digest(self._salt, subject, "sha256")[:SALT_BYTES]

    def peppered(self, hashed: bytes) -> bytes:
        """Keyed hash (HMAC-SHA256) over an Argon2id result, worthless to whoever has the database alone."""
        return hmac.digest(self._pepper, hashed, "sha256")


async def erase(tx: Transaction, table: str, row: str) -> None:
    """Destroy the key of a record: what it sealed can never be opened again."""
    await tx.execute("DELETE FROM data_key WHERE record = ?", (f"{table}|{row}",))


def sm4_works() -> bool:
    """Whether the cryptographic library of this machine has SM4-GCM, and it gives what RFC 8998, A.1, does."""
    try:
        cipher = Cipher(SM4(_RFC_KEY), modes.GCM(bytes.fromhex("00001234567800000000abcd"))).encryptor()
    except UnsupportedAlgorithm:
        return False
    cipher.authenticate_additional_data(bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"))
    text = b"".join(bytes((letter,)) * 8 for letter in bytes.fromhex("aabbccddeeffeeaa"))
    return cipher.update(text)[:16] + cipher.finalize() + cipher.tag == bytes.fromhex(
        "17f399f08c67d5ee19d0dc9969c4bb7d83de3541e4c2b58177e065a9bf7b62ec"
    )


def _fitting(key: bytes) -> Sealing:
    return next(sealing for sealing, length in _KEY_BYTES.items() if length == len(key))


def _derived(master_key: bytes, purpose: bytes, length: int = 32) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(master_key)


def _seal(sealing: Sealing, key: bytes, plaintext: bytes, associated: str, entropy: Callable[[int], bytes]) -> bytes:
    nonce = entropy(_NONCE_BYTES)
    if sealing is Sealing.AES_256_GCM:
        return bytes((sealing,)) + nonce + AESGCM(key).encrypt(nonce, plaintext, associated.encode())
    cipher = Cipher(SM4(key), modes.GCM(nonce)).encryptor()
    cipher.authenticate_additional_data(associated.encode())
    return bytes((sealing,)) + nonce + cipher.update(plaintext) + cipher.finalize() + cipher.tag


def _open(keys: Mapping[Sealing, bytes], sealed: bytes, associated: str) -> bytes:
    where = f"a value of {associated.rpartition('|')[0]}"
    sealing = next((one for one in keys if sealed[:1] == bytes((one,))), None)
    if sealing is None:
        raise StoreError(f"{where} is sealed with an unknown algorithm")
    nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    try:
        if sealing is Sealing.AES_256_GCM:
            return AESGCM(keys[sealing]).decrypt(nonce, ciphertext, associated.encode())
        cipher = Cipher(SM4(keys[sealing]), modes.GCM(nonce, ciphertext[-_TAG_BYTES:])).decryptor()
        cipher.authenticate_additional_data(associated.encode())
        return cipher.update(ciphertext[:-_TAG_BYTES]) + cipher.finalize()
    except (InvalidTag, ValueError) as error:
        raise StoreError(
            f"{where} cannot be opened: the key file does not belong to this database, or the value was changed"
        ) from error
