"""The queue of text messages: written with the stocking, sealed until sent, then erased; unsent, erased with their claim's end.

A message bears its claim's name, a hyphen and twelve hexadecimal digits, or "-until-" and a time.
"""

from __future__ import annotations

from dataclasses import dataclass

from lockerd.store.database import News, Transaction
from lockerd.store.vault import Vault, erase


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """One message to hand over. `tries` counts failed ones; `repr` hides phone and text."""

    message_id: str
    phone: str
    text: str
    tries: int

    def __repr__(self) -> str:
        return f"Message({self.message_id})"


async def queue(tx: Transaction, vault: Vault, message_id: str, phone: str, text: str) -> None:
    """Queue a message, due at once. A `message_id` that is or was queued changes nothing."""
    known = await tx.one("SELECT 1 FROM message WHERE message_id = ?", (message_id,))
    if known is not None:
        return
    tx.announce(News.MESSAGE)
    key = await vault.create(tx, "message", message_id)
    await tx.execute(
        "INSERT INTO message (message_id, phone, text, due) VALUES (?, ?, ?, 0)",
        (message_id, key.seal("phone", phone.encode()), key.seal("text", text.encode())),
    )


async def waiting(tx: Transaction, vault: Vault, now: float) -> tuple[bool, Message | None]:
    """Whether any message is not sent yet, and the one that is due longest at `now` (UTC seconds)."""
    row = await tx.one(
        "SELECT message.*, wrapped FROM message LEFT JOIN data_key ON record = 'message|' || message_id"
        " WHERE sent = 0 ORDER BY due, message.rowid LIMIT 1"
    )
    if row is None or row["due"] > now:
        return row is not None, None
    key = vault.unwrap("message", row["message_id"], row["wrapped"])
    assert key is not None
    return True, Message(
        row["message_id"],
        key.open("phone", row["phone"]).decode(),
        key.open("text", row["text"]).decode(),
        row["tries"],
    )


async def next_due(tx: Transaction, vault: Vault, now: float) -> Message | None:
    """The message that is due longest at `now` (UTC seconds), None when none is."""
    return (await waiting(tx, vault, now))[1]


async def sent(tx: Transaction, message_id: str, at: float) -> None:
    """The message was taken over at `at` (UTC seconds): keep that, and erase what it said."""
    await tx.execute(
        "UPDATE message SET sent = 1, phone = NULL, text = NULL, ended = ? WHERE message_id = ?", (at, message_id)
    )
    await erase(tx, "message", message_id)


async def failed(tx: Transaction, message_id: str, retry_at: float) -> None:
    """The message was surely not taken: try again at `retry_at` (UTC seconds)."""
    await tx.execute(
        "UPDATE message SET tries = tries + 1, due = ? WHERE message_id = ? AND sent = 0", (retry_at, message_id)
    )


async def forget(tx: Transaction, claim_id: str) -> None:
    """Erase what was not sent yet about a claim: it is over, or another message takes its place."""
    rows = await tx.all(
        "DELETE FROM message WHERE sent = 0 AND (substr(message_id, 1, length(message_id) - 13) = ?1"
        " OR substr(message_id, 1, length(?1) + 7) = ?1 || '-until-') RETURNING message_id",
        (claim_id,),
    )
    for row in rows:
        await erase(tx, "message", row["message_id"])


async def set_right(tx: Transaction, now: float) -> None:
    """A message that is to be tried after `now` is due: the clock, now right (UTC seconds), may have been ahead."""
    await tx.execute("UPDATE message SET due = ?1 WHERE sent = 0 AND due > ?1", (now,))
