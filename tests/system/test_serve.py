"""Simulated parts that stand alone, as a stranger's client meets them: bytes on a TCP port and on a pseudo-terminal."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession

from sim.processes import ROOT

FIND, FOUND = (
    bytes.fromhex("AA AA AA 96 69 00 03 20 01 22"),
    bytes.fromhex("AA AA AA 96 69 00 08 00 00 9F 00 00 00 00 97"),
)
CRT_STATUS = bytes.fromhex("F2 00 00 03 43 31 30 03 B0")
READ_IDENTITY = bytes.fromhex("00 07 00 00 00 06 02 03 00 00 00 0C")


@asynccontextmanager
async def served(*arguments: str) -> AsyncIterator[dict[str, Any]]:
    """What the process says when it is ready; it must end cleanly when told to."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sim", "serve", *arguments), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        ready: dict[str, Any] = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        yield ready
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0


async def asked(address: str, request: bytes, length: int) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.readexactly(length), 10)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_an_id_card_reader_over_tcp_has_a_card_in_its_field() -> None:
    async with served("id-reader", "--tcp", "127.0.0.1:0", "--control", "127.0.0.1:0") as ready:
        assert (ready["ready"], ready["defect"]) == ("id-reader", None)
        assert await asked(ready["tcp"], FIND, len(FOUND)) == FOUND
        async with ClientSession() as client:
            taken = await client.post(f"{ready['control']}/act", json={"do": "take_from_reader"})
            assert taken.status == 200
        assert (await asked(ready["tcp"], FIND, 11))[9] == 0x80


async def test_an_id_card_reader_over_a_pty(tmp_path: Path) -> None:
    link = tmp_path / "reader"
    async with served("id-reader", "--pty", str(link)) as ready:
        assert ready["pty"] == str(link)
        descriptor = os.open(link, os.O_RDWR | os.O_NOCTTY)
        try:
            os.write(descriptor, FIND)
            answer = b""
            while len(answer) < len(FOUND):
                answer += await asyncio.wait_for(asyncio.to_thread(os.read, descriptor, 64), 10)
        finally:
            os.close(descriptor)
        assert answer == FOUND
    assert not link.is_symlink()


async def test_a_bought_part_may_be_wrong_in_one_way() -> None:
    async with served("id-reader", "--tcp", "127.0.0.1:0", "--defect", "bad-check") as ready:
        assert ready["defect"] == "bad-check"
        answer = await asked(ready["tcp"], FIND, len(FOUND))
        assert (answer[:-1], answer[-1] == FOUND[-1]) == (FOUND[:-1], False)
    async with served("crt-dispenser", "--tcp", "127.0.0.1:0", "--defect", "wrong-address") as ready:
        assert (await asked(ready["tcp"], CRT_STATUS, 6))[:3] == b"\x06\xf2\x01"


async def test_a_bought_dispenser_acknowledges_and_answers() -> None:
    async with served("crt-dispenser", "--tcp", "127.0.0.1:0") as ready:
        answer = await asked(ready["tcp"], CRT_STATUS, 6)
        assert (answer[0], answer[1]) == (0x06, 0xF2)


async def test_a_unit_stands_alone_at_the_address_of_its_kind() -> None:
    async with served("recycler", "--tcp", "127.0.0.1:0", "--seed", "77") as ready:
        answer = await asked(ready["tcp"], READ_IDENTITY, 9 + 24)
        assert answer[:9] == bytes.fromhex("00 07 00 00 00 1B 02 03 18")
        assert answer[9:15] == bytes.fromhex("4C4B") + answer[11:13] + bytes.fromhex("0002")
        assert answer[17:21] == (77).to_bytes(4, "big")
        foreign = READ_IDENTITY[:6] + b"\x01" + READ_IDENTITY[7:]
        assert (await asked(ready["tcp"], foreign, 9))[7:] == b"\x83\x0b"


async def test_the_hands_of_a_dispenser_know_what_is_impossible() -> None:
    async with served("dispenser", "--tcp", "127.0.0.1:0", "--control", "127.0.0.1:0") as ready:
        async with aiohttp.ClientSession() as client:

            async def act(name: object) -> int:
                return (await client.post(f"{ready['control']}/bench", json={"do": name})).status

            done: tuple[object, ...] = ("feed-card", "take-from-exit", "power-off", "power-off", "fly", [])
            assert [await act(name) for name in done] == [
                200, 409, 200, 409, 400, 400,
            ]  # fmt: skip
            truth = await (await client.get(f"{ready['control']}/truth")).json()
        assert len(truth["load"]) == 4
        assert sum(card["place"] == "slot" for card in truth["cards"]) == 3
        assert truth["powered"] is False


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["dispenser"], 2, "--tcp or --pty"),
        (["cabinet", "--tcp", "127.0.0.1:0", "--defect", "hides-interruption"], 1, "no defect of cabinet"),
        (["id-reader", "--tcp", "127.0.0.1:0", "--defect", "fc6-accepted"], 1, "no defect of id-reader"),
        (["dispenser", "--tcp", "127.0.0.1:0", "--defect", "ignores-line-crc"], 1, "use --pty"),
        (["dispenser", "--tcp", "127.0.0.1:0", "--defect", "bad-check"], 1, "no defect of dispenser"),
        (["--list-defects"], 0, "wrong-counter"),
    ],
)
async def test_what_cannot_be_served_is_said_so(arguments: list[str], status: int, words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sim", "serve", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == status
    assert words in output.decode()
