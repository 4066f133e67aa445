"""Drawn people: the same seed gives the same pixels, other seeds other people, and truth lies on the face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sim.faces import Nuisance, Person, draw_frame, draw_portrait, draw_scene
from sim.faces.__main__ import main
from sim.faces.attacks import SPECIES, draw_attack
from sim.faces.people import CALIBRATED, EVALUATED, GOLDEN, TRAINED


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_seed_gives_the_same_pixels() -> None:
    person = Person.from_seed(5)
    assert person == Person.from_seed(5)
    assert person != Person.from_seed(6)
    assert np.array_equal(draw_portrait(person, rng()), draw_portrait(person, rng()))
    assert np.array_equal(draw_frame(person, rng()), draw_frame(person, rng()))
    assert not np.array_equal(draw_frame(person, rng()), draw_frame(Person.from_seed(6), rng()))


def test_sizes() -> None:
    assert draw_portrait(Person.from_seed(1), rng()).shape == (441, 358, 3)
    assert draw_frame(None, rng()).shape == (480, 640, 3)
    assert draw_frame(Person.from_seed(1), rng(), (320, 240)).shape == (240, 320, 3)


@pytest.mark.parametrize("seed", range(12))
def test_landmarks_lie_in_the_box_in_their_order(seed: int) -> None:
    seen = Nuisance.camera(rng(seed))
    _, (truth,) = draw_scene([Person.from_seed(seed)], rng(seed), nuisance=seen)
    left, right, nose, mouth_left, mouth_right = truth.landmarks
    assert (truth.landmarks >= truth.box[:2]).all()
    assert (truth.landmarks <= truth.box[2:]).all()
    assert left[0] < right[0]
    assert mouth_left[0] < mouth_right[0]
    assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])


@pytest.mark.parametrize("species", SPECIES)
def test_a_picture_of_a_face_is_drawn_by_its_seed_and_has_its_truth(species: str) -> None:
    person = Person.from_seed(6)
    picture, truth = draw_attack(person, species, rng(2))
    again, _ = draw_attack(person, species, rng(2))
    assert np.array_equal(picture, again)
    assert picture.shape == (480, 640, 3)
    assert (truth.landmarks >= truth.box[:2]).all()
    assert (truth.landmarks <= truth.box[2:]).all()
    own = picture[tuple(slice(int(a), int(b)) for a, b in zip(truth.box[1::-1], truth.box[:1:-1], strict=True))]
    assert own.std() > 10.0, "there is a face where the truth says so"


def test_people_at_the_edge_of_the_frame_can_be_drawn() -> None:
    for at in ((0.0, 0.0), (1.0, 1.0), (-0.5, 0.5), (0.5, 2.0)):
        draw_frame(Person.from_seed(2), rng(), nuisance=Nuisance(at=at))


def test_nobody_is_both_trained_on_and_measured_with() -> None:
    ranges = [TRAINED, CALIBRATED, EVALUATED, (GOLDEN, GOLDEN + 1)]
    everybody = [seed for low, high in ranges for seed in range(low, high)]
    assert len(everybody) == len(set(everybody))


def test_the_sheet_is_written(tmp_path: Path) -> None:
    assert main(["sheet", str(tmp_path / "people.png")]) == 0
    assert (tmp_path / "people.png").stat().st_size > 10_000
