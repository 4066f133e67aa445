"""A hostile ONNX file is refused by its sha256; one that the manifest vouches for opens nothing either."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from lockerd.errors import ConfigError
from lockerd.face.adapters import _DETECTORS, _LIVENESS, Inputs
from lockerd.face.pack import load_pack
from lockerd.face.pipeline import Glimpse, Pipeline, Sighting, open_pipeline, self_test, stored_vector
from lockerd.face.transaction import Decision, Transaction
from lockerd.model.identity import FaceReason, FaceVerdict
from sim.faces import Person, draw_frame, draw_portrait, encode
from sim.faces.measure import PACK

MEAN = helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3])


def model(nodes: Sequence[onnx.NodeProto], weights: Sequence[TensorProto] = ()) -> bytes:
    """An embedder by its interface."""
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 3, 112, 112))
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [given], [made], list(weights))
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    whole.ir_version = 8
    return bytes(whole.SerializeToString())


def elsewhere(location: str) -> bytes:
    """Weights that are said to lie in another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[128], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "512")):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    return model([MEAN, helper.make_node("Add", ["mean", "w"], ["y"])], [weights])


def alloc(count: int) -> bytes:
    """A few bytes that want `count` numbers."""
    shape = helper.make_node("Constant", [], ["s"], value=helper.make_tensor("s", TensorProto.INT64, [1], [count]))
    zeros = helper.make_node("ConstantOfShape", ["s"], ["zeros"])
    return model([shape, zeros, MEAN, helper.make_node("Add", ["mean", "zeros"], ["y"])])


def constant(value: float, count: int) -> bytes:
    """A network that always gives the same."""
    numbers = helper.make_tensor("n", TensorProto.FLOAT, [1, count], [value] * count)
    return model([helper.make_node("Identity", ["n"], ["y"])], [numbers])


