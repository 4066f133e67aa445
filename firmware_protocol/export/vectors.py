"""The test vectors: bytes and registers with the exact verdict expected, as JSON.

The verdicts are written here by hand, not computed: the tests hold the Python declarations, the exported C and the
simulator against them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from firmware_protocol.blocks import COMMAND, IDENTITY, STATUS, CommandBlock, IdentityBlock, StatusBlock
from firmware_protocol.crc import crc16, crc16_of_registers
from firmware_protocol.declaration import VERSION, Block, Flaw
from firmware_protocol.export.card_vectors import card_texts, samv_streams
from firmware_protocol.export.crt_vectors import crt_streams
from firmware_protocol.line import (
    ExceptionCode,
    exception_response,
    read_request,
    read_response,
    rtu_frame,
    write_request,
    write_response,
)
from firmware_protocol.mailbox import Conclusion, Verdict
from firmware_protocol.units import Fault, Opcode, Position, Result, Sensor, State, UnitKind

BOOT = 0xCAFE0001
OTHER_BOOT = 0xCAFE0002
ACCEPTED = 41

_IDENTITY = IdentityBlock(UnitKind.DISPENSER, 8, 990101, 100)
_COMMAND = CommandBlock(BOOT, ACCEPTED + 1, Opcode.PICK, 3)
_STATUS = StatusBlock(
    boot_id=BOOT,
    state=State.READY,
    accepted_seq=ACCEPTED,
    done_seq=ACCEPTED,
    done_opcode=Opcode.ALIGN,
    result=Result.DONE,
    step=2,
    position=Position.NONE,
    slot=3,
    sensors=Sensor.HOME | Sensor.SLOT,
    fault=Fault.NONE,
    dispensed=12,
    retained=1,
    accepted_opcode=Opcode.ALIGN,
    accepted_arg0=3,
    done_arg0=3,
)


def vectors() -> str:
    """The text of vectors.json; `read_me` in it explains the rest."""
    document = {
        "read_me": _READ_ME,
        "protocol": str(VERSION),
        "crc16": [{"hex": data.hex(" "), "crc": crc16(data)} for data in (b"", b"\0", b"123456789", b"\xff" * 256)],
        "blocks": [*_blocks()],
        "mailbox": [*_mailbox()],
        "conclusions": [*_conclusions()],
        "rtu": _rtu(),
        "samv": [*samv_streams()],
        "crt": [*crt_streams()],
        "card_texts": [*card_texts()],
    }
    return _json(document) + "\n"


_READ_ME = [
    "Written by `python -m firmware_protocol export`; do not edit. Numbers are decimal, bytes are hex, people are invented.",
    "blocks: `registers` of the named block; `flaw` is the first thing wrong (COUNT CRC MAGIC MAJOR VALUE), null if good;"
    " `fields` are then its values.",
    "mailbox: what a unit in the state `unit` does with `registers` written to the command block; `exception` null: normal"
    " answer. Only ACCEPT may change anything.",
    "conclusions: what a host may conclude of its `command` from the `status` registers.",
    "rtu: each `request` is sent to a unit that is as `identity` and `status` say; `response` null: the unit stays silent.",
    "samv: `stream` goes into the parser of the reader (direction request) or the host (reply); `frames` come out of it, the"
    " other bytes are dropped once the line fell silent.",
    "crt: the same for the bought dispenser; direction request is the module's parser. A control byte is a frame of its own.",
    "card_texts: the 256 bytes of a card's text; `layout` null: it is none. `wrong_fields` hold values that no true card has.",
]


def _resealed(registers: Sequence[int], changes: dict[int, int]) -> list[int]:
    body = [changes.get(index, register) for index, register in enumerate(registers[:-1])]
    return [*body, crc16_of_registers(body)]


def _damaged(registers: Sequence[int], index: int) -> list[int]:
    return [register ^ (0x0010 if at == index else 0) for at, register in enumerate(registers)]


def _good(name: str, block: Block, registers: list[int], fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "block": block.name, "registers": registers, "flaw": None, "fields": fields}


def _bad(name: str, block: Block, registers: list[int], flaw: Flaw) -> dict[str, Any]:
    return {"name": name, "block": block.name, "registers": registers, "flaw": flaw.name}


def _blocks() -> Iterator[dict[str, Any]]:
    identity, command, status = _IDENTITY.to_registers(), _COMMAND.to_registers(), _STATUS.to_registers()
    full = replace(_STATUS, detail=(1, 2, 3, 4, 5, 6, 0xFFFF), dispensed=0xFFFFFFFF, slot=999, boot_id=0xFFFFFFFF)
    for block, some in (
        (IDENTITY, _IDENTITY),
        (IDENTITY, IdentityBlock(UnitKind.DISPENSER, 1000, 0xFFFFFFFF, 500)),
        (IDENTITY, IdentityBlock(UnitKind.RECYCLER, 0, 0, 1)),
        (COMMAND, _COMMAND),
        (COMMAND, CommandBlock(0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF)),
        (STATUS, _STATUS),
        (STATUS, full),
    ):
        yield _good("as declared", block, some.to_registers(), asdict(some))
    yield _good("newer minor, a register more", IDENTITY, _resealed(identity, {1: 0x01FF, 9: 7}), asdict(_IDENTITY))
    yield _good("newer minor", COMMAND, _resealed(command, {1: 0x0109, 10: 7}), asdict(_COMMAND))
    yield _good(
        "newer minor, unknown sensor and unknown fault",
        STATUS,
        _resealed(status, {1: 0x0109, 14: 0x8000, 16: 99}),
        asdict(replace(_STATUS, fault=Fault.OTHER)),
    )
    older = replace(_STATUS, accepted_opcode=None, accepted_arg0=None, done_arg0=None)
    yield _good("minor 0, before the last three registers", STATUS, _resealed(status, {1: 0x0100}), asdict(older))
    for block, registers in ((IDENTITY, identity), (COMMAND, command), (STATUS, status)):
        yield _bad("nothing", block, [], Flaw.COUNT)
        yield _bad("one register short", block, registers[:-1], Flaw.COUNT)
        yield _bad("one register more", block, [*registers, 0], Flaw.COUNT)
        yield _bad("damaged first register", block, _damaged(registers, 0), Flaw.CRC)
        yield _bad("damaged value", block, _damaged(registers, 5), Flaw.CRC)
        yield _bad("damaged CRC", block, _damaged(registers, block.count - 1), Flaw.CRC)
        yield _bad("all zero", block, [0] * block.count, Flaw.CRC)
        yield _bad("all ones", block, [0xFFFF] * block.count, Flaw.CRC)
        yield _bad("bytes swapped in the magic", block, _resealed(registers, {0: 0x4B4C}), Flaw.MAGIC)
        yield _bad("next major version", block, _resealed(registers, {1: 0x0200}), Flaw.MAJOR)
        yield _bad("version 0", block, _resealed(registers, {1: 0x0001}), Flaw.MAJOR)
    yield _bad("unknown kind", IDENTITY, _resealed(identity, {2: 4}), Flaw.VALUE)
    yield _bad("1,001 slots", IDENTITY, _resealed(identity, {3: 1001}), Flaw.VALUE)
    yield _bad("answers in no time", IDENTITY, _resealed(identity, {6: 0}), Flaw.VALUE)
    yield _bad("answers too late", IDENTITY, _resealed(identity, {6: 501}), Flaw.VALUE)
    yield _bad("state 0", STATUS, _resealed(status, {4: 0}), Flaw.VALUE)
    yield _bad("state of a newer minor", STATUS, _resealed(status, {1: 0x0109, 4: 4}), Flaw.VALUE)
    yield _bad("unknown result", STATUS, _resealed(status, {10: 3}), Flaw.VALUE)
    yield _bad("unknown position", STATUS, _resealed(status, {12: 9}), Flaw.VALUE)
    yield _bad("unknown fault", STATUS, _resealed(status, {16: 99}), Flaw.VALUE)


def _mailbox() -> Iterator[dict[str, Any]]:
    ready, running, interrupted = State.READY, State.RUNNING, State.INTERRUPTED
    good = _COMMAND.to_registers()
    repeat = replace(_COMMAND, seq=ACCEPTED)
    reset = replace(_COMMAND, opcode=Opcode.RESET, arg0=0)
    last = replace(_COMMAND, seq=0xFFFFFFFF)
    for name, command, state, accepted, verdict in (
        ("next seq", _COMMAND, ready, ACCEPTED, Verdict.ACCEPT),
        ("first command ever", replace(_COMMAND, seq=1), ready, 0, Verdict.ACCEPT),
        ("last number", last, ready, 0xFFFFFFFE, Verdict.ACCEPT),
        ("1 after the last number", replace(_COMMAND, seq=1), ready, 0xFFFFFFFF, Verdict.ACCEPT),
        ("0 after the last number", replace(_COMMAND, seq=0), ready, 0xFFFFFFFF, Verdict.OUT_OF_ORDER),
        ("0 to a unit that never had a command", replace(_COMMAND, seq=0), ready, 0, Verdict.REPEATED),
        ("repeated", repeat, ready, ACCEPTED, Verdict.REPEATED),
        ("repeated while it runs", repeat, running, ACCEPTED, Verdict.REPEATED),
        ("repeated after the interruption", repeat, interrupted, ACCEPTED, Verdict.REPEATED),
        ("repeated from the boot before", replace(repeat, boot_id=OTHER_BOOT), ready, ACCEPTED, Verdict.REPEATED),
        ("repeated with another slot", replace(repeat, arg0=5), ready, ACCEPTED, Verdict.REPEATED),
        ("foreign boot", replace(_COMMAND, boot_id=OTHER_BOOT), ready, ACCEPTED, Verdict.FOREIGN_BOOT),
        ("foreign boot, out of order", CommandBlock(OTHER_BOOT, 99, 1), ready, ACCEPTED, Verdict.FOREIGN_BOOT),
        ("foreign boot while busy", replace(reset, boot_id=OTHER_BOOT), running, ACCEPTED, Verdict.FOREIGN_BOOT),
        ("seq one too far", replace(_COMMAND, seq=43), ready, ACCEPTED, Verdict.OUT_OF_ORDER),
        ("seq one behind", replace(_COMMAND, seq=40), ready, ACCEPTED, Verdict.OUT_OF_ORDER),
        ("out of order while busy", replace(_COMMAND, seq=43), running, ACCEPTED, Verdict.OUT_OF_ORDER),
        ("next seq while busy", _COMMAND, running, ACCEPTED, Verdict.BUSY),
        ("RESET while busy", reset, running, ACCEPTED, Verdict.BUSY),
        ("bad slot while busy", replace(_COMMAND, arg0=8), running, ACCEPTED, Verdict.BUSY),
        ("PICK after an interruption", _COMMAND, interrupted, ACCEPTED, Verdict.BUSY),
        ("RESET after an interruption", reset, interrupted, ACCEPTED, Verdict.ACCEPT),
        ("last slot", replace(_COMMAND, arg0=7), ready, ACCEPTED, Verdict.ACCEPT),
        ("slot beyond the last", replace(_COMMAND, arg0=8), ready, ACCEPTED, Verdict.BAD_ARGUMENT),
        ("slot 65535", replace(_COMMAND, arg0=0xFFFF), ready, ACCEPTED, Verdict.BAD_ARGUMENT),
        ("a recycler's opcode", replace(_COMMAND, opcode=Opcode.ACCEPT), ready, ACCEPTED, Verdict.BAD_ARGUMENT),
        ("an opcode nobody has", replace(_COMMAND, opcode=0x7F), ready, ACCEPTED, Verdict.BAD_ARGUMENT),
    ):
        yield _judged(name, command.to_registers(), UnitKind.DISPENSER, 8, state, accepted, verdict)
    for name, registers, verdict in (
        ("newer minor", _resealed(good, {1: 0x0109}), Verdict.ACCEPT),
        ("next major", _resealed(good, {1: 0x0200}), Verdict.BAD_BLOCK),
        ("foreign magic", _resealed(good, {0: 0x4C4C}), Verdict.BAD_BLOCK),
        ("damaged seq", _damaged(good, 5), Verdict.BAD_BLOCK),
        ("damaged CRC", _damaged(good, 11), Verdict.BAD_BLOCK),
        ("damaged repeat", _damaged(repeat.to_registers(), 7), Verdict.BAD_BLOCK),
        ("half a block", good[:6], Verdict.BAD_BLOCK),
        ("nothing", [], Verdict.BAD_BLOCK),
    ):
        yield _judged(name, registers, UnitKind.DISPENSER, 8, ready, ACCEPTED, verdict)
    for kind, opcode, arg0, verdict in (
        (UnitKind.RECYCLER, Opcode.ACCEPT, 0, Verdict.ACCEPT),
        (UnitKind.RECYCLER, Opcode.PICK, 0, Verdict.BAD_ARGUMENT),
        (UnitKind.CABINET, Opcode.LIGHT, 0xFFFF, Verdict.ACCEPT),
        (UnitKind.CABINET, Opcode.FAN, 100, Verdict.ACCEPT),
        (UnitKind.CABINET, Opcode.FAN, 101, Verdict.BAD_ARGUMENT),
        (UnitKind.CABINET, Opcode.HEATER, 1, Verdict.ACCEPT),
        (UnitKind.CABINET, Opcode.HEATER, 2, Verdict.BAD_ARGUMENT),
        (UnitKind.CABINET, Opcode.RETAIN, 0, Verdict.BAD_ARGUMENT),
    ):
        registers = CommandBlock(BOOT, ACCEPTED + 1, opcode, arg0).to_registers()
        name = f"{opcode.name} {arg0} to a {kind.name.lower()}"
        yield _judged(name, registers, kind, 0, ready, ACCEPTED, verdict)
    largest = replace(_COMMAND, arg0=999).to_registers()
    yield _judged("slot 999 of 1,000", largest, UnitKind.DISPENSER, 1000, ready, ACCEPTED, Verdict.ACCEPT)


def _judged(
    name: str, registers: list[int], kind: UnitKind, capacity: int, state: State, accepted: int, verdict: Verdict
) -> dict[str, Any]:
    unit = {"kind": kind, "capacity": capacity, "boot_id": BOOT, "accepted_seq": accepted, "state": state}
    told = {"verdict": verdict.name, "exception": verdict.exception}
    return {"name": name, "unit": unit, "registers": registers, **told}


def _conclusions() -> Iterator[dict[str, Any]]:
    done = replace(_STATUS, accepted_seq=42, done_seq=42, done_opcode=Opcode.PICK, done_arg0=3)
    done = replace(done, accepted_opcode=Opcode.PICK, accepted_arg0=3)
    running = replace(done, state=State.RUNNING, done_seq=ACCEPTED)
    interrupted = replace(running, state=State.INTERRUPTED)
    for name, status, conclusion in (
        ("not accepted yet", _STATUS, Conclusion.NOT_ACCEPTED),
        ("runs", running, Conclusion.RUNNING),
        ("done", done, Conclusion.DONE),
        ("ended with a fault", replace(done, result=Result.FAULT, fault=Fault.JAM), Conclusion.DONE),
        ("interrupted", interrupted, Conclusion.INTERRUPTED),
        ("the next one runs already", replace(running, accepted_seq=43, done_seq=42), Conclusion.DONE),
        ("another host's PICK runs", replace(running, accepted_arg0=4), Conclusion.LOCKED_OUT),
        ("another host's PICK is done", replace(done, done_arg0=4), Conclusion.LOCKED_OUT),
        ("another host's STORE is done", replace(done, done_opcode=Opcode.STORE), Conclusion.LOCKED_OUT),
        ("the unit went past it", replace(done, accepted_seq=44, done_seq=44), Conclusion.LOCKED_OUT),
        ("the unit forgot everything", replace(_STATUS, accepted_seq=0, done_seq=0), Conclusion.LOCKED_OUT),
    ):
        registers = status.to_registers()
        command = asdict(_COMMAND)
        yield {"name": name, "command": command, "status": registers, "conclusion": conclusion.name}


def _rtu() -> dict[str, Any]:
    identity, status = _IDENTITY.to_registers(), _STATUS.to_registers()
    read_status = rtu_frame(1, read_request(STATUS.address, STATUS.count))
    write = rtu_frame(1, write_request(COMMAND.address, _COMMAND.to_registers()))
    acknowledged = rtu_frame(1, write_response(COMMAND.address, COMMAND.count))

    def written(registers: Sequence[int], address: int = COMMAND.address) -> bytes:
        return rtu_frame(1, write_request(address, registers))

    def refused(function: int, code: ExceptionCode) -> bytes:
        return rtu_frame(1, exception_response(function, code))

    def read(address: int, count: int) -> bytes:
        return rtu_frame(1, read_request(address, count))

    illegal_address = ExceptionCode.ILLEGAL_DATA_ADDRESS
    illegal_value = ExceptionCode.ILLEGAL_DATA_VALUE
    busy = ExceptionCode.SERVER_DEVICE_BUSY
    exchanges: list[tuple[str, bytes, bytes | None]] = [
        ("read the status", read_status, rtu_frame(1, read_response(status))),
        ("read the identity", read(IDENTITY.address, 12), rtu_frame(1, read_response(identity))),
        ("read one register", read(STATUS.address + 4, 1), rtu_frame(1, read_response(status[4:5]))),
        ("read past the end of a block", read(STATUS.address, 33), refused(3, illegal_address)),
        ("read between the blocks", read(0x0050, 1), refused(3, illegal_address)),
        ("read the command", read(COMMAND.address, 12), refused(3, illegal_address)),
        ("read nothing", read(STATUS.address, 0), refused(3, illegal_value)),
        ("read 126", read(STATUS.address, 126), refused(3, illegal_value)),
        ("write a command", write, acknowledged),
        ("write the accepted seq again", written(replace(_COMMAND, seq=ACCEPTED).to_registers()), acknowledged),
        ("write one that is damaged", written(_damaged(_COMMAND.to_registers(), 7)), refused(16, illegal_value)),
        (
            "write one of a foreign boot",
            written(replace(_COMMAND, boot_id=OTHER_BOOT).to_registers()),
            refused(16, ExceptionCode.SERVER_DEVICE_FAILURE),
        ),
        ("write one out of order", written(replace(_COMMAND, seq=43).to_registers()), refused(16, busy)),
        ("write half of one", written(_COMMAND.to_registers()[:6]), refused(16, illegal_value)),
        ("write to the status", written(status, STATUS.address), refused(16, illegal_address)),
        (
            "write one register (FC6)",
            rtu_frame(1, bytes.fromhex("06 01 00 4C 4B")),
            refused(6, ExceptionCode.ILLEGAL_FUNCTION),
        ),
        ("to another unit", rtu_frame(2, read_request(STATUS.address, 1)), None),
        ("to all units", rtu_frame(0, write_request(COMMAND.address, _COMMAND.to_registers())), None),
        ("wrong CRC on the line", read_status[:-1] + bytes((read_status[-1] ^ 1,)), None),
        ("half a frame", write[:9], None),
    ]
    return {
        "identity": identity,
        "status": status,
        "exchanges": [
            {"name": name, "request": request.hex(" "), "response": None if response is None else response.hex(" ")}
            for name, request, response in exchanges
        ],
    }


def _json(document: dict[str, Any]) -> str:
    """JSON with one vector to a line."""
    parts = []
    for key, value in document.items():
        rows = value if isinstance(value, list) else None
        if rows is None:
            parts.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
        else:
            body = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in rows)
            parts.append(f" {json.dumps(key)}: [\n  {body}\n ]")
    return "{\n" + ",\n".join(parts) + "\n}"
