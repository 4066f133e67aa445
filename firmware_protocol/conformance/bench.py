"""What every check is given: the board, the hands, and the motions with their evidence."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from firmware_protocol.blocks import CommandBlock, IdentityBlock, StatusBlock
from firmware_protocol.conformance.board import Board, Refusal
from firmware_protocol.conformance.findings import Defect, Finding, Skipped
from firmware_protocol.conformance.hands import Act, Hands
from firmware_protocol.conformance.lines import LineError
from firmware_protocol.units import Fault, Opcode, Position, Result, Sensor, State, UnitKind

BOOT_SECONDS = 60.0
SETTLE_SECONDS = 5.0
_POLL = 0.02
_WATCH_POLL = 0.005
_NO_SENSOR = Sensor(0)


class Wire(Enum):
    """What a check needs of the line."""

    ANY = auto()
    SERIAL = auto()
    TCP = auto()


@dataclass(slots=True)
class Bench:
    """The unit under test and who serves it; `identity` is that of the first check.

    `boot_seconds` is the longest time from power to the first status in this run.
    """

    board: Board
    hands: Hands
    identity: IdentityBlock
    boot_seconds: float = 0.0

    @property
    def kind(self) -> UnitKind:
        """Kind of the unit."""
        return self.identity.kind

    @property
    def silence(self) -> float:
        """Seconds after which a unit that has not answered will not answer."""
        return self.identity.max_response_ms / 1000 + 0.1

    # Motions

    def make(self, opcode: Opcode, arg0: int = 0) -> StatusBlock:
        """One motion to its end; the totals must not count before. Raises Finding."""
        before = self.board.status()
        command = self.board.begin(opcode, arg0)
        end = time.monotonic() + self.board.motion_seconds
        while (status := self.board.status()).done_seq != command.seq:
            if (status.dispensed, status.retained) != (before.dispensed, before.retained):
                raise Finding(
                    Defect.COUNTS_BEFORE_MOTION,
                    f"{opcode.name}: while it runs, dispensed {before.dispensed} -> {status.dispensed},"
                    f" retained {before.retained} -> {status.retained}",
                )
            if time.monotonic() > end:
                return self.board.follow(command)
            time.sleep(_WATCH_POLL)
        return status

    def done(
        self,
        opcode: Opcode,
        arg0: int = 0,
        *,
        at: Position | None = None,
        present: Sensor = _NO_SENSOR,
        absent: Sensor = _NO_SENSOR,
        slot: int | None = None,
    ) -> StatusBlock:
        """One motion that must end DONE, with the evidence in the first status that says so. Raises Finding."""
        status = self.make(opcode, arg0)
        name = f"{opcode.name} {arg0}" if slot is not None else opcode.name
        if status.result is not Result.DONE:
            raise Finding(Defect.WRONG_MOTION, f"{name}: result {status.result.name}, fault {status.fault.name}")

        def missing(now: StatusBlock) -> str:
            wrong = []
            if at is not None and now.position is not at:
                wrong.append(f"position {now.position.name}, not {at.name}")
            if slot is not None and now.slot != slot:
                wrong.append(f"slot {now.slot} at the picker, not {slot}")
            wrong += [f"sensor {bit.name} is clear" for bit in present & ~now.sensors]
            wrong += [f"sensor {bit.name} is set" for bit in absent & now.sensors]
            return ", ".join(wrong)

        if wrong := missing(status):
            later = self.wait(lambda now: not missing(now), self.board.motion_seconds / 4)
            defect = Defect.WRONG_MOTION if later is None else Defect.DONE_BEFORE_MOTION
            raise Finding(defect, f"{name} reported done: {wrong}" + (", right only later" if later else ""))
        if status.done_opcode != opcode or status.state is not State.READY:
            raise Finding(
                Defect.WRONG_STATUS,
                f"{name} done: done_opcode {status.done_opcode:#04x}, state {status.state.name}",
            )
        return status

    def fails(self, opcode: Opcode, fault: Fault, *, arg0: int = 0, defect: Defect | None = None) -> str:
        """One motion that the sensors forbid; what was seen. Raises Finding, with `defect` if that names it better."""
        status = self.make(opcode, arg0)
        if status.result is Result.DONE:
            raise Finding(defect or Defect.CLAIMS_DONE_WITHOUT_CARD, f"{opcode.name} {arg0}: DONE, not {fault.name}")
        if status.fault is not fault:
            raise Finding(
                defect or Defect.WRONG_MOTION, f"{opcode.name} {arg0}: fault {status.fault.name}, not {fault.name}"
            )
        return f"{opcode.name}: {status.fault.name}"

    def wait(self, condition: Callable[[StatusBlock], bool], seconds: float = SETTLE_SECONDS) -> StatusBlock | None:
        """The first status that meets the condition; None when there is none in time."""
        end = time.monotonic() + seconds
        while not condition(status := self.board.status()):
            if time.monotonic() > end:
                return None
            time.sleep(_POLL)
        return status

    def after(self, act: Act, condition: Callable[[StatusBlock], bool], expected: str) -> StatusBlock:
        """Have an act done; the sensors must follow. Raises Skipped, Finding."""
        self.hands.do(act)
        status = self.wait(condition)
        if status is None:
            raise Finding(Defect.WRONG_STATUS, f"after the act {act}: not {expected}")
        return status

    # Totals

    def same_totals(self, before: StatusBlock, now: StatusBlock, what: str) -> None:
        """Raises Finding unless both totals are what they were."""
        if (before.dispensed, before.retained) != (now.dispensed, now.retained):
            raise Finding(
                Defect.MISCOUNTS,
                f"{what}: dispensed {before.dispensed} -> {now.dispensed}, retained {before.retained} -> {now.retained}",
            )

    # Power

    def cut_during(
        self, opcode: Opcode, arg0: int = 0, *, leaving: Sensor | None = None
    ) -> tuple[CommandBlock, StatusBlock]:
        """Have the power cut in a motion and given back: the command, and the first status after the boot.

        With `leaving` the power is cut only when that sensor has lost the card, so that it is on its way. Raises Skipped, Finding.
        """
        begun: list[CommandBlock] = []

        def begin() -> None:
            command = self.board.begin(opcode, arg0)
            begun.append(command)
            if leaving is not None:
                self._under_way(command, leaving)

        self.hands.cut_power_during(begin)
        return begun[0], self._booted()

    def _under_way(self, command: CommandBlock, leaving: Sensor) -> None:
        """Wait until the card has left, the motion is over, or the power is gone already."""
        seen = False
        end = time.monotonic() + self.board.motion_seconds
        try:
            while (status := self.board.status()).done_seq != command.seq and time.monotonic() < end:
                present = bool(status.sensors & leaving)
                if seen and not present:
                    return
                seen = seen or present
        except (Finding, LineError):
            return  # a person was quick

    def power_off(self) -> None:
        """Have the power cut; raises Skipped when the unit still answers."""
        self.hands.do(Act.POWER_OFF)
        self._gone()

    def power_on(self) -> StatusBlock:
        """Have the power given back; the first status. Raises Skipped, Finding."""
        self.hands.do(Act.POWER_ON)
        began = time.monotonic()
        while not self._answers() and time.monotonic() < began + BOOT_SECONDS:
            time.sleep(_POLL)
        self.boot_seconds = max(self.boot_seconds, time.monotonic() - began)
        return self.board.status()

    def _booted(self) -> StatusBlock:
        self._gone()
        return self.power_on()

    def _gone(self) -> None:
        end = time.monotonic() + self.board.motion_seconds
        while self._answers():
            if time.monotonic() > end:
                raise Skipped("the unit still answers: its power was not cut")
            time.sleep(_POLL)

    def _answers(self) -> bool:
        try:
            answer = self.board.line.ask(self.board.unit, bytes((3, 0, 0, 0, 1)), self.silence)
        except LineError:
            return False
        return answer is not None and not answer.broken and answer.pdu[0] == 3


def told(refusal: Refusal | None) -> str:
    """An answer to a write in words."""
    return "acknowledged" if refusal is None else str(refusal)
