"""Any picture gives a sighting or a reason; nothing that fails ever matches."""

from __future__ import annotations

import dataclasses
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockerd.face.adapters import Face, overlap
from lockerd.face.gates import gate_crop, gate_geometry, one_face
from lockerd.face.messages import MAX_PICTURE_BYTES
from lockerd.face.pack import Gates, load_pack
from lockerd.face.picture import decode, header_size
from lockerd.face.pipeline import (
    Glimpse,
    Pipeline,
    Sighting,
    align,
    cosine,
    fused,
    normalised,
    open_pipeline,
    similarity,
    stored_vector,
)
from lockerd.face.transaction import Transaction
from lockerd.model.identity import FaceReason
from sim.faces import Nuisance, Person, draw_frame, draw_portrait, draw_scene, encode
from sim.faces.attacks import draw_attack
from sim.faces.measure import PACK

GOOD = Nuisance(eye_distance=0.19)
OPEN = Gates()
BLANK = np.zeros((480, 640, 3), np.uint8)
THRESHOLD = load_pack(PACK, production=False).threshold("photo").value


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return open_pipeline(load_pack(PACK, production=False))


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def vector_of(pipeline: Pipeline, picture: object) -> np.ndarray:
    seen = pipeline.look(picture, pipeline.gates_live)
    assert isinstance(seen, Sighting), seen
    return seen.vector


def test_people_are_told_apart(pipeline: Pipeline) -> None:
    templates, live = [], []
    for seed in range(30):
        person = Person.from_seed(seed)
        enrolment = pipeline.enrol(encode(draw_portrait(person, rng(seed))))
        assert enrolment.template is not None, enrolment.reason
        assert enrolment.template.model_id == pipeline.model_id
        vector = stored_vector(enrolment.template.vector)
        assert vector is not None
        templates.append(vector)
        live.append(vector_of(pipeline, draw_frame(person, rng(seed + 1000))))
    scores = np.stack(templates) @ np.stack(live).T
    assert scores.diagonal().min() >= THRESHOLD
    assert (scores - 2 * np.eye(30)).max() < THRESHOLD


def test_landmarks_lie_near_the_truth(pipeline: Pipeline) -> None:
    errors = []
    for seed in range(20):
        picture, (truth,) = draw_scene([Person.from_seed(seed)], rng(seed), nuisance=GOOD)
        (face,) = pipeline.detect(picture)
        eyes = np.hypot(*(truth.landmarks[1] - truth.landmarks[0]))
        errors.append(np.hypot(*(face.landmarks - truth.landmarks).T).mean() / eyes)
    assert np.median(errors) < 0.06


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"eye_distance": 0.07}, FaceReason.TOO_FAR),
        ({"gain": 0.12}, FaceReason.TOO_DARK),
        ({"gain": 3.0}, FaceReason.TOO_BRIGHT),
        ({"blur": 9.0, "noise": 0.0}, FaceReason.BLURRED),
        ({"roll": 0.6}, FaceReason.TURNED_AWAY),
    ],
)
def test_each_gate_has_its_reason(pipeline: Pipeline, change: dict[str, float], reason: FaceReason) -> None:
    seen = dataclasses.replace(GOOD, **change)  # type: ignore[arg-type]
    for seed in (0, 3, 4):
        picture = draw_frame(Person.from_seed(seed), rng(seed), nuisance=seen)
        assert pipeline.look(picture, pipeline.gates_live) is reason


def test_nobody_and_two_people(pipeline: Pipeline) -> None:
    for seed in range(10):
        assert pipeline.look(draw_frame(None, rng(seed)), pipeline.gates_live) is FaceReason.NO_FACE
    both = draw_frame(Person.from_seed(1), rng(), second=Person.from_seed(2))
    assert pipeline.look(both, pipeline.gates_live) is FaceReason.SEVERAL_FACES


def face(width: float, left: float = 0.0, marks: list[tuple[float, float]] | None = None) -> Face:
    box = np.array([left, 0, left + width, width * 1.2], np.float32)
    return Face(box, np.array(marks or [(0, 0)] * 5, np.float32), 0.9)


