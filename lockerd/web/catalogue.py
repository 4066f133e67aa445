"""The words of the screens, one JSON file a screen and language; a key that is missing is an error, never a blank."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

LANGUAGES: Final = ("zh", "en")
DEFAULT_LANGUAGE: Final = "zh"


class Catalogue:
    """The texts of one language. Call it with a key and the values of its {fields}; raises KeyError for what it lacks."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def __call__(self, key: str, **fields: object) -> str:
        """The text of `key` with its fields filled in."""
        return self.texts[key].format_map(fields)


@cache
def catalogue(language: str, screen: str = "") -> Catalogue:
    """The catalogue of `language` (one of LANGUAGES), read once from the package; raises KeyError for another.

    `screen` is the folder of another screen's texts ("console"); without it they are the citizen's.
    """
    if language not in LANGUAGES:
        raise KeyError(language)
    path = Path(__file__).parent / "text" / screen / f"{language}.json"
    return Catalogue(msgspec.json.decode(path.read_bytes(), type=dict[str, str]))
