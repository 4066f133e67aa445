"""What a picture becomes on a resident ID card's chip, to measure with: 102 x 126 pixels in at most 1 kB (GA 490).

The chip's own codec needs a decoder that is not part of this project; WebP at the same size stands in for it.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lockerd.face.adapters import Floats
from lockerd.face.picture import Picture

WIDTH, HEIGHT = 102, 126
MAX_BYTES = 1024
_BACKGROUND = 220.0
_FACE = 0.62  # the face's box takes this share of the photo's width


def as_chip_photo(picture: Picture, box: Floats) -> Picture:
    """The face in `box` framed, freed of its background as an ID photo is, made small and coded as a chip holds it."""
    scale = WIDTH * _FACE / max(float(box[2] - box[0]), 1.0)
    middle = (box[:2] + box[2:]).astype(np.float64) / 2
    frame = np.array([[scale, 0.0, WIDTH / 2 - middle[0] * scale], [0.0, scale, HEIGHT * 0.54 - middle[1] * scale]])
    small = cv2.warpAffine(picture, frame, (WIDTH, HEIGHT), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    head = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.ellipse(head, (WIDTH // 2, round(HEIGHT * 0.5)), (44, 58), 0, 0, 360, 1.0, -1)
    cv2.rectangle(head, (8, HEIGHT - 22), (WIDTH - 8, HEIGHT), 1.0, -1)  # shoulders
    share = cv2.GaussianBlur(head, (0, 0), 4.0)[..., None]  # a hard edge would cost bytes that the face needs
    plain = np.clip(small * share + _BACKGROUND * (1.0 - share), 0, 255).astype(np.uint8)
    low, high = 1, 95
    while low < high:  # the best quality that fits
        quality = (low + high + 1) // 2
        low, high = (quality, high) if _coded(plain, quality).size <= MAX_BYTES else (low, quality - 1)
    decoded = cv2.imdecode(_coded(plain, low), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)


def _coded(picture: Picture, quality: int) -> npt.NDArray[np.uint8]:
    coded = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
    return np.asarray(coded, np.uint8)
