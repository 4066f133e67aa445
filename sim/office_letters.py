"""The letter to somebody without a telephone, as the simulated office prints it: one page with the code and its QR code."""

from __future__ import annotations

import io
from html import escape
from importlib import resources
from string import Template
from typing import Any

import segno

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""What goes with the page: it holds a code and loads nothing."""

LOCKER = "locker-1"


def qr_content(letter_code: str) -> str:
    """What the QR code holds (docs/identity.md, "Codes")."""
    return f"LC1{letter_code}"


def letter(item: dict[str, Any], letter_code: str) -> str:
    """The page (HTML) for an announced card; `letter_code` has 16 digits."""
    drawn = io.BytesIO()
    segno.make(qr_content(letter_code), error="m", micro=False).save(
        drawn, kind="svg", xmldecl=False, svgns=False, omitsize=True, svgclass="qr", lineclass=None, light="#fff"
    )
    page = Template(resources.files("sim").joinpath("letter.html").read_text("utf-8"))
    return page.substitute(
        name=escape(str(item["name"])),
        card=escape(str(item["claim_id"])),
        code=" ".join(letter_code[at : at + 4] for at in range(0, 16, 4)),
        qr=drawn.getvalue().decode(),
        locker=LOCKER,
    )
