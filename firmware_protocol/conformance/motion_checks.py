"""Checks of each motion of a unit with its sensors, interlocks and totals. They move cards and need hands.

Whatever card stands in the path when one begins is put away first: a dispenser's is rejected, a recycler's retained.
"""

from __future__ import annotations

from firmware_protocol.blocks import (
    CABINET_BATTERY,
    CABINET_FAN,
    CABINET_HEATER,
    CABINET_LIGHTS,
    CABINET_TEMPERATURE,
    DISPENSER_RETRACT_COUNT,
    RECYCLER_BIN_COUNT,
    StatusBlock,
)
from firmware_protocol.conformance.bench import Bench
from firmware_protocol.conformance.findings import Defect, Finding, Skipped
from firmware_protocol.conformance.hands import Act
from firmware_protocol.units import Fault, Light, Opcode, Position, Sensor, UnitKind

# Getting ready


def clear_path(bench: Bench) -> StatusBlock:
    """Settle the unit and put a card that stands in its path away."""
    status = bench.board.settled()
    if bench.kind is UnitKind.DISPENSER:
        if status.position is Position.EXIT:
            status = bench.make(Opcode.RETRACT)
        if status.position is Position.TRANSPORT:
            status = bench.make(Opcode.REJECT)
    if bench.kind is UnitKind.RECYCLER:
        if status.position is Position.THROAT:
            status = bench.make(Opcode.ACCEPT)
        if status.position is Position.ESCROW:
            status = bench.make(Opcode.RETAIN)
    if status.position is Position.UNKNOWN:
        status = bench.make(Opcode.RESET)
    if status.position is not Position.NONE:
        raise Finding(Defect.WRONG_MOTION, f"the path cannot be cleared: position {status.position.name}")
    return status


def empty_slot(bench: Bench) -> int:
    """A slot without a card, found by its sensor. Raises Skipped when there is none near the middle."""
    middle = bench.identity.capacity // 2
    for slot in range(middle, min(middle + 10, bench.identity.capacity)):
        if not bench.done(Opcode.ALIGN, slot, slot=slot).sensors & Sensor.SLOT:
            return slot
    raise Skipped(f"ten slots from {middle} on have cards")


def fed(bench: Bench) -> StatusBlock:
    """A card from the feeder at TRANSPORT."""
    clear_path(bench)
    bench.after(Act.FEED_CARD, lambda now: bool(now.sensors & Sensor.LOAD), "sensor LOAD set")
    return bench.done(Opcode.LOAD, at=Position.TRANSPORT, present=Sensor.TRANSPORT)


def inserted(bench: Bench) -> StatusBlock:
    """A card that a hand put into the open throat."""
    clear_path(bench)
    bench.done(Opcode.OPEN, present=Sensor.SHUTTER_OPEN)
    return bench.after(Act.INSERT_CARD, lambda now: now.position is Position.THROAT, "position THROAT")


def escrowed(bench: Bench) -> StatusBlock:
    """A card at ESCROW."""
    inserted(bench)
    return bench.done(
        Opcode.ACCEPT, at=Position.ESCROW, present=Sensor.ESCROW, absent=Sensor.THROAT | Sensor.SHUTTER_OPEN
    )


# Dispenser


