"""Remote review: one picture goes out with consent, the answer is durable before it counts, and nothing keeps the picture."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from msgspec.structs import replace

from lockerd.errors import FaceUnavailable, LinkError
from lockerd.journey.reviewing import Reviewing
from lockerd.model.cards import Claim, ClaimKind, ClaimState, Person
from lockerd.model.identity import Enrolment, FaceReason, FaceResult, FaceTemplate, ReferenceKind
from lockerd.model.policy import Collector, Relation
from lockerd.model.review import Review, ReviewDecision, ReviewRequest
from lockerd.office.exchange import Exchange, http_transport
from lockerd.pickup.state import Event, Journey, ReviewDecided
from lockerd.store.database import Database
from sim.office_reviewer import ReviewDesk
from tests.store_support import STAMP, opened

STILL = b"\xff\xd8\xff" + bytes(range(256)) * 20
PERSON = Person("测试甲", "990101199001010018", "+8619900000001")
CLAIM = Claim("N000001", ClaimKind.REPLACEMENT, ClaimState.STOCKED, PERSON, "20260101", "20460101", 0, False)
JOURNEY = Journey(journey_id="j1", claim=CLAIM)
APPROVED = Review(ReviewDecision.APPROVED, "r-17")


@dataclass
class Face:
    """A camera that shows one picture, or none."""

    picture: bytes | None = STILL
    closed: bool = False

    async def enrol(self, picture: bytes, kind: ReferenceKind = ReferenceKind.PHOTO) -> Enrolment:
        raise FaceUnavailable("not asked for here")

    async def verify(
        self, template: FaceTemplate, *, timeout: float, on_prompt: Callable[[FaceReason], None]
    ) -> FaceResult:
        raise FaceUnavailable("not asked for here")

    def admit(self, template: FaceTemplate) -> Enrolment:
        raise FaceUnavailable("not asked for here")

    async def previews(self) -> AsyncGenerator[bytes, None]:
        try:
            if self.picture is not None:
                while True:
                    yield self.picture
        finally:
            self.closed = True


@dataclass
class Office:
    answer: Review | Exception = APPROVED
    asked: list[ReviewRequest] = field(default_factory=list)

    async def review(self, request: ReviewRequest, seconds: float) -> Review:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path / "lockerd.db") as database:
        yield database


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def watched(db: Database, face: Face, office: Office, journey: Journey = JOURNEY) -> list[Event]:
    posted: list[Event] = []
    await Reviewing(face, office, db, lambda: STAMP, 5.0).watch(journey, posted.append)
    return posted


async def journalled(db: Database) -> list[tuple[str, dict[str, Any]]]:
    rows = await db.transaction(lambda tx: tx.all("SELECT type, data FROM journal ORDER BY seq"))
    return [(row["type"], json.loads(row["data"])) for row in rows]


async def test_an_approval_is_journalled_with_the_reviewer_and_the_picture_nowhere(
    db: Database, tmp_path: Path
) -> None:
    face, office = Face(), Office()
    journey = replace(JOURNEY, collector=Collector(Relation.GUARDIAN, "N000001.1"))
    assert await watched(db, face, office, journey) == [ReviewDecided(ReviewDecision.APPROVED)]
    assert office.asked == [ReviewRequest("N000001", "N000001.1", "j1", STILL)]
    assert face.closed, "the camera's preview is released"
    about = {"claim_id": "N000001", "journey_id": "j1"}
    assert await journalled(db) == [
        ("lockerd.review.consented", about),
        ("lockerd.review.decided", {**about, "decision": "approved", "reviewer": "r-17"}),
    ]
    assert "\\xff\\xd8" not in repr(office.asked)
    assert STILL[3:40] not in everything_in(tmp_path)


@pytest.mark.parametrize(
    ("face", "answer", "decision"),
    [
        (Face(), Review(ReviewDecision.REFUSED, "r-4"), ReviewDecision.REFUSED),
        (Face(), Review(ReviewDecision.TIMED_OUT), ReviewDecision.TIMED_OUT),
        (Face(), LinkError("the office could not be reached"), ReviewDecision.UNAVAILABLE),
        (Face(picture=None), APPROVED, ReviewDecision.UNAVAILABLE),
    ],
    ids=["refused", "timed-out", "no-link", "no-camera"],
)
async def test_whatever_else_happens_is_no_approval(
    db: Database, face: Face, answer: Review | Exception, decision: ReviewDecision
) -> None:
    assert await watched(db, face, Office(answer)) == [ReviewDecided(decision)]
    assert (await journalled(db))[-1][1]["decision"] == decision


async def test_an_approval_that_cannot_be_journalled_does_not_count(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        pass
    assert await watched(db, Face(), Office()) == [ReviewDecided(ReviewDecision.UNAVAILABLE)]


# --- over the wire, against the simulated office


@asynccontextmanager
async def desk() -> AsyncIterator[tuple[Exchange, Callable[[dict[str, Any]], Any], str]]:
    """An exchange with a simulated reviewer, how to tell the reviewer, and the address."""
    app = web.Application()
    app.add_routes(ReviewDesk().routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with http_transport() as transport, ClientSession() as session:

            async def tell(mind: dict[str, Any]) -> None:
                async with session.post(f"{url}/sim/reviewer", json=mind) as answer:
                    assert answer.status == 200

            yield Exchange(transport, url, "locker-1", lambda: 0.0), tell, url
    finally:
        await runner.cleanup()


REQUEST = ReviewRequest("N000001", "N000001.1", "j1", STILL)


async def test_the_reviewer_decides_or_the_time_is_over() -> None:
    async with desk() as (exchange, tell, url):
        await tell({"decision": "approved", "reviewer": "r-17"})
        assert await exchange.review(REQUEST, 5.0) == APPROVED
        await tell({"decision": "refused", "reviewer": "r-4"})
        assert await exchange.review(REQUEST, 5.0) == Review(ReviewDecision.REFUSED, "r-4")
        await tell({"decision": None})
        assert await exchange.review(REQUEST, 0.05) == Review(ReviewDecision.TIMED_OUT)
        async with ClientSession() as session, session.get(f"{url}/sim/reviews") as answer:
            asked = await answer.json()
        assert [(one["claim_id"], one["collector_id"]) for one in asked] == [("N000001", "N000001.1")] * 3


@pytest.mark.parametrize("reviewer", ["", "somebody else", "x" * 41])
async def test_a_decision_without_a_reviewers_id_is_none(reviewer: str) -> None:
    async with desk() as (exchange, tell, _):
        await tell({"decision": "approved", "reviewer": reviewer})
        with pytest.raises(LinkError, match="who reviewed"):
            await exchange.review(REQUEST, 5.0)


async def test_an_answer_of_other_words_is_none() -> None:
    async with desk() as (exchange, tell, _):
        await tell({"decision": "surely", "reviewer": "r-17"})
        with pytest.raises(LinkError, match="cannot be read"):
            await exchange.review(REQUEST, 5.0)


async def test_a_journey_that_is_cancelled_ends_the_request(db: Database) -> None:
    async with desk() as (exchange, tell, _):
        await tell({"decision": None})
        reviewing = Reviewing(Face(), exchange, db, lambda: STAMP, 60.0)
        posted: list[Event] = []
        watch = asyncio.create_task(reviewing.watch(JOURNEY, posted.append))
        async with asyncio.timeout(10):
            while len(await journalled(db)) < 1:
                await asyncio.sleep(0)
        watch.cancel()
        await asyncio.wait([watch])
        assert posted == []
        assert [kind for kind, _ in await journalled(db)] == ["lockerd.review.consented"]
