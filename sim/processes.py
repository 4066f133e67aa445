"""Child processes of a run: each in a process group of its own, with its log in a file, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import sim

ROOT = Path(sim.__file__).resolve().parent.parent
"""The folder that holds the packages; children start there, so `python -m` finds them installed or not."""

GRACE = 10.0
"""Seconds that a child has to end after SIGTERM before its group is killed."""


class ProcessDied(Exception):
    """A child ended that should run, or did not become ready; the message names it and carries its last log lines."""


@dataclass(slots=True)
class Child:
    """One child process: `python ARGUMENTS`, its output appended to `log`. It exists from `start` to `stop` or `kill`."""

    name: str
    arguments: Sequence[str]
    log: Path
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)

    async def start(self) -> None:
        """Start the process; it leads a process group, so that a Ctrl-C at the terminal reaches only its parent."""
        self._stopping = False
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.arguments,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id. Raises ProcessDied before `start` and after `stop` or `kill`."""
        if self._process is None:
            raise ProcessDied(f"{self.name} does not run")
        return self._process.pid

    def check(self) -> None:
        """Raise ProcessDied when the process ended although nobody stopped it."""
        if self._process is not None and self._process.returncode is not None and not self._stopping:
            raise ProcessDied(f"{self.name} ended with status {self._process.returncode}; {self.last_words()}")

    def last_words(self, lines: int = 15) -> str:
        """The last lines of the log, with its path."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        last = text.splitlines()[-lines:]
        return f"end of {self.log}:\n" + "\n".join(f"    {line}" for line in last)

    async def stop(self) -> None:
        """End the process with SIGTERM, after `GRACE` seconds with SIGKILL, and whatever is left of its group."""
        process = self._process
        if process is None:
            return
        self._stopping = True
        if process.returncode is None:
            process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), GRACE)
        await self.kill()

    async def kill(self) -> None:
        """End the process and its whole group with SIGKILL, as a power cut would."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):  # the whole group may have ended
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def run_to_end(arguments: Sequence[str], stdin: str) -> None:
    """Run `python ARGUMENTS` with `stdin` to its end. Raises ProcessDied for a status other than 0."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate(stdin.encode())
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        words = output.decode(errors="replace").strip()
        raise ProcessDied(f"python {' '.join(arguments)} ended with status {process.returncode}: {words}")