HOSTILE = {
    "external-absolute": elsewhere("/etc/passwd"),
    "huge-allocation": alloc(1 << 40),
    "huge-weights": model(
        [helper.make_node("Identity", ["w"], ["y"])], [TensorProto(name="w", data_type=1, dims=[1 << 50])]
    ),
    "unknown-operator": model([helper.make_node("Open", ["input"], ["y"], domain="evil")]),
    "length-bomb": b"\x0a" + b"\xff" * 9 + b"\x01" + bytes(100),
    "nan": constant(float("nan"), 128),
    "zero": constant(0.0, 128),
    "wrong-dimension": constant(1.0, 64),
    "another-model": (PACK / "detector.onnx").read_bytes(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_vouched_for_or_not(tmp_path: Path, name: str) -> None:
    pack = Path(shutil.copytree(PACK, tmp_path / "pack"))
    (pack / "embedder.onnx").write_bytes(HOSTILE[name])
    with pytest.raises(ConfigError, match="sha256"):
        load_pack(pack, production=False)
    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["models"][1]["sha256"] = hashlib.sha256(HOSTILE[name]).hexdigest()
    (pack / "manifest.json").write_text(json.dumps(manifest))
    vouched = load_pack(pack, production=False)
    with pytest.raises(ConfigError, match=r"face pack|self-test|embedder"):
        self_test(vouched, open_pipeline(vouched))


_OUTPUTS = {  # name before the stride, and numbers a cell
    "scrfd": {"score": 1, "bbox": 4, "kps": 10},
    "yunet": {"cls": 1, "obj": 1, "bbox": 4, "kps": 10},
}


class _Broken:
    """A detector's session whose outputs have the right shapes and any numbers."""

    def __init__(self, adapter: str, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._each = 2 if adapter == "scrfd" else 1
        self._outputs = {f"{kind}_{s}": (s, many) for kind, many in _OUTPUTS[adapter].items() for s in (8, 16, 32)}

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="input", shape=[1, 3, "height", "width"])]

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name) for name in self._outputs]

    def run(self, names: list[str] | None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        height, width = given["input"].shape[2:]
        shapes = (self._outputs[name] for name in names or self._outputs)
        return [self._numbers((height // s) * (width // s) * self._each, many) for s, many in shapes]

    def _numbers(self, *shape: int) -> np.ndarray:
        odd = np.array([np.nan, np.inf, -np.inf, 1e38, -1e38, 0.0, 1.0, 0.7, -3.0, 8.0], np.float32)
        mixed = np.where(
            self._random.random(shape) < 0.5, self._random.choice(odd, shape), self._random.normal(0, 3, shape)
        )
        return np.asarray(mixed, np.float32)


@pytest.mark.parametrize("adapter", _OUTPUTS)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_whatever_a_detector_gives_ends_in_a_reason_or_a_face_that_is_none(
    pipeline: Pipeline, adapter: str, seed: int
) -> None:
    described = msgspec.structs.replace(
        load_pack(PACK, production=False).model("detector"), adapter=adapter, input_size=(128, 128)
    )
    with np.errstate(all="ignore"):
        broken = dataclasses.replace(pipeline, detect=_DETECTORS[adapter](described, _Broken(adapter, seed), Inputs()))
        picture = np.random.default_rng(seed).integers(0, 256, (128, 128, 3), np.uint8)
        for near in (None, np.array([20, 20, 100, 100], np.float32)):
            seen = broken.look(picture, broken.gates_live, near=near, live=True)
            assert isinstance(seen, FaceReason) or np.isfinite(seen.vector).all()


@pytest.mark.parametrize(
    ("value", "count", "said"), [(np.nan, 3, 0.0), (np.inf, 3, 0.0), (0.0, 3, 0.0), (0.0, 2, None)]
)
def test_a_liveness_model_that_gives_nothing_sees_nobody_live(value: float, count: int, said: float | None) -> None:
    described = msgspec.structs.replace(
        load_pack(PACK, production=False).model("detector"), role="liveness", crop_scale=2.0
    )
    session = SimpleNamespace(
        get_inputs=lambda: [SimpleNamespace(name="input")], run=lambda *_: [np.full((1, count), value, np.float32)]
    )
    broken = _LIVENESS["minifasnet"](described, session, Inputs())
    picture, box = np.zeros((128, 128, 3), np.uint8), np.array([20, 20, 100, 100], np.float32)
    if said is None:
        with pytest.raises(ConfigError, match="has not the output"):
            broken(picture, box)
    else:
        assert broken(picture, box) == said


# Whatever comes before the camera

ALICE, BOB = Person.from_seed(8), Person.from_seed(3)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return open_pipeline(load_pack(PACK, production=False))


@pytest.fixture(scope="module")
def frames() -> dict[str, object]:
    """Frames by what is wrong with them; "alice" and "bob" are good ones."""
    rng = np.random.default_rng(5)
    alice = draw_frame(ALICE, np.random.default_rng(1))
    cut = alice.copy()
    cut[130:] = 128  # what a decoder makes of a frame that ends early
    jpeg = bytearray(encode(alice))
    jpeg[len(jpeg) // 3 : len(jpeg) // 2] = bytes(len(jpeg) // 2 - len(jpeg) // 3)
    return {
        "alice": alice,
        "bob": draw_frame(BOB, np.random.default_rng(2)),
        "both": draw_frame(ALICE, rng, second=BOB),
        "nobody": draw_frame(None, rng),
        "black": np.zeros((480, 640, 3), np.uint8),
        "white": np.full((480, 640, 3), 255, np.uint8),
        "noise": rng.integers(0, 256, (480, 640, 3), np.uint8),
        "huge": np.zeros((5000, 5000, 3), np.uint8),
        "cut": cut,
        "floats": alice.astype(np.float32),
        "file": bytes(jpeg),
        "none": None,
    }


def test_no_row_of_bad_frames_is_ever_verified(pipeline: Pipeline, frames: dict[str, object]) -> None:
    template = pipeline.enrol(encode(draw_portrait(ALICE, np.random.default_rng(1)))).template
    assert template is not None
    reference = stored_vector(template.vector)
    assert reference is not None
    threshold = load_pack(PACK, production=False).threshold("photo").value
    random = Random(11)
    bad = sorted(set(frames) - {"alice"})
    for _ in range(12):
        transaction = Transaction(reference, threshold, frames=4, span=0.1, deadline=100.0)
        row = random.choices(bad, k=random.randrange(8))
        # One good frame is among them: alone it is no track.
        for number, name in enumerate([*row, "alice", "both", *row]):
            now = number / 10
            aim, frame = transaction.aim(now), frames[name]
            seen = pipeline.look(frame, pipeline.gates_live, near=aim.near) if aim.compared else pipeline.glance(frame)
            if aim.near is None:
                assert isinstance(seen, Sighting | Glimpse) <= (name in {"alice", "bob"}), name
            decision = transaction.add(seen, now)
            assert decision is None or decision.verdict is not FaceVerdict.VERIFIED
        assert transaction.overdue(100.0) == Decision(FaceVerdict.NOT_VERIFIED, FaceReason.TIMED_OUT)
