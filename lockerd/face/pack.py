"""Model packs: a folder with `manifest.json` and weights; nothing is loaded that it does not vouch for.

Every file carries its sha256, source and licence; a threshold belongs to (model, reference kind, population)
and comes with its data set, number of comparisons and date. `domain` keeps drawn faces and real people apart.
A manifest may be signed: `manifest.json.sig` holds its raw Ed25519 signature (RFC 8032, 64 bytes).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from lockerd.errors import ConfigError

MANIFEST = "manifest.json"
SIGNATURE_SUFFIX = ".sig"
KNOWN = Path(__file__).parent / "known"
MAX_FILE_BYTES = 512 * 1024 * 1024
MAX_MANIFEST_BYTES = 1024 * 1024

NO_COVERING_GATE = 100.0
Role = Literal["detector", "embedder", "liveness"]


class Gates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits that a picture must keep to be compared.

    `eye_distance` in pixels; `darkest` and `brightest` mean luminance of the aligned crop, 0..255; `sharpness`
    variance of its Laplacian; `turn` how far the nose tip lies beside the middle of the eyes, in eye distances;
    `nod_low`..`nod_high` where it lies between the line of the eyes (0) and that of the mouth (1); `roll` in
    degrees; `covering` how far the colour around the mouth may lie from that between the eyes (0 same, 1 grey beside skin).
    """

    eye_distance: float = 60.0
    darkest: float = 60.0
    brightest: float = 170.0
    sharpness: float = 15.0
    turn: float = 0.35
    nod_low: float = 0.25
    nod_high: float = 0.85
    roll: float = 25.0
    covering: float = NO_COVERING_GATE


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of weights and how its input is made.

    `input_size` is (width, height) in pixels. An input value is (pixel - mean) / deviation. `template` holds the
    five landmarks in an embedder's crop; `dimension` is the length of its embedding; `mirrored` adds the embedding of
    the mirrored crop. `crop_scale` is how many times the face's box a liveness model sees. `adapter` names the code
    that reads its outputs (lockerd.face.adapters). `address` is where the very file that has this sha256 can be
    downloaded; empty where there is no such place.
    """

    role: Role
    file: str
    sha256: str
    licence: str
    commercial_use: bool
    source: str
    adapter: str
    input_size: tuple[int, int]
    colour_order: Literal["RGB", "BGR"]
    mean: float
    deviation: float
    template: tuple[tuple[float, float], ...] = ()
    dimension: int = 0
    mirrored: bool = False
    crop_scale: float = 0.0
    address: str = ""


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cosine (-1..1) from which a fused transaction against this kind of reference is a match."""

    reference_kind: str
    value: float
    id: str
    data_set: str
    comparisons: int
    date: str


class LivenessLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the frames of a transaction must keep to be a presence: scores 0..1 (1 live), median and floor per frame."""

    median: float
    floor: float
    id: str
    data_set: str
    date: str


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For the self-test: a picture and the embedding (little-endian float32) that it must give."""

    file: str
    sha256: str
    vector: bytes
    address: str = ""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `manifest.json` holds."""

    name: str
    version: str
    domain: Literal["synthetic", "real"]
    note: str
    licence: str
    models: tuple[Model, ...]
    thresholds: tuple[Threshold, ...] = ()
    liveness: LivenessLimits | None = None
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
        """The first model of this role; a loaded pack has exactly one detector and one embedder."""
        return next(model for model in self.manifest.models if model.role == role)

    def liveness_models(self) -> tuple[Model, ...]:
        """The models that tell a present face from a picture of one; may be none."""
        return tuple(model for model in self.manifest.models if model.role == "liveness")

    def threshold(self, reference_kind: str) -> Threshold:
        """The threshold for this kind of reference. Raises ConfigError where none was calibrated."""
        for threshold in self.manifest.thresholds:
            if threshold.reference_kind == reference_kind:
                return threshold
        raise _wrong(self.folder, "thresholds", f"has none for references of kind {reference_kind!r}", "calibrate it")

    def read(self, entry: Model | Golden) -> bytes:
        """The bytes of a file of this pack, checked against its sha256. Raises ConfigError."""
        return read_checked(self.folder, entry)


def known_names() -> list[str]:
    """Names of the packs whose manifests come with the project (their weights never do)."""
    return sorted(file.stem for file in KNOWN.glob("*.json"))


def manifest_file(pack: Path) -> Path:
    """Where a pack's manifest lies: in its folder, the file itself, or, for a bare known name, within the project."""
    if pack.is_dir():
        return pack / MANIFEST
    if len(pack.parts) == 1 and str(pack) in known_names():
        return KNOWN / f"{pack}.json"
    return pack


def load_pack(path: Path, *, production: bool, models: Path | None = None, signed_by: str = "") -> Pack:
    """Read and check a pack; no weights are parsed before their sha256 has been found right.

    `models` is the folder of the weights where that is not the manifest's. `signed_by` is the Ed25519 public key
    (32 bytes as hex) that must have signed the manifest. Raises ConfigError naming file, key and remedy. With
    `production` a pack of drawn faces, without signature, right of use, liveness or calibration is refused.
    """
    file = manifest_file(path)
    folder = models or file.parent
    if not path.exists() and file == path:
        raise ConfigError(f"{path}: face pack is missing; install the pack or correct face.pack")
    if path.is_dir() and not production and not signed_by and is_insightface(path):
        from lockerd.face.insight import describe

        manifest = describe(path)
    else:
        manifest = read_manifest(file, signed_by=signed_by)
    _check(file, manifest)
    if production:
        _check_production(file, manifest)
        if not signed_by:
            raise ConfigError("face.signed_by: is missing; production needs the public key of who signs its packs")
    identity = hashlib.sha256()
    for model in manifest.models:
        read_checked(folder, model)
        if model.role != "liveness":
            part = (model.role, model.sha256, model.input_size, model.mean, model.deviation, model.colour_order)
            identity.update(msgspec.json.encode((part, model.template, *([True] if model.mirrored else ()))))
    if manifest.golden is not None:
        read_checked(folder, manifest.golden)
    return Pack(folder, manifest, f"{manifest.name}/{manifest.version}/{identity.hexdigest()[:12]}")


