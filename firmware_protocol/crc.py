"""CRC-16/MODBUS, used on the serial line by Modbus RTU and inside the mailbox blocks."""

from __future__ import annotations

from collections.abc import Sequence


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS of `data` (polynomial 0xA001 reflected, start 0xFFFF); check value of b"123456789" is 0x4B37."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def crc16_of_registers(registers: Sequence[int]) -> int:
    """CRC-16/MODBUS over 16-bit registers, each high byte first."""
    return crc16(b"".join(register.to_bytes(2, "big") for register in registers))
