"""The detection error trade-off (ISO/IEC 19795-1) as a curve, as SVG and as PNG; both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from lockerd.face.adapters import Floats

_LOW, _HIGH = 1e-5, 1.0
_SIDE, _MARGIN = 640, 80
_POINTS = 200
Curve = list[tuple[float, float]]


def det_curve(genuine: Floats, impostor: Floats) -> Curve:
    """(FMR, FNMR) from strict to lax thresholds, as far as the number of impostors can tell; shares of 1."""
    if not len(genuine) or not len(impostor):
        return []
    falling, rising = np.sort(impostor)[::-1], np.sort(genuine)
    ranks = np.unique(np.geomspace(1, len(falling), _POINTS).astype(int)) - 1
    missed = np.searchsorted(rising, falling[ranks], side="left") / len(rising)
    return [((int(rank) + 1) / len(falling), float(share)) for rank, share in zip(ranks, missed, strict=True)]


def _at(share: float) -> float:
    """Pixels along an axis."""
    return _SIDE * math.log(max(share, _LOW) / _LOW) / math.log(_HIGH / _LOW)


def _spots(curve: Curve) -> list[tuple[float, float]]:
    return [(_MARGIN + _at(fmr), _MARGIN + _SIDE - _at(fnmr)) for fmr, fnmr in curve if fmr >= _LOW]


def _ticks() -> Iterator[tuple[float, str]]:
    for power in range(-5, 1):
        yield _at(10.0**power), f"1e{power}" if power else "1"


def det_svg(curve: Curve, title: str) -> str:
    """The plot as an SVG document."""
    edge = _MARGIN + _SIDE
    whole = edge + _MARGIN
    lines = []
    for along, name in _ticks():
        x, y = _MARGIN + along, edge - along
        lines.append(f'<path d="M{x:.1f} {_MARGIN}V{edge}M{_MARGIN} {y:.1f}H{edge}" stroke="#ccc"/>')
        lines.append(f'<text x="{x:.1f}" y="{edge + 20}" text-anchor="middle">{name}</text>')
        lines.append(f'<text x="{_MARGIN - 8}" y="{y + 5:.1f}" text-anchor="end">{name}</text>')
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in _spots(curve))
    safe = title.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {whole}" font-family="sans-serif" font-size="14">'
        f'<title>{safe}</title><rect width="{whole}" height="{whole}" fill="#fff"/>{"".join(lines)}'
        f'<text x="{whole / 2}" y="40" text-anchor="middle" font-size="18">{safe}</text>'
        f'<text x="{whole / 2}" y="{whole - 24}" text-anchor="middle">FMR</text>'
        f'<text x="20" y="{whole / 2}" text-anchor="middle" transform="rotate(-90 20 {whole / 2})">FNMR</text>'
        f'<polyline points="{points}" fill="none" stroke="#0b57a4" stroke-width="2"/></svg>\n'
    )


def det_png(curve: Curve, title: str) -> bytes:
    """The plot as a PNG file."""
    edge = _MARGIN + _SIDE
    sheet = np.full((edge + _MARGIN, edge + _MARGIN, 3), 255, np.uint8)
    font, black, grey = cv2.FONT_HERSHEY_SIMPLEX, (0, 0, 0), (204, 204, 204)
    for along, name in _ticks():
        x, y = round(_MARGIN + along), round(edge - along)
        cv2.line(sheet, (x, _MARGIN), (x, edge), grey)
        cv2.line(sheet, (_MARGIN, y), (edge, y), grey)
        cv2.putText(sheet, name, (x - 16, edge + 24), font, 0.5, black, 1, cv2.LINE_AA)
        cv2.putText(sheet, name, (_MARGIN - 50, y + 5), font, 0.5, black, 1, cv2.LINE_AA)
    cv2.putText(sheet, title, (_MARGIN, 40), font, 0.5, black, 1, cv2.LINE_AA)
    cv2.putText(sheet, "FMR", (_MARGIN + _SIDE // 2, edge + 56), font, 0.5, black, 1, cv2.LINE_AA)
    cv2.putText(sheet, "FNMR", (4, _MARGIN + _SIDE // 2), font, 0.5, black, 1, cv2.LINE_AA)
    spots = np.array([_spots(curve)], np.float64).round().astype(np.int32)
    if spots.size:
        cv2.polylines(sheet, [spots.reshape(-1, 1, 2)], isClosed=False, color=(164, 87, 11), thickness=2)
    return cv2.imencode(".png", sheet)[1].tobytes()
