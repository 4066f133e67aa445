"""Each kind of motion that a stop left open: what the unit's mailbox says of it at the next start, and what is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from firmware_protocol.blocks import IDENTITY_ADDRESS, IdentityBlock, StatusBlock
from firmware_protocol.units import Fault, Opcode, Position, Sensor, State, UnitKind
from firmware_protocol.units import Result as Told
from lockerd.devices.bus import DeviceSilent
from lockerd.devices.mailbox import MailboxUnit
from lockerd.devices.units import MailboxMover
from lockerd.errors import DeviceError
from lockerd.journey.recovery import Recovery
from lockerd.model.custody import MOVES, Motion, Order, Place, Plan, Result, SlotState, Unit
from lockerd.stocking import Stocking
from lockerd.store import claims, ledger
from lockerd.store.database import Database, Transaction
from tests.store_support import RECYCLER, STAMP, carry, issuing, item, opened, plan, vault

BOOT, SEQ, SLOT, SLOTS = 7, 5, 2, 4
MOTIONS = [*Motion]
SLOTTED = {Motion.ALIGN, Motion.STORE, Motion.PICK}
POSITIONS = {place: Position[place.name] for place in (Place.TRANSPORT, Place.EXIT, Place.THROAT, Place.ESCROW)}
READY = StatusBlock(BOOT, State.READY, SEQ, SEQ, 0, Told.DONE, 0, Position.NONE, 0, Sensor.HOME, Fault.NONE, 0, 0)


@dataclass
class Registers:
    """The line to a unit that says this of itself; None for one that is silent."""

    kind: UnitKind
    status: StatusBlock | None

    async def read(self, unit: int, address: int, count: int) -> tuple[int, ...]:
        if self.status is None:
            raise DeviceSilent("bus unit", "no answer")
        if address == IDENTITY_ADDRESS:
            return tuple(
                IdentityBlock(self.kind, SLOTS if self.kind is UnitKind.DISPENSER else 0, 1, 100).to_registers()
            )
        return tuple(self.status.to_registers())

    async def write(self, unit: int, address: int, values: Sequence[int]) -> None:
        raise AssertionError("settling never orders anything")


def done(motion: Motion) -> StatusBlock:
    return replace(READY, done_opcode=Opcode[motion.name])


def never_taken(motion: Motion) -> StatusBlock:
    return replace(done(motion), accepted_seq=SEQ - 1, done_seq=SEQ - 1)


def given_up(motion: Motion) -> StatusBlock:
    """A jam that left the card where it was, and the unit sees it there."""
    origin = MOVES[motion][0] if motion in MOVES else None
    sensors = Sensor.HOME | (Sensor.SLOT if origin is Place.SLOT else Sensor(0))
    position = POSITIONS.get(origin, Position.NONE) if origin is not None else Position.NONE
    return replace(done(motion), result=Told.FAULT, fault=Fault.JAM, position=position, sensors=sensors)


def interrupted(motion: Motion) -> StatusBlock:
    return replace(done(motion), boot_id=BOOT + 1, state=State.INTERRUPTED, done_seq=SEQ - 1, position=Position.UNKNOWN)


def somebody_elses(motion: Motion) -> StatusBlock:
    return replace(done(motion), accepted_seq=SEQ + 3, done_seq=SEQ + 3)


ENDINGS = {
    # what the mailbox says: the recorded result, and which end of the motion the card is recorded at, None for in doubt
    "done": (done, Result.DONE, 1),
    "never taken": (never_taken, Result.NOT_MOVED, 0),
    "given up": (given_up, Result.FAILED, 0),
    "interrupted": (interrupted, Result.IN_DOUBT, None),
    "numbered by somebody else": (somebody_elses, Result.IN_DOUBT, None),
}


def order_of(motion: Motion) -> Order:
    return Order(Unit.RECYCLER if motion in RECYCLER else Unit.DISPENSER, motion, SLOT if motion in SLOTTED else None)


async def left_open(tx: Transaction, motion: Motion, claim_id: str) -> str | None:
    """A machine that stopped between a motion's intent and its outcome; gives the card that was to be carried."""
    await claims.put_item(tx, vault(), item(claim_id), None, STAMP)
    origin = MOVES[motion][0] if motion in MOVES else None
    card_id: str | None = (
        claim_id if motion in MOVES and motion is not Motion.LOAD else None
    )  # unknown before it is read
    if origin in (Place.THROAT, Place.ESCROW):
        card_id = await ledger.add_old_card(tx, claim_id, "journey-1", STAMP, origin)
    elif origin in (Place.TRANSPORT, Place.EXIT, Place.SLOT):
        await ledger.move(tx, claim_id, Place.TRANSPORT, STAMP, "chip read while loading")
        if origin is Place.SLOT:
            await carry(tx, Motion.STORE, claim_id, SLOT)
        elif origin is Place.EXIT:
            await ledger.move(tx, claim_id, Place.EXIT, STAMP, "sensed")
    order = order_of(motion)
    token = f"{BOOT}:{SEQ}:{int(Opcode[motion.name])}:{order.slot or 0}"
    await ledger.open_intent(tx, Plan(order, token), card_id, "journey-1", STAMP)
    return card_id