def test_somebody_far_behind_does_not_count() -> None:
    near = face(200)
    assert one_face(BLANK, [face(40, 300), near]) is near
    assert one_face(BLANK, [face(150, 300), near]) is FaceReason.SEVERAL_FACES
    assert one_face(BLANK, []) is FaceReason.NO_FACE


UPRIGHT = [(100.0, 100.0), (200.0, 100.0), (150.0, 160.0), (115.0, 210.0), (185.0, 210.0)]


@pytest.mark.parametrize(
    ("marks", "reason"),
    [
        (UPRIGHT, None),
        ([(x * 0.5, y * 0.5) for x, y in UPRIGHT], FaceReason.TOO_FAR),
        ([*UPRIGHT[:2], (195.0, 160.0), *UPRIGHT[3:]], FaceReason.TURNED_AWAY),
        ([*UPRIGHT[:2], (150.0, 208.0), *UPRIGHT[3:]], FaceReason.TURNED_AWAY),
        ([*UPRIGHT[:2], (150.0, 105.0), *UPRIGHT[3:]], FaceReason.TURNED_AWAY),
        ([(y, x) for x, y in UPRIGHT], FaceReason.TURNED_AWAY),
        ([(float("nan"), 0.0)] * 5, FaceReason.TOO_FAR),
        ([(0.0, 0.0)] * 5, FaceReason.TOO_FAR),
        ([(x, -y) for x, y in UPRIGHT], FaceReason.TURNED_AWAY),
    ],
)
def test_gates_of_geometry(marks: list[tuple[float, float]], reason: FaceReason | None) -> None:
    assert gate_geometry(face(200, 0.0, marks), Gates()) is reason


def gate(crop: np.ndarray, gates: Gates = OPEN) -> FaceReason | None:
    return gate_crop(crop, np.array(load_pack(PACK, production=False).model("embedder").template), gates)


@pytest.mark.parametrize(
    ("colour", "covered"), [((150, 170, 210), False), ((230, 235, 235), True), ((190, 150, 90), True)]
)
def test_a_mask_is_seen_by_its_colour(colour: tuple[int, int, int], covered: bool) -> None:
    crop = np.clip(np.full((112, 112, 3), (130, 150, 190)) + rng().normal(0, 12, (112, 112, 1)), 0, 255).astype(
        np.uint8
    )
    crop[66:] = colour
    reason = gate(crop, Gates(covering=0.8, darkest=0.0, brightest=255.0))
    assert reason is (FaceReason.MASKED if covered else None)
    assert gate(crop, Gates(darkest=0.0, brightest=255.0)) is None, "a pack may leave the gate open"


def test_gates_of_the_crop() -> None:
    noise = rng().normal(0, 30, (112, 112, 3))
    assert gate(np.clip(noise + 120, 0, 255).astype(np.uint8)) is None
    assert gate(np.clip(noise + 20, 0, 255).astype(np.uint8)) is FaceReason.TOO_DARK
    assert gate(np.clip(noise + 230, 0, 255).astype(np.uint8)) is FaceReason.TOO_BRIGHT
    assert gate(np.full((112, 112, 3), 120, np.uint8)) is FaceReason.BLURRED


@given(
    st.floats(-3, 3),
    st.floats(0.2, 5),
    st.floats(-200, 200),
    st.floats(-200, 200),
)
def test_alignment_finds_a_known_transform(angle: float, scale: float, dx: float, dy: float) -> None:
    points = np.array(UPRIGHT)
    known = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    found = similarity(points, points @ known.T + (dx, dy))
    assert found == pytest.approx(np.column_stack([known, (dx, dy)]), abs=1e-6)


def test_a_crop_has_its_landmarks_where_the_template_says(pipeline: Pipeline) -> None:
    picture = np.zeros((480, 640, 3), np.uint8)
    turned = np.array([[0.9, -0.3], [0.3, 0.9]]) * 2.5
    marks = (pipeline.template @ turned.T + (200, 60)).astype(np.float32)
    for x, y in marks:
        cv2.circle(picture, (round(float(x)), round(float(y))), 5, (255, 255, 255), -1)
    crop = align(picture, marks, pipeline.template, pipeline.crop_size)
    assert crop.shape == (112, 112, 3)
    for x, y in pipeline.template:
        assert crop[round(y), round(x)].min() > 200


