"""The photo on a chip as a reference: its codec is licensed, so a program that the operator supplies decodes it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Protocol

from lockerd.errors import DeviceError
from lockerd.face.messages import MAX_PICTURE_BYTES
from lockerd.model.identity import Enrolment, ReferenceKind
from lockerd.ports import ChipPhotoDecoder

_DECODER = "chip_photo_decoder"
_CHUNK = 64 * 1024


class Enroller(Protocol):
    """What makes templates: lockerd.face.verifier.FaceClient."""

    async def enrol(self, picture: bytes, kind: ReferenceKind = ReferenceKind.PHOTO) -> Enrolment:
        """The template of the one face in a picture, or why there is none. Raises FaceUnavailable."""


@dataclass(frozen=True, slots=True)
class ProgramDecoder:
    """A ChipPhotoDecoder: a program that reads the photo on standard input and writes a JPEG or PNG on standard output.

    One process a photo, ended after `seconds`: whatever a licensed library does, it does it there.
    """

    program: tuple[str, ...]
    seconds: float = 5.0

    async def decode(self, photo: bytes) -> bytes:
        """The program's picture. Raises DeviceError where it fails, says nothing, too much, or too late."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self.program,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            raise DeviceError(_DECODER, f"cannot be started ({error.strerror})") from error
        try:
            async with asyncio.timeout(self.seconds):
                picture = await _talk(process, photo)
                status = await process.wait()
        except TimeoutError:
            raise DeviceError(_DECODER, f"gave no picture within {self.seconds:g} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if status or not picture or len(picture) > MAX_PICTURE_BYTES:
            raise DeviceError(_DECODER, f"gave no picture (exit status {status}, {len(picture)} bytes)")
        return picture


async def _talk(process: asyncio.subprocess.Process, photo: bytes) -> bytes:
    """What a process answers to the photo, at most one chunk more than a picture may have."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):  # it ended without reading; its status tells
        process.stdin.write(photo)
        await process.stdin.drain()
    process.stdin.close()
    answer = bytearray()
    while len(answer) <= MAX_PICTURE_BYTES and (part := await process.stdout.read(_CHUNK)):
        answer += part
    return bytes(answer)


async def enrol_chip_photo(face: Enroller, decoder: ChipPhotoDecoder, photo: bytes) -> Enrolment:
    """The template of a chip's photo, or why there is none; the photo is not kept.

    Raises DeviceError where it cannot be decoded, FaceUnavailable where the worker gives no answer.
    """
    return await face.enrol(await decoder.decode(photo), ReferenceKind.CHIP)
