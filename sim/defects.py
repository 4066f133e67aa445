"""Units that are wrong on purpose, one defect each, so that whoever judges units can be judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from firmware_protocol.crc import crc16
from firmware_protocol.units import UnitKind
from sim import wrong_firmware as wrong
from sim import wrong_trouble as trouble
from sim.firmware import UnitFirmware
from sim.modbus_slave import Answer, RegisterDevice, answer

Spoil = Callable[[bytes], bytes]
"""What a serial line makes of bytes that come in."""

_SLOW_EVERY, _SLOW_SECONDS = 20, 0.4
_DEAF_SECONDS = 1.0


def _accepts_function_6(device: RegisterDevice, pdu: bytes) -> bytes:
    return pdu if pdu[0] == 6 else answer(device, pdu)


def _slow() -> Answer:
    asked = 0

    def late(device: RegisterDevice, pdu: bytes) -> bytes:
        nonlocal asked
        asked += 1
        if asked % _SLOW_EVERY == 0:
            time.sleep(_SLOW_SECONDS)  # such a firmware does nothing else meanwhile
        return answer(device, pdu)

    return late


def _mended() -> Spoil:
    return lambda data: data[:-2] + crc16(data[:-2]).to_bytes(2, "little") if len(data) > 3 else data


def _deaf() -> Spoil:
    deaf_until = float("-inf")

    def spoil(data: bytes) -> bytes:
        nonlocal deaf_until
        if len(data) < 4 or crc16(data[:-2]) != int.from_bytes(data[-2:], "little"):
            deaf_until = time.monotonic() + _DEAF_SECONDS
        return b"" if time.monotonic() < deaf_until else data

    return spoil


@dataclass(frozen=True, slots=True)
class Defect:
    """One way to be wrong. `addresses` are further unit addresses that it answers at; `kinds` and `serial` say where it shows."""

    meaning: str
    firmware: type[UnitFirmware] = UnitFirmware
    respond: Callable[[], Answer] = lambda: answer
    spoil: Callable[[], Spoil] | None = None
    addresses: range = range(0)
    kinds: frozenset[UnitKind] = frozenset(UnitKind)
    serial: bool = False


_MOVERS = frozenset({UnitKind.DISPENSER, UnitKind.RECYCLER})
_DISPENSER = frozenset({UnitKind.DISPENSER})
_CABINET = frozenset({UnitKind.CABINET})

DEFECTS: dict[str, Defect] = {
    "accepts-bad-crc": Defect("takes a command block with a wrong CRC", wrong.AcceptsBadCrc),
    "accepts-foreign-version": Defect(
        "takes a command block of another magic or major version", wrong.AcceptsForeignVersion
    ),
    "executes-repeat": Defect("carries a repeated sequence number out again", wrong.ExecutesRepeat),
    "refuses-repeat": Defect("refuses a repeated sequence number", wrong.RefusesRepeat),
    "boot-id-before-repeat": Defect("refuses a repeated sequence number for its old boot id", wrong.BootIdBeforeRepeat),
    "ignores-boot-id": Defect("takes a command with a foreign boot id", wrong.IgnoresBootId),
    "skips-order": Defect("takes a sequence number out of order", wrong.SkipsOrder),
    "no-busy-refusal": Defect("takes a command while a motion runs", wrong.NoBusyRefusal, kinds=_MOVERS),
    "accepts-bad-slot": Defect("takes a slot beyond its capacity", wrong.AcceptsBadSlot, kinds=_DISPENSER),
    "accepts-bad-argument": Defect("takes an argument beyond its range", wrong.AcceptsBadArgument, kinds=_CABINET),
    "accepts-bad-opcode": Defect("takes an opcode that it does not have", wrong.AcceptsBadOpcode),
    "wrong-exception-code": Defect("refuses with exception 3 whatever the reason", wrong.WrongExceptionCode),
    "accepts-write-elsewhere": Defect("acknowledges writes outside the command block", wrong.AcceptsWriteElsewhere),
    "accepts-partial-block": Defect("acknowledges a part of a command block", wrong.AcceptsPartialBlock),
    "range-overrun": Defect("answers reads beyond the status block", wrong.RangeOverrun),
    "fc6-accepted": Defect("accepts function code 6", respond=lambda: _accepts_function_6),
    "slow-answer": Defect("answers later than it declares", respond=_slow),
    "answers-foreign-unit": Defect("answers at every unit address", addresses=range(1, 248)),
    "answers-broadcast": Defect("obeys and answers broadcasts", addresses=range(1), serial=True),
    "ignores-line-crc": Defect("answers frames with a wrong CRC", spoil=_mended, serial=True),
    "deaf-after-garbage": Defect("hears nothing for a while after bytes that are no frame", spoil=_deaf, serial=True),
    "wrong-crc-in-status": Defect("seals its status with a wrong CRC", wrong.WrongCrcInStatus),
    "torn-status": Defect("mixes two moments in a status now and then", wrong.TornStatus),
    "stale-status": Defect("shows a status older than its acknowledgements", wrong.StaleStatus),
    "done-before-motion": Defect("says done while the motion runs", wrong.DoneBeforeMotion, kinds=_MOVERS),
    "claims-done-without-card": Defect(
        "says done although there was no card", wrong.ClaimsDoneWithoutCard, kinds=_MOVERS
    ),
    "hides-jam": Defect("ends a jammed motion as done", trouble.HidesJam, kinds=_MOVERS),
    "forgets-card": Defect("knows of no card that its sensors do not see", trouble.ForgetsCard, kinds=_MOVERS),
    "invents-card": Defect("believes that a card came that did not", trouble.InventsCard, kinds=_DISPENSER),
    "overfills": Defect("never looks whether its box is full", trouble.Overfills, kinds=_MOVERS),
    "pushes-into-card": Defect("never looks whether a card is in the way", trouble.PushesIntoCard, kinds=_DISPENSER),
    "blind-contact": Defect("has a tamper contact that does not follow", trouble.BlindContact, kinds=_CABINET),
    "counts-before-motion": Defect("counts a card when the motor starts", wrong.CountsBeforeMotion, kinds=_MOVERS),
    "counts-presented-as-taken": Defect("counts a held card as dispensed", wrong.CountsPresentedAsTaken, kinds=_MOVERS),
    "misses-taken-without-power": Defect(
        "misses a card taken without power", wrong.MissesTakenWithoutPower, kinds=_MOVERS
    ),
    "counter-not-persistent": Defect("loses its totals with the power", wrong.CounterNotPersistent, kinds=_MOVERS),
    "seq-reset-after-boot": Defect("starts its sequence numbers again at a boot", wrong.SeqResetAfterBoot),
    "same-boot-id-after-boot": Defect("keeps its boot id at a boot", wrong.SameBootIdAfterBoot),
    "slow-boot": Defect("answers late after power came back", wrong.SlowBoot, kinds=_CABINET),
    "accepted-not-persistent": Defect(
        "remembers a command only when it is done", wrong.AcceptedNotPersistent, kinds=_MOVERS
    ),
    "hides-interruption": Defect("boots READY after an interrupted motion", wrong.HidesInterruption, kinds=_MOVERS),
    "accepts-while-interrupted": Defect(
        "takes any command while INTERRUPTED", wrong.AcceptsWhileInterrupted, kinds=_MOVERS
    ),
    "resumes-after-power-cut": Defect("goes on with an interrupted motion", wrong.ResumesAfterPowerCut, kinds=_MOVERS),
}
"""Every wrong unit by the name of its defect."""
