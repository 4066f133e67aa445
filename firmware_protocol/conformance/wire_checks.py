"""Checks that move nothing: the blocks, their addresses, function codes, frames on the line, unit addresses, timing."""

from __future__ import annotations

import struct

from firmware_protocol.blocks import (
    COMMAND_ADDRESS,
    COMMAND_COUNT,
    IDENTITY_ADDRESS,
    IDENTITY_COUNT,
    STATUS_ADDRESS,
    STATUS_COUNT,
)
from firmware_protocol.conformance.bench import Bench
from firmware_protocol.conformance.board import READ, WRITE, Refusal, must_refuse
from firmware_protocol.conformance.findings import Defect, Finding
from firmware_protocol.crc import crc16, crc16_of_registers
from firmware_protocol.declaration import MAX_ANSWER_MS
from firmware_protocol.mailbox import ExceptionCode
from firmware_protocol.units import OPCODES, PATH, Position, State, UnitKind

_LOOKS = 60
_FOREIGN = (100, 200, 247)  # unit addresses that no unit of a machine has
_GATEWAY = {0x0A, 0x0B}  # exceptions with which a gateway answers for units that are not there
_HOST_SECONDS = 0.02  # what this computer may add to a measured answer time
_LATE_SHARE = 100  # one late answer in so many is this computer's
_OTHER_FUNCTIONS: dict[int, bytes] = {
    1: struct.pack(">HH", 0, 1),
    2: struct.pack(">HH", 0, 1),
    4: struct.pack(">HH", IDENTITY_ADDRESS, 1),
    5: struct.pack(">HH", 0, 0xFF00),
    6: struct.pack(">HH", COMMAND_ADDRESS, 0),
    15: struct.pack(">HHBB", 0, 1, 1, 1),
    22: struct.pack(">HHH", COMMAND_ADDRESS, 0, 0),
    23: struct.pack(">HHHHBH", STATUS_ADDRESS, 1, COMMAND_ADDRESS, 1, 2, 0),
}
_POSITIONS: dict[UnitKind, frozenset[Position]] = {
    UnitKind.DISPENSER: frozenset({Position.TRANSPORT, Position.EXIT}),
    UnitKind.RECYCLER: frozenset({Position.THROAT, Position.ESCROW}),
    UnitKind.CABINET: frozenset(),
}


def identity(bench: Bench) -> str:
    """The identity block names a possible unit, and is the same each time."""
    found = bench.board.identity()
    if found != bench.identity:
        raise Finding(Defect.WRONG_IDENTITY, f"first {bench.identity}, then {found}")
    right = 1 <= found.capacity <= 1000 if found.kind is UnitKind.DISPENSER else found.capacity == 0
    if not right:
        raise Finding(Defect.WRONG_IDENTITY, f"a {found.kind.name.lower()} with {found.capacity} slots")
    if not 1 <= found.max_response_ms <= MAX_ANSWER_MS:
        raise Finding(Defect.WRONG_IDENTITY, f"max_response_ms is {found.max_response_ms}, not 1 to {MAX_ANSWER_MS}")
    return f"{found.kind.name.lower()}, {found.capacity} slots, serial {found.serial}, {found.max_response_ms} ms"


def status_block(bench: Bench) -> str:
    """The status block is whole, and its values fit the kind of unit and each other."""
    status = bench.board.status()
    if status.position in PATH and status.position not in _POSITIONS[bench.kind]:
        raise Finding(Defect.WRONG_STATUS, f"position {status.position.name} in a {bench.kind.name.lower()}")
    if status.state is State.READY and status.accepted_seq != status.done_seq:
        raise Finding(
            Defect.HIDES_INTERRUPTION, f"READY with accepted {status.accepted_seq} and done {status.done_seq}"
        )
    if status.done_seq and status.done_opcode not in OPCODES[bench.kind]:
        raise Finding(Defect.WRONG_STATUS, f"done_opcode {status.done_opcode:#04x} is none of this unit")
    return (
        f"{status.state.name}, accepted {status.accepted_seq}, done {status.done_seq}, boot id {status.boot_id:#010x}"
    )


def status_whole(bench: Bench) -> str:
    """Many status blocks in a row, each whole."""
    torn = 0
    for _ in range(_LOOKS):
        values = bench.board.status_registers()
        torn += crc16_of_registers(values[:-1]) != values[-1]
    if torn:
        raise Finding(Defect.TORN_STATUS, f"{torn} of {_LOOKS} blocks have a CRC that does not fit")
    return f"{_LOOKS} of {_LOOKS} whole"


