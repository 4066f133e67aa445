"""The parts of the conformance kit alone: who is asked, what a report says, how a run ends, what a line may do to it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_protocol.__main__ import main
from firmware_protocol.blocks import IdentityBlock
from firmware_protocol.conformance import findings
from firmware_protocol.conformance.bench import Bench
from firmware_protocol.conformance.board import Board, Refusal, must_refuse
from firmware_protocol.conformance.findings import Defect, Finding, Skipped
from firmware_protocol.conformance.hands import Act, NoHands, Person, PowerSwitch
from firmware_protocol.conformance.lines import Answer, LineError, TcpLine, open_serial
from firmware_protocol.conformance.plan import PLAN, Check, applicable, carry_out
from firmware_protocol.conformance.report import Report, Result, Verdict
from firmware_protocol.mailbox import ExceptionCode
from firmware_protocol.units import UnitKind
from sim.defects import DEFECTS

IDENTITY = IdentityBlock(UnitKind.DISPENSER, 20, 4711, 200)


class ScriptedLine:
    """A line on which the answer to every request is given beforehand."""

    serial = False

    def __init__(self, *answers: Answer | None) -> None:
        self.answers = list(answers)

    def ask(self, unit: int, pdu: bytes, wait: float) -> Answer | None:
        return self.answers.pop(0)

    def raw(self, data: bytes, wait: float) -> bytes:
        return b""

    def close(self) -> None:
        pass


def board(*answers: Answer | None) -> Board:
    return Board(ScriptedLine(*answers), 1, motion_seconds=0.1)


def answered(hexadecimal: str) -> Answer:
    return Answer(bytes.fromhex(hexadecimal), 0.01)


def report(*results: Result) -> Report:
    return Report("kit", "1.0", "2026-05-11", "TCP", 1, IDENTITY, "1.1", results, 10, 12.5)


def result(verdict: Verdict, defect: Defect | None = None) -> Result:
    return Result("repeats", "5 REPEATED", verdict, "seq 4 again", defect)


def test_every_wrong_simulator_has_a_name_that_the_kit_knows() -> None:
    assert set(DEFECTS) <= {defect.value for defect in Defect}
    assert len(DEFECTS) >= 15


def test_every_defect_has_its_sentence() -> None:
    assert set(findings._MEANINGS) == set(Defect)


def test_names_of_checks_are_unique_for_a_unit() -> None:
    for kind in UnitKind:
        for serial in (True, False):
            names = [check.name for check in applicable(kind, serial)]
            assert len(names) == len(set(names))
            assert ("line-crc" in names) is serial
            assert ("arguments" in names) is (kind is not UnitKind.RECYCLER)


def test_the_kit_shares_no_code_with_simulator_and_daemon() -> None:
    root = Path(findings.__file__).parent
    for path in root.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.split(".")[0] in {"sim", "lockerd"} for name in names), path


@pytest.mark.parametrize(
    ("verdicts", "status", "words"),
    [
        ([Verdict.PASSED, Verdict.PASSED], 0, "CONFORMS"),
        ([Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED], 1, "DOES NOT CONFORM"),
        ([Verdict.PASSED, Verdict.SKIPPED], 2, "NOT DECIDED"),
        ([], 2, "NOT DECIDED"),
    ],
)
def test_the_verdict_of_a_report(verdicts: list[Verdict], status: int, words: str) -> None:
    made = report(*(result(one, Defect.EXECUTES_REPEAT if one is Verdict.FAILED else None) for one in verdicts))
    assert made.status == status
    assert made.to_text().splitlines()[-1].startswith(words)
    assert made.to_json()["verdict"].startswith(words)


def test_a_report_says_who_was_examined_and_what_is_wrong() -> None:
    made = report(result(Verdict.FAILED, Defect.EXECUTES_REPEAT))
    text, data = made.to_text(), made.to_json()
    assert "dispenser, serial number 4711, 20 slots, protocol 1.1" in text
    assert "2026-05-11" in text
    assert "DEFECT executes-repeat: A repeated sequence number is carried out a second time." in text
    assert data["defects"] == {"executes-repeat": Defect.EXECUTES_REPEAT.meaning}
    assert data["identity"]["kind"] == "dispenser"
    assert data["checks"][0]["clause"] == "5 REPEATED"


def test_nobody_there_means_skipped() -> None:
    with pytest.raises(Skipped, match="take the card out of the exit"):
        NoHands().do(Act.TAKE_FROM_EXIT)
    begun: list[bool] = []
    with pytest.raises(Skipped):
        NoHands().cut_power_during(lambda: begun.append(True))
    assert not begun


def test_a_person_is_asked_and_may_skip() -> None:
    asked: list[str] = []

    def ask(words: str) -> str:
        asked.append(words)
        return "" if len(asked) < 3 else "s"

    person = Person(ask)
    person.do(Act.FEED_CARD)
    begun: list[int] = []
    person.cut_power_during(lambda: begun.append(len(asked)))
    assert begun == [2]  # after the question, so that a hand is at the switch
    with pytest.raises(Skipped, match="operator"):
        person.do(Act.POWER_ON)
    assert "load feeder" in asked[0]


def test_a_power_switch_leaves_other_acts_to_others(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = tmp_path / "relay.py"
    script.write_text(f"import pathlib, sys\npathlib.Path({str(log)!r}).write_text(sys.argv[1])\n")
    switch = PowerSwitch(f"{sys.executable} {script}", NoHands())
    switch.do(Act.POWER_OFF)
    assert log.read_text() == "off"
    with pytest.raises(Skipped, match="nobody"):
        switch.do(Act.FEED_CARD)
    with pytest.raises(Skipped, match="power command failed"):
        PowerSwitch("/nonexistent/relay", NoHands()).do(Act.POWER_ON)


@pytest.mark.parametrize(
    ("answer", "defect"),
    [
        (None, Defect.NO_ANSWER),
        (Answer(b"\x03", 0.0, "no frame with a good CRC"), Defect.BAD_ANSWER),
        (answered("04 02 00 01"), Defect.BAD_ANSWER),
        (answered("03 04 00 01 00 02"), Defect.BAD_ANSWER),
        (answered("83"), Defect.BAD_ANSWER),
    ],
)
def test_answers_of_another_shape_are_findings(answer: Answer | None, defect: Defect) -> None:
    with pytest.raises(Finding) as caught:
        board(answer).read(0, 1)
    assert caught.value.defect is defect


def test_an_acknowledgement_must_repeat_address_and_count() -> None:
    assert board(answered("10 01 00 00 02")).write(0x0100, [1, 2]) is None
    assert board(answered("90 06")).write(0x0100, [1, 2]) == Refusal(6)
    with pytest.raises(Finding):
        board(answered("10 01 00 00 01")).write(0x0100, [1, 2])


def test_a_refusal_needs_the_right_code() -> None:
    busy = ExceptionCode.SERVER_DEVICE_BUSY
    assert must_refuse(Refusal(6), busy, Defect.SKIPS_ORDER, "seq 9") == "seq 9: exception 6"
    with pytest.raises(Finding) as accepted:
        must_refuse(None, busy, Defect.SKIPS_ORDER, "seq 9")
    assert accepted.value.defect is Defect.SKIPS_ORDER
    with pytest.raises(Finding) as wrong:
        must_refuse(Refusal(4), busy, Defect.SKIPS_ORDER, "seq 9")
    assert wrong.value.defect is Defect.WRONG_EXCEPTION_CODE


def outcome(run: Callable[[Bench], str], *, moves: bool = False, may_move: bool = True) -> Result:
    bench = Bench(board(), NoHands(), IDENTITY)
    check = Check("one", "1", run, moves=moves)
    return next(iter(carry_out(bench, [check], may_move=may_move)))


def raising(error: Exception) -> Callable[[Bench], str]:
    def run(_: Bench) -> str:
        raise error

    return run


def test_what_ends_a_check_is_in_its_result() -> None:
    assert outcome(lambda _: "seen").verdict is Verdict.PASSED
    assert outcome(raising(Skipped("no card"))).verdict is Verdict.SKIPPED
    assert outcome(raising(Finding(Defect.MISCOUNTS, "2"))).defect is Defect.MISCOUNTS
    assert outcome(raising(LineError("gone"))).defect is Defect.NO_ANSWER
    assert outcome(lambda _: "moved", moves=True, may_move=False).verdict is Verdict.SKIPPED


def test_after_a_status_that_lies_nothing_more_is_judged() -> None:
    bench = Bench(board(), NoHands(), IDENTITY)
    lie = Check("lie", "3", raising(Finding(Defect.STALE_STATUS, "old")), moves=False)
    then = Check("then", "3", lambda _: "seen", moves=False)
    verdicts = [one.verdict for one in carry_out(bench, [lie, then], may_move=True)]
    assert verdicts == [Verdict.FAILED, Verdict.SKIPPED]


def test_a_line_that_cannot_be_had_is_said_so(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for port, baudrate in (("/dev/nonexistent", 115200), (str(file), 115200), (str(file), 12345)):
        with pytest.raises(LineError):
            open_serial(port, baudrate)
    with pytest.raises(LineError):
        TcpLine("127.0.0.1", 1).ask(1, b"\x03", 0.1)


def test_the_command_ends_with_2_when_nothing_can_be_examined(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "--tcp", "127.0.0.1:1", "--yes"]) == 2
    assert main(["conformance", "--tcp", "127.0.0.1:1", "--only", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err
    assert main(["conformance", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(PLAN)
