"""All checks in the order in which they are made, each with the clause of docs/firmware/reference.md that it holds the unit to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from firmware_protocol.conformance import mailbox_checks as mailbox
from firmware_protocol.conformance import motion_checks as motions
from firmware_protocol.conformance import power_checks as power
from firmware_protocol.conformance import trouble_checks as trouble
from firmware_protocol.conformance import wire_checks as wires
from firmware_protocol.conformance.bench import Bench, Wire
from firmware_protocol.conformance.findings import Defect, Finding, Skipped
from firmware_protocol.conformance.lines import LineError
from firmware_protocol.conformance.report import Result, Verdict
from firmware_protocol.units import UnitKind

_ALL = frozenset(UnitKind)
_MOVERS = frozenset({UnitKind.DISPENSER, UnitKind.RECYCLER})
_DISPENSER = frozenset({UnitKind.DISPENSER})
_RECYCLER = frozenset({UnitKind.RECYCLER})
_CABINET = frozenset({UnitKind.CABINET})
_ENDING = frozenset({Defect.WRONG_CRC_IN_STATUS, Defect.STALE_STATUS, Defect.WRONG_IDENTITY, Defect.DONE_BEFORE_MOTION})
"""Defects after which the unit's word cannot be relied on, and so no further check: what follows is skipped."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `clause` begins with its number in the reference; `moves` tells that something may move.

    `run` gives what was seen, or raises Finding or Skipped.
    """

    name: str
    clause: str
    run: Callable[[Bench], str]
    kinds: frozenset[UnitKind] = _ALL
    wire: Wire = Wire.ANY
    moves: bool = True


PLAN: tuple[Check, ...] = (
    Check("identity", "8.1 identity block", wires.identity, moves=False),
    Check("status-block", "8.3 status block", wires.status_block, moves=False),
    Check("status-whole", "3 a block is of one moment and of one piece", wires.status_whole, moves=False),
    Check("parts", "1.4 any part of a block can be read", wires.parts, moves=False),
    Check("read-limits", "1.4 reads that leave a block, 0 or more than 125 registers", wires.read_limits, moves=False),
    Check("functions", "1.3 function codes 3 and 16", wires.functions, moves=False),
    Check("writes-elsewhere", "3 only the command block takes writes", wires.writes_elsewhere, moves=False),
    Check("partial-blocks", "5 BAD_BLOCK: the whole block or nothing", wires.partial_blocks, moves=False),
    Check("unit-addresses", "1.2 unit addresses", wires.unit_addresses, moves=False),
    Check("line-crc", "1.5 frames with a wrong CRC", wires.line_crc, wire=Wire.SERIAL, moves=False),
    Check("garbage", "1.5 frames that break off", wires.garbage, wire=Wire.SERIAL, moves=False),
    Check("tcp-header", "1.1 Modbus TCP: streams that are none", wires.tcp_header, wire=Wire.TCP, moves=False),
    Check("accepted", "5 ACCEPT; 8.3 accepted_seq, done_seq", mailbox.accepted),
    Check("newer-minor", "3 versions: a newer minor", mailbox.newer_minor),
    Check("bad-crc", "5 BAD_BLOCK: CRC", mailbox.bad_crc),
    Check("foreign-version", "3 versions: another major", mailbox.foreign_version),
    Check("repeats", "5 REPEATED", mailbox.repeats),
    Check("order", "5 OUT_OF_ORDER", mailbox.order),
    Check("boot-ids", "5 FOREIGN_BOOT", mailbox.boot_ids),
    Check("opcodes", "5 BAD_ARGUMENT: opcodes", mailbox.opcodes),
    Check("arguments", "5 BAD_ARGUMENT: arg0 beyond its range", mailbox.arguments, kinds=_DISPENSER | _CABINET),
    Check("busy", "5 BUSY", mailbox.busy, kinds=_MOVERS),
    Check("broadcast", "1.2 broadcasts", wires.broadcast, wire=Wire.SERIAL),
    Check("align", "9.1 ALIGN", motions.align, kinds=_DISPENSER),
    Check("no-card", "9.1 needs; 10.4 NO_CARD, SLOT_EMPTY", motions.dispenser_interlocks, kinds=_DISPENSER),
    Check("load-store-pick", "9.1 LOAD, STORE, PICK", motions.load_store_pick, kinds=_DISPENSER),
    Check("empty-feeder", "9.1 needs of LOAD; 10.4 NO_CARD", trouble.empty_feeder, kinds=_DISPENSER),
    Check("present", "9.1 PRESENT, RETRACT; 7.2 taken", motions.present_retract_take, kinds=_DISPENSER),
    Check("capture", "9.1 CAPTURE; 7.3 retained", motions.capture, kinds=_DISPENSER),
    Check("reject", "9.1 REJECT", motions.reject, kinds=_DISPENSER),
    Check("shutter", "9.2 OPEN, CLOSE", motions.shutter, kinds=_RECYCLER),
    Check("no-card", "9.2 needs; 10.4 NO_CARD", motions.recycler_interlocks, kinds=_RECYCLER),
    Check("throat", "9.2 CLOSE; 7.2 a card that was only inserted", motions.throat, kinds=_RECYCLER),
    Check("return", "9.2 ACCEPT, RETURN; 7.2 taken", motions.accept_return, kinds=_RECYCLER),
    Check("retain", "9.2 RETAIN, EMPTY_BIN; 7.3 retained", motions.retain, kinds=_RECYCLER),
    Check("lights", "9.3 LIGHT", motions.lights, kinds=_CABINET),
    Check("climate", "9.3 FAN, HEATER", motions.climate, kinds=_CABINET),
    Check("supply", "8.4 detail registers", motions.supply, kinds=_CABINET, moves=False),
    Check("door", "10.6 DOOR_OPEN", trouble.contact("door"), kinds=_CABINET),
    Check("hatch", "10.6 HATCH_OPEN", trouble.contact("hatch"), kinds=_CABINET),
    Check("tamper", "10.6 TAMPER", trouble.contact("tamper"), kinds=_CABINET),
    Check("key-switch", "10.6 KEY_SWITCH", trouble.contact("key-switch"), kinds=_CABINET),
    Check("mains", "10.6 MAINS", trouble.mains, kinds=_CABINET),
    Check("occupied-exit", "9.1 needs; 10.4 TARGET_OCCUPIED", trouble.occupied_exit, kinds=_DISPENSER),
    Check("full-box", "9.1, 9.2 needs; 10.4 BIN_FULL", trouble.full_box, kinds=_MOVERS),
    Check("jam", "7.1, 7.4, 7.5; 10.4 JAM", trouble.jam, kinds=_MOVERS),
    Check("power-idle", "6.1, 6.2, 6.4 what survives a power cut", power.idle),
    Check("power-taken", "6.3 taken while the power was off", power.taken_meanwhile, kinds=_MOVERS),
    Check("power-interrupted", "5.1 INTERRUPTED; 6.1", power.interrupted, kinds=_MOVERS),
    Check("boot-time", "2.5 answers within 5 seconds of power", power.boot_time),
    Check("timing", "2.2 max_response_ms", wires.timing, moves=False),
)


def applicable(kind: UnitKind, serial: bool, only: Collection[str] = ()) -> tuple[Check, ...]:
    """The checks for a unit on such a line; `only` restricts them by name."""
    wire = Wire.SERIAL if serial else Wire.TCP
    return tuple(
        check
        for check in PLAN
        if kind in check.kinds and check.wire in {Wire.ANY, wire} and (not only or check.name in only)
    )


def carry_out(bench: Bench, checks: Collection[Check], *, may_move: bool) -> Iterator[Result]:
    """Make the checks one after the other; each gives one result."""
    ended = ""
    for check in checks:
        if ended:
            yield Result(check.name, check.clause, Verdict.SKIPPED, f"not made: {ended}")
        elif check.moves and not may_move:
            yield Result(check.name, check.clause, Verdict.SKIPPED, "the unit may not be moved")
        else:
            result = _result(bench, check)
            yield result
            if result.defect in _ENDING:
                ended = f"the unit's answers cannot be relied on ({result.defect})"
            elif result.verdict is Verdict.FAILED and check.moves:
                with suppress(Finding, LineError):
                    bench.board.settled()


def _result(bench: Bench, check: Check) -> Result:
    try:
        return Result(check.name, check.clause, Verdict.PASSED, check.run(bench))
    except Skipped as reason:
        return Result(check.name, check.clause, Verdict.SKIPPED, str(reason))
    except Finding as finding:
        return Result(check.name, check.clause, Verdict.FAILED, finding.seen, finding.defect)
    except LineError as error:
        return Result(check.name, check.clause, Verdict.FAILED, str(error), Defect.NO_ANSWER)
