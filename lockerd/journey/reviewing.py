"""Remote review: one picture of whoever stands at the machine goes to the office's reviewer, with consent, and nowhere else.

The picture is in memory only, from the camera's preview to the request's end; it is in no log, no table and no event. It
travels beside the outbox, because what is kept until it is delivered would be a picture on a disk. So a review is asked for
once: a link that breaks, a restart and a cancelled journey end it, and the citizen goes another way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from lockerd.errors import FaceUnavailable, LinkError, StoreError
from lockerd.model.review import Review, ReviewDecision, ReviewRequest
from lockerd.pickup.state import Event, Journey, ReviewDecided
from lockerd.ports import FaceVerifier, Reviewer
from lockerd.store import journal
from lockerd.store.database import Database
from lockerd.store.journal import JSON, Stamp

log = structlog.get_logger(__name__)

STILL_SECONDS = 3.0  # for one picture of the camera
_NOBODY = Review(ReviewDecision.UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Reviewing:
    """Asks for a review within `seconds` and makes what came of it durable before anybody acts on it."""

    face: FaceVerifier
    office: Reviewer
    db: Database
    stamp: Callable[[], Stamp]
    seconds: float

    async def watch(self, journey: Journey, post: Callable[[Event], None]) -> None:
        """Post one ReviewDecided; whatever fails is no approval."""
        post(ReviewDecided(await self._decided(journey)))

    async def _decided(self, journey: Journey) -> ReviewDecision:
        if journey.claim is None:
            return ReviewDecision.UNAVAILABLE
        about = {"claim_id": journey.claim.claim_id, "journey_id": journey.journey_id}
        try:
            await self._journal("lockerd.review.consented", about)
            review = await self._asked(journey.claim.claim_id, journey)
            named = {"reviewer": review.reviewer} if review.reviewer else {}
            await self._journal("lockerd.review.decided", {**about, "decision": review.decision.value, **named})
        except StoreError as error:
            log.warning("review not journalled", journey=journey.journey_id, error=str(error))
            return ReviewDecision.UNAVAILABLE
        log.info("review decided", journey=journey.journey_id, verdict=review.decision)
        return review.decision

    async def _asked(self, claim_id: str, journey: Journey) -> Review:
        try:
            async with asyncio.timeout(STILL_SECONDS):
                still = await self._still()
            request = ReviewRequest(claim_id, journey.collector.collector_id, journey.journey_id, still)
            return await self.office.review(request, self.seconds)
        except (FaceUnavailable, LinkError, TimeoutError) as error:
            log.warning("no review", journey=journey.journey_id, error=str(error) or "no picture in time")
            return _NOBODY

    async def _still(self) -> bytes:
        async with aclosing(self.face.previews()) as pictures:
            async for picture in pictures:
                return picture
        raise FaceUnavailable("the camera gives no picture")

    async def _journal(self, event: str, data: Mapping[str, JSON]) -> None:
        await self.db.transaction(lambda tx: journal.append(tx, event, data, stamp=self.stamp()))
