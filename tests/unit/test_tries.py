"""Tries to show who one is: what counts as one, what is counted, and what the report makes of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry, generate_latest

from firmware_protocol.idnumber import check_digit
from lockerd.errors import StoreError
from lockerd.journey.face_tries import FaceTries
from lockerd.journey.tries import TRIED, Tries
from lockerd.model.cards import Chip, Claim, ClaimKind, ClaimState, Person
from lockerd.model.identity import FaceReason, FaceResult, FaceVerdict, FingerResult
from lockerd.model.review import ReviewDecision
from lockerd.model.view import Action, Tap
from lockerd.pickup.chips import LOOKS
from lockerd.pickup.state import (
    CardFailed,
    CardSeen,
    ChipRead,
    ClaimChecked,
    Event,
    FaceDecided,
    FacePrompted,
    FingerDecided,
    Journey,
    ReviewDecided,
    Stage,
    Tapped,
    TimedOut,
)
from lockerd.pickup.tries import try_of
from lockerd.store.identity_report import identity_report, in_words, report_of, share
from tests.store_support import NOW, STAMP, opened, stamp, vault

NUMBER = "99010119900307123" + check_digit("99010119900307123")
CLAIM = Claim(
    "N000001", ClaimKind.RENEWAL, ClaimState.STOCKED, Person("测试甲", NUMBER, ""), "20260101", "20460101", 1, False
)
DAMAGED = replace(CLAIM, kind=ClaimKind.DAMAGED)
OLD = Chip("测试甲", NUMBER, "20160101", "20260101", "throat")


def face(verdict: FaceVerdict, reason: FaceReason) -> FaceDecided:
    return FaceDecided(FaceResult(verdict, reason, "m", "t"))


CHECKING = Journey("j1", Stage.CHECKING, code="12345678")
BY_CARD = Journey("j1", Stage.CHECKING, by_card=True)
LOOKING = Journey("j1", Stage.FACE, claim=CLAIM)
FINGER = Journey("j1", Stage.FINGERPRINT, claim=CLAIM)
READING = Journey("j1", Stage.READING_OLD, claim=CLAIM)
NO_FACE = face(FaceVerdict.NOT_VERIFIED, FaceReason.NO_MATCH)
IDENTIFY = Journey("j1", Stage.IDENTIFY, code="12345678")


@pytest.mark.parametrize(
    ("journey", "event", "words"),
    [
        (CHECKING, ClaimChecked(CLAIM), "code accept match"),
        (CHECKING, ClaimChecked(None, attempts_left=4), "code retry no_match"),
        (CHECKING, ClaimChecked(None, attempts_left=0), "code reject no_match"),
        (CHECKING, ClaimChecked(None, locked=True), "code reject locked"),
        (CHECKING, ClaimChecked(None, failed=True), "code reject not_known"),
        (BY_CARD, ClaimChecked(None), "id_card reject no_claim"),
        (BY_CARD, ClaimChecked(CLAIM), "id_card accept match"),
        (IDENTIFY, CardFailed(silent=False), "id_card retry unreadable"),
        (IDENTIFY, Tapped(Tap(Action.NUMBER, "1")), "number retry malformed"),
        (Journey("j1", Stage.IDENTIFY), Tapped(Tap(Action.NUMBER, NUMBER)), "number retry code_needed"),
        (IDENTIFY, Tapped(Tap(Action.NUMBER, NUMBER)), None),
        (IDENTIFY, CardSeen(OLD), None),
        (LOOKING, NO_FACE, "face retry no_match"),
        (Journey("j1", Stage.FACE, face_tries=2), NO_FACE, "face reject no_match"),
        (LOOKING, face(FaceVerdict.VERIFIED, FaceReason.MATCH), "face accept match"),
        (LOOKING, face(FaceVerdict.UNAVAILABLE, FaceReason.CAMERA_DOWN), "face reject camera_down"),
        (LOOKING, FacePrompted(FaceReason.MASKED), None),
        (LOOKING, TimedOut(), "face reject timed_out"),
        (Journey("j1", Stage.REVIEWING), ReviewDecided(ReviewDecision.APPROVED), "remote_review accept approved"),
        (Journey("j1", Stage.REVIEWING), ReviewDecided(ReviewDecision.REFUSED), "remote_review reject refused"),
        (READING, ChipRead(OLD), "old_card accept match"),
        (READING, ChipRead(None), "old_card retry unreadable"),
        (structs.replace(READING, claim=DAMAGED), ChipRead(None), "old_card accept unreadable"),
        (structs.replace(READING, claim=DAMAGED), ChipRead(None, silent=True), None),
        (structs.replace(READING, silences=LOOKS - 1), ChipRead(None, silent=True), "old_card reject silent"),
        (FINGER, FingerDecided(FingerResult.MATCH), "fingerprint accept match"),
        (FINGER, TimedOut(), "fingerprint reject no_finger"),
        (structs.replace(FINGER, finger_tries=2), FingerDecided(FingerResult.NO_MATCH), "fingerprint reject no_match"),
        (FINGER, FingerDecided(FingerResult.NO_TEMPLATE), "fingerprint reject no_template"),
        (Journey("j1", Stage.READING_OLD, claim=CLAIM, old_tries=2), ChipRead(None), "old_card reject unreadable"),
    ],
)
def test_what_counts_as_a_try(journey: Journey, event: Event, words: str | None) -> None:
    found = try_of(journey, event)
    assert (found and f"{found.evidence} {found.result} {found.reason}") == words


async def test_tries_are_counted_and_journalled_without_a_person(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        tries = Tries(db, lambda: STAMP)
        for _ in range(2):
            tries.note(CHECKING, ClaimChecked(None, attempts_left=4))
        tries.note(LOOKING, NO_FACE)
        tries.note(LOOKING, FacePrompted(FaceReason.MASKED))
        rows = await db.transaction(lambda tx: tx.all("SELECT data FROM journal WHERE type = ?", (TRIED,)))
    assert [json.loads(row["data"]) for row in rows][1:] == [
        {"journey_id": "j1", "evidence": "code", "result": "retry", "reason": "no_match"},
        {"journey_id": "j1", "evidence": "face", "result": "retry", "reason": "no_match", "claim_id": "N000001"},
    ]
    registry = CollectorRegistry()
    registry.register(tries)
    text = generate_latest(registry).decode()
    assert 'lockerd_identity_tries_total{evidence="code",reason="no_match",result="retry"} 2.0' in text
    report = identity_report(tmp_path / "lockerd.db")
    assert report.evidence["code"].reasons == {"retry no_match": 2}
    assert "face" in in_words(report)


async def test_five_faces_that_were_not_recognised_make_the_next_wait_also_after_a_restart(tmp_path: Path) -> None:
    now = [NOW]

    async def waits() -> float:
        async with opened(tmp_path / "lockerd.db") as db:
            return await FaceTries(db, vault(), lambda: stamp(now[0])).seconds_to_wait(LOOKING)

    async def decided(*events: FaceDecided) -> None:
        async with opened(tmp_path / "lockerd.db") as db:
            for one in events:
                await FaceTries(db, vault(), lambda: stamp(now[0])).count(LOOKING, one.result)

    no_match = face(FaceVerdict.NOT_VERIFIED, FaceReason.NO_MATCH)
    await decided(*[no_match] * 4, face(FaceVerdict.NOT_VERIFIED, FaceReason.TOO_DARK))
    assert await waits() == 0
    await decided(face(FaceVerdict.NOT_VERIFIED, FaceReason.NOT_LIVE))
    assert await waits() == 30
    now[0] += 20
    assert await waits() == 10
    now[0] -= 3600  # a clock set back gains nothing, and costs nobody an hour
    assert await waits() == 10
    now[0] += 3620
    assert await waits() == 0
    await decided(no_match)
    assert await waits() == 30
    await decided(face(FaceVerdict.VERIFIED, FaceReason.MATCH))
    assert await waits() == 0


def told(journey: str, words: str, claim: str = "", wall: float = 0.0) -> tuple[str, str, float]:
    evidence, result, reason = words.split()
    data = {"journey_id": journey, "evidence": evidence, "result": result, "reason": reason}
    return TRIED, json.dumps(data | ({"claim_id": claim} if claim else {})), wall


def taken(journey: str, claim: str, wall: float = 0.0) -> tuple[str, str, float]:
    return "lockerd.card.taken", json.dumps({"journey_id": journey, "claim_id": claim}), wall


def ticket(journey: str) -> tuple[str, str, float]:
    return "lockerd.ticket.issued", json.dumps({"journey_id": journey, "reason": "no_match", "ticket": "A-1"}), 0.0


def test_each_visit_is_told_by_its_end() -> None:
    rows = [
        told("1", "face accept match", "A"),
        taken("1", "A"),
        told("2", "face retry no_match", "B"),
        told("2", "face accept match", "B"),
        told("3", "face reject no_match", "C"),
        ticket("3"),
        told("4", "face reject no_match", "D"),
        ticket("4"),
        told("5", "face reject no_match", "E"),
        told("6", "face accept match", "C"),
        taken("7", "D"),
    ]
    face = report_of(rows).evidence["face"]
    assert (face.tries, face.visits, face.first_try, face.later_try) == (7, 6, 2, 1)
    assert (face.later_visit, face.another_way, face.counter, face.open) == (1, 1, 0, 1)
    assert (face.false_reject.of, face.at_most.of) == (5, 6)
    assert face.false_reject.estimate == pytest.approx(2 / 5)
    assert face.at_most.estimate == pytest.approx(3 / 6)


def test_a_wrong_code_and_the_next_journey_are_one_visit_unless_time_passed() -> None:
    rows = [
        told("1", "code retry no_match", wall=100.0),
        told("2", "code accept match", "A", wall=160.0),
        told("3", "code retry no_match", wall=500.0),
        told("4", "code accept match", "B", wall=900.0),
    ]
    code = report_of(rows).evidence["code"]
    assert (code.visits, code.first_try, code.later_try, code.open) == (3, 1, 1, 1)


def test_a_share_has_wilsons_interval_and_nothing_has_none() -> None:
    found = share(3, 100)
    assert found.estimate == 0.03
    assert found.low == pytest.approx(0.0103, abs=1e-4)
    assert found.high == pytest.approx(0.0845, abs=1e-4)
    assert share(0, 0).estimate is None
    assert "nobody" in in_words(report_of([told("5", "face reject no_match")]))


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not there"):
        identity_report(tmp_path / "none.db")