def parts(bench: Bench) -> str:
    """Every register of the blocks can be read alone, and in parts."""
    whole = bench.board.read(IDENTITY_ADDRESS, IDENTITY_COUNT)
    seen: list[int] = []
    for start, count in ((IDENTITY_ADDRESS, IDENTITY_COUNT), (STATUS_ADDRESS, STATUS_COUNT)):
        for address in range(start, start + count):
            values = bench.board.read(address, 1)
            if isinstance(values, Refusal):
                raise Finding(Defect.READ_REFUSED, f"register {address:#06x}: {values}")
            seen += values
    if tuple(seen[:IDENTITY_COUNT]) != whole:
        raise Finding(Defect.WRONG_IDENTITY, "read one by one the registers differ from the block")
    for address, count in ((IDENTITY_ADDRESS + 2, 5), (STATUS_ADDRESS, STATUS_COUNT - 1), (STATUS_ADDRESS + 5, 4)):
        values = bench.board.read(address, count)
        if isinstance(values, Refusal):
            raise Finding(Defect.READ_REFUSED, f"{count} registers from {address:#06x}: {values}")
    return f"{len(seen)} registers one by one, 3 parts"


def read_limits(bench: Bench) -> str:
    """Reads outside the blocks, and of impossible counts, are refused."""
    address, value = ExceptionCode.ILLEGAL_DATA_ADDRESS, ExceptionCode.ILLEGAL_DATA_VALUE
    cases = (
        (STATUS_ADDRESS, STATUS_COUNT + 1, address),
        (STATUS_ADDRESS + STATUS_COUNT - 1, 2, address),
        (STATUS_ADDRESS + STATUS_COUNT, 1, address),
        (STATUS_ADDRESS - 1, 2, address),
        (IDENTITY_ADDRESS + IDENTITY_COUNT, 1, address),
        (IDENTITY_ADDRESS, 125, address),
        (0x8000, 1, address),
        (0xFFFF, 2, address),
        (STATUS_ADDRESS, 0, value),
        (STATUS_ADDRESS, 126, value),
    )
    for start, count, code in cases:
        what = f"read of {count} from {start:#06x}"
        try:
            given = bench.board.read(start, count)
        except Finding as finding:
            if finding.defect is Defect.BAD_ANSWER:
                raise Finding(Defect.RANGE_OVERRUN, f"{what}: {finding.seen}") from finding
            raise
        refusal = given if isinstance(given, Refusal) else None
        must_refuse(refusal, code, Defect.RANGE_OVERRUN, what)
    return f"{len(cases)} reads refused"


def functions(bench: Bench) -> str:
    """Function codes other than 3 and 16 are refused."""
    accepted = bench.board.status().accepted_seq
    for function, rest in _OTHER_FUNCTIONS.items():
        answer = bench.board.ask(bytes((function,)) + rest)
        what = f"function {function}"
        if answer is None or answer.broken:
            raise Finding(Defect.NO_ANSWER, f"{what}: {answer.broken if answer else 'no answer'}")
        refusal = Refusal(answer.pdu[1]) if answer.pdu[0] == function | 0x80 and len(answer.pdu) == 2 else None
        must_refuse(refusal, ExceptionCode.ILLEGAL_FUNCTION, Defect.FC6_ACCEPTED, what)
    _nothing_taken(bench, accepted, Defect.FC6_ACCEPTED)
    return f"functions {', '.join(map(str, _OTHER_FUNCTIONS))}: exception 1"


def writes_elsewhere(bench: Bench) -> str:
    """Only the command block can be written."""
    accepted = bench.board.status().accepted_seq
    starts = (STATUS_ADDRESS, STATUS_ADDRESS + 17, IDENTITY_ADDRESS, 0x0300, COMMAND_ADDRESS + COMMAND_COUNT)
    for start in starts:
        must_refuse(
            bench.board.write(start, [0, 0]),
            ExceptionCode.ILLEGAL_DATA_ADDRESS,
            Defect.ACCEPTS_WRITE_ELSEWHERE,
            f"write to {start:#06x}",
        )
    _nothing_taken(bench, accepted, Defect.ACCEPTS_WRITE_ELSEWHERE)
    return f"{len(starts)} writes refused"


def partial_blocks(bench: Bench) -> str:
    """A command block is written whole or not at all."""
    accepted = bench.board.status().accepted_seq
    registers = [*bench.board.next_command(1).to_registers(), 0]
    for first, count in ((0, 1), (0, 6), (0, COMMAND_COUNT - 1), (0, COMMAND_COUNT + 1), (6, 6)):
        must_refuse(
            bench.board.write(COMMAND_ADDRESS + first, registers[first : first + count]),
            ExceptionCode.ILLEGAL_DATA_VALUE,
            Defect.ACCEPTS_PARTIAL_BLOCK,
            f"write of {count} registers to {COMMAND_ADDRESS + first:#06x}",
            others=(ExceptionCode.ILLEGAL_DATA_ADDRESS,),
        )
    _nothing_taken(bench, accepted, Defect.ACCEPTS_PARTIAL_BLOCK)
    return "5 partial writes refused"


