"""What a journey's stage keeps an eye on: one coroutine a watch, each ends with the event it waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

import structlog

from lockerd.errors import DeviceError, StoreError, UnreadableCard
from lockerd.journey.face_tries import FaceTries
from lockerd.journey.reviewing import Reviewing
from lockerd.model.cards import Chip
from lockerd.model.custody import Observation, Place, Sensor, Unit
from lockerd.model.identity import FaceReason, FaceResult, FaceTemplate, FaceVerdict, FingerResult
from lockerd.model.polling import SILENT_SECONDS, WATCHED_SECONDS
from lockerd.motions import Motions
from lockerd.pickup.screens import STAGES
from lockerd.pickup.state import (
    CardFailed,
    CardSeen,
    Event,
    ExitCleared,
    FaceDecided,
    FacePrompted,
    FingerDecided,
    Journey,
    ThroatCleared,
    ThroatFilled,
    Watch,
)
from lockerd.ports import FaceVerifier, FingerVerifier, IdReader

log = structlog.get_logger(__name__)

RETRY_SECONDS = 2.0  # to read why the face was not verified, before the next look

Post = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Watching:
    """The watches; `post` is handed in by each caller and takes events in order. `watched` is the pause between two looks.

    `template_of` gives what a journey's face is compared with, `dispensed_before` the exit total before the card was presented,
    `reported_lost` tells of an ID card.
    """

    motions: Motions
    reviewing: Reviewing
    template_of: Callable[[Journey], Awaitable[FaceTemplate | None]]
    dispensed_before: Callable[[], int]
    counter_reader: IdReader
    reported_lost: Callable[[Chip], Awaitable[bool]]
    face: FaceVerifier
    face_seconds: float
    face_tries: FaceTries
    watched: float = WATCHED_SECONDS
    finger: FingerVerifier | None = None
    finger_seconds: float = 20.0

    def of(self, journey: Journey, post: Post) -> Coroutine[None, None, None] | None:
        """The watch of the journey's stage, to be run; None where there is nothing to watch."""
        match STAGES[journey.stage].watch:
            case Watch.NOTHING:
                return None
            case Watch.READER:
                return self.reader(post)
            case Watch.FACE:
                return self.face_of(journey, post)
            case Watch.REVIEW:
                return self.reviewing.watch(journey, post)
            case Watch.FINGERPRINT:
                return self.finger_of(journey.finger, post, again=journey.finger_tries > 0)
            case Watch.THROAT_FILLED:
                return self.throat_filled(post)
            case Watch.THROAT_CLEARED:
                return self.throat_cleared(post)
            case Watch.EXIT_CLEARED:
                return self.exit_cleared(self.dispensed_before(), post)

    async def reader(self, post: Post) -> None:
        """Post CardSeen for the first card that is readable and not lost; CardFailed for another, once until it changes."""
        told: CardFailed | None = None
        while True:
            failed: CardFailed | None = None
            try:
                chip = await self.counter_reader.read()
                if chip is not None and not await self.reported_lost(chip):
                    post(CardSeen(chip))
                    return
                if chip is not None:
                    failed = CardFailed(lost=True)
            except UnreadableCard:
                failed = CardFailed()
            except (DeviceError, StoreError) as error:
                failed = CardFailed(silent=True)
                if failed != told:
                    log.warning("counter reader down", error=str(error))
            if failed is not None and failed != told:
                post(failed)
            told = failed
            await asyncio.sleep(self.watched + (SILENT_SECONDS if failed is not None and failed.silent else 0.0))

    async def face_of(self, journey: Journey, post: Post) -> None:
        """Post prompts while the camera cannot use what it sees, then one FaceDecided; another try gives time to read first.

        It looks until a face can be compared: when the page ends is not decided here. After many tries that failed it waits.
        Raises StoreError.
        """
        template = await self.template_of(journey)
        if journey.face_tries > 0:
            await asyncio.sleep(RETRY_SECONDS)
        seconds = await self.face_tries.seconds_to_wait(journey)
        if seconds > 0:
            post(FacePrompted(FaceReason.TOO_MANY_TRIES))
            await asyncio.sleep(seconds)
        if template is None:
            post(FaceDecided(FaceResult(FaceVerdict.UNAVAILABLE, FaceReason.WRONG_MODEL, "", "")))
            return
        while True:
            result = await self.face.verify(
                template, timeout=self.face_seconds, on_prompt=lambda reason: post(FacePrompted(reason))
            )
            if result.reason is not FaceReason.TIMED_OUT:
                break
        log.info("face decided", verdict=result.verdict, reason=result.reason, bucket=result.bucket)
        await self.face_tries.count(journey, result)  # durable before anybody learns of it
        post(FaceDecided(result))

    async def finger_of(self, block: bytes, post: Post, *, again: bool) -> None:
        """Post one FingerDecided for the finger on the sensor, whenever it comes; `again` gives time to read first."""
        if again:
            await asyncio.sleep(RETRY_SECONDS)
        result = FingerResult.UNAVAILABLE if self.finger is None else FingerResult.NO_FINGER
        while self.finger is not None and result is FingerResult.NO_FINGER:
            await asyncio.sleep(self.watched)  # one that answers at once is not asked without end
            result = await self.finger.verify(block, timeout=self.finger_seconds)
        log.info("finger decided", verdict=result)
        post(FingerDecided(result))

    async def throat_filled(self, post: Post) -> None:
        """Post ThroatFilled when a card stands in the open throat."""
        await self._until(Unit.RECYCLER, lambda seen: Sensor.THROAT in seen.sensors)
        post(ThroatFilled())

    async def throat_cleared(self, post: Post) -> None:
        """Post ThroatCleared when the card offered in the throat was taken."""
        await self._until(Unit.RECYCLER, lambda seen: Sensor.THROAT not in seen.sensors and seen.place is None)
        post(ThroatCleared())

    async def exit_cleared(self, dispensed_before: int, post: Post) -> None:
        """Post ExitCleared when the exit is clear and the unit's own total says that a hand took the card."""
        await self._until(
            Unit.DISPENSER,
            lambda seen: (
                Sensor.EXIT not in seen.sensors and seen.place is not Place.EXIT and seen.dispensed > dispensed_before
            ),
        )
        post(ExitCleared())

    async def _until(self, unit: Unit, holds: Callable[[Observation], bool]) -> None:
        look = self.motions.lately  # the motion before ended with a status
        while True:
            try:
                if holds(await look(unit)):
                    return
            except DeviceError as error:
                log.warning("unit silent while watched", unit=unit, error=str(error))
                await asyncio.sleep(SILENT_SECONDS)
            look = self.motions.observe
            await asyncio.sleep(self.watched)