def align(bench: Bench) -> str:
    """ALIGN turns to first, middle and last slot and moves no card."""
    before = clear_path(bench)
    slots = (0, bench.identity.capacity // 2, bench.identity.capacity - 1)
    for slot in slots:
        status = bench.done(Opcode.ALIGN, slot, slot=slot, at=Position.NONE, present=Sensor.HOME)
    bench.same_totals(before, status, "ALIGN")
    return f"slots {', '.join(map(str, slots))} at the picker"


def dispenser_interlocks(bench: Bench) -> str:
    """Motions without a card to move end with a fault."""
    before = clear_path(bench)
    slot = empty_slot(bench)
    seen = [bench.fails(Opcode.PICK, Fault.SLOT_EMPTY, arg0=slot)]
    clear_path(bench)
    for opcode in (Opcode.STORE, Opcode.PRESENT, Opcode.RETRACT, Opcode.CAPTURE, Opcode.REJECT):
        seen.append(bench.fails(opcode, Fault.NO_CARD, arg0=slot))
    bench.same_totals(before, bench.board.status(), "motions without a card")
    return ", ".join(seen)


def load_store_pick(bench: Bench) -> str:
    """LOAD, STORE and PICK carry a card between feeder, transport and slot."""
    before = fed(bench)
    refused = bench.fails(Opcode.LOAD, Fault.TARGET_OCCUPIED, defect=Defect.PUSHES_INTO_CARD)
    stored_at = _stored(bench)
    bench.done(
        Opcode.PICK, stored_at, at=Position.TRANSPORT, slot=stored_at, present=Sensor.TRANSPORT, absent=Sensor.SLOT
    )
    bench.same_totals(before, bench.board.status(), "LOAD, STORE, PICK")
    return f"feeder -> transport -> slot {stored_at} -> transport; {refused} with a card in the transport"


def _stored(bench: Bench) -> int:
    """Put the card from TRANSPORT into an empty slot; gives the slot."""
    slot = empty_slot(bench)
    bench.done(Opcode.STORE, slot, at=Position.NONE, slot=slot, present=Sensor.SLOT, absent=Sensor.TRANSPORT)
    return slot


def present_retract_take(bench: Bench) -> str:
    """PRESENT holds a card at the open gate, RETRACT draws it back; only a hand's taking counts."""
    before = fed(bench)
    _presented(bench, before)
    status = bench.done(
        Opcode.RETRACT, at=Position.TRANSPORT, present=Sensor.TRANSPORT, absent=Sensor.EXIT | Sensor.GATE_OPEN
    )
    bench.same_totals(before, status, "PRESENT and RETRACT")
    _presented(bench, before)
    _taken(bench, before, Act.TAKE_FROM_EXIT)
    return f"presented, retracted, presented, taken: dispensed {before.dispensed} -> {before.dispensed + 1}"


def _presented(bench: Bench, before: StatusBlock) -> None:
    status = bench.done(
        Opcode.PRESENT, at=Position.EXIT, present=Sensor.EXIT | Sensor.GATE_OPEN, absent=Sensor.TRANSPORT
    )
    _held(bench, before, status, "PRESENT")


def _held(bench: Bench, before: StatusBlock, status: StatusBlock, name: str) -> None:
    counted = bench.wait(lambda now: now.dispensed != before.dispensed, 0.2)
    if counted is not None:
        raise Finding(
            Defect.COUNTS_PRESENTED_AS_TAKEN,
            f"{name}: dispensed {before.dispensed} -> {counted.dispensed} while the card is held",
        )
    bench.same_totals(before, status, name)


def _taken(bench: Bench, before: StatusBlock, act: Act) -> None:
    bench.after(act, lambda now: now.position is Position.NONE, "position NONE")
    status = bench.wait(lambda now: now.dispensed != before.dispensed) or bench.board.status()
    bench.wait(lambda now: now.dispensed != status.dispensed, 0.2)
    status = bench.board.status()
    if (status.dispensed, status.retained) != (before.dispensed + 1, before.retained):
        raise Finding(
            Defect.MISCOUNTS,
            f"one card taken: dispensed {before.dispensed} -> {status.dispensed},"
            f" retained {before.retained} -> {status.retained}",
        )


def capture(bench: Bench) -> str:
    """CAPTURE puts a card into the retract position and counts it."""
    before = fed(bench)
    status = bench.done(Opcode.CAPTURE, at=Position.NONE, absent=Sensor.TRANSPORT)
    return _retained(before, status, DISPENSER_RETRACT_COUNT, "CAPTURE")


def _retained(before: StatusBlock, status: StatusBlock, detail: int, name: str) -> str:
    held, holds = before.detail[detail], status.detail[detail]
    seen = (
        f"{name}: retained {before.retained} -> {status.retained}, dispensed {before.dispensed} -> {status.dispensed},"
        f" cards in the box {held} -> {holds}"
    )
    if (status.retained, status.dispensed, holds) != (before.retained + 1, before.dispensed, held + 1):
        raise Finding(Defect.MISCOUNTS, seen)
    return seen


def reject(bench: Bench) -> str:
    """REJECT puts a card out to the staff and counts nothing."""
    before = fed(bench)
    status = bench.done(Opcode.REJECT, at=Position.NONE, absent=Sensor.TRANSPORT)
    bench.same_totals(before, status, "REJECT")
    return "transport -> reject lane; no total changed"


# Recycler


def shutter(bench: Bench) -> str:
    """OPEN and CLOSE move the shutter."""
    before = clear_path(bench)
    bench.done(Opcode.OPEN, present=Sensor.SHUTTER_OPEN, at=Position.NONE)
    status = bench.done(Opcode.CLOSE, absent=Sensor.SHUTTER_OPEN, at=Position.NONE)
    bench.same_totals(before, status, "OPEN and CLOSE")
    return "opened, closed"


def recycler_interlocks(bench: Bench) -> str:
    """Motions without a card to move end with a fault."""
    before = clear_path(bench)
    seen = [bench.fails(opcode, Fault.NO_CARD) for opcode in (Opcode.ACCEPT, Opcode.RETURN, Opcode.RETAIN)]
    bench.same_totals(before, bench.board.status(), "motions without a card")
    return ", ".join(seen)


def throat(bench: Bench) -> str:
    """A card in the throat keeps the shutter open; pulled back it counts nothing."""
    before = inserted(bench)
    refused = bench.fails(Opcode.CLOSE, Fault.GATE_BLOCKED)
    status = bench.after(Act.TAKE_FROM_THROAT, lambda now: now.position is Position.NONE, "position NONE")
    bench.same_totals(before, status, "a card inserted and pulled back")
    return f"{refused} over a card; pulled back, nothing counted"


def accept_return(bench: Bench) -> str:
    """ACCEPT draws a card into escrow, RETURN gives it back; only a hand's taking counts."""
    before = escrowed(bench)
    status = bench.done(
        Opcode.RETURN, at=Position.THROAT, present=Sensor.THROAT | Sensor.SHUTTER_OPEN, absent=Sensor.ESCROW
    )
    _held(bench, before, status, "RETURN")
    _taken(bench, before, Act.TAKE_FROM_THROAT)
    return f"accepted, returned, taken: dispensed {before.dispensed} -> {before.dispensed + 1}"


def retain(bench: Bench) -> str:
    """RETAIN puts a card into the bin and counts it; EMPTY_BIN sets the bin's count to 0 and no total."""
    before = escrowed(bench)
    status = bench.done(Opcode.RETAIN, at=Position.NONE, absent=Sensor.ESCROW)
    seen = _retained(before, status, RECYCLER_BIN_COUNT, "RETAIN")
    emptied = bench.done(Opcode.EMPTY_BIN)
    bench.same_totals(status, emptied, "EMPTY_BIN")
    if emptied.detail[RECYCLER_BIN_COUNT] != 0:
        raise Finding(Defect.MISCOUNTS, f"EMPTY_BIN: the bin's count is {emptied.detail[RECYCLER_BIN_COUNT]}")
    return f"{seen}; EMPTY_BIN -> 0"


# Cabinet


def lights(bench: Bench) -> str:
    """LIGHT switches on exactly the lights that it names."""
    bench.board.settled()
    masks = (*(int(light) for light in Light), sum(Light), 0)
    for mask in masks:
        status = bench.done(Opcode.LIGHT, mask)
        if status.detail[CABINET_LIGHTS] != mask:
            raise Finding(
                Defect.WRONG_MOTION, f"LIGHT {mask:#06b}: the lights are {status.detail[CABINET_LIGHTS]:#06b}"
            )
    return f"{len(masks)} patterns"


def climate(bench: Bench) -> str:
    """FAN and HEATER are told what they are told."""
    bench.board.settled()
    for opcode, detail, values in ((Opcode.FAN, CABINET_FAN, (100, 40, 0)), (Opcode.HEATER, CABINET_HEATER, (1, 0))):
        for value in values:
            status = bench.done(opcode, value)
            if status.detail[detail] != value:
                raise Finding(Defect.WRONG_MOTION, f"{opcode.name} {value}: the status says {status.detail[detail]}")
    return "FAN 100, 40, 0; HEATER 1, 0"


def supply(bench: Bench) -> str:
    """Temperature and battery have possible values."""
    detail = bench.board.status().detail
    temperature = (detail[CABINET_TEMPERATURE] ^ 0x8000) - 0x8000
    if not -400 <= temperature <= 1000 or not 0 <= detail[CABINET_BATTERY] <= 100:
        raise Finding(
            Defect.WRONG_STATUS, f"temperature {temperature / 10} degrees Celsius, battery {detail[CABINET_BATTERY]} %"
        )
    return f"{temperature / 10} degrees Celsius, battery {detail[CABINET_BATTERY]} %"
