"""The database's real writes, cut anywhere: nothing is lost as it is, and the harness notices when the syncs are left out."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockerd.store.codes import TRIES
from tests.crash import attempts
from tests.crash.images import STORY, run, workplace
from tests.crash.judging import Tally
from tests.crash.recording import record


def traceable() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not traceable(), reason="needs strace, and leave to trace: sudo apt-get install strace")


@pytest.fixture
def place() -> Iterator[Path]:
    with workplace() as folder:
        yield folder


def images_of(place: Path, *story: str, daemon_every: int) -> Tally:
    ops = record(place / "story", STORY, "--days", "0", *story)
    return run(ops, place, images=400, seed=1, daemon_every=daemon_every)


def test_no_acknowledged_commit_is_lost_or_torn(place: Path) -> None:
    tally = images_of(place, daemon_every=4)
    assert len(tally.images) >= 380
    assert tally.recoveries >= 3
    assert not tally.wrong, tally.first


def test_a_store_that_does_not_sync_is_caught(place: Path) -> None:
    tally = images_of(place, "--unsynced", daemon_every=0)
    assert tally.wrong["lost"] > 0


@pytest.mark.parametrize("synced", [True, False])
def test_a_try_outlives_the_power_exactly_if_it_is_synced(place: Path, synced: bool) -> None:
    ops = record(place / "story", attempts.STORY, "--days", "1", *([] if synced else ["--unsynced"]))
    bench = place / "image"
    bench.mkdir()
    found = attempts.cut(ops, bench, images=40, seed=1)
    assert found.pulls == 40
    assert (found.most <= TRIES and not found.unopened) is synced
