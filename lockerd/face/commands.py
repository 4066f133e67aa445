"""The commands `lockerd models …` and `lockerd face …`: packs in and out, and what a pack is worth in figures."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lockerd.errors import ConfigError
from lockerd.face.pack import (
    KNOWN,
    MANIFEST,
    Manifest,
    Pack,
    known_names,
    load_pack,
    manifest_file,
    read_checked,
    read_manifest,
)
from lockerd.model.identity import ReferenceKind

PACKS = Path("/var/lib/lockerd/packs")
_BAR = 30


def add_models(parser: argparse.ArgumentParser) -> None:
    """Declare `models list | verify | install | fetch`."""
    commands = parser.add_subparsers(dest="models_command", required=True)
    listing = commands.add_parser("list", help="packs that are known and packs that are installed")
    verify = commands.add_parser("verify", help="check signature, sha256 and self-test of a pack")
    install = commands.add_parser("install", help="install a pack from a folder or tar archive")
    fetch = commands.add_parser("fetch", help="download a known pack; goes on where it was cut")
    verify.add_argument(
        "pack", type=Path, nargs="?", help="folder, manifest or known name; without it, all installed packs"
    )
    verify.add_argument("--models", type=Path, help="folder of the weights where it is not the pack's")
    install.add_argument("file", type=Path)
    fetch.add_argument("name", help="a known name, or a manifest's file")
    fetch.add_argument("--mirror", default="", help="address of a folder that holds the files")
    for command in (listing, verify, install, fetch):
        command.add_argument("--packs", type=Path, default=PACKS, help=f"folder of installed packs ({PACKS})")
    for command in (verify, install):
        command.add_argument("--signed-by", default="", help="Ed25519 public key, 64 hex digits")
        command.add_argument("--production", action="store_true", help="refuse what production refuses")


def add_face(parser: argparse.ArgumentParser) -> None:
    """Declare `face evaluate | calibrate | attack`."""
    commands = parser.add_subparsers(dest="face_command", required=True)
    evaluate = commands.add_parser("evaluate", help="error rates on a folder with one folder a person")
    calibrate = commands.add_parser("calibrate", help="write a threshold into a copy of the manifest")
    attack = commands.add_parser("attack", help="error rates of presentation attack detection")
    for command in (evaluate, calibrate, attack):
        command.add_argument("--pack", type=Path, required=True, help="folder, manifest or known name")
        command.add_argument("--models", type=Path, help="folder of the weights where it is not the pack's")
    for command in (evaluate, calibrate):
        command.add_argument("--images", type=Path, required=True, help="folder with one folder a person")
        command.add_argument(
            "--reference",
            type=ReferenceKind,
            choices=list(ReferenceKind),
            default=ReferenceKind.PHOTO,
            help="photo or chip",
        )
    evaluate.add_argument("--fuse", type=_natural, default=1, help="pictures fused into one comparison")
    evaluate.add_argument("--out", type=Path, help="folder for report.txt, report.json, det.svg and det.png")
    calibrate.add_argument(
        "--fmr", type=float, default=1e-4, help="share of strangers that may pass, all tries together"
    )
    calibrate.add_argument("--tries", type=_natural, default=3, help="transactions that a citizen may try")
    calibrate.add_argument("--frames", type=_natural, default=5, help="frames fused in a transaction")
    calibrate.add_argument("--data-set", required=True, help="name of the pictures, for the manifest")
    calibrate.add_argument("--out", type=Path, required=True, help="the manifest to write")
    attack.add_argument("--samples", type=Path, required=True, help="folder with one folder a species, and 'live'")
    for command in (evaluate, attack):
        command.add_argument("--json", action="store_true", help="print JSON instead of a report to read")


def _natural(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def run_models(arguments: argparse.Namespace, *, signed_by: str) -> int:
    """Run a `models` command; `signed_by` is the configuration's key. Raises ConfigError, LinkError."""
    with _files():
        return _run_models(arguments, signed_by)


def run_face(arguments: argparse.Namespace) -> int:
    """Run a `face` command. Raises ConfigError."""
    with _files():
        return _run_face(arguments)


