"""`python -m firmware_protocol COMMAND …`."""

from __future__ import annotations

from collections.abc import Sequence

from firmware_protocol.commands import run_command

COMMANDS = {
    "export": ("firmware_protocol.export.command", "write the C header, the register reference and the test vectors"),
    "conformance": ("firmware_protocol.conformance.command", "prove a live unit right, or name what is wrong with it"),
}
"""Command -> its module and what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; returns the exit status."""
    return run_command("python -m firmware_protocol", "what travels on the wires", COMMANDS, argv)


if __name__ == "__main__":
    raise SystemExit(main())
