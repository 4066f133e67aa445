"""The demo as a process: it says where everything is, its dock plays the world, and Ctrl-C leaves nothing behind."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from sim.clients import eventually

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0


def processes_of(state: Path) -> list[str]:
    """Command lines of all processes that name the state folder."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = line.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue  # ended meanwhile
        if str(state) in command:
            found.append(command)
    return found


@asynccontextmanager
async def demo(state: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    command = ("-m", "sim", "demo", "--state", str(state), "--speed", "8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    said = ""
    try:
        async with asyncio.timeout(START_SECONDS):
            while "Ctrl-C" not in said:
                line = await process.stdout.readline()
                assert line, said
                said += line.decode()
        yield process, said
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60.0):
            said += (await process.stdout.read()).decode()
            await process.wait()


def _address(said: str, name: str) -> str:
    found = re.search(rf"{re.escape(name)}\s+(http://[\d.:]+)/", said)
    assert found, said
    return found[1]


async def test_the_demo_can_be_played_stopped_and_gone_on_with(tmp_path: Path) -> None:
    async with demo(tmp_path) as (first, said), aiohttp.ClientSession() as session:
        dock = _address(said, "Play here (dock)")
        assert re.search(r"Newest SMS\s+to \+861990\d+: .*\d{4} \d{4}", said), said

        async def live() -> dict[str, Any]:
            async with session.get(f"{dock}/live") as answer:
                found: dict[str, Any] = await answer.json()
                return found

        async with session.get(dock) as page:
            kiosk = _address(said, "Citizen screen")
            assert f"frame-src {kiosk};" in page.headers["Content-Security-Policy"]
        async with session.get(kiosk) as page:
            assert f"frame-ancestors {dock}" in page.headers["Content-Security-Policy"]
        async with session.get(f"{dock}/faces/p1.jpg") as face:
            assert (await face.read()).startswith(b"\xff\xd8")
        async with session.post(f"{dock}/act", json={"do": "look", "person": "p1"}) as answer:
            assert answer.status == 200
        async with session.post(f"{dock}/act", json={"do": "take_new"}) as answer:
            assert answer.status == 409
        assert (await live())["truth"]["looking"] == "p1"

        async with session.post(f"{dock}/scan", json={"claim": "N000001"}) as answer:
            assert answer.status == 409
        async with session.post(f"{dock}/letter", json={"claim": "N000001"}) as answer:
            code = (await answer.json())["letter_code"]
        async with session.get(f"{dock}/people") as answer:
            town = await answer.json()
        assert [person["kind"] for person in town["people"][:4]] == ["renewal", "renewal", "replacement", "damaged"]
        async with session.get(f"{town['letters']}N000001") as letter:
            assert " ".join(re.findall("....", code)) in await letter.text()
        async with session.post(f"{dock}/scan", json={"claim": "N000001"}) as answer:
            assert answer.status == 200

        async def read_elsewhere() -> str | None:
            async with session.post(f"{dock}/scan", json={"claim": "N000001"}) as answer:
                return None if answer.status == 200 else str((await answer.json())["error"])

        assert "first page" in await eventually("the next page", 10.0, read_elsewhere)
        assert ((await live())["letters"], (await live())["reviews"]) == ({"N000001": code}, [])

        async with session.post(f"{dock}/power", json={}) as answer:
            assert answer.status == 202

        async def dark() -> bool | None:
            return True if (await live())["dark"] else None

        async def bright() -> bool | None:
            seen = await live()
            return True if not seen["dark"] and seen["truth"]["powered"] else None

        await eventually("the lights go out", 10.0, dark)
        await eventually("the power back", 60.0, bright)
        in_slots = [card["card_id"] for card in (await live())["truth"]["cards"] if card["place"] == "slot"]
    assert first.returncode == 0
    assert processes_of(tmp_path) == []

    async with demo(tmp_path) as (second, said), aiohttp.ClientSession() as session:
        assert "load the first" not in said
        async with session.get(f"{_address(said, 'Play here (dock)')}/live") as answer:
            cards = (await answer.json())["truth"]["cards"]
        assert [card["card_id"] for card in cards if card["place"] == "slot"] == in_slots
        assert len(in_slots) == 4
    assert second.returncode == 0
    assert processes_of(tmp_path) == []
