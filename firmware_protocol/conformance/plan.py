"""All checks in the order in which they are made, each with the clause of the reference that it holds the unit to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from firmware_protocol.conformance import mailbox_checks as mailbox
from firmware_protocol.conformance import motion_checks as motions
from firmware_protocol.conformance import power_checks as power
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
    """One check: `run` gives what was seen, or raises Finding or Skipped. `moves` tells that something may move."""

    name: str
    clause: str
    run: Callable[[Bench], str]
    kinds: frozenset[UnitKind] = _ALL
    wire: Wire = Wire.ANY
    moves: bool = True


PLAN: tuple[Check, ...] = (
    Check("identity", "identity block", wires.identity, moves=False),
    Check("status-block", "status block", wires.status_block, moves=False),
    Check("status-whole", "status block: CRC over one moment", wires.status_whole, moves=False),
    Check("parts", "registers: any part of a block can be read", wires.parts, moves=False),
    Check("read-limits", "registers: nothing outside the blocks", wires.read_limits, moves=False),
    Check("functions", "line: function codes 3 and 16 only", wires.functions, moves=False),
    Check("writes-elsewhere", "registers: only the command block is written", wires.writes_elsewhere, moves=False),
    Check("partial-blocks", "mailbox: the whole block or nothing", wires.partial_blocks, moves=False),
    Check("unit-addresses", "line: unit addresses", wires.unit_addresses, moves=False),
    Check("line-crc", "line: frames with a wrong CRC", wires.line_crc, wire=Wire.SERIAL, moves=False),
    Check("garbage", "line: bytes that are no frame", wires.garbage, wire=Wire.SERIAL, moves=False),
    Check("tcp-header", "line: MBAP header", wires.tcp_header, wire=Wire.TCP, moves=False),
    Check("accepted", "mailbox: acceptance; status block: accepted_seq, done_seq", mailbox.accepted),
    Check("newer-minor", "versions: newer minors are lived with", mailbox.newer_minor),
    Check("bad-crc", "mailbox: good CRC or nothing", mailbox.bad_crc),
    Check("foreign-version", "versions: an unknown major is refused", mailbox.foreign_version),
    Check("repeats", "mailbox: the accepted seq is acknowledged, nothing more", mailbox.repeats),
    Check("order", "mailbox: seq is accepted_seq + 1", mailbox.order),
    Check("boot-ids", "mailbox: foreign boot id", mailbox.boot_ids),
    Check("opcodes", "opcodes of the unit", mailbox.opcodes),
    Check("slots", "opcodes: slot arguments", mailbox.slots, kinds=_DISPENSER),
    Check("busy", "mailbox: busy", mailbox.busy, kinds=_MOVERS),
    Check("broadcast", "line: broadcast", wires.broadcast, wire=Wire.SERIAL),
    Check("align", "opcode ALIGN", motions.align, kinds=_DISPENSER),
    Check("no-card", "faults NO_CARD, SLOT_EMPTY", motions.dispenser_interlocks, kinds=_DISPENSER),
    Check("load-store-pick", "opcodes LOAD, STORE, PICK", motions.load_store_pick, kinds=_DISPENSER),
    Check("present", "opcodes PRESENT, RETRACT; total dispensed", motions.present_retract_take, kinds=_DISPENSER),
    Check("capture", "opcode CAPTURE; total retained", motions.capture, kinds=_DISPENSER),
    Check("reject", "opcode REJECT", motions.reject, kinds=_DISPENSER),
    Check("shutter", "opcodes OPEN, CLOSE", motions.shutter, kinds=_RECYCLER),
    Check("no-card", "fault NO_CARD", motions.recycler_interlocks, kinds=_RECYCLER),
    Check("throat", "opcode CLOSE; fault GATE_BLOCKED", motions.throat, kinds=_RECYCLER),
    Check("return", "opcodes ACCEPT, RETURN; total dispensed", motions.accept_return, kinds=_RECYCLER),
    Check("retain", "opcodes RETAIN, EMPTY_BIN; total retained", motions.retain, kinds=_RECYCLER),
    Check("lights", "opcode LIGHT", motions.lights, kinds=_CABINET),
    Check("supply", "status block: detail of the cabinet", motions.supply, kinds=_CABINET, moves=False),
    Check("door", "sensor DOOR_OPEN", motions.door, kinds=_CABINET),
    Check("power-idle", "mailbox: what is persisted; boot_id", power.idle),
    Check("power-taken", "total dispensed: taken without power", power.taken_meanwhile, kinds=_MOVERS),
    Check("power-interrupted", "state INTERRUPTED", power.interrupted, kinds=_MOVERS),
    Check("timing", "identity block: max_response_ms", wires.timing, moves=False),
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
