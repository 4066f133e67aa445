"""A face pack is refused by name of file, key and remedy before any of its weights is parsed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lockerd.errors import ConfigError
from lockerd.face.pack import load_pack
from lockerd.face.pipeline import open_pipeline, self_test
from sim.faces.measure import PACK

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PACK, tmp_path / "pack"))


def change(pack: Path, how: Change) -> None:
    file = pack / "manifest.json"
    manifest = json.loads(file.read_text())
    how(manifest)
    file.write_text(json.dumps(manifest))


def refusal(pack: Path, *, production: bool = False) -> str:
    with pytest.raises(ConfigError) as caught:
        load_pack(pack, production=production)
    message = str(caught.value)
    assert "\n" not in message
    assert ";" in message, "the remedy follows the reason"
    return message


def test_the_simulators_pack_loads_and_passes_its_self_test() -> None:
    pack = load_pack(PACK, production=False)
    self_test(pack, open_pipeline(pack))
    assert pack.model_id.startswith("synthetic/")
    assert sum(f.stat().st_size for f in PACK.iterdir()) < 2_000_000


def test_production_refuses_drawn_faces() -> None:
    assert "domain" in refusal(PACK, production=True)


def test_a_missing_folder(tmp_path: Path) -> None:
    assert str(tmp_path / "none") in refusal(tmp_path / "none")


def test_a_missing_manifest(tmp_path: Path) -> None:
    assert "manifest.json" in refusal(tmp_path)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b'{"name": 1}', b"[" * 100_000])
def test_a_manifest_that_is_none(copy: Path, raw: bytes) -> None:
    (copy / "manifest.json").write_bytes(raw)
    assert "manifest.json" in refusal(copy)


@pytest.mark.parametrize(
    ("how", "named"),
    [
        (lambda m: m.update(colour="blue"), "colour"),
        (lambda m: m["models"][0].update(colour="blue"), "colour"),
        (lambda m: m["thresholds"][0].update(colour="blue"), "colour"),
        (lambda m: m.pop("licence"), "licence"),
        (lambda m: m.update(licence=" "), "licence"),
        (lambda m: m["models"][0].pop("licence"), "licence"),
        (lambda m: m["models"][1].update(licence=""), "models[1].licence"),
        (lambda m: m["models"][0].pop("sha256"), "sha256"),
        (lambda m: m["models"][0].pop("commercial_use"), "commercial_use"),
        (lambda m: m["models"].append(m["models"][0] | {"role": "liveness"}), "crop_scale"),
        (lambda m: m.pop("liveness"), "liveness"),
        (lambda m: m["models"].pop(2), "liveness"),
        (lambda m: m["models"][0].update(sha256="0" * 64), "detector.onnx"),
        (lambda m: m["models"][0].update(file="gone.onnx"), "gone.onnx"),
        (lambda m: m["models"][0].update(file="a\0b"), "file"),
        (lambda m: m["models"][0].update(file="../manifest.json"), "outside"),
        (lambda m: m["models"][0].update(file="/etc/hostname"), "outside"),
        (lambda m: m["models"][0].update(input_size=[0, 256]), "input_size"),
        (lambda m: m["models"][0].update(deviation=0), "deviation"),
        (lambda m: m["models"][1].update(template=[]), "template"),
        (lambda m: m["models"].pop(0), "detector"),
        (lambda m: m["models"].append(m["models"][1]), "embedder"),
        (lambda m: m["thresholds"][0].update(value=-1.5), "thresholds[0].value"),
        (lambda m: m["golden"].update(sha256="0" * 64), "golden.jpg"),
        (lambda m: m.update(domain="both"), "domain"),
    ],
)
def test_a_manifest_with_one_fault(copy: Path, how: Change, named: str) -> None:
    change(copy, how)
    assert named in refusal(copy)


def test_a_link_out_of_the_pack(copy: Path, tmp_path: Path) -> None:
    (copy / "detector.onnx").rename(tmp_path / "elsewhere.onnx")
    (copy / "detector.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    assert "outside" in refusal(copy)


def test_one_changed_byte(copy: Path) -> None:
    weights = bytearray((copy / "embedder.onnx").read_bytes())
    weights[len(weights) // 2] ^= 1
    (copy / "embedder.onnx").write_bytes(weights)
    assert "sha256" in refusal(copy)


def test_weights_that_changed_after_the_check_are_not_parsed(copy: Path) -> None:
    pack = load_pack(copy, production=False)
    (copy / "detector.onnx").write_bytes(b"hostile")
    with pytest.raises(ConfigError, match="sha256"):
        open_pipeline(pack)


def test_weights_that_are_none(copy: Path) -> None:
    (copy / "detector.onnx").write_bytes(b"not a model")

    def vouch(manifest: dict[str, Any]) -> None:
        import hashlib

        manifest["models"][0]["sha256"] = hashlib.sha256(b"not a model").hexdigest()

    change(copy, vouch)
    with pytest.raises(ConfigError, match="onnxruntime refuses"):
        open_pipeline(load_pack(copy, production=False))


def test_an_unknown_adapter(copy: Path) -> None:
    change(copy, lambda m: m["models"][0].update(adapter="magic"))
    with pytest.raises(ConfigError, match="magic"):
        open_pipeline(load_pack(copy, production=False))


def test_models_in_each_others_place_fail_with_a_reason(copy: Path) -> None:
    def swap(manifest: dict[str, Any]) -> None:
        first, second, _ = manifest["models"]
        for key in ("file", "sha256"):
            first[key], second[key] = second[key], first[key]

    change(copy, swap)
    with pytest.raises(ConfigError, match="scrfd"):
        open_pipeline(load_pack(copy, production=False))


def test_a_self_test_that_gives_another_vector(copy: Path) -> None:
    import base64
    import struct

    def other(manifest: dict[str, Any]) -> None:
        manifest["golden"]["vector"] = base64.b64encode(struct.pack("<128f", *range(128))).decode()

    change(copy, other)
    pack = load_pack(copy, production=False)
    with pytest.raises(ConfigError, match="self-test"):
        self_test(pack, open_pipeline(pack))


def test_templates_of_other_weights_are_another_model(copy: Path) -> None:
    before = load_pack(copy, production=False).model_id
    change(copy, lambda m: m["thresholds"][0].update(value=0.9))
    assert load_pack(copy, production=False).model_id == before, "a threshold makes no other templates"
    change(copy, lambda m: m["models"][1].update(mean=0.0))
    assert load_pack(copy, production=False).model_id != before


def test_an_uncalibrated_kind_of_reference() -> None:
    with pytest.raises(ConfigError, match="infrared"):
        load_pack(PACK, production=False).threshold("infrared")
