"""One decision per transaction, on one track, over its span."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import numpy as np
import pytest

from lockerd.face.pack import LivenessLimits
from lockerd.face.pipeline import Glimpse, Sighting
from lockerd.face.transaction import (
    Agreement,
    Aim,
    Challenge,
    Decision,
    Transaction,
    draw_challenge,
    is_present,
)
from lockerd.model.identity import FaceReason, FaceVerdict, Presence


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


LIMITS = LivenessLimits(0.5, 0.2, "test", "none", "2026-01-01")


def seen(
    seed: int, left: float = 100.0, *, live: float | None = None, eyes: float = 60.0, turn: float = 0.0
) -> Sighting:
    return Sighting(np.array([left, 100, left + 100, 220], np.float32), unit(seed), live, eyes, turn)


@pytest.fixture
def transaction() -> Transaction:
    return Transaction(unit(1), threshold=0.5, frames=3, span=0.5, deadline=10.0)


def test_the_right_person_is_verified_after_frames_and_span(transaction: Transaction) -> None:
    assert [transaction.add(seen(1), t) for t in (0.0, 0.1, 0.2, 0.4)] == [None] * 4
    assert transaction.add(seen(1), 0.5) == Decision(FaceVerdict.VERIFIED, FaceReason.MATCH, 10)


def test_the_wrong_person_is_not(transaction: Transaction) -> None:
    decision = [transaction.add(seen(2), t) for t in (0.0, 0.3, 0.6)][-1]
    assert decision is not None
    assert (decision.verdict, decision.reason) == (FaceVerdict.NOT_VERIFIED, FaceReason.NO_MATCH)


def test_one_good_frame_among_a_strangers_does_not_carry(transaction: Transaction) -> None:
    transaction.frames = 5
    decision = [transaction.add(seen(s), t) for s, t in ((2, 0.0), (1, 0.2), (2, 0.4), (3, 0.5), (2, 0.6))][-1]
    assert decision is not None
    assert decision.verdict is FaceVerdict.NOT_VERIFIED


def test_somebody_who_steps_in_starts_anew(transaction: Transaction) -> None:
    assert transaction.add(seen(2), 0.0) is None
    assert transaction.add(seen(2), 0.3) is None
    assert transaction.add(seen(1, left=400.0), 0.6) is None
    assert transaction.add(seen(1, left=400.0), 0.9) is None
    decision = transaction.add(seen(1, left=400.0), 1.2)
    assert decision is not None
    assert decision.verdict is FaceVerdict.VERIFIED


def test_a_second_face_or_a_long_absence_starts_anew(transaction: Transaction) -> None:
    for between in ([FaceReason.SEVERAL_FACES], [FaceReason.NO_FACE] * 9):
        transaction.add(seen(2), 0.0)
        transaction.add(seen(2), 0.3)
        for reason in between:
            assert transaction.add(reason, 0.4) is None
        assert transaction.add(seen(2), 0.6) is None
        transaction.forget()


def test_a_blink_does_not(transaction: Transaction) -> None:
    transaction.add(seen(1), 0.0)
    transaction.add(seen(1), 0.3)
    transaction.add(FaceReason.BLURRED, 0.4)
    assert transaction.add(seen(1), 0.6) is not None


def test_time_runs_out(transaction: Transaction) -> None:
    assert transaction.overdue(9.9) is None
    assert transaction.overdue(10.0) == Decision(FaceVerdict.NOT_VERIFIED, FaceReason.TIMED_OUT)


def test_vectors_are_overwritten_after_the_decision(transaction: Transaction) -> None:
    sightings = [seen(1), seen(1), seen(1)]
    for sighting, now in zip(sightings, (0.0, 0.3, 0.6), strict=True):
        transaction.add(sighting, now)
    assert not any(sighting.vector.any() for sighting in sightings)


def test_vectors_that_cancel_out_match_nothing(transaction: Transaction) -> None:
    transaction.threshold = -1.0 + 1e-9
    opposite = Sighting(seen(1).box, -unit(1))
    transaction.frames, transaction.span = 2, 0.0
    transaction.add(seen(1), 0.0)
    decision = transaction.add(opposite, 0.1)
    assert decision is not None
    assert decision.verdict is FaceVerdict.NOT_VERIFIED


# Liveness


@pytest.mark.parametrize(
    ("scores", "present"),
    [
        ([0.9, 0.9, 0.9], True),
        ([0.9, 0.3, 0.9], True),
        ([0.9, 0.1, 0.9], False),  # one frame below the floor
        ([0.4, 0.4, 0.9], False),  # the median
        ([0.9, None, 0.9], False),
        ([], False),
    ],
)
def test_median_and_floor_of_liveness(scores: list[float | None], present: bool) -> None:
    assert is_present(scores, LIMITS) is present


def test_the_right_face_that_is_not_live_is_not_verified(transaction: Transaction) -> None:
    transaction.limits = LIMITS
    decision = [transaction.add(seen(1, live=0.1), t) for t in (0.0, 0.3, 0.6)][-1]
    assert decision == Decision(FaceVerdict.NOT_VERIFIED, FaceReason.NOT_LIVE, 10, Presence.NOT_LIVE)
    decision = [transaction.add(seen(1, live=0.9), t) for t in (1.0, 1.3, 1.6)][-1]
    assert decision == Decision(FaceVerdict.VERIFIED, FaceReason.MATCH, 10, Presence.LIVE)


def test_a_pack_without_liveness_says_so(transaction: Transaction) -> None:
    decision = [transaction.add(seen(1), t) for t in (0.0, 0.3, 0.6)][-1]
    assert decision is not None
    assert decision.presence is Presence.NOT_CHECKED


# Challenge


def test_closer_is_asked_and_waited_for(transaction: Transaction) -> None:
    transaction.challenge = Challenge.CLOSER
    both = Agreement((transaction,))
    assert [both.add(0, seen(1), t) for t in (0.0, 0.3, 0.6, 0.9)] == [None] * 4
    assert both.prompt() is FaceReason.MOVE_CLOSER
    assert both.add(0, seen(1, eyes=70.0), 1.0) is None
    decision = both.add(0, seen(1, eyes=76.0), 1.1)
    assert decision is not None
    assert decision.verdict is FaceVerdict.VERIFIED
    assert both.prompt() is None


@pytest.mark.parametrize(("challenge", "turn"), [(Challenge.TURN_LEFT, 0.2), (Challenge.TURN_RIGHT, -0.2)])
def test_a_turn_to_the_asked_side(transaction: Transaction, challenge: Challenge, turn: float) -> None:
    transaction.challenge = challenge
    assert [transaction.add(seen(1), t) for t in (0.0, 0.3, 0.6)] == [None] * 3
    assert transaction.add(seen(1, turn=-turn), 0.7) is None
    assert transaction.add(seen(1, turn=turn), 0.8) is not None


def test_somebody_else_cannot_meet_the_challenge(transaction: Transaction) -> None:
    transaction.challenge = Challenge.CLOSER
    assert [transaction.add(seen(1), t) for t in (0.0, 0.3, 0.6)] == [None] * 3
    assert transaction.add(seen(2, left=400.0, eyes=90.0), 0.7) is None
    assert not transaction.asking, "another track starts anew"


def test_challenges_are_drawn_by_chance_from_what_is_configured() -> None:
    random = Random(3)
    drawn = {draw_challenge(("closer", "turn"), random) for _ in range(50)}
    assert drawn == set(Challenge)
    assert {draw_challenge(("closer",), random) for _ in range(5)} == {Challenge.CLOSER}
    assert draw_challenge((), random) is None


# Two sources


@pytest.fixture
def both() -> Agreement:
    reference = unit(1)
    return Agreement(tuple(Transaction(reference, 0.5, frames=2, span=0.5, deadline=10.0) for _ in range(2)))


def test_both_sources_must_verify(both: Agreement) -> None:
    assert [both.add(0, seen(1), t) for t in (0.0, 0.6, 0.7)] == [None] * 3
    assert both.add(1, seen(1), 0.8) is None
    decision = both.add(1, seen(1), 1.4)
    assert decision == Decision(FaceVerdict.VERIFIED, FaceReason.MATCH, 10)


@pytest.mark.parametrize("first", [0, 1])
def test_one_source_that_does_not_verify_decides(both: Agreement, first: int) -> None:
    both.add(1 - first, seen(1), 0.0)
    both.add(first, seen(2), 0.0)
    both.add(1 - first, seen(1), 0.6)
    decision = both.add(first, seen(2), 0.6)
    assert decision is not None
    assert (decision.verdict, decision.reason) == (FaceVerdict.NOT_VERIFIED, FaceReason.NO_MATCH)


def test_one_source_that_sees_nobody_lets_time_run_out(both: Agreement) -> None:
    for now in (0.0, 0.6):
        both.add(0, seen(1), now)
        both.add(1, FaceReason.NO_FACE, now)
    assert both.overdue(9.0) is None
    assert both.overdue(10.0) == Decision(FaceVerdict.NOT_VERIFIED, FaceReason.TIMED_OUT)


def glimpse(at: float = 0.0) -> Glimpse:
    return Glimpse(seen(1).box + np.float32(at))


@pytest.mark.parametrize("rate", [5, 12, 15, 30])
def test_frames_are_compared_over_the_span_and_all_others_glanced_at(transaction: Transaction, rate: int) -> None:
    transaction.frames, transaction.span = 5, 1.0
    aims: list[Aim] = []
    decision = None
    while decision is None:
        now = len(aims) / rate
        aims.append(transaction.aim(now))
        decision = transaction.add(seen(1) if aims[-1].compared else glimpse(), now)
    assert 1.0 <= (len(aims) - 1) / rate < 1.0 + 1.5 / rate
    assert aims[0].near is None
    assert (aims[-1].compared, aims[-1].near) == (True, None), "the frame that decides is searched whole"
    assert 5 <= sum(aim.compared for aim in aims) <= 8
    assert not any(a.near is not None and b.near is not None for a, b in pairwise(aims)), (
        "every second at least is whole"
    )


def test_a_challenge_is_measured_by_frames_that_are_looked_at_alike(transaction: Transaction) -> None:
    transaction.challenge, transaction.frames, transaction.span = Challenge.CLOSER, 1, 0.0
    transaction.add(seen(1), 0.0)
    assert transaction.asking
    aims = [transaction.aim(0.1 * number) for number in range(1, 7)]
    assert [aim.compared for aim in aims] == [True, False] * 3
    assert all((aim.near is not None) is aim.compared for aim in aims)


def test_somebody_else_in_a_glimpse_ends_the_track(transaction: Transaction) -> None:
    for other in (FaceReason.SEVERAL_FACES, glimpse(500.0)):
        transaction.add(seen(1), 0.0)
        assert transaction.add(other, 0.3) is None
        aim = transaction.aim(0.31)
        assert (aim.compared, aim.near) == (True, None), "a track that ended is not followed"
        assert transaction.add(seen(1), 0.6) is None, "what was seen before counts no more"
        transaction.forget()


def test_a_glimpse_alone_decides_nothing(transaction: Transaction) -> None:
    for number in range(40):
        assert transaction.add(glimpse(), number / 10) is None
