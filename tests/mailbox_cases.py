"""Cases of the mailbox rule written by hand from the rule's text; they drive the Python rule and the exported C rule.

The text: whole block with a good CRC or nothing; seq == accepted -> no-op ack (checked before boot_id); foreign boot_id ->
refused; seq != accepted+1 or busy -> exception 6; else persist and move. After a boot with accepted != done INTERRUPTED,
never resumed by itself. The command blocks are built here register by register.
"""

from __future__ import annotations

from firmware_protocol.mailbox import Verdict
from firmware_protocol.units import State, UnitKind

BOOT = 0xCAFE0001
OTHER_BOOT = 0xCAFE0002
ACCEPTED = 41
CAPACITY = 8
RESET, ALIGN, STORE, PICK, ACCEPT, LIGHT, FAN, HEATER = 0x01, 0x10, 0x12, 0x13, 0x22, 0x30, 0x31, 0x32


def bitwise_crc(data: bytes) -> int:
    """CRC-16/MODBUS by the book, apart from the table in the protocol package."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def block(
    boot: int = BOOT,
    seq: int = ACCEPTED + 1,
    opcode: int = PICK,
    arg0: int = 3,
    *,
    magic: int = 0x4C4B,
    version: int = 0x0100,
) -> list[int]:
    body = [magic, version, boot >> 16, boot & 0xFFFF, seq >> 16, seq & 0xFFFF, opcode, arg0, 0, 0, 0]
    return [*body, bitwise_crc(b"".join(r.to_bytes(2, "big") for r in body))]


def spoiled(registers: list[int], index: int) -> list[int]:
    return [r ^ 0x0010 if i == index else r for i, r in enumerate(registers)]


R, M, I = State.READY, State.RUNNING, State.INTERRUPTED  # noqa: E741 - one letter per column of the table

# name, block, firmware state, accepted_seq, verdict, Modbus exception; the unit is a dispenser of CAPACITY slots
DISPENSER_CASES: list[tuple[str, list[int], State, int, Verdict, int | None]] = [
    ("next seq while ready", block(), R, 41, Verdict.ACCEPT, None),
    ("first command of a new unit", block(seq=1), R, 0, Verdict.ACCEPT, None),
    ("wrap to 1, never 0", block(seq=1), R, 0xFFFFFFFF, Verdict.ACCEPT, None),
    ("0 after the last number", block(seq=0), R, 0xFFFFFFFF, Verdict.OUT_OF_ORDER, 6),
    ("a newer minor version", block(version=0x0107), R, 41, Verdict.ACCEPT, None),
    ("another major version", block(version=0x0200), R, 41, Verdict.BAD_BLOCK, 3),
    ("wrong magic", block(magic=0x4C4C), R, 41, Verdict.BAD_BLOCK, 3),
    ("damaged argument", spoiled(block(), 7), R, 41, Verdict.BAD_BLOCK, 3),
    ("damaged CRC", spoiled(block(), 11), R, 41, Verdict.BAD_BLOCK, 3),
    ("one register short", block()[:-1], R, 41, Verdict.BAD_BLOCK, 3),
    ("one register more", [*block(), 0], R, 41, Verdict.BAD_BLOCK, 3),
    ("nothing", [], R, 41, Verdict.BAD_BLOCK, 3),
    ("repeated while ready", block(seq=41), R, 41, Verdict.REPEATED, None),
    ("repeated while running", block(seq=41), M, 41, Verdict.REPEATED, None),
    ("repeated after an interruption", block(seq=41), I, 41, Verdict.REPEATED, None),
    ("repeated by a host of the boot before", block(OTHER_BOOT, seq=41), I, 41, Verdict.REPEATED, None),
    ("repeated and damaged", spoiled(block(seq=41), 3), R, 41, Verdict.BAD_BLOCK, 3),
    ("foreign boot", block(OTHER_BOOT), R, 41, Verdict.FOREIGN_BOOT, 4),
    ("foreign boot and out of order", block(OTHER_BOOT, seq=50), R, 41, Verdict.FOREIGN_BOOT, 4),
    ("foreign boot while running", block(OTHER_BOOT), M, 41, Verdict.FOREIGN_BOOT, 4),
    ("one seq too far", block(seq=43), R, 41, Verdict.OUT_OF_ORDER, 6),
    ("one seq behind", block(seq=40), R, 41, Verdict.OUT_OF_ORDER, 6),
    ("too far while running", block(seq=43), M, 41, Verdict.OUT_OF_ORDER, 6),
    ("next seq while running", block(), M, 41, Verdict.BUSY, 6),
    ("reset while running", block(opcode=RESET), M, 41, Verdict.BUSY, 6),
    ("next seq after an interruption", block(), I, 41, Verdict.BUSY, 6),
    ("reset after an interruption", block(opcode=RESET), I, 41, Verdict.ACCEPT, None),
    ("reset after an interruption, foreign boot", block(OTHER_BOOT, opcode=RESET), I, 41, Verdict.FOREIGN_BOOT, 4),
    ("last slot", block(arg0=7), R, 41, Verdict.ACCEPT, None),
    ("slot beyond the last", block(arg0=8), R, 41, Verdict.BAD_ARGUMENT, 3),
    ("align beyond the last", block(opcode=ALIGN, arg0=8), R, 41, Verdict.BAD_ARGUMENT, 3),
    ("store beyond the last", block(opcode=STORE, arg0=0xFFFF), R, 41, Verdict.BAD_ARGUMENT, 3),
    ("a recycler's command", block(opcode=ACCEPT), R, 41, Verdict.BAD_ARGUMENT, 3),
    ("a cabinet's command", block(opcode=LIGHT), R, 41, Verdict.BAD_ARGUMENT, 3),
    ("a command nobody has", block(opcode=0x7F), R, 41, Verdict.BAD_ARGUMENT, 3),
    ("argument of a reset is not looked at", block(opcode=RESET, arg0=999), R, 41, Verdict.ACCEPT, None),
]

CABINET_CASES: list[tuple[str, list[int], State, int, Verdict, int | None]] = [
    ("lights", block(opcode=LIGHT, arg0=0x001F), R, 41, Verdict.ACCEPT, None),
    ("lights that the cabinet has not", block(opcode=LIGHT, arg0=0xFFFF), R, 41, Verdict.ACCEPT, None),
    ("fan off", block(opcode=FAN, arg0=0), R, 41, Verdict.ACCEPT, None),
    ("fan at full speed", block(opcode=FAN, arg0=100), R, 41, Verdict.ACCEPT, None),
    ("fan faster than that", block(opcode=FAN, arg0=101), R, 41, Verdict.BAD_ARGUMENT, 3),
    ("heater on", block(opcode=HEATER, arg0=1), R, 41, Verdict.ACCEPT, None),
    ("heater more than on", block(opcode=HEATER, arg0=2), R, 41, Verdict.BAD_ARGUMENT, 3),
    ("a dispenser's command", block(opcode=PICK, arg0=0), R, 41, Verdict.BAD_ARGUMENT, 3),
    ("reset of the cabinet", block(opcode=RESET), R, 41, Verdict.ACCEPT, None),
]

Case = tuple[str, UnitKind, int, list[int], State, int, Verdict, int | None]
# name, kind, capacity, block, state, accepted_seq, verdict, exception
ALL_CASES: list[Case] = [
    *((case[0], UnitKind.DISPENSER, CAPACITY, *case[1:]) for case in DISPENSER_CASES),
    *((case[0], UnitKind.CABINET, 0, *case[1:]) for case in CABINET_CASES),
]
