"""No card comes into doubt without a cause: a machine that is sure of nothing leaves all its work to people."""

from __future__ import annotations

from collections.abc import Callable

from sim.world import World

CALM_SECONDS = 2 * 3600.0
"""After a fault: longer than any burns; by then whoever was at the machine is gone, and it has come to rest."""


class Doubts:
    """`wrong` is told of each breach; `doubtful` tells of a real card that hands, a lie or wrong eyes left where nobody knows."""

    def __init__(
        self, world: World, wrong: Callable[[str], None], now: Callable[[], float], doubtful: Callable[[str], bool]
    ) -> None:
        self._world = world
        self._wrong = wrong
        self._now = now
        self._doubtful = doubtful
        self._calm_since = now()

    def disturbed(self) -> None:
        """A fault, somebody who pulls the plug, power that is back, hands in the machine."""
        self._calm_since = self._now()

    def came(self, card: str, real: str | None, reason: str) -> None:
        """A card is recorded as in doubt."""
        world = self._world
        if world.armed or world.jammed or world.stuck or self._now() - self._calm_since < CALM_SECONDS:
            return
        if real is not None and not self._doubtful(real):
            self._wrong(f"{card} came into doubt ({reason}), and nothing happened for two hours")
