"""The exported C header: compiles alone and twice, and its rule says what the hand-written cases and the vectors say."""

from __future__ import annotations

import json
import random
import re
import subprocess
from collections.abc import Iterable
from dataclasses import astuple
from pathlib import Path

import pytest

from firmware_protocol import samv
from firmware_protocol.blocks import BLOCKS, CommandBlock, IdentityBlock, StatusBlock
from firmware_protocol.declaration import Flaw
from firmware_protocol.mailbox import Verdict, judge
from firmware_protocol.units import RULES, Fault, Opcode, Sensor, State, UnitKind
from tests.c_parts import HEADERS, SOURCES, STRICT, build, need
from tests.mailbox_cases import ALL_CASES, BOOT

VECTORS = json.loads((HEADERS / "vectors.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def rule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("c") / "rule", SOURCES / "rule.c")


def answers(program: Path, lines: list[str]) -> list[list[int]]:
    done = subprocess.run([program], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    told = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    assert len(told) == len(lines)
    return told


def listed(numbers: Iterable[int]) -> str:
    return " ".join(str(int(number)) for number in numbers)


def test_it_compiles_alone() -> None:
    need("gcc")
    header = HEADERS / "lk_protocol.h"
    command = ["gcc", *STRICT, "-Wconversion", "-Wshadow", "-fsyntax-only", "-x", "c", str(header)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""


def test_it_may_be_included_twice_in_each_of_two_units(tmp_path: Path) -> None:
    twice = '#include "lk_protocol.h"\n#include "lk_protocol.h"\n'
    (tmp_path / "one.c").write_text(
        twice + "int two(void);\nint main(void) { return lk_exception(LK_VERDICT_ACCEPT) + two(); }\n"
    )
    (tmp_path / "two.c").write_text(twice + "int two(void);\nint two(void) { return (int)lk_next_seq(0u) - 1; }\n")
    program = build(tmp_path / "both", tmp_path / "one.c", tmp_path / "two.c")
    assert subprocess.run([program], check=False).returncode == 0


def test_the_firmware_in_the_reference_compiles(tmp_path: Path) -> None:
    need("gcc")
    (page,) = re.findall(r"^```c\n(.*?)^```", (HEADERS / "reference.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    source = tmp_path / "firmware.c"
    source.write_text(page)
    warnings = [*STRICT, f"-I{HEADERS}", "-c", "-o", str(tmp_path / "firmware.o")]
    assert subprocess.run(["gcc", *warnings, source], capture_output=True, text=True, check=False).stderr == ""


def test_its_rule_judges_the_hand_written_cases(rule: Path) -> None:
    lines, expected = [], []
    for name, kind, capacity, registers, state, accepted, verdict, exception in ALL_CASES:
        lines.append(f"J {listed((kind, capacity, state, BOOT, accepted, len(registers), *registers))}")
        expected.append((name, verdict, exception or 0))
    told = [
        (one[0], verdict_of(answer[0]), answer[1]) for one, answer in zip(expected, answers(rule, lines), strict=True)
    ]
    assert told == expected


def verdict_of(number: int) -> Verdict:
    return next(one for one in Verdict if one.number == number)


def test_its_rule_judges_the_vectors(rule: Path) -> None:
    lines, expected = [], []
    for vector in VECTORS["mailbox"]:
        unit, registers = vector["unit"], vector["registers"]
        head = (unit["kind"], unit["capacity"], unit["state"], unit["boot_id"], unit["accepted_seq"])
        lines.append(f"J {listed((*head, len(registers), *registers))}")
        expected.append((vector["name"], vector["verdict"], vector["exception"] or 0))
    told = [
        (one[0], verdict_of(answer[0]).name, answer[1])
        for one, answer in zip(expected, answers(rule, lines), strict=True)
    ]
    assert told == expected


def test_its_blocks_are_the_vectors_blocks(rule: Path) -> None:
    counts = {block.name: block.count for block in BLOCKS}
    for vector in VECTORS["blocks"]:
        registers = vector["registers"]
        (flaw,) = answers(rule, [f"F {counts[vector['block']]} {listed((len(registers), *registers))}"])
        # what the values mean is looked at by whoever reads them: the opening knows the frame only
        known = None if vector["flaw"] in (None, Flaw.VALUE.name) else Flaw[vector["flaw"]]
        assert flaw == [0 if known is None else known.value], vector["name"]


def test_it_encodes_what_a_board_tells(rule: Path) -> None:
    identity = IdentityBlock.from_registers(VECTORS["rtu"]["identity"])
    status = StatusBlock.from_registers(VECTORS["rtu"]["status"])
    flat = [number for one in astuple(status) for number in (one if isinstance(one, tuple) else (one,))]
    told = answers(rule, [f"I {listed(astuple(identity))}", f"S {listed(flat)}"])
    assert told == [VECTORS["rtu"]["identity"], VECTORS["rtu"]["status"]]


def test_its_interlocks_are_the_declared_ones(rule: Path) -> None:
    chance = random.Random(20261)
    cases = [(opcode, Sensor(chance.getrandbits(12))) for opcode in Opcode for _ in range(200)]
    told = answers(rule, [f"L {int(opcode)} {int(sensors)}" for opcode, sensors in cases])
    for (opcode, sensors), (fault,) in zip(cases, told, strict=True):
        violated = (one.fault for one in RULES[opcode].interlocks if one.present not in sensors or sensors & one.absent)
        assert fault == next(violated, Fault.NONE)


def test_its_checks_are_the_lines(rule: Path) -> None:
    frame = samv.Request(samv.Command.FIND).to_bytes()
    told = answers(rule, [f"C {listed(b'123456789')}", f"X {listed(frame[len(samv.HEADER) : -1])}", "C"])
    assert told == [[0x4B37], [frame[-1]], [0xFFFF]]


def test_its_rule_and_the_python_rule_agree_on_thousands_of_near_misses(rule: Path) -> None:
    chance = random.Random(20262)
    opcodes = [*map(int, Opcode), 0, 0x7F]
    asked, lines = [], []
    for _ in range(5000):
        boot, accepted = chance.choice([BOOT, BOOT ^ 1]), chance.choice([0, 1, 41, 0xFFFFFFFE, 0xFFFFFFFF])
        seq = (accepted + chance.choice([-1, 0, 1, 1, 1, 2])) % 2**32
        registers = CommandBlock(
            boot, seq, chance.choice(opcodes), chance.choice([0, 1, 7, 8, 100, 101])
        ).to_registers()
        if chance.random() < 0.1:
            registers[chance.randrange(len(registers))] ^= 1 << chance.randrange(16)
        kind, capacity = chance.choice(list(UnitKind)), chance.choice([0, 8, 1000])
        state = chance.choice([State.READY, State.READY, *State])
        asked.append(judge(registers, kind=kind, capacity=capacity, boot_id=BOOT, accepted_seq=accepted, state=state))
        lines.append(f"J {listed((kind, capacity, state, BOOT, accepted, len(registers), *registers))}")
    for judgement, answer in zip(asked, answers(rule, lines), strict=True):
        command = judgement.command
        decoded = [0, 0, 0] if command is None else [command.seq, command.opcode, command.arg0]
        assert answer == [judgement.verdict.number, judgement.verdict.exception or 0, *decoded]
    assert {judgement.verdict for judgement in asked} == set(Verdict)
