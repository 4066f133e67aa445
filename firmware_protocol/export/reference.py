"""The register reference: what a firmware engineer needs to build a board, as Markdown.

Prose with numbered clauses stands in reference_text; tables and bytes come from the declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from firmware_protocol import samv
from firmware_protocol.blocks import (
    BLOCKS,
    COMMAND,
    DETAILS,
    IDENTITY,
    STATUS,
    CommandBlock,
    IdentityBlock,
    StatusBlock,
)
from firmware_protocol.cardtext import LAYOUTS, TYPE_OFFSET, table_of
from firmware_protocol.declaration import (
    HEADER,
    MAX_ANSWER_MS,
    V1_0,
    VERSION,
    Block,
    Described,
    DescribedFlag,
    Register,
)
from firmware_protocol.export.reference_text import CARD_READER, CLAUSES, EXAMPLES, NON_VOLATILE, SKELETON, TITLE
from firmware_protocol.line import (
    BAUD_RATES,
    MOTION_MS,
    ExceptionCode,
    exception_response,
    gap_us,
    read_request,
    read_response,
    rtu_frame,
    write_request,
    write_response,
)
from firmware_protocol.mailbox import Verdict
from firmware_protocol.units import (
    OPCODES,
    RULES,
    SENSORS,
    Argument,
    Fault,
    Interlock,
    Light,
    Opcode,
    Position,
    Result,
    Sensor,
    State,
    UnitKind,
)


def reference() -> str:
    """The text of reference.md."""
    return "\n".join([_filled(TITLE), *_sections()]).rstrip() + "\n"


def _filled(text: str) -> str:
    values = {
        "VERSION": str(VERSION),
        "BAUD": str(BAUD_RATES[0]),
        "BAUDS": ", ".join(f"{rate}" for rate in BAUD_RATES),
        "GAPS": ", ".join(f"{gap_us(rate) / 1000:g} ms at {rate}" for rate in reversed(BAUD_RATES)),
        "ANSWER": str(MAX_ANSWER_MS),
        "MOTION": str(MOTION_MS // 1000),
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _sections() -> Iterator[str]:
    yield _filled(CLAUSES)
    yield "## 5 The rule of the mailbox\n"
    yield "The unit looks in this order and stops at the first that applies. `lk_judge` in lk_protocol.h is this table.\n"
    yield from _verdicts()
    yield _filled(NON_VOLATILE)
    yield "## 8 Blocks\n"
    for number, block in enumerate(BLOCKS, 1):
        yield from _block(f"8.{number}", block)
    yield from _detail("8.4")
    yield "## 9 Opcodes\n"
    for number, kind in enumerate(UnitKind, 1):
        yield from _opcodes(f"9.{number}", kind)
    yield "## 10 Values\n"
    for number, members in enumerate(((State, Result, Position, Fault, UnitKind)), 1):
        yield from _values(f"10.{number} {members.__name__}", members, lambda one: f"{int(one)}")
    yield from _sensors("10.6 Sensor")
    yield from _values("10.7 Light", Light, lambda one: f"{int(one):#06x}")
    yield _filled(EXAMPLES)
    yield from _examples()
    yield from _reader()
    yield _filled(SKELETON)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    columns = list(head)
    yield "| " + " | ".join(columns) + " |"
    yield "|" + " --- |" * len(columns)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


def _verdicts() -> Iterator[str]:
    order = (
        Verdict.BAD_BLOCK,
        Verdict.REPEATED,
        Verdict.FOREIGN_BOOT,
        Verdict.OUT_OF_ORDER,
        Verdict.BUSY,
        Verdict.BAD_ARGUMENT,
        Verdict.ACCEPT,
    )
    rows = (
        (str(number), f"`{one.name}`", one.meaning, f"exception {int(one.exception)}" if one.exception else "normal")
        for number, one in enumerate(order, 1)
    )
    yield from _table(("", "verdict", "when, and what to do", "answer"), rows)


def _block(number: str, block: Block) -> Iterator[str]:
    place = f"address {block.address:#06x}, {block.count} registers, {block.access.value}"
    yield f"### {number} {block.name.capitalize()}: {place}\n"
    yield block.meaning + "\n"
    rows = [_row(one) for one in HEADER]
    at = HEADER[-1].offset + 1
    for one in block.registers:
        rows += _reserved(at, one.offset)
        rows.append(_row(one))
        at = one.offset + one.words
    rows += _reserved(at, block.count - 1)
    crc = (f"+{block.count - 1}", "`crc`", "u16", "", "", "CRC-16/MODBUS over all registers before it.", str(V1_0))
    yield from _table(("register", "name", "type", "range", "unit", "meaning", "since"), [*rows, crc])


def _reserved(first: int, end: int) -> list[tuple[str, ...]]:
    if first == end:
        return []
    return [(_span(first, end - first), "reserved", "u16", "0", "", "Write 0, ignore when read.", "")]


def _span(offset: int, words: int) -> str:
    return f"+{offset}" + (f"…+{offset + words - 1}" if words > 1 else "")


def _row(one: Register) -> tuple[str, ...]:
    low, high = one.range
    kind = one.wire_type.value + (f" × {one.count}" if one.count > 1 else "")
    if one.values is not None:
        bounds = f"clause 10, {one.values.__name__}"
    else:
        free = (low, high) == one.wire_type.bounds
        bounds = "" if free else f"{low:#06x}" if low == high else f"{low} to {high}"
    return (_span(one.offset, one.words), f"`{one.name}`", kind, bounds, one.unit, one.meaning, str(one.since))


def _detail(number: str) -> Iterator[str]:
    yield f"### {number} Detail registers of the status\n"
    yield "Registers of `detail` that a kind of unit does not name are 0.\n"
    head = ("kind", "register", "name", "type", "range", "unit", "meaning", "since")
    rows = ((kind.name.lower(), *_row(one)) for kind, registers in DETAILS.items() for one in registers)
    yield from _table(head, rows)


def _opcodes(number: str, kind: UnitKind) -> Iterator[str]:
    yield f"### {number} {kind.name.capitalize()}: {kind.meaning}\n"
    rows = []
    for opcode in Opcode:
        if opcode in OPCODES[kind]:
            rule = RULES[opcode]
            unseen = "slot" if rule.argument is Argument.SLOT else "out of the machine"
            carries = (
                " → ".join(unseen if one is Position.NONE else one.name for one in rule.carries or ()) or "no card"
            )
            needs = "; ".join(_interlock(one) for one in rule.interlocks) or "nothing"
            first = (f"{int(opcode):#04x}", f"`{opcode.name}`", opcode.meaning)
            rows.append((*first, rule.argument.meaning, carries, needs, str(opcode.since)))
    yield from _table(("opcode", "name", "what it does", "arg0", "carries", "needs, in this order", "since"), rows)


def _interlock(one: Interlock) -> str:
    present = [f"{sensor.name} set" for sensor in Sensor if sensor in one.present]
    absent = [f"{sensor.name} clear" for sensor in Sensor if sensor in one.absent]
    return f"{' and '.join(present + absent)}, else {one.fault.name}"


def _values(title: str, members: Iterable[Described | DescribedFlag], number: Callable[[int], str]) -> Iterator[str]:
    yield f"### {title}\n"
    yield from _table(
        ("value", "name", "meaning", "since"),
        ((number(one), f"`{one.name}`", one.meaning, str(one.since)) for one in members),
    )


def _sensors(number: str) -> Iterator[str]:
    yield f"### {number}\n"
    yield "A unit reads the bits that it does not have as 0.\n"
    rows = []
    for one in Sensor:
        units = ", ".join(kind.name.lower() for kind, has in SENSORS.items() if one in has)
        rows.append((str(int(one).bit_length() - 1), f"`{one.name}`", one.meaning, units, str(one.since)))
    yield from _table(("bit", "name", "set when", "units", "since"), rows)


def _examples() -> Iterator[str]:
    identity = IdentityBlock(UnitKind.DISPENSER, 20, 990101, 100)
    idle = StatusBlock(
        boot_id=0x0000CAFE,
        state=State.READY,
        accepted_seq=41,
        done_seq=41,
        done_opcode=Opcode.ALIGN,
        result=Result.DONE,
        step=0,
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
    command = CommandBlock(0x0000CAFE, 42, Opcode.PICK, 3).to_registers()
    damaged = [*command[:7], 4, *command[8:]]
    refusal = exception_response(16, ExceptionCode.ILLEGAL_DATA_VALUE)
    for title, pdu in (
        ("Host reads the identity", read_request(IDENTITY.address, IDENTITY.count)),
        ("A dispenser of 20 slots, board 990101, answering within 100 ms", read_response(identity.to_registers())),
        ("Host reads the status", read_request(STATUS.address, STATUS.count)),
        ("READY, 41 done, slot 3 at the picker with a card in it", read_response(idle.to_registers())),
        ("Host writes command 42: PICK 3", write_request(COMMAND.address, command)),
        ("Accepted (and the same answer when it is repeated)", write_response(COMMAND.address, COMMAND.count)),
        ("The same with a damaged argument: its CRC does not fit", write_request(COMMAND.address, damaged)),
        ("Refused with exception 3, nothing happened", refusal),
    ):
        yield f"{title}:\n\n```\n{_wrapped(rtu_frame(1, pdu))}\n```\n"


def _wrapped(frame: bytes) -> str:
    return "\n".join(frame[at : at + 24].hex(" ").upper() for at in range(0, len(frame), 24))


def _reader() -> Iterator[str]:
    yield _filled(CARD_READER)
    yield from _values(
        "13.1 Commands (CMD PARA)", samv.Command, lambda one: f"{int(one) >> 8:02X} {int(one) & 0xFF:02X}"
    )
    yield from _values("13.2 Status (SW3)", samv.Status, lambda one: f"{int(one):02X}")
    yield "### 13.3 Text of a card: 256 bytes, UTF-16LE, padded with spaces\n"
    yield f"The type letter at byte {TYPE_OFFSET} tells the layout; offset:length in bytes.\n"
    rows = []
    for layout in LAYOUTS:
        places = ", ".join(f"`{name}` {at.offset}:{at.length}" for name, at in table_of(layout).items())
        rows.append((layout.LETTER or "space", layout.__name__, places))
    yield from _table(("letter", "layout", "fields"), rows)
    yield "Bytes for every command, and streams with damage in them, are in vectors.json.\n"
