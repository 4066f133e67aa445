"""Canaries: after a whole renewal nothing that lockerd wrote, answered or still has in its memory holds a name, ID number, phone
or code. The memory is read from /proc, all that may be written to: what a core dump would hold, without gdb.
"""

from __future__ import annotations

import asyncio
import base64
import re
import sqlite3
from pathlib import Path

import pytest

from sim.clients import eventually
from sim.people import Citizen
from sim.robot import visit_of
from sim.scene import scene_of
from tests.system.running import PATIENCE, SPEED, health, machine, metrics

UNIT = Path(__file__).parents[2] / "systemd" / "lockerd.service"
SEED = 1  # of the town that `machine` plays in


def canaries(people: tuple[Citizen, ...], codes: list[str]) -> dict[str, bytes]:
    """What must not be found, as bytes, by what it is; each also as it would look encoded."""
    plain = {}
    for person in people:
        plain[f"name of {person.person_id}"] = person.name
        plain[f"number of {person.person_id}"] = person.id_number
        plain[f"phone of {person.person_id}"] = person.phone
        plain[f"phone of {person.person_id} without its country"] = person.phone.removeprefix("+86")
    plain |= {f"code {n}": code for n, code in enumerate(codes)}
    plain |= {f"code {n}, grouped": f"{code[:4]} {code[4:]}" for n, code in enumerate(codes)}
    found = {what: text.encode() for what, text in plain.items()}
    found |= {f"{what} in UTF-16": text.encode("utf-16-le") for what, text in plain.items()}
    found |= {f"{what} in JSON": text.encode("unicode-escape") for what, text in plain.items()}
    return found | {
        f"{what} in base64": base64.b64encode(text.encode()).rstrip(b"=")[:-1] for what, text in plain.items()
    }


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


def memory(pid: int) -> bytes:
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


async def test_a_whole_renewal_leaves_no_personal_data_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_the_unit_says(monkeypatch)
    async with machine(tmp_path) as harness:
        scene = scene_of(harness, SEED, SPEED)
        following = asyncio.create_task(scene.kiosk.follow())
        await scene.stock()
        person = next(one for one in scene.people if one.old_card)
        code = await scene.code(person)
        typed = "".join(sorted(code))[::-1]
        if typed != code:  # a wrong code first: what is refused may not be kept either
            await scene.comes(visit_of(person, typed), ends="code")
        await scene.comes(visit_of(person, code), ends="done")

        async def told() -> bool | None:
            claims = (await harness.office.ledger())["claims"].values()
            return any(claim["state"] == "collected" for claim in claims) or None

        await eventually("the office told", PATIENCE, told)
        written = {
            "metrics": (await metrics(harness)).encode(),
            "health": repr(await health(harness)).encode(),
            "events": _events(tmp_path / "office" / "office.db"),
        }
        async with harness.session.get(f"http://{harness.setting.addresses.kiosk}/events") as stream:
            written["screen"] = await stream.content.readline()
        state = tmp_path / "lockerd"
        written |= {file.name: file.read_bytes() for file in state.iterdir()}  # with the write-ahead log, as it stands
        codes = [text for one in await harness.inbox.messages() if (text := _code(one["text"]))]
        looked_for = canaries(scene.people, [*codes, typed])
        written |= {f"memory of process {n}": memory(pid) for n, pid in enumerate(daemon(tmp_path))}
        following.cancel()
        await asyncio.wait([following])
        await harness.stop_lockerd()
        written |= {f"{file.name}, closed": file.read_bytes() for file in state.iterdir()}
        written["log"] = (tmp_path / "logs" / "lockerd.log").read_bytes()

    assert "lockerd.db-wal" in written
    assert written["lockerd.db"].startswith(b"SQLite format 3")
    assert b"motion ended" in written["log"]
    assert code in codes
    assert b"lockerd" in written["memory of process 0"]
    assert len(written["memory of process 1"]) > 1 << 20, "the face worker"
    assert b'"view":"code"' in written["screen"]
    messages = b"".join(file.read_bytes() for file in (tmp_path / "inbox").glob("*.json"))
    assert person.phone.encode() in messages, "the one place that holds them shows that they would be found"
    hits = [
        (what, where) for what, canary in looked_for.items() for where, bytes_ in written.items() if canary in bytes_
    ]
    assert hits == []


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
