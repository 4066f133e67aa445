"""What a simulated machine keeps through its own end: the physical world and each firmware's non-volatile memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sim.world import World


class StateError(Exception):
    """The state file is damaged or of another machine; the message names it and what to do."""


class Kept:
    """The state file of one machine; each `save` replaces it whole, so another process sees the old state or the new one."""

    def __init__(self, path: Path, seed: int, world: World) -> None:
        self.path = path
        self.seed = seed
        self.world = world
        self.boots = 0  # how often the machine was switched on
        self.firmware: dict[str, dict[str, int]] = {}

    @classmethod
    def load(cls, path: Path, seed: int, fresh: Callable[[], World]) -> Kept:
        """The state in the file, or a `fresh` world where there is none; raises StateError."""
        if not path.exists():
            return cls(path, seed, fresh())
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_File)
            kept = cls(path, file.seed, World.from_json(file.world))
        except (msgspec.MsgspecError, OSError) as error:
            raise StateError(f"{path}: {error}; remove the file to start with a new machine") from error
        if kept.seed != seed:
            raise StateError(f"{path}: made with --seed {kept.seed}; use that seed or another --state")
        kept.boots, kept.firmware = file.boots, file.firmware
        return kept

    def save(self) -> None:
        """Write the file atomically."""
        text = json.dumps(
            {"seed": self.seed, "boots": self.boots, "firmware": self.firmware, "world": self.world.to_json()}
        )
        fresh = self.path.with_name(f".{self.path.name}.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.path)


class UnitMemory:
    """Non-volatile memory of the unit `name` inside the state file; a `sim.firmware.Memory`."""

    def __init__(self, kept: Kept, name: str) -> None:
        self._kept = kept
        self._name = name

    def load(self) -> Mapping[str, int]:
        """The last saved record, or an empty one."""
        return self._kept.firmware.get(self._name, {})

    def save(self, record: Mapping[str, int]) -> None:
        """Keep the record before returning."""
        self._kept.firmware[self._name] = dict(record)
        self._kept.save()


class _File(msgspec.Struct, forbid_unknown_fields=True):
    seed: int
    boots: int
    firmware: dict[str, dict[str, int]]
    world: dict[str, Any]
