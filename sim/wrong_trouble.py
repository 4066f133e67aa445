"""Firmwares that are wrong where a motion cannot be made or a contact moves; as in `sim.wrong_firmware`, one thing in each."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from firmware_protocol.blocks import StatusBlock
from firmware_protocol.units import Fault, Opcode, Result, Sensor
from sim.firmware import UnitFirmware


class HidesJam(UnitFirmware):
    """Ends a jammed motion as if nothing had been."""

    async def _move(self, opcode: Opcode, arg0: int, fault: Fault, *, held: bool) -> None:
        await super()._move(opcode, arg0, fault, held=held)
        if self._record.fault == Fault.JAM:
            self._keep(msgspec.structs.replace(self._record, result=Result.DONE, fault=Fault.NONE))


class ForgetsCard(UnitFirmware):
    """Believes that there is no card where its sensors see none."""

    def _still_carried(self, opcode: Opcode, arg0: int, fault: Fault, sensors: int) -> bool:
        return False


class InventsCard(UnitFirmware):
    """Believes that what it set out to load has come."""

    def _still_carried(self, opcode: Opcode, arg0: int, fault: Fault, sensors: int) -> bool:
        return opcode is Opcode.LOAD or super()._still_carried(opcode, arg0, fault, sensors)


class Overfills(UnitFirmware):
    """Never looks whether the box is full."""

    def _interlock(self, opcode: Opcode, sensors: int) -> Fault:
        fault = super()._interlock(opcode, sensors)
        return Fault.NONE if fault is Fault.BIN_FULL else fault


class PushesIntoCard(UnitFirmware):
    """Never looks whether a card is in the way, and gets stuck on it."""

    async def _move(self, opcode: Opcode, arg0: int, fault: Fault, *, held: bool) -> None:
        await super()._move(opcode, arg0, Fault.JAM if fault is Fault.TARGET_OCCUPIED else fault, held=held)


class BlindContact(UnitFirmware):
    """Has a tamper contact whose wire is broken."""

    def _status(self) -> list[int]:
        status = StatusBlock.from_registers(super()._status())
        return replace(status, sensors=status.sensors & ~Sensor.TAMPER).to_registers()
