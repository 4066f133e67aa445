"""A second judge beside the checker: what `lockerd verify` says of the database.

It shares no code with the checker, which knows the truth and reads what is new. `lockerd verify` knows no truth, and holds each row
against every other, the audit chain included, in a process of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_ASKED = (
    "import pathlib, sys; from lockerd.store.verify import verify;"
    " print(*verify(pathlib.Path(sys.argv[1])).wrong, sep='\\n')"
)
"""What `lockerd verify` does, without the imports of the whole daemon, which take ten times as long."""


def found_wrong(database: Path) -> list[str]:
    """What is wrong with the database as it stands, with its log, while the daemon has it open. Raises RuntimeError.

    A copy is looked at, for the owner's lock keeps the command off the file itself.
    """
    folder = database.parent / "audited"
    folder.mkdir(exist_ok=True)
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            shutil.copy(database.with_name(database.name + suffix), folder)
    command = [sys.executable, "-c", _ASKED, str(folder / database.name)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(_ROOT)}
    )
    shutil.rmtree(folder)
    if done.returncode != 0:
        raise RuntimeError(f"lockerd verify broke off: {done.stderr}")
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []
