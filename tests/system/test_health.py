"""What the health answers and the citizen's screen say while a part is away, on real processes and wires."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from sim.clients import Kiosk
from sim.harness import Harness
from tests.system.running import PATIENCE, health, health_says, machine, metrics

FINGERED = {"renewal": [["code", "id_card", "face", "fingerprint", "old_card"]]}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def locker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Harness]:
    state: Path = tmp_path_factory.mktemp("health")
    async with machine(state, fingerprint=True, also={"policy.owner": FINGERED}) as harness:
        yield harness


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kiosk(locker: Harness) -> AsyncIterator[Kiosk]:
    screen = locker.kiosk
    following = asyncio.create_task(screen.follow())
    yield screen
    following.cancel()
    await asyncio.wait([following])


def _threads(state: Path) -> int:
    """How many threads the daemon of this state folder has."""
    daemon = next(process for process in Path("/proc").glob("[0-9]*") if _is_daemon(process, state))
    return len(list((daemon / "task").iterdir()))


def _is_daemon(process: Path, state: Path) -> bool:
    try:
        line = (process / "cmdline").read_text().split("\0")
    except OSError:  # it ended meanwhile
        return False
    return line[1:3] == ["-m", "lockerd"] and str(state) in " ".join(line)


async def _open_for_business(locker: Harness, kiosk: Kiosk) -> None:
    await kiosk.page("the first page", PATIENCE, lambda page: (page.view, page.progress) == ("code", "none"))
    assert (await health(locker))[0] == 200


async def test_all_is_well(locker: Harness, kiosk: Kiosk) -> None:
    await health_says(locker, 200, "office", "pass")
    await _open_for_business(locker, kiosk)
    assert await health(locker, "/livez") == (200, {"status": "pass"})
    status, body = await health(locker, "/readyz")
    assert (status, body) == (200, {"status": "pass"})
    _, body = await health(locker)
    assert {
        "store",
        "dispenser",
        "recycler",
        "reader.counter",
        "reader.throat",
        "reader.exit",
        "face",
        "fingerprint",
        "office",
    } <= set(body["checks"])
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(await metrics(locker))
        for sample in family.samples
    }
    assert samples["lockerd_serving",] == 1
    assert samples["lockerd_check", "dispenser"] == 0
    assert samples["lockerd_slots", "free"] > 0
    assert samples["lockerd_office_reachable",] == 1
    assert samples["lockerd_unit_cards_total", "dispensed", "dispenser"] == 0


async def test_the_daemon_has_no_thread_beside_its_loop_but_the_database(locker: Harness, kiosk: Kiosk) -> None:
    await _open_for_business(locker, kiosk)
    assert _threads(locker.setting.state) == 2


async def test_without_the_office_cards_are_handed_out(locker: Harness, kiosk: Kiosk) -> None:
    await locker.office.absent(3600.0)
    line = await health_says(locker, 200, "office", "warn")
    assert line["output"]
    assert line["remedy"]
    await _open_for_business(locker, kiosk)
    await locker.office.absent(0.0)
    await health_says(locker, 200, "office", "pass")


@pytest.mark.parametrize(
    ("part", "check", "words"),
    [
        ("reader-counter", "reader.counter", "读卡器暂不可用"),
        ("recycler", "recycler", "暂时无法收回旧证"),
        ("reader-throat", "reader.throat", "暂时无法收回旧证"),
        ("fingerprint", "fingerprint", "现在不能核对指纹"),
    ],
)
async def test_a_part_that_leaves_a_way_is_a_warning_and_the_page_says_so(
    locker: Harness, kiosk: Kiosk, part: str, check: str, words: str
) -> None:
    await locker.world.act("silence", unit=part, seconds=3600.0)
    line = await health_says(locker, 200, check, "warn")
    assert line["output"] == "does not answer"
    assert words in await _html(locker, words)
    await locker.world.act("silence", unit=part, seconds=0.0)
    await health_says(locker, 200, check, "pass")
    await _open_for_business(locker, kiosk)


@pytest.mark.parametrize(
    ("part", "check"), [("reader-exit", "reader.exit"), ("dispenser", "dispenser"), ("camera", "face")]
)
async def test_a_part_that_every_pickup_needs_closes_the_machine_until_it_is_back(
    locker: Harness, kiosk: Kiosk, part: str, check: str
) -> None:
    before = await locker.world.truth()
    await locker.world.act("silence", unit=part, seconds=3600.0)
    line = await health_says(locker, 503, check, "fail")
    assert line["output"]
    assert line["remedy"]
    await kiosk.page("out of service", PATIENCE, lambda page: page.view == "out_of_service")
    await locker.world.act("silence", unit=part, seconds=0.0)
    await health_says(locker, 200, check, "pass")
    await _open_for_business(locker, kiosk)
    assert (await locker.world.truth())["cards"] == before["cards"]


async def test_a_machine_that_was_switched_off_and_on_comes_back_by_itself(locker: Harness, kiosk: Kiosk) -> None:
    await locker.world.act("cut_power")
    await health_says(locker, 503, "dispenser", "fail")
    await kiosk.page("out of service", PATIENCE, lambda page: page.view == "out_of_service")
    await locker.world.act("restore_power")
    await health_says(locker, 200, "dispenser", "pass")
    await _open_for_business(locker, kiosk)


async def _html(locker: Harness, words: str) -> str:
    """The first page whose fragment holds `words`, from a stream of its own."""
    async with (
        asyncio.timeout(PATIENCE),
        locker.session.get(f"http://{locker.setting.addresses.kiosk}/events", read_bufsize=2**20) as stream,
    ):
        async for line in stream.content:
            if words in line.decode():
                return line.decode()
    raise AssertionError(words)
