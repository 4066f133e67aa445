"""The checks of the wires: CRC-16/MODBUS of Modbus RTU and of the mailbox blocks, and the XOR of the bought devices' frames."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def _table_entry(index: int) -> int:
    for _ in range(8):
        index = (index >> 1) ^ 0xA001 if index & 1 else index >> 1
    return index


_TABLE = tuple(_table_entry(index) for index in range(256))


_TWO_STEPS = tuple((entry >> 8) ^ _TABLE[entry & 0xFF] for entry in _TABLE)  # a byte and a zero byte after it


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS of `data` (polynomial 0xA001 reflected, start 0xFFFF); check value of b"123456789" is 0x4B37."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def crc16_of_registers(registers: Sequence[int]) -> int:
    """CRC-16/MODBUS over 16-bit registers, each high byte first; raises OverflowError for a value outside 16 bits."""
    try:
        data = struct.pack(f">{len(registers)}H", *registers)
    except struct.error as error:
        raise OverflowError("a register is outside 16 bits") from error
    return crc16_of_words(data)


def crc16_of_words(data: bytes) -> int:
    """As `crc16`, for an even number of bytes."""
    crc = 0xFFFF
    for two in struct.unpack(f"<{len(data) // 2}H", data):  # it runs for each block that is read
        crc ^= two
        crc = _TWO_STEPS[crc & 0xFF] ^ _TABLE[crc >> 8]
    return crc


def xor_of(data: bytes | bytearray) -> int:
    """XOR of all bytes; over a frame's checked part and its check it is 0."""
    # Folding one big number halves the work at each step; byte by byte, garbage full of headers would hold the loop up.
    value = int.from_bytes(data, "big")
    size = len(data)
    while size > 1:
        half = (size + 1) // 2
        value = (value >> 8 * half) ^ (value & (1 << 8 * half) - 1)
        size = half
    return value
