"""Model packs: a folder with `manifest.json` and weights; nothing is loaded that it does not vouch for.

Every file carries its sha256, source and licence; a threshold belongs to (model, reference kind, population)
and comes with its data set, number of comparisons and date. `domain` keeps drawn faces and real people apart.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from lockerd.errors import ConfigError

MANIFEST = "manifest.json"
MAX_FILE_BYTES = 512 * 1024 * 1024
MAX_MANIFEST_BYTES = 1024 * 1024

Role = Literal["detector", "embedder"]


class Gates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits that a picture must keep to be compared.

    `eye_distance` in pixels; `darkest` and `brightest` mean luminance of the aligned crop, 0..255;
    `sharpness`
    variance of its Laplacian; `turn` how far the nose tip lies beside the middle of the eyes, in eye
    distances;
    `nod_low`..`nod_high` where it lies between the line of the eyes (0) and that of the mouth (1); `roll` in
    degrees.
    """

    eye_distance: float = 60.0
    darkest: float = 60.0
    brightest: float = 170.0
    sharpness: float = 15.0
    turn: float = 0.35
    nod_low: float = 0.25
    nod_high: float = 0.85
    roll: float = 25.0


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of weights and how its input is made.

    `input_size` is (width, height) in pixels. An input value is (pixel - mean) / deviation. `template` holds
    the
    five landmarks in an embedder's crop; `dimension` is the length of its embedding. `adapter` names the code
    that reads its outputs (lockerd.face.adapters).
    """

    role: Role
    file: str
    sha256: str
    licence: str
    source: str
    adapter: str
    input_size: tuple[int, int]
    colour_order: Literal["RGB", "BGR"]
    mean: float
    deviation: float
    template: tuple[tuple[float, float], ...] = ()
    dimension: int = 0


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cosine (-1..1) from which a fused transaction against this kind of reference is a match."""

    reference_kind: str
    value: float
    id: str
    data_set: str
    comparisons: int
    date: str


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For the self-test: a picture and the embedding (little-endian float32) that it must give."""

    file: str
    sha256: str
    vector: bytes


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `manifest.json` holds."""

    name: str
    version: str
    domain: Literal["synthetic", "real"]
    note: str
    licence: str
    models: tuple[Model, ...]
    thresholds: tuple[Threshold, ...]
    gates_live: Gates = Gates()
    gates_reference: Gates = Gates(eye_distance=24.0)
    golden: Golden | None = None


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack whose files have all been checked. `model_id` changes when templates stop being comparable."""

    folder: Path
    manifest: Manifest
    model_id: str

    def model(self, role: Role) -> Model:
        """The model of this role; a loaded pack has exactly one of each."""
        return next(model for model in self.manifest.models if model.role == role)

    def threshold(self, reference_kind: str) -> Threshold:
        """The threshold for this kind of reference. Raises ConfigError where none was calibrated."""
        for threshold in self.manifest.thresholds:
            if threshold.reference_kind == reference_kind:
                return threshold
        raise _wrong(self.folder, "thresholds", f"has none for references of kind {reference_kind!r}", "calibrate it")

    def read(self, entry: Model | Golden) -> bytes:
        """The bytes of a file of this pack, checked against its sha256. Raises ConfigError."""
        return _read_checked(self.folder, entry)


def load_pack(path: Path, *, production: bool) -> Pack:
    """Read and check a pack; no weights are parsed before their sha256 has been found right.

    Raises ConfigError naming file, key and remedy. With `production` a pack of drawn faces is refused.
    """
    file = path / MANIFEST
    if not path.is_dir():
        raise ConfigError(f"{path}: face pack folder is missing; install the pack or correct face.pack")
    try:
        if file.stat().st_size > MAX_MANIFEST_BYTES:
            raise ConfigError(f"{file}: is larger than {MAX_MANIFEST_BYTES} bytes; install the pack again")
        raw = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); install the pack again") from error
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}; correct the manifest or install the pack again") from error
    _check(path, manifest, production=production)
    identity = hashlib.sha256()
    for model in manifest.models:
        _read_checked(path, model)
        part = (model.role, model.sha256, model.input_size, model.mean, model.deviation, model.colour_order)
        identity.update(msgspec.json.encode((part, model.template)))
    if manifest.golden is not None:
        _read_checked(path, manifest.golden)
    return Pack(path, manifest, f"{manifest.name}/{manifest.version}/{identity.hexdigest()[:12]}")


def _check(path: Path, manifest: Manifest, *, production: bool) -> None:
    if production and manifest.domain != "real":
        raise _wrong(path, "domain", 'is "synthetic": simulator only', "install a pack made for real people")
    if not manifest.licence.strip():
        raise _wrong(path, "licence", "is empty", "state the licence of the pack")
    for role in ("detector", "embedder"):
        count = sum(model.role == role for model in manifest.models)
        if count != 1:
            raise _wrong(path, "models", f"has {count} of role {role!r}", "keep exactly one")
    for index, model in enumerate(manifest.models):
        key = f"models[{index}]"
        if not model.licence.strip():
            raise _wrong(path, f"{key}.licence", "is empty", "state the licence of the weights")
        if min(model.input_size) < 1 or max(model.input_size) > 4096:
            raise _wrong(path, f"{key}.input_size", "is not between 1 and 4096", "correct it")
        if not model.deviation > 0:
            raise _wrong(path, f"{key}.deviation", "is not greater than 0", "correct it")
        if model.role == "embedder" and (len(model.template) != 5 or model.dimension < 1):
            raise _wrong(path, key, "needs template (five points) and dimension", "add them")
    if not manifest.thresholds:
        raise _wrong(path, "thresholds", "is empty", "calibrate the pack")
    for index, threshold in enumerate(manifest.thresholds):
        if not -1.0 < threshold.value <= 1.0:
            raise _wrong(path, f"thresholds[{index}].value", "is not a cosine", "calibrate the pack")


def _read_checked(folder: Path, entry: Model | Golden) -> bytes:
    file = folder / entry.file
    if "\0" in entry.file or not file.resolve().is_relative_to(folder.resolve()):
        raise _wrong(folder, "file", f"{entry.file!r} lies outside the pack", "keep all files in the pack's folder")
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{file}: is larger than {MAX_FILE_BYTES} bytes; install the pack again")
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); install the pack again") from error
    if hashlib.sha256(data).hexdigest() != entry.sha256.lower():
        raise ConfigError(f"{file}: sha256 is not the manifest's; install the pack again")
    return data


def _wrong(folder: Path, key: str, what: str, remedy: str) -> ConfigError:
    return ConfigError(f"{folder / MANIFEST}: {key} {what}; {remedy}")
