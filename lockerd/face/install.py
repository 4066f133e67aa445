"""Puts a pack that came as a folder or a tar archive into the folder of packs, whole or not at all."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from lockerd.errors import ConfigError
from lockerd.face.pack import MANIFEST, MAX_FILE_BYTES, SIGNATURE_SUFFIX, Pack, load_pack

_MOST_FILES = 64


def install(origin: Path, packs: Path, *, production: bool, signed_by: str) -> Pack:
    """Check a pack and put it at `packs`/NAME in place of what was there. Raises ConfigError, changing nothing."""
    packs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".install-", dir=packs) as workshop:
        fresh = Path(workshop) / "fresh"
        if origin.is_dir():
            shutil.copytree(origin, fresh)
        else:
            _unpack(origin, fresh)
        pack = load_pack(fresh, production=production, signed_by=signed_by)
        name = pack.manifest.name
        if not name or name.startswith(".") or name != Path(name).name:
            raise ConfigError(f"{origin}: name {name!r} is no name of a folder; correct the manifest")
        wanted = {MANIFEST, MANIFEST + SIGNATURE_SUFFIX, *(model.file for model in pack.manifest.models)}
        if pack.manifest.golden is not None:
            wanted.add(pack.manifest.golden.file)
        for file in [f for f in fresh.rglob("*") if f.is_file()]:
            if str(file.relative_to(fresh)) not in wanted:
                file.unlink()  # nothing lies in a pack that its manifest does not vouch for
        home = packs / name
        if home.exists():
            home.rename(Path(workshop) / "stale")
        fresh.rename(home)
    return Pack(home, pack.manifest, pack.model_id)


def _unpack(archive: Path, target: Path) -> None:
    """Unpack regular files only, below `target` only, of bearable number and size."""
    try:
        with tarfile.open(archive) as tar:
            members = [m for m in tar.getmembers() if m.isfile()]
            if len(members) > _MOST_FILES or any(m.size > MAX_FILE_BYTES for m in members):
                raise ConfigError(f"{archive}: holds too much for a pack; make it again")
            manifests = [PurePosixPath(m.name) for m in members if PurePosixPath(m.name).name == MANIFEST]
            if not manifests:
                raise ConfigError(f"{archive}: holds no {MANIFEST}; make it again")
            root = min(manifests, key=lambda path: len(path.parts)).parent
            for member in members:
                path = PurePosixPath(member.name)
                if not path.is_relative_to(root):
                    continue
                inside = path.relative_to(root)
                if path.is_absolute() or ".." in path.parts:
                    raise ConfigError(f"{archive}: {member.name!r} lies outside the pack; make it again")
                data = tar.extractfile(member)
                assert data is not None
                file = target / inside
                file.parent.mkdir(parents=True, exist_ok=True)
                with data, file.open("wb") as out:
                    shutil.copyfileobj(data, out)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ConfigError(
            f"{archive}: is no tar archive that can be read ({type(error).__name__}); get it again"
        ) from error
