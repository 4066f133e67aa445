"""A command line of commands that are imported only when they run.

A command's module offers `add_arguments(parser)` and `run(arguments) -> int`, the exit status.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module

Commands = Mapping[str, tuple[str, str]]
"""Command -> its module and what it does."""


def run_command(prog: str, description: str, commands: Commands, argv: Sequence[str] | None) -> int:
    """Parse the command line (None: this process's) and run the command; returns the exit status."""
    return ended(lambda: _run(prog, description, commands, argv))


def _run(prog: str, description: str, commands: Commands, argv: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog=prog, description=description)
    offered = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, summary) in commands.items():
        command = offered.add_parser(name, help=summary, description=summary)
        if given[:1] == [name]:
            import_module(module).add_arguments(command)
    arguments = parser.parse_args(given)
    status: int = import_module(commands[arguments.command][0]).run(arguments)
    return status


def ended(command: Callable[[], int]) -> int:
    """The exit status of `command`, also where it is ended from outside: no traceback for what is no fault.

    130 after Ctrl-C and 141 where the reader of standard output has gone (`| head`), as a shell says of SIGINT and SIGPIPE.
    """
    try:
        try:
            return command()
        finally:
            if sys.stdout is not None:  # closed by the caller (`>&-`)
                sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        try:
            sys.stdout.write("\n")
            sys.stdout.flush()
        except BrokenPipeError:
            with suppress(BrokenPipeError):
                sys.stdout.close()
            return 141
        raise  # another pipe's
