"""The mailbox rule against cases written by hand from the rule's text.

Host: accepted < seq -> send the same seq again; accepted = seq and running -> wait; done = seq -> take the result;
INTERRUPTED -> in doubt; accepted > seq -> lock out. Another host's command under the same seq is not this one.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from firmware_protocol.blocks import CommandBlock, StatusBlock
from firmware_protocol.mailbox import Conclusion, Verdict, conclude, judge
from firmware_protocol.units import Fault, Position, Result, Sensor, State, UnitKind
from tests.mailbox_cases import ALL_CASES, BOOT, PICK


@pytest.mark.parametrize(
    ("kind", "capacity", "registers", "state", "accepted", "verdict", "exception"),
    [c[1:] for c in ALL_CASES],
    ids=[c[0] for c in ALL_CASES],
)
def test_unit_judges_as_written(
    kind: UnitKind,
    capacity: int,
    registers: list[int],
    state: State,
    accepted: int,
    verdict: Verdict,
    exception: int | None,
) -> None:
    judgement = judge(registers, kind=kind, capacity=capacity, boot_id=BOOT, accepted_seq=accepted, state=state)
    assert (judgement.verdict, judgement.verdict.exception) == (verdict, exception)


STATUS = StatusBlock(
    boot_id=BOOT, state=State.READY, accepted_seq=41, done_seq=41, done_opcode=PICK, result=Result.DONE, step=0,
    position=Position.TRANSPORT, slot=3, sensors=Sensor.HOME, fault=Fault.NONE, dispensed=0, retained=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("seq", "accepted", "done", "state", "conclusion"),
    [
        (42, 41, 41, State.READY, Conclusion.NOT_ACCEPTED),
        (42, 41, 40, State.RUNNING, Conclusion.NOT_ACCEPTED),
        (42, 41, 40, State.INTERRUPTED, Conclusion.NOT_ACCEPTED),
        (1, 0xFFFFFFFF, 0xFFFFFFFF, State.READY, Conclusion.NOT_ACCEPTED),
        (42, 42, 41, State.RUNNING, Conclusion.RUNNING),
        (42, 42, 42, State.READY, Conclusion.DONE),
        (42, 43, 42, State.RUNNING, Conclusion.DONE),
        (42, 42, 41, State.INTERRUPTED, Conclusion.INTERRUPTED),
        (42, 43, 43, State.READY, Conclusion.LOCKED_OUT),
        (42, 50, 49, State.INTERRUPTED, Conclusion.LOCKED_OUT),
        (42, 0, 0, State.READY, Conclusion.LOCKED_OUT),  # the unit's memory was lost or the unit was changed
        (42, 40, 40, State.READY, Conclusion.LOCKED_OUT),
    ],
)
def test_host_concludes_as_written(seq: int, accepted: int, done: int, state: State, conclusion: Conclusion) -> None:
    assert (
        conclude(CommandBlock(BOOT, seq, PICK, 3), replace(STATUS, accepted_seq=accepted, done_seq=done, state=state))
        is conclusion
    )


MINE = CommandBlock(BOOT, 42, PICK, 3)
READY_42 = replace(STATUS, accepted_seq=42, done_seq=42, accepted_opcode=PICK, accepted_arg0=3, done_arg0=3)
RUNNING_42 = replace(READY_42, state=State.RUNNING, done_seq=41)


@pytest.mark.parametrize(
    ("status", "conclusion"),
    [
        (READY_42, Conclusion.DONE),
        (replace(READY_42, done_arg0=4), Conclusion.LOCKED_OUT),
        (replace(READY_42, done_opcode=0x12), Conclusion.LOCKED_OUT),
        (replace(READY_42, done_arg0=None), Conclusion.DONE),  # a firmware of 1.0 does not tell
        (RUNNING_42, Conclusion.RUNNING),
        (replace(RUNNING_42, accepted_arg0=4), Conclusion.LOCKED_OUT),
        (replace(RUNNING_42, accepted_opcode=0x10), Conclusion.LOCKED_OUT),
        (replace(RUNNING_42, state=State.INTERRUPTED), Conclusion.INTERRUPTED),
        (replace(RUNNING_42, state=State.INTERRUPTED, accepted_arg0=4), Conclusion.LOCKED_OUT),
        # done under my seq, and another one runs already: the later one's arguments are not looked at
        (replace(READY_42, accepted_seq=43, accepted_opcode=1, accepted_arg0=0), Conclusion.DONE),
    ],
)
def test_another_hosts_command_under_the_same_number_is_not_mine(status: StatusBlock, conclusion: Conclusion) -> None:
    assert conclude(MINE, status) is conclusion
