"""Who settles finds an old card: its journey is begun once, however often the machine would look again."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from lockerd.errors import FloorTaken
from lockerd.journey.resuming import Resume
from lockerd.journey.session import Session
from lockerd.model.custody import Place
from lockerd.model.view import Screen, View, Ways
from lockerd.pickup.state import Journey, Patience, Stage


class RestlessRecovery:
    """Always something to look at again; an old card is found by the first who looks after the start."""

    fit = True
    waited_until = 0.0

    def __init__(self) -> None:
        self.begun = 0

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


async def test_the_journey_of_a_card_that_settling_found_is_begun_once() -> None:
    recovery, pages = RestlessRecovery(), asyncio.Queue[View]()
    parts = cast(Any, Parts())
    session = Session(
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
