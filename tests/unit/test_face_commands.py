"""Packs come in signed and whole or not at all; a download goes on where its connection was cut."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lockerd.__main__ import main
from lockerd.errors import ConfigError, LinkError
from lockerd.face import fetch as fetching
from lockerd.face.fetch import fetch
from lockerd.face.install import install
from lockerd.face.pack import KNOWN, known_names, load_pack, read_manifest
from lockerd.face.pipeline import open_pipeline, self_test
from sim.faces.measure import PACK

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNED_BY = KEY.public_key().public_bytes_raw().hex()


def sign(pack: Path) -> None:
    (pack / "manifest.json.sig").write_bytes(KEY.sign((pack / "manifest.json").read_bytes()))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    pack = Path(shutil.copytree(PACK, tmp_path / "origin"))
    sign(pack)
    return pack


def change(pack: Path, **keys: object) -> None:
    manifest = json.loads((pack / "manifest.json").read_text()) | keys
    (pack / "manifest.json").write_text(json.dumps(manifest))


def service(pack: Path) -> None:
    """Make a drawn pack look like one for production, as far as its manifest goes."""
    change(pack, domain="real")
    sign(pack)


# Signature


def test_a_signed_pack_is_what_its_signer_saw(copy: Path) -> None:
    load_pack(copy, production=False, signed_by=SIGNED_BY)
    change(copy, note="changed")
    with pytest.raises(ConfigError, match="signature is not by"):
        load_pack(copy, production=False, signed_by=SIGNED_BY)
    sign(copy)
    load_pack(copy, production=False, signed_by=SIGNED_BY)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda p: (p / "manifest.json.sig").unlink(), "not signed"),
        (lambda p: (p / "manifest.json.sig").write_bytes(b""), "signature is not by"),
        (lambda p: (p / "manifest.json.sig").write_bytes(bytes(64)), "signature is not by"),
        (lambda p: (p / "manifest.json.sig").write_bytes(bytes(100)), "larger than 64"),
    ],
)
def test_a_signature_that_is_none(copy: Path, how: Callable[[Path], None], said: str) -> None:
    how(copy)
    with pytest.raises(ConfigError, match=said):
        load_pack(copy, production=False, signed_by=SIGNED_BY)


@pytest.mark.parametrize("key", ["00", "zz" * 32, SIGNED_BY + "00"])
def test_a_key_that_is_none(copy: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=r"face\.signed_by"):
        load_pack(copy, production=False, signed_by=key)


def test_production_takes_a_pack_made_for_it(copy: Path) -> None:
    service(copy)
    load_pack(copy, production=True, signed_by=SIGNED_BY)
    with pytest.raises(ConfigError, match=r"face\.signed_by"):
        load_pack(copy, production=True)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda m: m.update(domain="synthetic"), "domain"),
        (lambda m: m["models"][1].update(commercial_use=False), r"models\[1\].commercial_use"),
        (lambda m: m.update(thresholds=[]), "thresholds"),
        (lambda m: m["thresholds"][0].update(comparisons=0), "comparisons"),
        (lambda m: m["thresholds"][0].update(data_set=" "), "data_set"),
        (lambda m: m.update(liveness=None, models=m["models"][:2]), "liveness"),
    ],
)
def test_production_refuses(copy: Path, how: Callable[[dict[str, Any]], None], said: str) -> None:
    service(copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    how(manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    sign(copy)
    with pytest.raises(ConfigError, match=said):
        load_pack(copy, production=True, signed_by=SIGNED_BY)


# Known packs


def test_known_manifests_carry_licences_and_no_weights() -> None:
    assert "permissive-2026" in known_names()
    assert {file.suffix for file in KNOWN.iterdir()} == {".json"}
    for name in known_names():
        manifest = read_manifest(KNOWN / f"{name}.json")
        assert manifest.name == name
        assert all(len(model.sha256) == 64 and model.licence for model in manifest.models)


def test_a_known_manifest_wants_its_weights(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_pack(Path("permissive-2026"), production=False, models=tmp_path)
    with pytest.raises(ConfigError, match="is missing"):
        load_pack(Path("permissive-1999"), production=False, models=tmp_path)


# Installing


def test_install_from_folder_and_archive(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packs = tmp_path / "packs"
    (copy / "stray.onnx").write_bytes(b"?")
    options = ["--packs", str(packs), "--signed-by", SIGNED_BY]
    assert main(["models", "install", str(copy), *options]) == 0
    assert not (packs / "synthetic" / "stray.onnx").exists(), "the manifest does not vouch for it"
    archive = tmp_path / "pack.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(copy, "some-folder")
    assert main(["models", "install", str(archive), *options]) == 0
    assert sorted(f.name for f in packs.iterdir()) == ["synthetic"]
    assert main(["models", "list", "--packs", str(packs)]) == 0
    assert str(packs / "synthetic") in capsys.readouterr().out
    assert main(["models", "verify", str(packs / "synthetic"), "--signed-by", SIGNED_BY]) == 0
    assert "signature right" in capsys.readouterr().out
    assert main(["models", "verify", str(packs / "synthetic"), "--production"]) == 78


def test_all_installed_packs_are_verified(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packs = ["--packs", str(tmp_path / "packs")]
    assert main(["models", "verify", *packs]) == 78
    assert capsys.readouterr().err.startswith(f"lockerd: {tmp_path / 'packs'}: holds no pack")
    assert main(["models", "install", str(copy), *packs]) == 0
    assert main(["models", "verify", *packs]) == 0
    assert "good" in capsys.readouterr().out
    (tmp_path / "packs" / "synthetic" / "embedder.onnx").write_bytes(b"")
    assert main(["models", "verify", *packs]) == 78


def test_a_bad_pack_leaves_the_installed_one(copy: Path, tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    before = install(copy, packs, production=False, signed_by=SIGNED_BY).model_id
    (copy / "embedder.onnx").write_bytes(b"hostile")
    with pytest.raises(ConfigError, match="sha256"):
        install(copy, packs, production=False, signed_by=SIGNED_BY)
    assert [f.name for f in packs.iterdir()] == ["synthetic"]
    assert load_pack(packs / "synthetic", production=False).model_id == before


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden"])
def test_a_pack_names_no_other_folder(copy: Path, tmp_path: Path, name: str) -> None:
    change(copy, name=name)
    sign(copy)
    with pytest.raises(ConfigError, match="no name of a folder"):
        install(copy, tmp_path / "packs", production=False, signed_by=SIGNED_BY)


def test_archives_that_are_none(tmp_path: Path, copy: Path) -> None:
    packs = tmp_path / "packs"
    whole = tmp_path / "whole.tar"
    with tarfile.open(whole, "w") as tar:
        tar.add(copy, ".")
    cases = {
        "random": os.urandom(3000),
        "empty": b"",
        "cut": whole.read_bytes()[: whole.stat().st_size // 2],
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ConfigError):
            install(tmp_path / name, packs, production=False, signed_by="")
    with tarfile.open(tmp_path / "escaping", "w") as tar:
        tar.add(copy / "manifest.json", "manifest.json")
        tar.add(copy / "manifest.json", "../../outside.json")
    with pytest.raises(ConfigError, match="outside"):
        install(tmp_path / "escaping", packs, production=False, signed_by="")
    assert not list(tmp_path.rglob("outside.json"))
    assert not list(packs.iterdir())


# Hostile weights


def external() -> bytes:
    """A model that asks for its weights from another file."""
    weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [4], np.zeros(4, np.float32).tobytes(), raw=True)
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../../../etc/hostname")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [value("x", onnx.TensorProto.FLOAT, [4])],
        [value("y", onnx.TensorProto.FLOAT, [4])],
        [weights],
    )
    data: bytes = onnx.helper.make_model(graph).SerializeToString()
    return data


def start(folder: Path) -> None:
    """What the face worker does before it is ready."""
    pack = load_pack(folder, production=False)
    self_test(pack, open_pipeline(pack))


def cast() -> bytes:
    """A model with a detector's nine outputs that fails only when it runs: its shapes do not fit."""
    value = onnx.helper.make_tensor_value_info
    names = [f"o{n}" for n in range(9)]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Reshape", ["x", "shape"], [name]) for name in names],
        "g",
        [value("x", onnx.TensorProto.FLOAT, ["n", "c", "h", "w"])],
        [value(name, onnx.TensorProto.FLOAT, None) for name in names],
        [onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [2], [7, 11])],
    )
    data: bytes = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]).SerializeToString()
    return data


