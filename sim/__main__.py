"""`python -m sim COMMAND …`."""

from __future__ import annotations

from collections.abc import Sequence

from firmware_protocol.commands import run_command

COMMANDS = {
    "machine": ("sim.machine", "the simulated machine: bus, card readers, camera, control interface"),
    "serve": ("sim.serve", "one unit or reader standing alone, right or with a defect, for a stranger's client"),
    "office": ("sim.office", "the simulated central office"),
    "inbox": ("sim.inbox", "the simulated town's telephones"),
    "run": ("sim.run", "play scenarios against the whole and judge the end"),
    "chip-photo": ("sim.chip_photo", "decode the photo of a simulated chip, as a licensed library would a real one"),
    "soak": ("sim.soak.command", "simulated days of the daemon in memory, under fire, with a checker"),
    "demo": ("sim.demo", "everything at once, with a dock page to play the world"),
}
"""Command -> its module and what it is."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; returns the exit status."""
    return run_command("python -m sim", "the simulated world around lockerd", COMMANDS, argv)


if __name__ == "__main__":
    raise SystemExit(main())
