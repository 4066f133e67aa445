"""Checks of what a unit does when a motion cannot be made: jammed mechanics, a full box, an empty feeder, an occupied exit.

Hands make the trouble and take it away again; nothing of it may change a total.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from firmware_protocol.blocks import StatusBlock
from firmware_protocol.conformance.bench import Bench
from firmware_protocol.conformance.findings import Defect, Finding
from firmware_protocol.conformance.hands import Act
from firmware_protocol.conformance.motion_checks import clear_path, escrowed, fed
from firmware_protocol.units import Fault, Opcode, Position, Result, Sensor, UnitKind

_STOPPED = frozenset({Fault.JAM, Fault.MOTOR, Fault.SENSOR})
"""How a motion may end that was stopped on its way."""


@contextmanager
def _trouble(bench: Bench, make: Act, end: Act, sensor: Sensor = Sensor(0)) -> Iterator[None]:  # noqa: B008  # a constant
    """Have trouble made, seen by the sensor if there is one, and taken away at the end. Raises Skipped, Finding."""
    bench.after(make, lambda now: now.sensors & sensor == sensor, f"sensor {sensor.name} set")
    try:
        yield
    finally:
        bench.hands.do(end)
    if bench.wait(lambda now: not now.sensors & sensor) is None:
        raise Finding(Defect.WRONG_STATUS, f"after the act {end}: sensor {sensor.name} is set")


def _card_in_path(bench: Bench) -> tuple[StatusBlock, Position]:
    if bench.kind is UnitKind.RECYCLER:
        return escrowed(bench), Position.ESCROW
    return fed(bench), Position.TRANSPORT


def jam(bench: Bench) -> str:
    """A motion that is stopped on its way ends as a fault, its card is not forgotten, and RESET draws it in."""
    before, home = _card_in_path(bench)
    opcode = Opcode.RETAIN if bench.kind is UnitKind.RECYCLER else Opcode.PRESENT
    with _trouble(bench, Act.BLOCK_PATH, Act.FREE_PATH):
        status = bench.make(opcode)
        if status.result is not Result.FAULT or status.fault not in _STOPPED:
            raise Finding(
                Defect.HIDES_JAM, f"{opcode.name} with blocked mechanics: {status.result.name}, {status.fault.name}"
            )
        bench.same_totals(before, status, f"{opcode.name} with blocked mechanics")
        if status.position is Position.NONE:
            raise Finding(Defect.FORGETS_CARD, f"{opcode.name}: {status.fault.name}, position NONE")
    reset = bench.done(Opcode.RESET, at=home)
    bench.same_totals(before, reset, "a jam and RESET")
    clear_path(bench)
    return f"{opcode.name}: {status.fault.name}, position {status.position.name}; after RESET {home.name}"


def full_box(bench: Bench) -> str:
    """Into a full retract position or bin nothing is put; the card stays where it is."""
    before, home = _card_in_path(bench)
    opcode, full = Opcode.CAPTURE, Sensor.RETRACT_FULL
    if bench.kind is UnitKind.RECYCLER:
        opcode, full = Opcode.RETAIN, Sensor.BIN_FULL
    with _trouble(bench, Act.FILL_BOX, Act.EMPTY_BOX, full):
        seen = bench.fails(opcode, Fault.BIN_FULL, defect=Defect.OVERFILLS)
        _nothing_moved(bench, before, home, seen)
    clear_path(bench)
    return f"{seen}; the card stayed at {home.name}"


def empty_feeder(bench: Bench) -> str:
    """LOAD without a card to load ends as a fault and leaves no card in the path."""
    before = clear_path(bench)
    bench.after(Act.EMPTY_FEEDER, lambda now: not now.sensors & Sensor.LOAD, "sensor LOAD clear")
    seen = bench.fails(Opcode.LOAD, Fault.NO_CARD)
    status = bench.board.status()
    bench.same_totals(before, status, seen)
    if status.position is not Position.NONE:
        raise Finding(Defect.INVENTS_CARD, f"{seen}, position {status.position.name}")
    return f"{seen}; position NONE"


def occupied_exit(bench: Bench) -> str:
    """Neither is a card pushed out against one that is at the exit, nor that one drawn in against it."""
    before = fed(bench)
    with _trouble(bench, Act.BLOCK_EXIT, Act.FREE_EXIT, Sensor.EXIT):
        seen = [
            bench.fails(opcode, Fault.TARGET_OCCUPIED, defect=Defect.PUSHES_INTO_CARD)
            for opcode in (Opcode.PRESENT, Opcode.RETRACT)
        ]
        _nothing_moved(bench, before, Position.UNKNOWN, "PRESENT and RETRACT with a card at both ends")
    # What was held at the exit by hand may be counted as taken from there: the unit cannot know better.
    clear_path(bench)
    return ", ".join(seen)


def _nothing_moved(bench: Bench, before: StatusBlock, at: Position, what: str) -> None:
    status = bench.board.status()
    bench.same_totals(before, status, what)
    if status.position is not at:
        raise Finding(Defect.WRONG_STATUS, f"{what}: position {status.position.name}, not {at.name}")


Contact = tuple[Sensor, Act, Act]
"""A contact of the cabinet, what sets it, and what clears it again."""
CONTACTS: dict[str, Contact] = {
    "door": (Sensor.DOOR_OPEN, Act.OPEN_DOOR, Act.CLOSE_DOOR),
    "hatch": (Sensor.HATCH_OPEN, Act.OPEN_HATCH, Act.CLOSE_HATCH),
    "tamper": (Sensor.TAMPER, Act.OPEN_TAMPER, Act.CLOSE_TAMPER),
    "key-switch": (Sensor.KEY_SWITCH, Act.KEY_ON, Act.KEY_OFF),
}


def contact(name: str) -> Callable[[Bench], str]:
    """The check that a contact follows what is done to it, and no other sensor with it."""
    sensor, setting, clearing = CONTACTS[name]

    def follows(bench: Bench) -> str:
        before = bench.board.status().sensors
        _follow(bench, setting, sensor, level=True)
        _follow(bench, clearing, sensor, level=False)
        now = bench.board.status().sensors
        if (now ^ before) & ~(sensor | Sensor.FAN_TURNS):
            raise Finding(
                Defect.WRONG_STATUS, f"{sensor.name} set and cleared: the sensors were {before!r}, are {now!r}"
            )
        return "set, cleared"

    return follows


def mains(bench: Bench) -> str:
    """Without mains the cabinet goes on from its battery and says so."""
    boot_id = bench.board.status().boot_id
    _follow(bench, Act.MAINS_OFF, Sensor.MAINS, level=False)
    _follow(bench, Act.MAINS_ON, Sensor.MAINS, level=True)
    now = bench.board.status()
    if now.boot_id != boot_id:
        raise Finding(Defect.WRONG_STATUS, "it booted when the mains went: the battery did not hold it")
    return "gone, back; it went on from its battery"


def _follow(bench: Bench, act: Act, sensor: Sensor, *, level: bool) -> None:
    bench.hands.do(act)
    if bench.wait(lambda now: bool(now.sensors & sensor) is level) is None:
        raise Finding(
            Defect.BLIND_CONTACT, f"after the act {act}: sensor {sensor.name} is {'clear' if level else 'set'}"
        )
