"""The staff console's JSON API: who gets in, what is answered, and what is refused in words."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from aiohttp import ClientResponse, CookieJar, web
from aiohttp.test_utils import TestClient, TestServer

from lockerd.errors import LockerError
from lockerd.model.custody import Place, SlotRecord, SlotState
from lockerd.model.staffing import BinReport, Finding, Grounds, LoadLine, LoadReport, RejectReason
from lockerd.web.console import console_app
from lockerd.web.health import HealthReport
from lockerd.web.logins import IDLE_SECONDS, MOST_LOGINS, Logins
from tests.staff_parts import PlayedDesk

NAME, PIN = "li.wei", "482177"


@dataclass
class Machine:
    """Staff work that only remembers what was asked."""

    load_report: LoadReport = field(default_factory=LoadReport)
    refusal: str | None = None
    serving: bool = True
    asked: list[tuple[object, ...]] = field(default_factory=list)

    async def log_in(self, name: str, pin: str) -> bool:
        self._refuse()
        return (name, pin) == (NAME, PIN)

    async def load(self, name: str) -> None:
        self._refuse()
        self.asked.append(("load", name))
        self.load_report = LoadReport(running=True)

    async def slots(self) -> Sequence[SlotRecord]:
        self._refuse()
        return [SlotRecord(0, SlotState.STOCKED, "claim-1", 1.5e9), SlotRecord(1, SlotState.FREE, None, 0)]

    async def empty_bin(self, name: str, counted: int) -> BinReport:
        self._refuse()
        self.asked.append(("bin", name, counted))
        return BinReport(counted, 4)

    async def reissue_code(self, name: str, slot: int) -> None:
        self._refuse()
        self.asked.append(("reissue", name, slot))

    async def extend_code(self, name: str, slot: int) -> None:
        self._refuse()
        self.asked.append(("extend", name, slot))

    async def settle(self) -> bool:
        self._refuse()
        self.asked.append(("settle",))
        return self.serving

    def _refuse(self) -> None:
        if self.refusal is not None:
            raise LockerError(self.refusal)


class Console:
    """The application under test with a machine, a clock that is turned by hand, and a browser's cookies."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.desk = PlayedDesk()
        self.clock = 1000.0
        tokens = itertools.count(1)
        app = console_app(
            maintenance=self.machine,
            desk=self.desk,
            health=lambda: HealthReport(serving=True),
            new_token=lambda: f"token-{next(tokens)}",
            now=lambda: self.clock,
        )
        self.http: TestClient[web.Request, web.Application] = TestClient(
            TestServer(app), cookie_jar=CookieJar(unsafe=True)
        )

    async def post(self, path: str, body: object = None, headers: dict[str, str] | None = None) -> ClientResponse:
        return await self.http.post(path, json={} if body is None else body, allow_redirects=False, headers=headers)

    async def get(self, path: str, headers: dict[str, str] | None = None) -> ClientResponse:
        return await self.http.get(path, allow_redirects=False, headers=headers)

    async def log_in(self, pin: str = PIN, name: str = NAME) -> ClientResponse:
        return await self.post("/api/login", {"name": name, "pin": pin})


@pytest_asyncio.fixture
async def console() -> AsyncIterator[Console]:
    made = Console()
    async with made.http:
        yield made


@pytest_asyncio.fixture
async def inside(console: Console) -> Console:
    assert (await console.log_in()).status == 204
    return console


async def test_login_sets_a_cookie_that_no_script_and_no_other_site_can_use(console: Console) -> None:
    answer = await console.log_in()
    assert answer.status == 204
    assert answer.headers["Set-Cookie"] == "staff=token-1; HttpOnly; Path=/; SameSite=Strict"


async def test_unknown_name_and_wrong_pin_get_the_same_answer(console: Console) -> None:
    wrong, unknown = await console.log_in(pin="111111"), await console.log_in(name="nobody")
    assert (wrong.status, unknown.status) == (403, 403)
    assert await wrong.json() == await unknown.json()
    assert "Set-Cookie" not in wrong.headers
    assert (await console.get("/api/slots")).status == 401


@pytest.mark.parametrize(
    "path", ["/api/load", "/api/slots", "/api/card?card=7", "/api/open", "/part/overview", "/part/load", "/part/slots"]
)
async def test_nothing_is_shown_without_a_login(console: Console, path: str) -> None:
    assert (await console.get(path)).status == 401


