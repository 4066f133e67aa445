"""Downloads the weights of a known pack: pinned addresses, pinned sha256, resumed where a connection was cut."""

# ruff: noqa: ASYNC240  # a command of its own: nothing else runs on this loop

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import aiohttp

from lockerd.errors import ConfigError, LinkError
from lockerd.face.pack import (
    MANIFEST,
    MAX_FILE_BYTES,
    SIGNATURE_SUFFIX,
    Golden,
    Manifest,
    Model,
    read_checked,
    read_manifest,
)

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, its bytes so far and its whole length, None where the server does not tell."""

TRIES = 5
_PAUSE = 0.5  # seconds before the first retry; doubles
_CHUNK = 64 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=30)
_OK, _PARTIAL, _BAD_RANGE = 200, 206, 416


async def fetch(manifest_file: Path, target: Path, *, mirror: str, progress: Progress) -> Manifest:
    """Make the folder `target` a whole pack; what lies there already and is right is kept.

    With `mirror` each file is asked of that address. Raises ConfigError where an address is missing or a file has
    another sha256, LinkError where the server gives up.
    """
    manifest = read_manifest(manifest_file)
    entries: tuple[Model | Golden, ...] = (
        *manifest.models,
        *([manifest.golden] if manifest.golden is not None else []),
    )
    addresses = {entry.file: f"{mirror.rstrip('/')}/{entry.file}" if mirror else entry.address for entry in entries}
    for entry in entries:
        if not addresses[entry.file]:
            source = f" ({entry.source})" if isinstance(entry, Model) else ""
            raise ConfigError(
                f"{manifest_file.stem}: {entry.file} has no public address; give --mirror, or get it from its source{source} "
                "and pair it with --models"
            )
    target.mkdir(parents=True, exist_ok=True)
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for entry in entries:
            if not _is_there(target, entry):
                await _fetch_file(session, addresses[entry.file], target, entry, progress)
    _put(target / MANIFEST, manifest_file.read_bytes())
    signature = manifest_file.with_name(manifest_file.name + SIGNATURE_SUFFIX)
    if signature.is_file():
        _put(target / (MANIFEST + SIGNATURE_SUFFIX), signature.read_bytes())
    return manifest


def _is_there(target: Path, entry: Model | Golden) -> bool:
    try:
        read_checked(target, entry)
    except ConfigError:
        return False
    return True


def _put(file: Path, data: bytes) -> None:
    beside = file.with_name(file.name + ".new")
    beside.write_bytes(data)
    beside.replace(file)


async def _fetch_file(
    session: aiohttp.ClientSession, address: str, target: Path, entry: Model | Golden, progress: Progress
) -> None:
    part = target / (Path(entry.file).name + ".part")
    for attempt in range(TRIES):
        if attempt:
            await asyncio.sleep(_PAUSE * 2 ** (attempt - 1))
        try:
            await _continue(session, address, part, entry, progress)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failure = f"{type(error).__name__}"
            continue
        break
    else:
        raise LinkError(f"{address}: gave up after {TRIES} tries ({failure}); run the command again to go on from here")
    if hashlib.sha256(part.read_bytes()).hexdigest() != entry.sha256.lower():
        part.unlink()
        raise ConfigError(f"{address}: sha256 is not the manifest's; the file was thrown away, ask for it elsewhere")
    part.replace(target / entry.file)


async def _continue(
    session: aiohttp.ClientSession, address: str, part: Path, entry: Model | Golden, progress: Progress
) -> None:
    """Load what is missing of a file. Raises what aiohttp raises where the connection is cut."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    async with session.get(address, headers=headers) as answer:
        if answer.status == _BAD_RANGE:
            return  # nothing is missing; the sha256 tells whether that is so
        if answer.status not in (_OK, _PARTIAL):
            raise LinkError(f"{address}: the server answered {answer.status}; correct the address or ask again later")
        if answer.status == _OK:
            have = 0  # the server knows no ranges
        whole = None if answer.content_length is None else have + answer.content_length
        with part.open("ab" if have else "wb") as file:
            async for chunk in answer.content.iter_chunked(_CHUNK):
                have += len(chunk)
                if have > MAX_FILE_BYTES:
                    raise LinkError(f"{address}: is larger than {MAX_FILE_BYTES} bytes; ask for it elsewhere")
                file.write(chunk)
                progress(entry.file, have, whole)
