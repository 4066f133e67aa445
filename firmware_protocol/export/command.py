"""`python -m firmware_protocol export DIR`: writes the exports into a folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from firmware_protocol.export import exports


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="where to write; made if it is not there")


def run(arguments: argparse.Namespace) -> int:
    """Write all files; returns the exit status."""
    directory: Path = arguments.directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in exports().items():
            (directory / name).write_text(text, encoding="utf-8")
            sys.stdout.write(f"{directory / name}\n")
    except OSError as error:
        sys.stderr.write(f"export: {error}\n")
        return 1
    return 0
