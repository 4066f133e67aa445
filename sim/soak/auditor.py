"""A second judge beside the checker: what `lockerd verify` says of the database.

It shares no code with the checker, which knows the truth and reads what is new. `lockerd verify` knows no truth, and holds each row
against every other, the audit chain included, in a process of its own, on a copy of the files: the run goes on meanwhile.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_ASKED = (
    "import pathlib, sys; from lockerd.store.verify import verify;"
    " print(*verify(pathlib.Path(sys.argv[1])).wrong, sep='\\n')"
)
"""What `lockerd verify` does, without the imports of the whole daemon, which take ten times as long."""


class Auditor:
    """Looks at the database once at a time; `wrong` is told of each finding, with the virtual second of the copy.

    What it found is told when the run asks, at a moment that does not depend on the pace of its process.
    """

    def __init__(self, database: Path, wrong: Callable[[float, str], None]) -> None:
        self._database = database
        self._folder = database.parent / "audited"
        self._wrong = wrong
        self._began = 0.0
        self._process: subprocess.Popen[str] | None = None

    def begin(self, now: float) -> None:
        """Copy the database as it stands, with its log, while the daemon has it open, and let the copy be looked at."""
        self._folder.mkdir()
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copy(self._database.with_name(self._database.name + suffix), self._folder)
        self._began = now
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ASKED, str(self._folder / self._database.name)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )

    def end(self) -> None:
        """Wait for what was begun, if anything was, and tell what it found. Raises RuntimeError."""
        if self._process is None:
            return
        process, self._process = self._process, None
        found, trouble = process.communicate()
        shutil.rmtree(self._folder)
        if process.returncode != 0:
            raise RuntimeError(f"lockerd verify broke off: {trouble}")
        for words in filter(None, found.splitlines()):
            self._wrong(self._began, f"lockerd verify: {words}")

    def give_up(self) -> None:
        """End it whatever it found; the run is over."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