async def settle(db: Database, motion: Motion, status: StatusBlock | None) -> None:
    unit = order_of(motion).unit
    kind = UnitKind[unit.name]
    units = cast(Any, {unit: MailboxMover(MailboxUnit(Registers(kind, status), kind, unit), unit)})
    parts: dict[str, Any] = dict.fromkeys(("motions", "readers", "resuming"))
    stocking = Stocking(issuing(db))
    await Recovery(db=db, vault=vault(), units=units, stamp=lambda: STAMP, stocking=stocking, **parts)._settle_open(
        unit
    )


@pytest.mark.parametrize("motion", MOTIONS)
async def test_what_the_mailbox_says_is_recorded_and_silence_settles_nothing(tmp_path: Path, motion: Motion) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(lambda tx: ledger.configure_slots(tx, SLOTS))
        for number, (says, result, end) in enumerate(ENDINGS.values()):
            claim_id = f"N{number:06}"
            card_id = await db.transaction(partial(left_open, motion=motion, claim_id=claim_id))
            with pytest.raises(DeviceError):
                await settle(db, motion, None)
            assert len(await db.read(ledger.open_intents)) == 1
            await settle(db, motion, says(motion))
            row = await db.read(lambda tx: tx.one("SELECT result FROM intent ORDER BY intent_id DESC"))
            assert row is not None
            assert row["result"] == result
            if card_id is not None:
                await look_and_clear(db, motion, card_id, Place.IN_DOUBT if end is None else MOVES[motion][end])


async def look_and_clear(db: Database, motion: Motion, card_id: str, wanted: Place) -> None:
    """The card is recorded at `wanted`, and its doubt blocks its own slot only; then staff take it out."""
    place, slot = await db.read(lambda tx: ledger.place_of(tx, card_id))
    assert place is wanted
    doubtful = place is Place.IN_DOUBT and motion in SLOTTED
    mine = SlotState.BLOCKED if doubtful else SlotState.STOCKED if place is Place.SLOT else SlotState.FREE
    states = [one.state for one in await db.read(ledger.slots)]
    assert states == [mine if number == SLOT else SlotState.FREE for number in range(SLOTS)], "no other slot is touched"
    assert (slot == SLOT) == (mine is not SlotState.FREE)
    if place is not Place.BIN:
        await db.transaction(lambda tx: ledger.move(tx, card_id, Place.REMOVED, STAMP, "taken out"))


async def test_an_open_intent_of_the_recycler_keeps_nobody_from_the_dispenser(tmp_path: Path) -> None:
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(lambda tx: ledger.configure_slots(tx, SLOTS))
        await db.transaction(lambda tx: left_open(tx, Motion.ACCEPT, "N000001"))
        await db.transaction(lambda tx: ledger.open_intent(tx, plan(Motion.ALIGN, 1), None, "journey-2", STAMP))
        assert len(await db.read(ledger.open_intents)) == 2