@contextmanager
def _files() -> Iterator[None]:
    """Translate what befalls a file or folder that the command line names."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        raise ConfigError(f"{error.filename}: {error.strerror}; correct its name, or its owner and mode") from error


def _run_models(arguments: argparse.Namespace, signed_by: str) -> int:
    match arguments.models_command:
        case "list":
            _list(arguments.packs)
        case "verify":
            key = arguments.signed_by or signed_by
            for name in [arguments.pack] if arguments.pack else _installed(arguments.packs):
                pack = load_pack(name, production=arguments.production, models=arguments.models, signed_by=key)
                _verify(pack, signed=bool(key))
        case "install":
            from lockerd.face.install import install

            key = arguments.signed_by or signed_by
            pack = install(arguments.file, arguments.packs, production=arguments.production, signed_by=key)
            _say(f"{pack.folder}: installed {pack.model_id}")
        case "fetch":
            from lockerd.face.fetch import fetch

            file = manifest_file(Path(arguments.name))
            if not file.is_file():
                raise ConfigError(f"{arguments.name}: is not a known pack; known are {', '.join(known_names())}")
            target = arguments.packs / read_manifest(file).name
            manifest = asyncio.run(fetch(file, target, mirror=arguments.mirror, progress=_progress()))
            _say(f"{target}: fetched {manifest.name} {manifest.version}")
    return 0


def _run_face(arguments: argparse.Namespace) -> int:
    pack = load_pack(arguments.pack, production=False, models=arguments.models)
    match arguments.face_command:
        case "evaluate":
            from lockerd.face.evaluate import evaluate
            from lockerd.face.report import as_text, write_report

            report, scores = evaluate(pack, arguments.images, reference=arguments.reference, fuse=arguments.fuse)
            if arguments.out is not None:
                write_report(arguments.out, report, scores)
            _say(_json(report) if arguments.json else as_text(report))
        case "calibrate":
            from lockerd.face.calibrate import calibrated
            from lockerd.face.evaluate import gather

            manifest = calibrated(
                pack.manifest,
                gather(pack, arguments.images, arguments.reference),
                reference=arguments.reference,
                fmr=arguments.fmr,
                tries=arguments.tries,
                frames=arguments.frames,
                data_set=arguments.data_set,
                date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            )
            arguments.out.write_text(_json(manifest) + "\n")
            _say(_json(next(t for t in manifest.thresholds if t.reference_kind == arguments.reference)))
        case "attack":
            from lockerd.face.attack import attack
            from lockerd.face.report import attack_as_text

            attacks = attack(pack, arguments.samples)
            _say(_json(attacks) if arguments.json else attack_as_text(attacks))
    return 0


def _list(packs: Path) -> None:
    for name in known_names():
        _describe(read_manifest(KNOWN / f"{name}.json"), "known, weights not installed")
    for folder in _folders(packs):
        _describe(read_manifest(folder / MANIFEST), str(folder))


def _folders(packs: Path) -> list[Path]:
    return sorted(f for f in packs.iterdir() if (f / MANIFEST).is_file()) if packs.is_dir() else []


def _installed(packs: Path) -> list[Path]:
    found = _folders(packs)
    if not found:
        raise ConfigError(f"{packs}: holds no pack; name one to verify, or install one")
    return found


def _describe(manifest: Manifest, where: str) -> None:
    kinds = ", ".join(t.reference_kind for t in manifest.thresholds) or "nothing"
    use = "commercial use" if all(m.commercial_use for m in manifest.models) else "no commercial use"
    _say(
        f"{manifest.name} {manifest.version}: {where}; {manifest.domain}; {manifest.licence}; {use}; calibrated: {kinds}"
    )


def _verify(pack: Pack, *, signed: bool) -> None:
    from lockerd.face.pipeline import open_pipeline, self_test

    for model in pack.manifest.models:
        read_checked(pack.folder, model)
        _say(f"{model.role:9} {model.file}: sha256 right; {model.licence}; {model.source}")
    self_test(pack, open_pipeline(pack))
    _say(f"{pack.model_id}: good; signature {'right' if signed else 'not asked for'}")


def _progress() -> Callable[[str, int, int | None], None]:
    """Draws a bar on a terminal, and nothing elsewhere."""

    def show(file: str, have: int, whole: int | None) -> None:
        if not sys.stderr.isatty():
            return
        share = have / whole if whole else 0.0
        bar = "#" * round(_BAR * share)
        end = "\n" if have == whole else ""
        sys.stderr.write(f"\r{file} [{bar:.<{_BAR}}] {have / 1e6:.1f} MB{end}")
        sys.stderr.flush()

    return show


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _say(text: str) -> None:
    sys.stdout.write(text.rstrip("\n") + "\n")
