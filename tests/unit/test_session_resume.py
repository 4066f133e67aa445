"""Who settles finds an old card: its journey is begun once, however often the machine would look again."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from lockerd.errors import FloorTaken
from lockerd.journey.resuming import Resume
from lockerd.journey.session import Session
from lockerd.model.custody import Place
from lockerd.model.view import Action, Screen, Tap, View, Ways
from lockerd.pickup.state import Journey, Patience, Stage


class RestlessRecovery:
    """Always something to look at again; an old card is found by the first who looks after the start."""

    fit = True
    waited_until = 0.0

    def __init__(self) -> None:
        self.begun = 0
        self.asks = asyncio.Event()
        self.answers = asyncio.Event()

    async def disturbed_now(self) -> bool:
        self.asks.set()
        await self.answers.wait()
        return True

    def disturbed(self) -> bool:
        return self.begun > 0

    async def after_restart(self) -> None:
        return None

    async def bring_to_rest(self) -> Resume:
        self.begun += 1
        journey = Journey(journey_id=f"resumed-{self.begun}", stage=Stage.AWAIT_GIVEN_BACK, old_place=Place.THROAT)
        return Resume(journey, ())


class Parts:
    """A cabinet, a watcher and whatever else a journey that only waits may ask."""

    async def light(self, *_names: str) -> None:
        return None

    def of(self, _journey: Journey, _post: object) -> None:
        return None


def session_of(recovery: RestlessRecovery, pages: asyncio.Queue[View]) -> Session:
    parts = cast(Any, Parts())
    return Session(
        doing=parts,
        watching=parts,
        recovery=cast(Any, recovery),
        cabinet=parts,
        show=pages.put_nowait,
        patience=dict.fromkeys(Patience, 60.0),
        new_journey_id=lambda: "new",
        ways=Ways,
        tries=parts,
    )


async def test_staff_are_told_who_has_the_floor() -> None:
    session = session_of(RestlessRecovery(), asyncio.Queue[View]())
    with pytest.raises(FloorTaken, match="bringing its card path to rest"):
        async with session.staff_at_work():
            pass
    running = asyncio.ensure_future(session.run())
    while not session.idle:
        await asyncio.sleep(0)
    async with session.staff_at_work():
        with pytest.raises(FloorTaken, match="staff work is under way"):
            await session.settle()
    running.cancel()
    await asyncio.wait([running])


async def test_the_journey_of_a_card_that_settling_found_is_begun_once() -> None:
    recovery, pages = RestlessRecovery(), asyncio.Queue[View]()
    session = session_of(recovery, pages)
    running = asyncio.ensure_future(session.run())
    while not session.idle:
        await pages.get()
    assert await session.settle()
    assert not session.idle
    with pytest.raises(FloorTaken):
        await session.settle()
    while (await pages.get()).screen is not Screen.FAULT:
        pass
    running.cancel()
    await asyncio.wait([running])
    assert recovery.begun == 1


@pytest.mark.parametrize("staff_first", [True, False])
async def test_staff_who_settle_while_the_session_asks_the_units_do_not_begin_a_second_journey(
    staff_first: bool,
) -> None:
    recovery, pages = RestlessRecovery(), asyncio.Queue[View]()
    session = session_of(recovery, pages)
    running = asyncio.ensure_future(session.run())
    while not session.idle:
        await pages.get()
    session.tap(Tap(Action.CODE, "12345678"))
    await recovery.asks.wait()
    if not staff_first:
        recovery.answers.set()
    assert await session.settle()
    recovery.answers.set()
    while (await pages.get()).screen is not Screen.FAULT:
        pass
    running.cancel()
    await asyncio.wait([running])
    assert recovery.begun == 1
