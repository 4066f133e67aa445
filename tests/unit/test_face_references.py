"""A reference is of a kind that the pack was calibrated for; a chip's photo comes through a program of the operator's."""

from __future__ import annotations

import dataclasses
import math
import struct
import sys
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from lockerd.errors import DeviceError
from lockerd.face.chip_photo import ProgramDecoder, enrol_chip_photo
from lockerd.face.messages import MAX_PICTURE_BYTES, FaceSettings, SourceSettings
from lockerd.face.pack import load_pack
from lockerd.face.pipeline import Pipeline, Sighting, cosine, open_pipeline, stored_vector
from lockerd.face.verifier import is_unit_vector
from lockerd.face.worker import calibrated_for
from lockerd.model.identity import Enrolment, FaceReason, ReferenceKind
from sim.chip_photo import LENGTH, photo_block, picture_of
from sim.faces import Nuisance, Person, draw_frame
from sim.faces.measure import PACK

SEED = 8
SIMULATED = ProgramDecoder((sys.executable, "-m", "sim", "chip-photo"), seconds=30.0)


@dataclass(frozen=True, slots=True)
class Enroller:
    """The pipeline without its process."""

    pipeline: Pipeline

    async def enrol(self, picture: bytes, kind: ReferenceKind = ReferenceKind.PHOTO) -> Enrolment:
        return self.pipeline.enrol(picture, kind)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return open_pipeline(load_pack(PACK, production=False))


async def test_a_chips_photo_becomes_a_template_of_its_own_kind(pipeline: Pipeline) -> None:
    enrolment = await enrol_chip_photo(Enroller(pipeline), SIMULATED, photo_block(SEED))
    assert enrolment.template is not None, enrolment.reason
    assert enrolment.template.kind is ReferenceKind.CHIP
    reference = stored_vector(enrolment.template.vector)
    assert reference is not None
    threshold = load_pack(PACK, production=False).threshold("chip").value
    for seed, matches in ((SEED, True), (SEED + 1, False)):
        frame = draw_frame(Person.from_seed(seed), np.random.default_rng(1), nuisance=Nuisance(eye_distance=0.19))
        seen = pipeline.look(frame, pipeline.gates_live)
        assert isinstance(seen, Sighting)
        assert (cosine(seen.vector, reference) >= threshold) is matches


def test_a_chips_photo_need_not_be_as_sharp_as_an_application_photo(pipeline: Pipeline) -> None:
    strict = msgspec.structs.replace(pipeline.gates_reference, eye_distance=60.0)
    choosy = dataclasses.replace(pipeline, gates_reference=strict)
    small = picture_of(photo_block(SEED))
    assert choosy.enrol(small).reason is FaceReason.TOO_FAR
    assert choosy.enrol(small, ReferenceKind.CHIP).reason is FaceReason.MATCH


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.exit(3)", "exit status 3"),
        ("", "no picture"),
        ("import time; time.sleep(60)", "within"),
        (f"import sys; sys.stdout.buffer.write(bytes({MAX_PICTURE_BYTES + 1}))", "no picture"),
    ],
    ids=["fails", "silent", "stuck", "floods"],
)
async def test_a_decoder_that_gives_no_picture(script: str, said: str) -> None:
    decoder = ProgramDecoder((sys.executable, "-S", "-c", script), seconds=0.5 if "sleep" in script else 30.0)
    with pytest.raises(DeviceError, match=said):
        await decoder.decode(bytes(LENGTH))


async def test_a_decoder_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match="started"):
        await ProgramDecoder(("/nonexistent/decoder",)).decode(bytes(LENGTH))


async def test_a_block_that_is_no_photo() -> None:
    with pytest.raises(DeviceError, match="exit status 1"):
        await SIMULATED.decode(bytes(LENGTH))


def unit(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


@pytest.mark.parametrize(
    ("data", "sound"),
    [
        (unit(0.6, 0.8), True),
        (unit(0.6, 0.9), False),
        (unit(1.0), False),
        (unit(0.0, 0.0), False),
        (unit(math.nan, 1.0), False),
        (unit(math.inf, 0.0), False),
        (b"", False),
        (b"1234567", False),
    ],
)
def test_vectors_from_elsewhere(data: bytes, sound: bool) -> None:
    assert is_unit_vector(data, 2) is sound
    assert not is_unit_vector(b"", 0)


def test_a_kind_counts_only_where_every_source_has_a_threshold() -> None:
    pack = load_pack(PACK, production=False)
    camera = SourceSettings("camera", "0")
    alone = calibrated_for(pack, FaceSettings("p", camera))
    assert {kind: [t.reference_kind for t in found] for kind, found in alone.items()} == {
        ReferenceKind.PHOTO: ["photo"],
        ReferenceKind.CHIP: ["chip"],
    }
    infrared = SourceSettings("camera", "1", "ir")
    assert infrared.threshold_kind(ReferenceKind.CHIP) == "ir-chip"
    assert calibrated_for(pack, FaceSettings("p", camera, second=infrared)) == {}