@pytest.mark.parametrize("role", [0, 1])
def test_hostile_weights_give_a_reason(copy: Path, role: int) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    file = copy / manifest["models"][role]["file"]
    good = file.read_bytes()
    random = np.random.default_rng(7)
    flipped = bytearray(good)
    for at in random.integers(0, 2000, 40):
        flipped[at] ^= 0xFF
    for data in (b"", random.bytes(5000), good[: len(good) // 2], bytes(flipped), external(), cast()):
        file.write_bytes(data)
        manifest["models"][role]["sha256"] = hashlib.sha256(data).hexdigest()
        (copy / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ConfigError, match=r"face pack|self-test"):
            start(copy)


# Fetching


class Server:
    """Serves a folder; cuts the connection after `cut` bytes of a body while any cuts are left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cut: list[int] = []
        self.ranges = True
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name, wanted = request.match_info["name"], request.headers.get("Range")
        self.asked.append((name, wanted))
        if not (self.folder / name).is_file():
            raise web.HTTPNotFound
        data = (self.folder / name).read_bytes()
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        if start >= len(data):
            raise web.HTTPRequestRangeNotSatisfiable
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(data) - start
        await response.prepare(request)
        rest = data[start:]
        if self.cut:
            await response.write(rest[: self.cut.pop(0)])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(rest)
        return response


@pytest.fixture
async def server(copy: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(fetching, "_PAUSE", 0.01)
    server = Server(copy)
    app = web.Application()
    app.router.add_get("/pack/{name}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/pack"
    yield server
    await runner.cleanup()


def known(server: Server, tmp_path: Path) -> Path:
    """A known manifest with addresses, as the project carries them: no golden picture, only weights."""
    manifest = json.loads((server.folder / "manifest.json").read_text())
    del manifest["golden"]
    for model in manifest["models"]:
        model["address"] = f"{server.url}/{model['file']}"
    file = tmp_path / "known.json"
    file.write_text(json.dumps(manifest))
    return file


def quiet(_file: str, _have: int, _whole: int | None) -> None:
    """No progress is looked at."""


async def test_a_cut_connection_is_taken_up_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.cut = [100_000, 200_000]
    seen: list[tuple[str, int, int | None]] = []
    target = tmp_path / "fetched"
    await fetch(known(server, tmp_path), target, mirror="", progress=lambda *at: seen.append(at))
    pack = load_pack(target, production=False)
    self_test(pack, open_pipeline(pack))
    ranges = [wanted for name, wanted in server.asked if name == "detector.onnx"]
    assert ranges[0] is None
    starts = [int(r.removeprefix("bytes=").removesuffix("-")) for r in ranges[1:] if r]
    assert len(starts) == 2, ranges
    assert 0 < starts[0] < starts[1]
    size = (PACK / "detector.onnx").stat().st_size
    assert max(at for at in seen if at[0] == "detector.onnx") == ("detector.onnx", size, size)
    server.asked.clear()
    await fetch(known(server, tmp_path), target, mirror="", progress=quiet)
    assert server.asked == [], "what is there and right is not asked for again"


async def test_a_later_command_goes_on(server: Server, tmp_path: Path) -> None:
    server.cut = [50_000] * fetching.TRIES
    with pytest.raises(LinkError, match="go on from here"):
        await fetch(known(server, tmp_path), tmp_path / "f", mirror="", progress=quiet)
    server.asked.clear()
    await fetch(known(server, tmp_path), tmp_path / "f", mirror=server.url + "/", progress=quiet)
    assert server.asked[0][1] is not None


async def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cut = False, [100_000]
    await fetch(known(server, tmp_path), tmp_path / "f", mirror="", progress=quiet)
    load_pack(tmp_path / "f", production=False)


async def test_other_bytes_are_thrown_away(server: Server, tmp_path: Path) -> None:
    file = known(server, tmp_path)
    (server.folder / "embedder.onnx").write_bytes(b"hostile")
    with pytest.raises(ConfigError, match="sha256"):
        await fetch(file, tmp_path / "f", mirror="", progress=quiet)
    assert not list((tmp_path / "f").glob("embedder*"))
    assert not (tmp_path / "f" / "manifest.json").exists()
    (server.folder / "embedder.onnx").unlink()
    with pytest.raises(LinkError, match="404"):
        await fetch(file, tmp_path / "f", mirror="", progress=quiet)


async def test_fetch_by_the_command_line(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packs = ["--packs", str(tmp_path / "packs")]
    done = await asyncio.to_thread(main, ["models", "fetch", str(known(server, tmp_path)), *packs])
    assert done == 0
    assert str(tmp_path / "packs" / "synthetic") in capsys.readouterr().out
    whole = ["models", "fetch", str(server.folder / "manifest.json"), "--mirror", server.url, "--packs"]
    assert await asyncio.to_thread(main, [*whole, str(tmp_path / "mirrored")]) == 0
    assert await asyncio.to_thread(main, ["models", "verify", "--packs", str(tmp_path / "mirrored")]) == 0
    assert await asyncio.to_thread(main, ["models", "fetch", "permissive-2026", *packs]) == 78
    assert "no public address" in capsys.readouterr().err
    assert await asyncio.to_thread(main, ["models", "fetch", "nobody-knows", *packs]) == 78
