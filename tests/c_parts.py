"""Builds the C parts of the tests against the exported header; a test without its tools is skipped by their names."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent / "c"
HEADERS = Path(__file__).parents[1] / "docs" / "firmware"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")


def need(*commands: str) -> None:
    """Skip the test unless all commands are installed."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def libmodbus() -> list[str]:
    """Compiler arguments for libmodbus; skips the test where it is not installed."""
    need("gcc", "pkg-config")
    found = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libmodbus"], capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        pytest.skip("not installed: libmodbus-dev")
    return found.stdout.split()


def build(program: Path, *sources: Path, include: Path = HEADERS, more: Sequence[str] = ()) -> Path:
    """Compile and link `sources` with every warning an error; skips the test where there is no gcc."""
    need("gcc")
    command = ["gcc", *STRICT, "-O1", f"-I{include}", "-o", str(program), *map(str, sources), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program
