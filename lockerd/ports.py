"""What the deciding rooms need of the doing rooms. Drivers implement these; only the composition root names a driver."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from lockerd.model.cards import Chip
from lockerd.model.climate import Climate
from lockerd.model.custody import CabinetObservation, Observation, Order, Outcome, Plan
from lockerd.model.identity import Enrolment, FaceReason, FaceResult, FaceTemplate, FingerResult, ReferenceKind
from lockerd.model.review import Review, ReviewRequest


class Clock(Protocol):
    """Time, handed in. Deadlines use the event loop's own monotonic time."""

    def now(self) -> float:
        """Wall time in UTC seconds since 1970."""


class Mover(Protocol):
    """A unit that moves cards: dispenser or recycler. One caller at a time."""

    @property
    def capacity(self) -> int:
        """Number of slots; 0 for a unit without storage. Known after the first `observe`."""

    async def observe(self) -> Observation:
        """Read sensors and counters; moves nothing, may be repeated. Raises DeviceError."""

    async def plan(self, order: Order) -> Plan:
        """Prepare an order without moving anything. Raises DeviceError, also when the unit is busy or interrupted."""

    async def carry_out(self, plan: Plan) -> Outcome:
        """Make the motion once and wait for its end; never raises for what the unit did or did not do."""

    async def settle(self, plan: Plan) -> Outcome:
        """After a restart: tell what became of a plan; never moves anything. Raises DeviceError while the unit is silent."""


class Cabinet(Protocol):
    """Doors, lights and supply of the machine."""

    async def observe(self) -> CabinetObservation:
        """Read all sensors. Raises DeviceError."""

    async def light(self, *names: str) -> None:
        """Light exactly the named places ("reader", "throat", "exit", "camera"); raises DeviceError."""

    async def set_climate(self, climate: Climate) -> None:
        """Tell fan and heater what to do. Raises DeviceError."""


class IdReader(Protocol):
    """A reader of resident ID cards."""

    async def read(self) -> Chip | None:
        """Read the card in the field once; None when there is none or it moved away.

        Raises UnreadableCard when a card is there that cannot be read or be true, DeviceError when the reader fails.
        """


class FaceVerifier(Protocol):
    """Face verification in a process of its own."""

    async def enrol(self, picture: bytes, kind: ReferenceKind = ReferenceKind.PHOTO) -> Enrolment:
        """Make a template of a reference picture. Raises FaceUnavailable."""

    def admit(self, template: FaceTemplate) -> Enrolment:
        """A template made elsewhere, if these models can compare it, or why not. Raises FaceUnavailable."""

    async def verify(
        self, template: FaceTemplate, *, timeout: float, on_prompt: Callable[[FaceReason], None]
    ) -> FaceResult:
        """Compare whoever stands before the camera within `timeout` seconds; an absent answer is UNAVAILABLE."""

    def previews(self) -> AsyncGenerator[bytes, None]:
        """JPEG pictures of the camera, about ten a second, while somebody iterates."""


class FingerVerifier(Protocol):
    """A fingerprint sensor with its matcher."""

    @property
    def last_answer_ok(self) -> bool:
        """Whether it answered sensibly when it was last asked; False before the first call."""

    async def verify(self, block: bytes, *, timeout: float) -> FingerResult:
        """Compare the chip's opaque block with the finger on the sensor within `timeout` seconds; never raises."""

    async def probe(self) -> None:
        """Ask whether it is there, for health; needs no finger. Raises DeviceError."""


class Reviewer(Protocol):
    """Somebody at the office who compares a picture."""

    async def review(self, request: ReviewRequest, seconds: float) -> Review:
        """Ask once and wait at most `seconds`; nothing of the request is kept, and it is not repeated. Raises LinkError."""


class ChipPhotoDecoder(Protocol):
    """Turns the 1,024 bytes of a chip's photo (GA 490; the codec is licensed) into a picture."""

    async def decode(self, photo: bytes) -> bytes:
        """A JPEG or PNG file. Raises DeviceError where the bytes are no photo or nobody answers in time."""


class SmsSender(Protocol):
    """Takes one message for delivery; the same `message_id` twice is delivered once."""

    async def send(self, message_id: str, phone: str, text: str) -> None:
        """Hand over one message. Raises LinkError when it was surely not taken."""


class Outbox(Protocol):
    """The office's view of the journal: events in order, each once."""

    async def pending(self, limit: int) -> Sequence[tuple[int, bytes]]:
        """Oldest events not yet acknowledged: (seq, CloudEvent as JSON)."""

    async def acknowledge(self, seq: int) -> None:
        """All events up to and including `seq` are safe at the office."""
