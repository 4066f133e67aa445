"""The letter code: what a letter of the office bears for a citizen without a telephone, as digits and as a QR code."""

from __future__ import annotations

import re
from typing import Final

LENGTH: Final = 16
"""Digits: 14 drawn by chance, then two check digits (ISO/IEC 7064, MOD 97-10), which find any two mistyped digits in a row."""

QR_PREFIX: Final = "LC1"
"""Before the digits in the QR code: what it is and the version of that. All of it is in QR's alphanumeric set."""

_DIGITS = re.compile(r"[0-9]{16}", re.ASCII)


def is_valid(text: str) -> bool:
    """Whether `text` can be a letter code: 16 digits whose check digits fit."""
    return _DIGITS.fullmatch(text) is not None and int(text) % 97 == 1
