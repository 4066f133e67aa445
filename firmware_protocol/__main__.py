"""`python -m firmware_protocol COMMAND …`: one module per command, imported only when it runs.

A command's module offers `add_arguments(parser)` and `run(arguments) -> int`, the exit status.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "export": ("firmware_protocol.export.command", "write the C header, the register reference and the test vectors"),
    "conformance": ("firmware_protocol.conformance.command", "prove a live unit right, or name what is wrong with it"),
}
"""Command -> its module and what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; returns the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="python -m firmware_protocol", description="what travels on the wires")
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
