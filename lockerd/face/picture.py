"""Pictures from outside: any bytes give a picture or a reason, and a huge one is refused by its header."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import numpy.typing as npt

from lockerd.face.messages import MAX_PICTURE_BYTES
from lockerd.model.identity import FaceReason

Picture = npt.NDArray[np.uint8]  # (height, width, 3), BGR

MAX_SIDE = 4096
MIN_SIDE = 32
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_END_WITHIN = 1024  # some cameras pad the file after the end marker


def decode(data: bytes) -> Picture | FaceReason:
    """The picture in a JPEG or PNG file, or UNREADABLE_PICTURE; never raises."""
    if len(data) > MAX_PICTURE_BYTES:
        return FaceReason.UNREADABLE_PICTURE
    size = header_size(data)
    if size is None or not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
        return FaceReason.UNREADABLE_PICTURE
    if data.startswith(_JPEG) and data.rfind(_JPEG_END) < len(data) - _END_WITHIN:
        return FaceReason.UNREADABLE_PICTURE  # cut off: the decoder would fill the rest with grey
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return FaceReason.UNREADABLE_PICTURE
    return checked(picture)


def checked(picture: object) -> Picture | FaceReason:
    """`picture` if it is a BGR picture of a bearable size, else UNREADABLE_PICTURE."""
    if (
        not isinstance(picture, np.ndarray)
        or picture.dtype != np.uint8
        or picture.ndim != 3
        or picture.shape[2] != 3
        or not all(MIN_SIDE <= side <= MAX_SIDE for side in picture.shape[:2])
    ):
        return FaceReason.UNREADABLE_PICTURE
    return picture


def header_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) by a JPEG's frame header (ITU-T T.81 B.2.2) or a PNG's IHDR; None for all else."""
    if data.startswith(_PNG):
        if len(data) < 24 or data[12:16] != b"IHDR":
            return None
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    if not data.startswith(_JPEG):
        return None
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            if at + 9 > len(data):
                return None
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        if marker in {0xD8, 0xD9, 0xDA} or 0xD0 <= marker <= 0xD7:
            return None
        at += 2 + int(struct.unpack(">H", data[at + 2 : at + 4])[0])
    return None
