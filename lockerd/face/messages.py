"""What daemon and face worker tell each other: msgpack behind a four-byte length, on two pipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from lockerd.model.identity import FaceReason, FaceVerdict, Presence, ReferenceKind

MAX_PICTURE_BYTES = 16 * 1024 * 1024
MAX_MESSAGE_BYTES = 24 * 1024 * 1024
HEADER_BYTES = 4
BEAT_EVERY = 0.5  # seconds between signs of life


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where pictures come from: a camera's index, path or stream address, or a file's path.

    `reference_kind` names the threshold that its pictures are compared at with an office's photo.
    """

    kind: Literal["camera", "file"]
    address: str
    reference_kind: str = "photo"

    def threshold_kind(self, kind: ReferenceKind) -> str:
        """The threshold's name in the manifest for a reference of this kind: "chip", of an infrared camera say "ir-chip"."""
        if kind is ReferenceKind.PHOTO:
            return self.reference_kind
        return kind.value if self.reference_kind == ReferenceKind.PHOTO else f"{self.reference_kind}-{kind}"


@dataclass(frozen=True, slots=True)
class FaceSettings:
    """What the face worker needs; times in seconds.

    `pack` is the pack's folder, its manifest or a known name; `models` the folder of its weights where that is another.
    `signed_by` is the key that must have signed the manifest. A transaction fuses `frames` gated frames over at least
    `span`; where there is a `second` source (infrared), both must agree. One of `challenges` is asked for by chance.
    A source that gave nothing for `stale_after` is down.
    """

    pack: str
    source: SourceSettings
    models: str = ""
    signed_by: str = ""
    production: bool = True
    second: SourceSettings | None = None
    challenges: tuple[Literal["closer", "turn"], ...] = ()
    frames: int = 5
    span: float = 1.0
    threads: int = 1
    stale_after: float = 3.0


class Start(msgspec.Struct, frozen=True, tag=True):
    """First message to the worker."""

    settings: FaceSettings


class Enrol(msgspec.Struct, frozen=True, tag=True):
    """Make a template of a JPEG or PNG file, by the gates for references of this kind."""

    id: int
    picture: bytes
    kind: ReferenceKind = ReferenceKind.PHOTO


class Verify(msgspec.Struct, frozen=True, tag=True):
    """Begin a transaction; one that runs already is given up."""

    id: int
    model_id: str
    vector: bytes
    timeout: float
    kind: ReferenceKind = ReferenceKind.PHOTO


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Give a transaction up."""

    id: int


class Preview(msgspec.Struct, frozen=True, tag=True):
    """Send preview pictures, or stop."""

    on: bool


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Models are loaded, warm and tested; `thresholds` are the first source's by kind of reference, for those calibrated.

    `dimension` is how many numbers a vector has.
    """

    model_id: str
    thresholds: dict[ReferenceKind, str]
    dimension: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The worker cannot start; `why` is for a person."""

    why: str


class Beat(msgspec.Struct, frozen=True, tag=True):
    """Sign of life; `frames` is how many a transaction has looked at since the worker's start."""

    camera_up: bool
    frames: int = 0


class Enrolled(msgspec.Struct, frozen=True, tag=True):
    """Answer to Enrol; `vector` is empty where there is no template."""

    id: int
    vector: bytes
    reason: FaceReason


class Prompt(msgspec.Struct, frozen=True, tag=True):
    """Why the newest frame of a transaction could not be used."""

    id: int
    reason: FaceReason


class Decided(msgspec.Struct, frozen=True, tag=True):
    """The one decision of a transaction."""

    id: int
    verdict: FaceVerdict
    reason: FaceReason
    bucket: int | None
    presence: Presence = Presence.NOT_CHECKED


class Shot(msgspec.Struct, frozen=True, tag=True):
    """A preview picture, JPEG, mirrored."""

    jpeg: bytes


Request = Start | Enrol | Verify | Cancel | Preview
Reply = Ready | Refused | Beat | Enrolled | Prompt | Decided | Shot

_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(Request)
_replies = msgspec.msgpack.Decoder(Reply)


def pack_message(message: Request | Reply) -> bytes:
    """A message with its length before it."""
    body = _encoder.encode(message)
    return len(body).to_bytes(HEADER_BYTES, "little") + body


def read_request(body: bytes) -> Request:
    """Raises msgspec.DecodeError for anything that is no request."""
    request: Request = _requests.decode(body)
    return request


def read_reply(body: bytes) -> Reply:
    """Raises msgspec.DecodeError for anything that is no reply."""
    reply: Reply = _replies.decode(body)
    return reply
