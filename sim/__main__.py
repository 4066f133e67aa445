"""`python -m sim COMMAND …`: one module per command, imported only when it runs.

A command's module offers `add_arguments(parser)` and `run(arguments) -> int`, the exit status.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

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
    given = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="python -m sim", description="the simulated world around lockerd")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if given[:1] == [name]:
            import_module(module).add_arguments(command)
    arguments = parser.parse_args(given)
    status: int = import_module(COMMANDS[arguments.command][0]).run(arguments)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
