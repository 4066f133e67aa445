"""Books of a run that do not grow with it: what ended long ago, and what was played, in as few bytes as it needs.

The memory of the process is measured over a simulated year. What the simulator remembers must not pass for the daemon's.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import astuple

from sim.soak.item import Item

_BLOCK = 500


class Ended:
    """One word for each numbered name ("N000001", "old-000017"), a byte each."""

    def __init__(self) -> None:
        self._words: list[str] = [""]
        self._by_prefix: dict[str, bytearray] = {}

    def keep(self, name: str, word: str) -> None:
        """Remember `word`, in place of an earlier one; "" forgets."""
        if word not in self._words:
            self._words.append(word)
        prefix, number = _split(name)
        words = self._by_prefix.setdefault(prefix, bytearray())
        words.extend(bytes(max(number + 1 - len(words), 0)))
        words[number] = self._words.index(word)

    def of(self, name: str) -> str | None:
        """The word of a name; None where there is none."""
        prefix, number = _split(name)
        words = self._by_prefix.get(prefix, b"")
        return self._words[words[number]] or None if number < len(words) else None


class Played:
    """Items in the order in which they were played; blocks of them are compressed."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._latest: list[Item] = []

    def append(self, item: Item) -> None:
        """One item more."""
        self._latest.append(item)
        if len(self._latest) == _BLOCK:
            self._blocks.append(zlib.compress(json.dumps([astuple(one) for one in self._latest]).encode()))
            self._latest = []

    def __iter__(self) -> Iterator[Item]:
        """All of them."""
        for block in self._blocks:
            yield from (Item(*one) for one in json.loads(zlib.decompress(block)))
        yield from self._latest


def _split(name: str) -> tuple[str, int]:
    prefix = name.rstrip("0123456789")
    return prefix, int(name[len(prefix) :] or 0)
