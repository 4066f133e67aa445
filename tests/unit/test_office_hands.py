"""What whoever plays does at the simulated office: read a letter, decide a review by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from sim.office import Office, letter_code
from sim.office_books import Books
from tests.office_parts import claim, until

PICTURE = b"\xff\xd8\xff picture"
ASK = "/v1/lockers/locker-1/reviews?claim=N1&journey=j&wait="

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Client]:
    loop = asyncio.get_running_loop()
    with Books(tmp_path) as books:
        books.announce([claim("N1", name="<李&明>"), claim("N2")])
        async with TestClient(TestServer(Office(books, lambda: 0.0, loop.time).app())) as client:
            yield client


async def test_a_letter_can_be_read_once_it_was_written(office: Client) -> None:
    assert (await office.get("/sim/letters/N1")).status == 404
    await office.post("/sim/code", json={"claim_id": "N1", "wish": "pickup"})
    assert await (await office.get("/sim/letters")).json() == {}
    await office.post("/sim/code", json={"claim_id": "N1", "wish": "letter"})
    code = letter_code("N1")
    assert await (await office.get("/sim/letters")).json() == {"N1": code}
    page = await (await office.get("/sim/letters/N1")).text()
    assert " ".join(code[at : at + 4] for at in range(0, 16, 4)) in page
    assert "&lt;李&amp;明&gt;" in page
    assert page.count("<svg") == 1
    assert "$" not in page


def asked(office: Client, wait: float) -> asyncio.Task[ClientResponse]:
    return asyncio.ensure_future(office.post(f"{ASK}{wait}", data=PICTURE, headers={"Content-Type": "image/jpeg"}))


@pytest.mark.parametrize("decision", ["approved", "refused"])
async def test_a_review_waits_for_whoever_plays(office: Client, decision: str) -> None:
    answer = asked(office, 60.0)

    async def waiting() -> list[dict[str, object]]:
        found: list[dict[str, object]] = await (await office.get("/sim/reviews/open")).json()
        return found

    (review,) = await until(waiting)
    where = f"/sim/reviews/open/{review['n']}"
    assert (review["claim_id"], review["collector_id"]) == ("N1", None)
    assert await (await office.get(where)).read() == PICTURE
    for bad in ({}, {"decision": "perhaps", "reviewer": "r"}, {"decision": decision}):
        assert (await office.post(where, json=bad)).status == 400
    assert (await office.post(where, json={"decision": decision, "reviewer": "r-1"})).status == 200
    assert json.loads(await (await answer).read()) == {"decision": decision, "reviewer": "r-1"}
    assert await waiting() == []
    assert (await office.get(where)).status == 404


async def test_a_review_that_nobody_decides_is_over_with_its_picture(office: Client) -> None:
    assert json.loads(await (await asked(office, 0.1)).read()) == {"decision": "timed_out"}
    assert await (await office.get("/sim/reviews/open")).json() == []
