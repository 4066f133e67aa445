"""The SMS that calls a citizen: its text, and a sender that leaves it as a file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec

from lockerd.errors import LinkError
from lockerd.model.cards import ClaimKind
from lockerd.ports import Clock

SIGNATURE = "【身份证自助领取】"
ONE_PART = 70
"""UCS2 characters of a message in one part, signature included (3GPP TS 23.038); further parts hold 67 each."""

CHINA = timezone(timedelta(hours=8))
"""One zone for the whole country, without summer time."""

_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


def grouped(code: str) -> str:
    """A pickup code in groups of four for reading: "1234 5678"."""
    return " ".join(code[start : start + 4] for start in range(0, len(code), 4))


def pickup_text(code: str, expires: float, kind: ClaimKind) -> str:
    """The SMS of a stocked card, in one part of at most `ONE_PART` UCS2 characters; names nobody.

    `expires` is UTC seconds; the text gives the minute in which it lies, China time.
    """
    return f"{SIGNATURE}您的新身份证已到自助柜，取件码{grouped(code)}，{_until(expires)}前有效。{_bring(kind)}，勿告知他人。"


def another_text(code: str, expires: float, kind: ClaimKind) -> str:
    """As `pickup_text`, for a code that takes the place of an earlier one, which opens nothing any more."""
    return f"{SIGNATURE}您的新取件码{grouped(code)}，{_until(expires)}前有效，以前的取件码作废。{_bring(kind)}，勿告知他人。"


def named_text(code: str, expires: float, kind: ClaimKind) -> str:
    """As `another_text`, where the reason is that somebody was named who may collect the card, too, and types this code."""
    bring = "，请携带旧证" if kind is ClaimKind.RENEWAL else ""
    return f"{SIGNATURE}已登记代领人，本人和代领人都用新取件码{grouped(code)}，{_until(expires)}前有效，以前的作废{bring}。"


def _bring(kind: ClaimKind) -> str:
    return "请携带旧证领取" if kind is ClaimKind.RENEWAL else "请本人前来领取"


def extended_text(expires: float) -> str:
    """The SMS that says how long the code of an earlier one lives now, in one part; names nobody and no code."""
    return f"{SIGNATURE}您的新身份证仍在自助柜，原取件码有效期延长到{_until(expires)}。"


def corrected_text(expires: float) -> str:
    """The SMS that says when a code really ends, for an earlier one gave a wrong time; as `extended_text`."""
    return f"{SIGNATURE}您的新身份证仍在自助柜，取件码有效期更正为{_until(expires)}前，以此为准。"


def _until(expires: float) -> str:
    end = datetime.fromtimestamp(expires, CHINA)
    return f"{end.month}月{end.day}日{end:%H:%M}"


class _Message(msgspec.Struct, frozen=True):
    id: str
    phone: str
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class FileSms:
    """Leaves each message as `DIRECTORY/<message_id>.json`, for tests and the simulator; implements ports.SmsSender.

    The same `message_id` again overwrites the same file. Only the owner may read it: it holds a phone and a code.
    """

    directory: Path
    clock: Clock

    async def send(self, message_id: str, phone: str, text: str) -> None:
        """Write one message durably: temporary file, sync, rename. Raises LinkError when it was surely not taken."""
        if not _MESSAGE_ID.fullmatch(message_id):
            raise LinkError("an SMS has an id that cannot be a file name")
        body = msgspec.json.encode(_Message(message_id, phone, text, self.clock.now()))
        try:
            self._write(message_id, body)
        except OSError as error:
            raise LinkError(f"the SMS directory cannot be written ({error.strerror})") from error

    def _write(self, message_id: str, body: bytes) -> None:
        """Blocks the loop for two syncs; a real sender has a line of its own."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self.directory / f"{message_id}.part"
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self.directory / f"{message_id}.json")
        folder = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
