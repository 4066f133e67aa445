"""The 18-character resident identity number and its check digit (GB 11643, ISO 7064 MOD 11-2)."""

from __future__ import annotations

from datetime import date
from operator import mul

DIGITS = frozenset("0123456789")
_CHECK_CHARACTERS = "10X98765432"  # ISO 7064 MOD 11-2: 12 - (weighted sum mod 11), modulo 11, X for ten
_WEIGHTS = tuple(2 ** (17 - i) % 11 for i in range(17))


def check_digit(first17: str) -> str:
    """The 18th character ("0"-"9" or "X") for the first 17 digits; raises ValueError unless they are 17 ASCII digits."""
    if len(first17) != 17 or not DIGITS.issuperset(first17):
        raise ValueError("17 digits are needed")
    return _CHECK_CHARACTERS[sum(map(mul, map(int, first17), _WEIGHTS)) % 11]


def is_date(text: str) -> bool:
    """Whether `text` is a calendar date written YYYYMMDD in ASCII digits."""
    if len(text) != 8 or not DIGITS.issuperset(text):
        return False
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def is_valid(number: str) -> bool:
    """Whether `number` is well formed: 17 digits, a calendar date at positions 7-14, and the right check digit.

    The region code is not looked up, and the date may lie in the future: this function has no clock. The letter is a
    capital X, as cards and the office write it.
    """
    return (
        len(number) == 18
        and DIGITS.issuperset(number[:17])
        and is_date(number[6:14])
        and check_digit(number[:17]) == number[17]
    )