def unit_addresses(bench: Bench) -> str:
    """Requests to other unit addresses are not answered by this unit."""
    board = bench.board
    for unit in (unit for unit in _FOREIGN if unit != board.unit):
        answer = board.line.ask(unit, struct.pack(">BHH", READ, IDENTITY_ADDRESS, IDENTITY_COUNT), bench.silence)
        if answer is not None and not (len(answer.pdu) == 2 and answer.pdu[1] in _GATEWAY):
            raise Finding(Defect.ANSWERS_FOREIGN_UNIT, f"a read from unit {unit} was answered")
    return f"units {', '.join(map(str, _FOREIGN))}: no answer of this unit"


def broadcast(bench: Bench) -> str:
    """A broadcast command is neither answered nor obeyed."""
    before = bench.board.settled()
    registers = bench.board.next_command(1).to_registers()
    body = struct.pack(f">BBHHB{COMMAND_COUNT}H", 0, WRITE, COMMAND_ADDRESS, COMMAND_COUNT, 24, *registers)
    if answer := bench.board.line.raw(_sealed(body), bench.silence):
        raise Finding(Defect.ANSWERS_BROADCAST, f"answered with {answer[:20].hex(' ')}")
    _nothing_taken(bench, before.accepted_seq, Defect.OBEYS_BROADCAST)
    return "a command to unit 0: no answer, nothing accepted"


def line_crc(bench: Bench) -> str:
    """A frame with a wrong CRC is not answered."""
    frame = _sealed(struct.pack(">BBHH", bench.board.unit, READ, IDENTITY_ADDRESS, 2))
    for spoiled in (frame[:-1] + bytes((frame[-1] ^ 1,)), frame[:-2] + frame[:-3:-1], frame[:3] + b"\x10" + frame[4:]):
        if answer := bench.board.line.raw(spoiled, bench.silence):
            raise Finding(Defect.IGNORES_LINE_CRC, f"{spoiled.hex(' ')} was answered with {answer[:20].hex(' ')}")
    return "3 spoiled frames: no answer"


def garbage(bench: Bench) -> str:
    """After bytes that are no frame, and a pause, a good request is answered."""
    frame = _sealed(struct.pack(">BBHH", bench.board.unit, READ, IDENTITY_ADDRESS, 2))
    cases = (b"\x00", frame[:5], bytes(range(40)), b"\xff" * 300, frame[:-1] + bytes((frame[-1] ^ 1,)))
    for bytes_sent in cases:
        bench.board.line.raw(bytes_sent, bench.silence)
        try:
            bench.board.identity()
        except Finding as finding:
            raise Finding(Defect.DEAF_AFTER_GARBAGE, f"after {bytes_sent[:8].hex(' ')}…: {finding.seen}") from finding
    return f"{len(cases)} times garbage, each time the next request was answered"


def tcp_header(bench: Bench) -> str:
    """After a stream that is no Modbus/TCP a new connection works. What the stream is answered with is not looked at."""
    body = struct.pack(">BBHH", bench.board.unit, READ, IDENTITY_ADDRESS, 2)
    for head in (struct.pack(">HHH", 1, 1, len(body)), struct.pack(">HHH", 1, 0, 0xFFFF), b"\xff" * 300):
        bench.board.line.raw(head + body, bench.silence)
        try:
            bench.board.identity()
        except Finding as finding:
            raise Finding(Defect.DEAF_AFTER_GARBAGE, f"after {head[:6].hex(' ')}: {finding.seen}") from finding
    return "3 streams that are no Modbus/TCP; each time a new connection worked"


def timing(bench: Bench) -> str:
    """All answers of this run came within the declared maximum."""
    limit = bench.identity.max_response_ms / 1000 + _HOST_SECONDS
    times = bench.board.times
    late = [seconds for seconds in times if seconds > limit]
    seen = f"{len(late)} of {len(times)} answers after more than {bench.identity.max_response_ms} ms"
    seen += f", the longest after {1000 * max(times):.0f} ms"
    if len(late) > max(2, len(times) // _LATE_SHARE):
        raise Finding(Defect.SLOW_ANSWER, seen)
    return seen


def _sealed(body: bytes) -> bytes:
    return body + crc16(body).to_bytes(2, "little")


def _nothing_taken(bench: Bench, accepted: int, defect: Defect) -> None:
    now = bench.board.status().accepted_seq
    if now != accepted:
        raise Finding(defect, f"accepted_seq went from {accepted} to {now}")
