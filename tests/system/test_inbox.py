"""The inbox process shows what the file sender leaves."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from lockerd.office.sms import FileSms
from tests.office_parts import ROOT


@dataclass
class Ticking:
    """A clock that goes on by one second with each look."""

    time: float = 100.0

    def now(self) -> float:
        self.time += 1.0
        return self.time


async def test_shows_messages_oldest_first_and_passes_over_what_is_none(tmp_path: Path) -> None:
    arguments = ["-m", "sim.inbox", "--directory", str(tmp_path / "sms"), "--listen", "127.0.0.1:0"]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        url = f"http://{ready['listen']}"
        async with aiohttp.ClientSession() as session:

            async def messages() -> list[dict[str, object]]:
                async with session.get(f"{url}/messages") as answer:
                    found: list[dict[str, object]] = await answer.json()
                    return found

            assert await messages() == []
            sender = FileSms(tmp_path / "sms", Ticking())
            await sender.send("b", "+8619900000001", "一")
            await sender.send("a", "+8619900000002", "<b>二</b>")
            (tmp_path / "sms" / "torn.json").write_text('{"id":')
            (tmp_path / "sms" / "other.json").write_text("[]")
            assert await messages() == [
                {"id": "b", "phone": "+8619900000001", "text": "一", "at": 101.0},
                {"id": "a", "phone": "+8619900000002", "text": "<b>二</b>", "at": 102.0},
            ]
            async with session.get(url) as page:
                assert page.content_type == "text/html"
                assert "innerHTML" not in await page.text()
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
