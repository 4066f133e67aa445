"""The script of one run: every visit and every fault with its moment, so that a run can be played with some of them left out.

Each item draws from a source of its own, so leaving one out changes no other.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sim.soak.books import Played
from sim.soak.item import Item


class Script:
    """What a run plays: the `kept` items, or, with None, whatever it draws by itself. `played` is what it played, in order."""

    def __init__(self, kept: Sequence[Item] | None = None) -> None:
        self._kept = None if kept is None else sorted(kept, key=lambda item: item.at)
        self.played = Played()

    def kept(self, source: str) -> list[Item] | None:
        """The items of a source that are kept; None where the run draws its own."""
        return None if self._kept is None else [item for item in self._kept if item.source == source]


async def until(at: float) -> None:
    """Wait for a virtual second."""
    await asyncio.sleep(max(at - asyncio.get_running_loop().time(), 0.0))


@dataclass(frozen=True, slots=True)
class Kept:
    """A story to play again: the seed and setting (name and value) that it began with, until when, and its items."""

    seed: int
    setting: dict[str, Any]
    until: float
    what: str
    items: tuple[Item, ...]


def write(path: Path, kept: Kept) -> None:
    """Keep a story in a file, one item a line."""
    head = {"seed": kept.seed, "setting": kept.setting, "until": kept.until, "what": kept.what}
    lines = [json.dumps(head), *(json.dumps(asdict(item)) for item in kept.items)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> Kept:
    """A story as `write` kept it. Raises OSError, ValueError, TypeError."""
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    return Kept(**json.loads(head), items=tuple(Item(**json.loads(line)) for line in lines))
