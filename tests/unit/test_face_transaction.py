"""One decision per transaction, on one track, over its span."""

from __future__ import annotations

import numpy as np
import pytest

from lockerd.face.pipeline import Sighting
from lockerd.face.transaction import Decision, Transaction
from lockerd.model.identity import FaceReason, FaceVerdict


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def seen(seed: int, left: float = 100.0) -> Sighting:
    return Sighting(np.array([left, 100, left + 100, 220], np.float32), unit(seed))


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
