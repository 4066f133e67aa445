"""Canaries: after a whole renewal nothing that lockerd wrote, answered or still has in its memory holds a name, ID number,
address, phone, photo or code. Core dumps are gdb's (`gcore`) of the running daemon and its face worker; where there is no gdb,
all memory that they may write to is read from /proc instead, which is what a core dump would hold.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import signal
import sqlite3
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from lockerd.store.backup import back_up
from sim.clients import eventually
from sim.harness import Harness
from sim.office import manifest
from sim.people import Citizen
from sim.robot import visit_of
from sim.scene import scene_of
from tests.store_support import opened
from tests.system.running import PATIENCE, SPEED, health, machine, metrics

UNIT = Path(__file__).parents[2] / "systemd" / "lockerd.service"
FOREVER = aiohttp.ClientTimeout(total=None)
ADDRESS = "虚构省测试市样例路1号"
SEED = 1  # of the town that `machine` plays in


def canaries(people: tuple[Citizen, ...], codes: list[str]) -> dict[str, bytes]:
    """What must not be found, as bytes, by what it is; each also as it would look encoded."""
    plain = {"address on the chips": ADDRESS}
    for person in people:
        plain[f"name of {person.person_id}"] = person.name
        plain[f"number of {person.person_id}"] = person.id_number
        plain[f"phone of {person.person_id}"] = person.phone
        plain[f"phone of {person.person_id} without its country"] = person.phone.removeprefix("+86")
    plain |= {f"code {n}": code for n, code in enumerate(codes)}
    plain |= {f"code {n}, grouped": f"{code[:4]} {code[4:8]}" for n, code in enumerate(codes)}
    found = {what: text.encode() for what, text in plain.items()}
    found |= {f"{what} in UTF-16": text.encode("utf-16-le") for what, text in plain.items()}
    found |= {f"{what} in JSON": text.encode("unicode-escape") for what, text in plain.items()}
    found |= {f"{what} in base64": base64.b64encode(text.encode()).rstrip(b"=")[:-1] for what, text in plain.items()}
    for item in manifest(SEED, len(people)):
        spelt = item["photo"].encode()
        photo = base64.b64decode(spelt)
        found[f"photo for {item['claim_id']}"] = photo[len(photo) // 2 :][:24]
        found[f"photo for {item['claim_id']} in base64"] = spelt[len(spelt) // 2 :][:32]
    return found


def as_the_unit_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lockerd.service sets for the daemon, so that freed memory is overwritten."""
    for name, value in re.findall(r"^Environment=(\w+)=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE):
        monkeypatch.setenv(name, value)


def daemon(state: Path) -> list[int]:
    """The processes of the daemon whose state is there: itself, then its children."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        if b"run" in words and any(word.startswith(bytes(state)) and word.endswith(b".toml") for word in words):
            pid = int(process.name)
            return [pid, *map(int, (process / "task" / process.name / "children").read_text().split())]
    raise AssertionError("no daemon runs")


async def cores(pids: list[int], folder: Path) -> dict[str, bytes]:
    """The core dumps of the daemon and its children, which go on; without gdb, what those would hold. No pages of zeros."""
    if shutil.which("gdb") is None:
        return {f"core dump of process {n}": _memory(pid) for n, pid in enumerate(pids)}
    found = {}
    os.kill(pids[0], signal.SIGSTOP)  # else it ends a face worker that gdb holds up
    try:
        for n, pid in reversed([*enumerate(pids)]):
            dump = folder / f"core.{n}"
            words = ("--batch", "-nx", "-iex", "set auto-solib-add off", "-p", str(pid), "-ex", f"gcore {dump}")
            gdb = await asyncio.create_subprocess_exec("gdb", *words, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
            said, _ = await gdb.communicate()
            assert dump.exists(), said.decode()
            content = dump.read_bytes()
            dump.unlink()
            assert content.startswith(b"\x7fELF")
            pages = (content[at : at + 4096] for at in range(0, len(content), 4096))
            found[f"core dump of process {n}"] = b"".join(page for page in pages if page.strip(b"\0"))
    finally:
        os.kill(pids[0], signal.SIGCONT)
    return found


def _memory(pid: int) -> bytes:
    """All memory of a process that it may write to, one mapping after the other."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as content:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            addresses, rights, *_, name = [*line.split(maxsplit=5), ""][:7]
            if rights.startswith("rw") and not line.endswith(("[vvar]", "[vsyscall]")) and "/dev/" not in name:
                begin, end = (int(number, 16) for number in addresses.split("-"))
                content.seek(begin)
                found.append(content.read(end - begin))
    return b"\0".join(found)


async def screens(harness: Harness, shown: list[bytes]) -> None:
    """Keep what every page says, as the browser gets it, until cancelled."""
    async with harness.session.get(f"http://{harness.setting.addresses.kiosk}/events", timeout=FOREVER) as stream:
        async for line in stream.content:
            shown.append(line)


async def back_up_now(database: Path) -> None:
    """A backup of a stopped machine's database, as the night makes it."""
    async with opened(database) as db:
        await back_up(db, database.parent / "backup", time.time())


async def test_a_whole_renewal_leaves_no_personal_data_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_the_unit_says(monkeypatch)
    state = tmp_path / "lockerd"
    shown: list[bytes] = []
    async with machine(tmp_path) as harness:
        scene = scene_of(harness, SEED, SPEED)
        tasks = [asyncio.create_task(scene.kiosk.follow()), asyncio.create_task(screens(harness, shown))]
        await scene.stock()
        person, other = [one for one in scene.people if one.old_card][:2]
        code = await scene.code(person)
        letter = await harness.office.write_letter(other.new_card.card_id)
        typed = "".join(sorted(code))[::-1]
        refused = (letter, typed) if typed != code else (letter,)  # what is refused may not be kept either
        await scene.comes(replace(visit_of(person, code), codes=(*refused, code)), ends="done")

        async def told() -> bool | None:
            claims = (await harness.office.ledger())["claims"].values()
            letters = await harness.office.events("lockerd.code.reissued")
            return (bool(letters) and any(claim["state"] == "collected" for claim in claims)) or None

        await eventually("the office told", PATIENCE, told)
        written = {
            "metrics": (await metrics(harness)).encode(),
            "health": repr(await health(harness)).encode(),
            "events": _events(tmp_path / "office" / "office.db"),
        }
        written |= _files(state)  # with the write-ahead log, as it stands
        codes = [text for one in await harness.inbox.messages() if (text := _code(one["text"]))]
        looked_for = canaries(scene.people, [*codes, *refused])
        written |= await cores(daemon(tmp_path), tmp_path)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await harness.stop_lockerd()
        await back_up_now(state / "lockerd.db")
        written |= {f"{name}, closed": content for name, content in _files(state).items()}
        written["log"] = (tmp_path / "logs" / "lockerd.log").read_bytes()
        written["screens"] = b"".join(shown)

    assert "lockerd.db-wal" in written
    assert written["lockerd.db"].startswith(b"SQLite format 3")
    assert [name for name in written if name.startswith("backup/lockerd-")]
    assert b"motion ended" in written["log"]
    assert code in codes
    assert b"lockerd" in written["core dump of process 0"]
    assert len(written["core dump of process 1"]) > 1 << 20, "the face worker"
    assert {b"code", b"identify", b"take", b"done"} <= set(re.findall(rb'"view":"(\w+)"', written["screens"]))
    messages = b"".join(file.read_bytes() for file in (tmp_path / "inbox").glob("*.json"))
    assert person.phone.encode() in messages, "the one place that holds them shows that they would be found"
    announced = (tmp_path / "office" / "office.db").read_bytes()
    assert [what for what, canary in looked_for.items() if what.startswith("photo") and canary in announced]
    hits = [
        (what, where) for what, canary in looked_for.items() for where, bytes_ in written.items() if canary in bytes_
    ]
    assert hits == []


def _files(folder: Path) -> dict[str, bytes]:
    """All files in a folder and those below it, by name."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _events(database: Path) -> bytes:
    """Every event that the office has, as it came."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    rows = connection.execute("SELECT * FROM event").fetchall()
    connection.close()
    assert any("lockerd.card.taken" in str(row) for row in rows)
    return repr(rows).encode()


def _code(text: str) -> str | None:
    found = re.search(r"(\d{4}) ?(\d{4})", text)
    return found[1] + found[2] if found else None