@pytest.mark.parametrize("path", ["/", "/load", "/slots", "/custody", "/bin"])
async def test_pages_lead_to_the_login(console: Console, path: str) -> None:
    answer = await console.get(path)
    assert (answer.status, answer.headers["Location"]) == (303, "/login")


@pytest.mark.parametrize(
    "path",
    [
        "/api/load",
        "/api/bin/empty",
        "/api/settle",
        "/api/logout",
        "/api/doubt/find",
        "/api/slots/unblock",
        "/api/retract/empty",
    ],
)
async def test_nothing_is_done_without_a_login(console: Console, path: str) -> None:
    answer = await console.post(path, {"counted": 1})
    assert answer.status == 401
    assert (await answer.json())["error"]
    assert console.machine.asked == []


async def test_load_begins_in_the_name_of_who_is_logged_in(inside: Console) -> None:
    assert (await inside.post("/api/load")).status == 202
    assert inside.machine.asked == [("load", NAME)]


async def test_load_report_names_slot_or_reason_of_each_card(inside: Console) -> None:
    inside.machine.load_report = LoadReport(True, (LoadLine(1, slot=7), LoadLine(2, reason=RejectReason.UNREADABLE)))
    assert await (await inside.get("/api/load")).json() == {
        "running": True,
        "lines": [
            {"n": 1, "result": "stored", "slot": 7, "reason": None},
            {"n": 2, "result": "rejected", "slot": None, "reason": "unreadable"},
        ],
        "total": 2,
        "waiting": False,
        "fault": None,
    }


async def test_slots_show_no_claim(inside: Console) -> None:
    assert await (await inside.get("/api/slots")).json() == [
        {"slot": 0, "state": "stocked", "since": 1.5e9},
        {"slot": 1, "state": "free", "since": 0},
    ]


@pytest.mark.parametrize(("counted", "agreed"), [(4, True), (3, False)])
async def test_bin_count_is_compared(inside: Console, counted: int, agreed: bool) -> None:
    answer = await inside.post("/api/bin/empty", {"counted": counted})
    assert await answer.json() == {"counted": counted, "expected": 4, "agreed": agreed}
    assert inside.machine.asked == [("bin", NAME, counted)]


@pytest.mark.parametrize("serving", [True, False])
async def test_settle_says_whether_pickups_are_served(inside: Console, serving: bool) -> None:
    inside.machine.serving = serving
    assert await (await inside.post("/api/settle")).json() == {"serving": serving}


@pytest.mark.parametrize(
    "body", [{}, {"counted": -1}, {"counted": 10_000}, {"counted": "3"}, {"counted": 3, "x": 1}, []]
)
async def test_malformed_count_is_refused(inside: Console, body: object) -> None:
    answer = await inside.post("/api/bin/empty", body)
    assert (answer.status, await answer.json()) == (400, {"error": "malformed body"})
    assert inside.machine.asked == []


@pytest.mark.parametrize(("path", "body"), [("/api/load", {}), ("/api/bin/empty", {"counted": 1}), ("/api/settle", {})])
async def test_refusal_of_the_machine_is_a_conflict_in_words(inside: Console, path: str, body: object) -> None:
    inside.machine.refusal = "the machine is in use"
    answer = await inside.post(path, body)
    assert (answer.status, await answer.json()) == (409, {"error": "the machine is in use"})


async def test_database_that_fails_at_login_lets_nobody_in(console: Console) -> None:
    console.machine.refusal = "the disk is full"
    answer = await console.log_in()
    assert (answer.status, "Set-Cookie" in answer.headers) == (409, False)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "locker.example:8081", "Origin": "http://locker.example:8081"},
    ],
)
async def test_orders_of_another_page_are_refused(inside: Console, headers: dict[str, str]) -> None:
    answer = await inside.post("/api/settle", headers=headers)
    assert answer.status == 403
    assert "error" in await answer.json()
    assert inside.machine.asked == []


@pytest.mark.parametrize(("page_of", "status"), [(NAME, 200), ("wang.min", 409), ("%E7%8E%8B", 409)])
async def test_orders_of_the_page_of_somebody_else_are_refused(inside: Console, page_of: str, status: int) -> None:
    assert (await inside.post("/api/settle", headers={"Console-Staff": page_of})).status == status
    assert (inside.machine.asked == []) is (status == 409)


