"""What ends the daemon in the middle of a motion leaves the line to the units open until the motion's outcome is durable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from firmware_protocol.units import UnitKind
from lockerd.app import bus_work, working
from lockerd.devices.bus import ModbusBus
from lockerd.devices.mailbox import MailboxUnit
from lockerd.devices.units import MailboxMover
from lockerd.model.custody import Motion, Order, Place, Result, Unit
from lockerd.motions import Made, Motions
from lockerd.store import claims, ledger
from lockerd.store.database import Database, Transaction
from tests.modbus_rig import running, until
from tests.store_support import STAMP, carry, item, opened, vault
from tests.system.test_modbus_wires import Machine, served

CARD, SLOT = "N000001", 3


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async def stocked(tx: Transaction) -> None:
        await ledger.configure_slots(tx, 8)
        await claims.put_item(tx, vault(), item(CARD), None, STAMP)
        await ledger.move(tx, CARD, Place.TRANSPORT, STAMP, "read")
        await carry(tx, Motion.STORE, CARD, SLOT)

    async with opened(tmp_path / "lockerd.db") as database:
        await database.transaction(stocked)
        yield database


class Broken(Exception):
    """What no task of the daemon should raise."""


@pytest.mark.parametrize("end", ["a task fails", "a stop, and the motion is a request's of the console"])
async def test_a_motion_in_hand_is_seen_to_its_end(db: Database, tmp_path: Path, end: str) -> None:
    machine = Machine()
    machine.power_on(7)
    mechanism = machine.mechanisms[UnitKind.DISPENSER]
    mechanism.pause = asyncio.Event()
    async with running(*machine.units.values()), served(machine, "rtu", tmp_path) as settings:
        bus = ModbusBus(settings, timeout=0.2, latency=0.25)
        unit = MailboxUnit(bus, UnitKind.DISPENSER, "dispenser", poll_interval=0.01)
        motions = Motions(db, {Unit.DISPENSER: MailboxMover(unit, Unit.DISPENSER, motion_seconds=5.0)}, lambda: STAMP)
        made: list[Made] = []

        async def pick() -> None:
            made.append(await motions.make(Order(Unit.DISPENSER, Motion.PICK, SLOT), card_id=CARD))

        async def fail() -> None:
            await mechanism.midway.wait()
            raise Broken

        failing = end == "a task fails"

        async def life() -> None:
            work = {"bus": bus_work(bus, motions)} | ({"session": pick, "broken": fail} if failing else {})
            async with working(work):
                request = None if failing else asyncio.ensure_future(pick())
                await (asyncio.Event().wait() if failing else mechanism.midway.wait())
            assert request is not None
            await request

        living = asyncio.ensure_future(life())
        await mechanism.midway.wait()
        asked = bus.statistics(UnitKind.DISPENSER).requests
        try:
            await until(lambda: bus.statistics(UnitKind.DISPENSER).requests > asked + 5)
        finally:
            mechanism.pause.set()
            await asyncio.wait([living])
        assert [one.outcome.result for one in made] == ([] if failing else [Result.DONE])
        assert await db.read(ledger.open_intents) == []
        assert await db.read(lambda tx: ledger.place_of(tx, CARD)) == (Place.TRANSPORT, None)
        after = await motions.make(Order(Unit.DISPENSER, Motion.PRESENT), card_id=CARD)
        assert after.outcome.result is Result.NOT_MOVED, "none begins after the end"