def is_insightface(folder: Path) -> bool:
    """Whether a folder is a pack in InsightFace's own layout: its manifest has a version, or there is none."""
    file = folder / MANIFEST
    if not file.is_file():
        return any(folder.glob("*.onnx"))
    try:
        return "manifest_version" in msgspec.json.decode(
            read_whole(file, MAX_MANIFEST_BYTES), type=dict[str, msgspec.Raw]
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def read_manifest(file: Path, *, signed_by: str = "") -> Manifest:
    """The manifest in a file, its signature checked where a key is given. Raises ConfigError."""
    raw = read_whole(file, MAX_MANIFEST_BYTES)
    if signed_by:
        _check_signature(file, raw, signed_by)
    try:
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: {error}; correct the manifest or install the pack again") from error


def _check_signature(file: Path, raw: bytes, signed_by: str) -> None:
    beside = file.with_name(file.name + SIGNATURE_SUFFIX)
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signed_by))
    except ValueError as error:
        raise ConfigError(
            "face.signed_by: is not an Ed25519 public key; write its 32 bytes as 64 hex digits"
        ) from error
    if not beside.is_file():
        raise ConfigError(f"{file}: is not signed ({beside.name} is missing); sign it or install a signed pack")
    try:
        key.verify(read_whole(beside, 64), raw)
    except InvalidSignature:
        raise ConfigError(
            f"{file}: its signature is not by face.signed_by, or the file was changed; install the pack again"
        ) from None


def _check(file: Path, manifest: Manifest) -> None:
    if not manifest.licence.strip():
        raise _wrong(file, "licence", "is empty", "state the licence of the pack")
    for role in ("detector", "embedder"):
        count = sum(model.role == role for model in manifest.models)
        if count != 1:
            raise _wrong(file, "models", f"has {count} of role {role!r}", "keep exactly one")
    for index, model in enumerate(manifest.models):
        key = f"models[{index}]"
        if not model.licence.strip():
            raise _wrong(file, f"{key}.licence", "is empty", "state the licence of the weights")
        if min(model.input_size) < 1 or max(model.input_size) > 4096:
            raise _wrong(file, f"{key}.input_size", "is not between 1 and 4096", "correct it")
        if not model.deviation > 0:
            raise _wrong(file, f"{key}.deviation", "is not greater than 0", "correct it")
        if model.role == "embedder" and (len(model.template) != 5 or model.dimension < 1):
            raise _wrong(file, key, "needs template (five points) and dimension", "add them")
        if model.role == "liveness" and not 0 < model.crop_scale <= 10:
            raise _wrong(file, f"{key}.crop_scale", "is not above 0 and at most 10", "add it")
    for index, threshold in enumerate(manifest.thresholds):
        if not -1.0 < threshold.value <= 1.0:
            raise _wrong(file, f"thresholds[{index}].value", "is not a cosine", "calibrate the pack")
    if any(model.role == "liveness" for model in manifest.models) != (manifest.liveness is not None):
        raise _wrong(file, "liveness", "and models of role 'liveness' belong together", "add what is missing")


def _check_production(file: Path, manifest: Manifest) -> None:
    if manifest.domain != "real":
        raise _wrong(file, "domain", 'is "synthetic": simulator only', "install a pack made for real people")
    for index, model in enumerate(manifest.models):
        if not model.commercial_use:
            raise _wrong(file, f"models[{index}].commercial_use", "is false", "use weights that may be used in service")
    if manifest.liveness is None:
        raise _wrong(file, "liveness", "is missing", "install a pack that detects presentation attacks")
    if not manifest.thresholds:
        raise _wrong(file, "thresholds", "is empty", "calibrate the pack")
    for index, threshold in enumerate(manifest.thresholds):
        if threshold.comparisons < 1 or not threshold.data_set.strip() or not threshold.date.strip():
            raise _wrong(file, f"thresholds[{index}]", "lacks data_set, comparisons or date", "calibrate the pack")


def read_checked(folder: Path, entry: Model | Golden) -> bytes:
    """The bytes of a file in `folder`, checked against its sha256. Raises ConfigError."""
    file = folder / entry.file
    if "\0" in entry.file or not file.resolve().is_relative_to(folder.resolve()):
        raise _wrong(folder, "file", f"{entry.file!r} lies outside the pack", "keep all files in the pack's folder")
    data = read_whole(file, MAX_FILE_BYTES)
    if hashlib.sha256(data).hexdigest() != entry.sha256.lower():
        raise ConfigError(f"{file}: sha256 is not the manifest's; install the pack again")
    return data


def read_whole(file: Path, most: int) -> bytes:
    """A whole file of at most `most` bytes. Raises ConfigError."""
    try:
        if file.stat().st_size > most:
            raise ConfigError(f"{file}: is larger than {most} bytes; install the pack again")
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); install the pack again") from error


def _wrong(file: Path, key: str, what: str, remedy: str) -> ConfigError:
    return ConfigError(f"{file}: {key} {what}; {remedy}")
