"""The C99 header: constants, offsets, CRC, blocks, and the mailbox rule as static inline functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from firmware_protocol import samv
from firmware_protocol.blocks import BLOCKS, COMMAND, DETAILS, IDENTITY, STATUS
from firmware_protocol.declaration import (
    MAGIC,
    MAX_ANSWER_MS,
    VERSION,
    Block,
    Described,
    DescribedFlag,
    Flaw,
    Register,
    WireType,
)
from firmware_protocol.export import c_code
from firmware_protocol.line import MOTION_MS, ExceptionCode
from firmware_protocol.mailbox import Verdict
from firmware_protocol.units import (
    MAX_SLOTS,
    NO_SLOT,
    RULES,
    SENSORS,
    Argument,
    Fault,
    Light,
    Opcode,
    Position,
    Result,
    Sensor,
    State,
    UnitKind,
)

_ENUMERATIONS: tuple[tuple[str, type[Described] | type[DescribedFlag]], ...] = (
    ("KIND", UnitKind),
    ("OPCODE", Opcode),
    ("STATE", State),
    ("RESULT", Result),
    ("POSITION", Position),
    ("SENSOR", Sensor),
    ("FAULT", Fault),
    ("LIGHT", Light),
    ("SAMV_COMMAND", samv.Command),
    ("SAMV_STATUS", samv.Status),
)


def c_header() -> str:
    """The text of lk_protocol.h, in ASCII."""
    parts = [
        c_code.HEAD.replace("@VERSION@", str(VERSION)),
        "\n".join(_constants()),
        *("\n".join(_block(block)) for block in BLOCKS),
        "\n".join(_details()),
        *("\n".join(_enumeration(prefix, members)) for prefix, members in _ENUMERATIONS),
        "\n".join(_sets()),
        c_code.BASICS,
        _struct("identity", IDENTITY.registers),
        _encoder("identity", IDENTITY),
        _struct("status", STATUS.registers),
        _encoder("status", STATUS),
        _struct("command", COMMAND.registers),
        c_code.OPENING,
        _decoder("command", COMMAND),
        _has_opcode(),
        _argument_fits(),
        _interlock(),
        c_code.JUDGE.replace("@EXCEPTIONS@", "\n".join(_exceptions())),
        c_code.TAIL,
    ]
    return "\n\n".join(parts) + "\n"


def _constants() -> Iterator[str]:
    yield _define("LK_MAGIC", MAGIC, "first register of every block")
    yield _define("LK_VERSION_MAJOR", VERSION.major, "a block of another major version is refused", decimal=True)
    yield _define("LK_VERSION_MINOR", VERSION.minor, "a newer minor is lived with", decimal=True)
    yield _define("LK_VERSION", VERSION.major << 8 | VERSION.minor, "second register of every block")
    yield _define("LK_MAX_SLOTS", MAX_SLOTS, "largest capacity", decimal=True)
    yield _define("LK_NO_SLOT", NO_SLOT, "in status.slot: none, or not known")
    yield _define("LK_MAX_ANSWER_MS", MAX_ANSWER_MS, "longest answer time that a board may declare", decimal=True)
    yield _define("LK_MOTION_MS", MOTION_MS, "longest time from acceptance to the end of a command", decimal=True)
    for code in ExceptionCode:
        yield _define(f"LK_EXCEPTION_{code.name}", code, "Modbus exception code", decimal=True)
    header = ", ".join(f"0x{byte:02X}u" for byte in samv.HEADER)
    yield f"#define LK_SAMV_HEADER {{{header}}} /* every frame of the ID-card reader begins so */"
    yield _define("LK_SAMV_HEADER_LENGTH", len(samv.HEADER), "", decimal=True)
    yield _define("LK_SAMV_PREFIX_LENGTH", samv.PREFIX_LENGTH, "header and length", decimal=True)
    yield _define("LK_SAMV_TEXT_LENGTH", samv.TEXT_LENGTH, "bytes", decimal=True)
    yield _define("LK_SAMV_PHOTO_LENGTH", samv.PHOTO_LENGTH, "bytes", decimal=True)
    yield _define("LK_SAMV_ADDED_ADDRESS_LENGTH", samv.ADDED_ADDRESS_LENGTH, "bytes", decimal=True)
    yield _define("LK_SAMV_MAX_REQUEST", samv.REQUEST_LENGTHS[1], "greatest length field of a request", decimal=True)
    yield _define("LK_SAMV_MAX_REPLY", samv.REPLY_LENGTHS[1], "greatest length field of a reply", decimal=True)


def _block(block: Block) -> Iterator[str]:
    name = block.name.upper()
    yield f"/* The {block.name} block: {_ascii(block.meaning)} */"
    yield _define(f"LK_{name}_ADDRESS", block.address, "0-based")
    yield _define(f"LK_{name}_COUNT", block.count, "registers, CRC included", decimal=True)
    for one in block.registers:
        yield _define(f"LK_{name}_{one.name.upper()}", one.offset, _type(one), decimal=True)
        if one.count > 1:
            yield _define(f"LK_{name}_{one.name.upper()}_COUNT", one.count, "", decimal=True)
    yield _define(f"LK_{name}_CRC", block.count - 1, "CRC-16/MODBUS over all registers before it", decimal=True)


def _details() -> Iterator[str]:
    yield "/* What the detail registers of the status are in each kind of unit: index into detail[]. */"
    first = next(one.offset for one in STATUS.registers if one.name == "detail")
    for kind, registers in DETAILS.items():
        for one in registers:
            yield _define(
                f"LK_{kind.name}_{one.name.upper()}", one.offset - first, f"{_type(one)}; {one.meaning}", decimal=True
            )


def _enumeration(prefix: str, members: type[Described] | type[DescribedFlag]) -> Iterator[str]:
    wide = issubclass(members, DescribedFlag) and max(int(one) for one in members) > 0xFFFF
    for one in members:
        yield _define(f"LK_{prefix}_{one.name}", one, one.meaning, wide=wide)


def _sets() -> Iterator[str]:
    for kind, sensors in SENSORS.items():
        yield _define(f"LK_SENSORS_OF_{kind.name}", sensors, "sensors that it has", wide=True)
    yield ""
    yield "typedef enum lk_flaw {"
    yield "    LK_FLAW_NONE = 0,"
    yield from (f"    LK_FLAW_{flaw.name} = {flaw.value}," for flaw in Flaw if flaw not in (Flaw.RANGE, Flaw.VALUE))
    yield f"    LK_FLAW_VALUE = {Flaw.VALUE.value}"
    yield "} lk_flaw;"
    yield ""
    yield "typedef enum lk_verdict {"
    last = list(Verdict)[-1]
    for verdict in Verdict:
        comma = "" if verdict is last else ","
        yield f"    LK_VERDICT_{verdict.name} = {verdict.number}{comma} /* {_ascii(verdict.meaning)} */"
    yield "} lk_verdict;"


def _struct(name: str, registers: Iterable[Register]) -> str:
    lines = [f"typedef struct lk_{name} {{"]
    for one in registers:
        size = f"[{one.count}]" if one.count > 1 else ""
        lines.append(f"    {_c_type(one)} {one.name}{size}; /* {_ascii(one.meaning)} */")
    return "\n".join([*lines, f"}} lk_{name};"])


def _encoder(name: str, block: Block) -> str:
    lines = [
        f"/* Fills all LK_{name.upper()}_COUNT registers, CRC included. */",
        f"static inline void lk_encode_{name}(const lk_{name} *from, uint16_t *registers)",
        "{",
        "    size_t i;",
        f"    for (i = 0; i < LK_{name.upper()}_COUNT; i++) {{",
        "        registers[i] = 0;",
        "    }",
    ]
    for one in block.registers:
        offset = f"LK_{name.upper()}_{one.name.upper()}"
        if one.wire_type is WireType.U32:
            lines.append(f"    lk_put_u32(registers + {offset}, from->{one.name});")
        elif one.count > 1:
            lines += [
                f"    for (i = 0; i < {offset}_COUNT; i++) {{",
                f"        registers[{offset} + i] = from->{one.name}[i];",
                "    }",
            ]
        else:
            lines.append(f"    registers[{offset}] = from->{one.name};")
    return "\n".join([*lines, f"    lk_seal(registers, LK_{name.upper()}_COUNT);", "}"])


def _decoder(name: str, block: Block) -> str:
    upper = name.upper()
    lines = [
        f"/* Opens a {name} block of `count` registers; *into is written only when the block is good. */",
        f"static inline lk_flaw lk_decode_{name}(const uint16_t *registers, size_t count, lk_{name} *into)",
        "{",
        f"    const lk_flaw flaw = lk_open(registers, count, LK_{upper}_COUNT);",
        "    if (flaw != LK_FLAW_NONE) {",
        "        return flaw;",
        "    }",
    ]
    for one in block.registers:
        offset = f"LK_{upper}_{one.name.upper()}"
        value = f"lk_get_u32(registers + {offset})" if one.wire_type is WireType.U32 else f"registers[{offset}]"
        lines.append(f"    into->{one.name} = {value};")
    return "\n".join([*lines, "    return LK_FLAW_NONE;", "}"])


def _has_opcode() -> str:
    lines = [
        "/* Whether a unit of this kind has the opcode. */",
        "static inline int lk_has_opcode(uint16_t kind, uint16_t opcode)",
        "{",
        "    switch (opcode) {",
    ]
    for opcode, rule in RULES.items():
        lines.append(f"    case LK_OPCODE_{opcode.name}:")
        tests = " || ".join(f"kind == LK_KIND_{kind.name}" for kind in UnitKind if kind in rule.units)
        lines.append(f"        return {tests};")
    return "\n".join([*lines, "    default:", "        return 0;", "    }", "}"])


def _argument_fits() -> str:
    lines = [
        "/* Whether arg0 of the opcode is within its range; `capacity` is the unit's number of slots. */",
        "static inline int lk_argument_fits(uint16_t opcode, uint16_t arg0, uint16_t capacity)",
        "{",
        "    switch (opcode) {",
    ]
    for argument in Argument:
        limit = "arg0 < capacity" if argument is Argument.SLOT else f"arg0 <= {argument.high}u"
        opcodes = [opcode for opcode, rule in RULES.items() if rule.argument is argument]
        if (argument is Argument.SLOT or argument.high is not None) and opcodes:
            lines += [f"    case LK_OPCODE_{opcode.name}:" for opcode in opcodes]
            lines.append(f"        return {limit};")
    lines += ["    default:", "        (void)arg0;", "        (void)capacity;", "        return 1;", "    }", "}"]
    return "\n".join(lines)


def _interlock() -> str:
    lines = [
        "/* Why the sensors forbid the motion, LK_FAULT_NONE when they allow it. Ask after the verdict, before motor power;",
        "   a command that is forbidden here is accepted and ends at once with LK_RESULT_FAULT. */",
        "static inline uint16_t lk_interlock(uint16_t opcode, uint32_t sensors)",
        "{",
        "    switch (opcode) {",
    ]
    for opcode, rule in RULES.items():
        if not rule.interlocks:
            continue
        lines.append(f"    case LK_OPCODE_{opcode.name}:")
        for interlock in rule.interlocks:
            lines += [
                f"        if ((sensors & {_mask(interlock.present | interlock.absent)}) != {_mask(interlock.present)}) {{",
                f"            return LK_FAULT_{interlock.fault.name};",
                "        }",
            ]
        lines.append("        return LK_FAULT_NONE;")
    lines += ["    default:", "        (void)sensors;", "        return LK_FAULT_NONE;", "    }", "}"]
    return "\n".join(lines)


def _exceptions() -> Iterator[str]:
    for code in ExceptionCode:
        verdicts = [verdict for verdict in Verdict if verdict.exception is code]
        if verdicts:
            yield from (f"    case LK_VERDICT_{verdict.name}:" for verdict in verdicts)
            yield f"        return LK_EXCEPTION_{code.name};"


def _mask(sensors: Sensor) -> str:
    names = [f"LK_SENSOR_{one.name}" for one in Sensor if one in sensors]
    if not names:
        return "0u"
    return names[0] if len(names) == 1 else f"({' | '.join(names)})"


def _type(one: Register) -> str:
    low, high = one.range
    unit = f" {one.unit}" if one.unit else ""
    bounds = "" if (low, high) == one.wire_type.bounds else f", {low} to {high}"
    return f"{one.wire_type.value}{bounds}{unit}"


def _c_type(one: Register) -> str:
    return "uint32_t" if one.wire_type is WireType.U32 else "uint16_t"


def _define(name: str, value: int, meaning: str, *, wide: bool = False, decimal: bool = False) -> str:
    number = f"{value}u" if decimal else f"UINT32_C(0x{value:08X})" if wide else f"0x{value:04X}u"
    return f"#define {name} {number}" + (f" /* {_ascii(meaning)} */" if meaning else "")


def _ascii(text: str) -> str:
    return text.replace("°", "deg ").replace("`", "").rstrip(".").encode("ascii").decode("ascii")
