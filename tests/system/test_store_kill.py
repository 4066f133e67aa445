"""kill -9 on a process that writes to a real database file."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

from lockerd.store import codes, journal
from lockerd.store.codes import CodeResult
from lockerd.store.database import Transaction
from tests.store_support import STAMP, opened, vault

CHILD = Path(__file__).with_name("store_child.py")
ROOT = CHILD.parents[2]


def child(mode: str, path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "error", str(CHILD), mode, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT)})


def killed_after(path: Path, commits: int, turns: int) -> int:
    """The last seq that a process acknowledged before it was killed, some `turns` of a loop after so many commits."""
    with child("transfer", path) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(commits)]
        for _ in range(turns):  # lets the process get somewhere into the next commit
            pass
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return int(lines[-1])


async def test_no_acknowledged_commit_is_lost_or_torn(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    moments = random.Random(20260101)

    async def prepare(tx: Transaction) -> None:
        await tx.execute("INSERT INTO meta (key, value) VALUES ('left', 0), ('right', 0)")

    async with opened(path) as db:
        await db.transaction(prepare)
    for _ in range(12):
        acknowledged = killed_after(path, moments.randrange(1, 120), moments.randrange(40_000))

        async def look(tx: Transaction) -> tuple[int, int, int, int]:
            where = await journal.position(tx)
            count = await tx.one("SELECT count(*) AS n FROM journal")
            left = await tx.one("SELECT value FROM meta WHERE key = 'left'")
            right = await tx.one("SELECT value FROM meta WHERE key = 'right'")
            assert count is not None
            assert left is not None
            assert right is not None
            return where.last_seq, count["n"], -left["value"], right["value"]

        async with opened(path) as db:
            last, count, left, right = await db.transaction(look)
        assert acknowledged <= last <= acknowledged + 1
        assert (count, left, right) == (last, last, last)


async def test_a_try_survives_a_kill_before_its_comparison(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    for _ in range(codes.TRIES):
        with child("guess", path) as process:
            assert process.wait(30) == -signal.SIGKILL
    async with opened(path) as db:
        answer = await codes.check(db, vault(), "990101199001010018", "00000000", STAMP)
    assert answer.result is CodeResult.LOCKED


def test_a_stopped_owner_lets_the_process_end(tmp_path: Path) -> None:
    with child("stop", tmp_path / "lockerd.db") as process:
        assert process.wait(30) == 0
    assert not (tmp_path / "lockerd.db-wal").exists()


async def test_a_commit_that_the_disk_failed_ends_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    with child("broken_disk", path) as process:
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert [line.startswith(b"StoreError the disk failed") for line in said.splitlines()] == [True, True]
    async with opened(path) as db:
        assert (await db.transaction(journal.position)).last_seq == 1