def test_vectors_that_cannot_be_compared_never_match() -> None:
    good = normalised(np.ones(128, np.float32))
    assert good is not None
    assert normalised(np.zeros(128, np.float32)) is None
    assert normalised(np.full(128, np.nan, np.float32)) is None
    assert normalised(np.full(128, np.inf, np.float32)) is None
    assert cosine(good, np.ones(64, np.float32)) == -1.0
    assert cosine(good, np.full(128, np.nan, np.float32)) == -1.0
    assert stored_vector(b"") is None
    assert stored_vector(b"123") is None
    assert stored_vector(np.full(128, np.nan, "<f4").tobytes()) is None
    assert fused([]) is None
    box = np.zeros(4, np.float32)
    assert fused([Sighting(box, good), Sighting(box, -good)]) is None


@given(st.binary(max_size=400))
def test_any_bytes_give_a_reason(data: bytes) -> None:
    assert decode(data) is FaceReason.UNREADABLE_PICTURE
    assert decode(b"\xff\xd8\xff" + data) is FaceReason.UNREADABLE_PICTURE
    assert decode(b"\x89PNG\r\n\x1a\n" + data) is FaceReason.UNREADABLE_PICTURE


PHOTO = encode(draw_portrait(Person.from_seed(7), rng(7)))


@settings(max_examples=60)
@given(st.integers(0, len(PHOTO) - 1), st.integers(0, 255), st.integers(3, len(PHOTO)))
def test_a_damaged_photo_never_raises(pipeline: Pipeline, at: int, value: int, length: int) -> None:
    damaged = bytearray(PHOTO)
    damaged[at] = value
    assert pipeline.enrol(bytes(damaged)).reason in FaceReason
    assert pipeline.enrol(PHOTO[:length]).reason in FaceReason
    if length < len(PHOTO) - 1100:
        assert pipeline.enrol(PHOTO[:length]).reason is FaceReason.UNREADABLE_PICTURE


def test_a_huge_picture_is_refused_by_its_header() -> None:
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">II", 60000, 60000) + bytes(40)
    assert header_size(png) == (60000, 60000)
    assert decode(png) is FaceReason.UNREADABLE_PICTURE
    jpeg = bytearray(PHOTO)
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65000, 65000)
    assert header_size(bytes(jpeg)) == (65000, 65000)
    assert decode(bytes(jpeg)) is FaceReason.UNREADABLE_PICTURE
    assert decode(PHOTO + bytes(MAX_PICTURE_BYTES)) is FaceReason.UNREADABLE_PICTURE
    assert header_size(PHOTO) == (358, 441)