async def test_order_that_is_no_json_is_refused(inside: Console) -> None:
    answer = await inside.http.post("/api/settle", data={"a": "b"})
    assert answer.status == 415
    assert inside.machine.asked == []


async def test_logout_ends_the_login(inside: Console) -> None:
    token = {"Cookie": "staff=token-1"}
    assert (await inside.post("/api/logout")).status == 204
    assert (await inside.get("/api/slots", headers=token)).status == 401


async def test_login_again_ends_the_former_one(inside: Console) -> None:
    await inside.log_in()
    inside.http.session.cookie_jar.clear()
    assert (await inside.get("/api/slots", headers={"Cookie": "staff=token-1"})).status == 401
    assert (await inside.get("/api/slots", headers={"Cookie": "staff=token-2"})).status == 200


async def test_login_ends_when_only_the_page_looks(inside: Console) -> None:
    for _ in range(2):
        inside.clock += IDLE_SECONDS / 2 - 1
        assert (await inside.get("/api/load")).status == 200
    inside.clock += 2
    assert (await inside.get("/api/load")).status == 401
    assert (await inside.get("/")).headers["Location"] == "/login?ended"


@pytest.mark.parametrize("work", ["page", "order", "load that runs"])
async def test_work_puts_the_end_of_the_login_off(inside: Console, work: str) -> None:
    inside.clock += IDLE_SECONDS - 1
    if work == "page":
        assert (await inside.get("/bin")).status == 200
    elif work == "order":
        assert (await inside.post("/api/settle")).status == 200
    else:
        inside.machine.load_report = LoadReport(running=True)
        assert (await inside.get("/api/load")).status == 200
        inside.machine.load_report = LoadReport()
    inside.clock += IDLE_SECONDS - 1
    assert (await inside.get("/api/load")).status == 200


def test_one_login_too_many_ends_the_one_unused_for_longest() -> None:
    clock = itertools.count(0.0)
    tokens = itertools.count(1)
    logins = Logins(lambda: str(next(tokens)), lambda: next(clock))
    made = [logins.begin(f"person {n}") for n in range(MOST_LOGINS)]
    logins.name_of(made[0], use=True)
    one_more = logins.begin("one more")
    assert [logins.name_of(token, use=False) is not None for token in [*made, one_more]] == [
        True,
        False,
        *[True] * (MOST_LOGINS - 1),
    ]
    assert logins.name_of("", use=True) is None
    assert logins.name_of(None, use=True) is None


async def test_page_without_its_data_says_why(inside: Console) -> None:
    inside.machine.refusal = "the disk is full"
    answer = await inside.get("/slots")
    page = await answer.text()
    assert (answer.status, answer.content_type) == (503, "text/html")
    assert "the disk is full" in page
    assert 'href="/"' in page


async def test_a_card_is_looked_up_by_name_or_slot(inside: Console) -> None:
    for wanted in ("N000001", "7"):
        found = await (await inside.get(f"/api/card?card={wanted}")).json()
        assert (found["card_id"], found["place"], found["responsible"]) == ("N000001", "in_doubt", "session:9f2c")
        assert [link["target"] for link in found["chain"]] == ["tray", "transport", "slot", "in_doubt"]
    assert (await inside.get("/api/card?card=N9")).status == 404
    page = await (await inside.get("/custody?card=7&language=en")).text()
    assert "In doubt" in page
    assert "Session 9f2c" in page


async def test_decisions_are_taken_in_the_name_of_who_is_logged_in(inside: Console) -> None:
    body = {"card_id": "N000001", "place": "slot", "slot": 3, "grounds": "seen"}
    assert await (await inside.post("/api/doubt/find", body)).json() == {"ruling": "awaits"}
    assert (await inside.post("/api/slots/unblock", {"slot": 7})).status == 200
    assert await (await inside.post("/api/retract/empty", {"counted": 2})).json() == {
        "counted": 2,
        "expected": 2,
        "agreed": True,
    }
    assert inside.desk.asked == [
        ("find", NAME, Finding("N000001", Place.SLOT, 3, Grounds.SEEN)),
        ("unblock", NAME, 7),
        ("retract", NAME, 2),
    ]
    for wrong in ({}, body | {"place": "pocket"}, body | {"staff": "wang"}):
        assert (await inside.post("/api/doubt/find", wrong)).status == 400