@pytest.mark.parametrize(
    "picture",
    [
        None,
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((480, 640), np.uint8),
        np.zeros((480, 640, 4), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((33, 9000, 3), np.uint8),
        np.full((480, 640, 3), np.nan, np.float32),
    ],
    ids=["none", "empty", "grey", "alpha", "tiny", "wide", "nan"],
)
def test_what_is_no_picture_gives_a_reason(pipeline: Pipeline, picture: object) -> None:
    assert pipeline.look(picture, pipeline.gates_live) is FaceReason.UNREADABLE_PICTURE


@pytest.mark.parametrize("kind", ["black", "white", "noise", "stripes", "tall"])
def test_pictures_of_nothing_give_no_face(pipeline: Pipeline, kind: str) -> None:
    made = {
        "black": np.zeros((480, 640, 3), np.uint8),
        "white": np.full((480, 640, 3), 255, np.uint8),
        "noise": rng().integers(0, 256, (480, 640, 3), np.uint8),
        "stripes": np.tile(np.repeat(np.arange(0, 256, 32).astype(np.uint8), 10), (480, 8))[..., None].repeat(3, 2),
        "tall": np.full((4000, 40, 3), 90, np.uint8),
    }[kind]
    assert isinstance(pipeline.look(made, pipeline.gates_live), FaceReason)


def test_a_broken_model_gives_a_reason(pipeline: Pipeline) -> None:
    broken = dataclasses.replace(pipeline, embed=lambda _: np.full(128, np.nan, np.float32))
    picture = draw_frame(Person.from_seed(8), rng(8), nuisance=GOOD)
    assert broken.look(picture, broken.gates_live) is FaceReason.UNREADABLE_PICTURE


def test_a_face_is_followed_from_frame_to_frame(pipeline: Pipeline) -> None:
    looked: list[tuple[int, ...]] = []

    def detect(picture: np.ndarray, size: tuple[int, int] | None = None) -> list[Face]:
        looked.append(picture.shape[:2])
        return pipeline.detect(picture, size)

    watched = dataclasses.replace(pipeline, detect=detect)
    person, far = Person.from_seed(8), dataclasses.replace(GOOD, eye_distance=0.1)
    before, after, gone = (draw_scene([person], rng(n), (1280, 720), nuisance=far)[0] for n in (1, 2, 3))
    whole = watched.look(before, watched.gates_live)
    assert isinstance(whole, Sighting)
    near = watched.look(after, watched.gates_live, near=whole.box)
    assert isinstance(near, Sighting)
    assert looked[0] == (720, 1280)
    assert max(looked[1]) < 640, "only the surroundings were searched"
    assert cosine(near.vector, vector_of(pipeline, draw_frame(person, rng(), nuisance=GOOD))) > THRESHOLD
    elsewhere = watched.look(gone, watched.gates_live, near=whole.box - 300)
    assert isinstance(elsewhere, Sighting), "what is not there is looked for in the whole picture"
    assert looked[-1] == (720, 1280)


def test_a_glance_sees_where_one_face_is_and_whether_somebody_is_beside(pipeline: Pipeline) -> None:
    for seed in range(5):
        frame = draw_frame(Person.from_seed(seed), rng(seed), nuisance=GOOD)
        glimpse, seen = pipeline.glance(frame), pipeline.look(frame, pipeline.gates_live)
        assert isinstance(glimpse, Glimpse)
        assert isinstance(seen, Sighting)
        assert overlap(glimpse.box, seen.box) > 0.8, "the glance is a little coarser"
        both = draw_frame(Person.from_seed(seed), rng(seed), second=Person.from_seed(seed + 50))
        assert pipeline.glance(both) is FaceReason.SEVERAL_FACES
    assert pipeline.glance(draw_frame(None, rng())) is FaceReason.NO_FACE
    assert pipeline.glance(None) is FaceReason.UNREADABLE_PICTURE


def test_what_the_models_looked_at_can_be_overwritten(pipeline: Pipeline) -> None:
    vector_of(pipeline, draw_frame(Person.from_seed(8), rng(8), nuisance=GOOD))
    held = list(pipeline.inputs._arrays.values())
    assert any(array.any() for array in held)
    pipeline.inputs.wipe()
    assert not any(array.any() for array in held)


@pytest.mark.parametrize(
    ("species", "reason"),
    [("live", FaceReason.MATCH), ("print", FaceReason.NOT_LIVE), ("replay", FaceReason.NOT_LIVE)],
)
def test_a_picture_of_the_right_face_is_not_verified(pipeline: Pipeline, species: str, reason: FaceReason) -> None:
    limits = load_pack(PACK, production=False).manifest.liveness
    assert limits is not None
    for seed in range(4):
        person, draw = Person.from_seed(seed), rng(seed)
        template = pipeline.enrol(encode(draw_portrait(person, draw))).template
        assert template is not None
        reference = stored_vector(template.vector)
        assert reference is not None
        transaction = Transaction(reference, THRESHOLD, frames=4, span=0.0, deadline=9.0, limits=limits)
        decision = None
        for number in range(8):
            frame = draw_frame(person, draw) if species == "live" else draw_attack(person, species, draw, hard=0.1)[0]
            decision = decision or transaction.add(pipeline.look(frame, pipeline.gates_live, live=True), number / 10)
        assert decision is not None, seed
        assert decision.reason is reason, seed
