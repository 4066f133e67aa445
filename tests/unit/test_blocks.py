"""The register blocks: fixed vectors, round trips, and damage that is always seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_protocol.blocks import (
    BLOCKS,
    COMMAND_COUNT,
    DETAILS,
    IDENTITY_COUNT,
    STATUS_COUNT,
    CommandBlock,
    IdentityBlock,
    StatusBlock,
)
from firmware_protocol.blocks import STATUS as STATUS_BLOCK
from firmware_protocol.crc import crc16, crc16_of_registers
from firmware_protocol.declaration import Block, BlockError, Flaw
from firmware_protocol.units import RULES, SENSORS, Fault, Light, Opcode, Position, Result, Sensor, State, UnitKind

WORD = st.integers(0, 0xFFFF)
LONG = st.integers(0, 0xFFFFFFFF)
COMMANDS = st.builds(CommandBlock, LONG, LONG, WORD, WORD, WORD, WORD)
IDENTITIES = st.builds(IdentityBlock, st.sampled_from(UnitKind), st.integers(0, 1000), LONG, st.integers(1, 500))
STATUSES = st.builds(
    StatusBlock,
    boot_id=LONG,
    state=st.sampled_from(State),
    accepted_seq=LONG,
    done_seq=LONG,
    done_opcode=WORD,
    result=st.sampled_from(Result),
    step=WORD,
    position=st.sampled_from(Position),
    slot=WORD,
    sensors=st.sets(st.sampled_from(list(Sensor))).map(lambda some: Sensor(sum(some))),
    fault=st.sampled_from(Fault),
    dispensed=LONG,
    retained=LONG,
    detail=st.tuples(*[WORD] * 7),
    accepted_opcode=WORD,
    accepted_arg0=WORD,
    done_arg0=WORD,
)


def test_crc_has_the_published_check_value() -> None:
    assert crc16(b"123456789") == 0x4B37
    assert crc16(b"") == 0xFFFF
    assert crc16(bytes.fromhex("010300000001")) == 0x0A84  # 01 03 00 00 00 01 84 0A on the line
    assert crc16_of_registers([0x3132, 0x3334]) == crc16(b"1234")


def test_command_has_the_declared_layout() -> None:
    registers = CommandBlock(0x01020304, 0x05060708, 0x13, 7).to_registers()
    assert registers[:11] == [0x4C4B, 0x0101, 0x0102, 0x0304, 0x0506, 0x0708, 0x13, 7, 0, 0, 0]
    assert len(registers) == COMMAND_COUNT == 12


def test_status_has_the_declared_layout() -> None:
    status = StatusBlock(
        0x00010002, State.RUNNING, 0x00030004, 0x00050006, 0x13, Result.FAULT, 9, Position.EXIT, 11,
        Sensor.MAINS | Sensor.EXIT, Fault.JAM, 0x00070008, 0x0009000A, tuple(range(20, 27)), 27, 28, 29,
    )  # fmt: skip
    assert status.to_registers()[:31] == [
        0x4C4B, 0x0101, 1, 2, 2, 3, 4, 5, 6, 0x13, 2, 9, 3, 11, 0x0008, 0x0008, 1, 7, 8, 9, 10, *range(20, 30),
    ]  # fmt: skip
    assert len(status.to_registers()) == STATUS_COUNT == 32


@given(COMMANDS)
def test_command_comes_back(command: CommandBlock) -> None:
    assert CommandBlock.from_registers(command.to_registers()) == command


@given(IDENTITIES)
def test_identity_comes_back(identity: IdentityBlock) -> None:
    assert len(identity.to_registers()) == IDENTITY_COUNT
    assert IdentityBlock.from_registers(identity.to_registers()) == identity


@given(STATUSES)
def test_status_comes_back(status: StatusBlock) -> None:
    assert StatusBlock.from_registers(status.to_registers()) == status


@given(STATUSES, st.integers(0, STATUS_COUNT * 16 - 1), st.integers(0, 15))
def test_any_burst_of_up_to_16_bits_is_seen(status: StatusBlock, start: int, length: int) -> None:
    whole = int.from_bytes(b"".join(r.to_bytes(2, "big") for r in status.to_registers()))
    damaged = (whole ^ (((1 << length) | 1) << start)) & ((1 << STATUS_COUNT * 16) - 1)
    registers = [damaged >> 16 * (STATUS_COUNT - 1 - i) & 0xFFFF for i in range(STATUS_COUNT)]
    with pytest.raises(BlockError):
        StatusBlock.from_registers(registers)


@given(st.lists(st.integers(-1, 0x10000), max_size=40))
def test_anything_else_is_refused_with_the_one_error(registers: list[int]) -> None:
    for block in (CommandBlock, IdentityBlock, StatusBlock):
        with pytest.raises(BlockError):
            block.from_registers(registers)


def resealed(registers: list[int], **changes: int) -> list[int]:
    body = registers[:-1]
    for index, value in changes.items():
        body[int(index[1:])] = value
    return [*body, crc16_of_registers(body)]


STATUS = StatusBlock(
    1, State.READY, 0, 0, 0, Result.NONE, 0, Position.NONE, 0, Sensor.HOME, Fault.NONE, 0, 0
).to_registers()


@pytest.mark.parametrize("change", [{"r4": 0}, {"r4": 9}, {"r10": 3}, {"r12": 9}, {"r16": 99}])
def test_a_sealed_block_with_an_undefined_value_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(BlockError, match="undefined"):
        StatusBlock.from_registers(resealed(STATUS, **change))


def test_another_major_version_is_refused_by_name() -> None:
    with pytest.raises(BlockError, match="protocol 2, this side speaks 1") as refused:
        StatusBlock.from_registers(resealed(STATUS, r1=0x0200))
    assert refused.value.flaw is Flaw.MAJOR


def test_a_newer_minor_may_bring_sensors_faults_and_registers() -> None:
    newer = StatusBlock.from_registers(resealed(STATUS, r1=0x0105, r14=0x8000, r15=0x0001, r16=99))
    assert newer.sensors == Sensor.HOME
    assert newer.fault is Fault.OTHER
    identity = IdentityBlock(UnitKind.CABINET, 0, 1, 100)
    assert IdentityBlock.from_registers(resealed(identity.to_registers(), r1=0x01FF, r10=0xBEEF)) == identity


@pytest.mark.parametrize("change", [{"r4": 9}, {"r10": 3}, {"r12": 9}])
def test_a_newer_minor_brings_no_new_state_result_or_position(change: dict[str, int]) -> None:
    with pytest.raises(BlockError, match="undefined") as refused:
        StatusBlock.from_registers(resealed(STATUS, r1=0x0105, **change))
    assert refused.value.flaw is Flaw.VALUE


def test_an_older_minor_does_not_tell_what_came_later() -> None:
    older = StatusBlock.from_registers(resealed(STATUS, r1=0x0100, r28=0x13, r29=4, r30=4))
    assert (older.accepted_opcode, older.accepted_arg0, older.done_arg0) == (None, None, None)
    assert StatusBlock.from_registers(older.to_registers()) == older


@pytest.mark.parametrize(
    ("block", "name"),
    [
        (IdentityBlock(UnitKind.DISPENSER, 1001, 1, 100), "capacity is 1001, outside 0 to 1000"),
        (IdentityBlock(UnitKind.DISPENSER, 8, 1, 0), "max_response_ms is 0"),
        (CommandBlock(1 << 32, 1, 1), "boot_id"),
        (CommandBlock(1, 1, 1, -1), "arg0"),
    ],
)
def test_a_value_outside_its_range_is_not_sent(block: IdentityBlock | CommandBlock, name: str) -> None:
    with pytest.raises(BlockError, match=name):
        block.to_registers()


def test_a_capacity_outside_its_range_is_not_believed() -> None:
    identity = IdentityBlock(UnitKind.DISPENSER, 1000, 1, 100).to_registers()
    with pytest.raises(BlockError, match="capacity is 1001"):
        IdentityBlock.from_registers(resealed(identity, r3=1001))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_no_register_is_declared_twice_and_none_outside_its_block(block: Block) -> None:
    taken = [0, 1, block.count - 1]  # magic, version, CRC
    for one in block.registers:
        taken += range(one.offset, one.offset + one.words)
    assert len(taken) == len(set(taken))
    assert max(taken) == block.count - 1


@pytest.mark.parametrize("kind", UnitKind)
def test_details_lie_within_the_detail_registers(kind: UnitKind) -> None:
    detail = next(one for one in STATUS_BLOCK.registers if one.name == "detail")
    taken = [offset for one in DETAILS[kind] for offset in range(one.offset, one.offset + one.words)]
    assert len(taken) == len(set(taken))
    assert set(taken) <= set(range(detail.offset, detail.offset + detail.words))


def test_every_opcode_is_somebodys_and_needs_only_sensors_that_its_units_have() -> None:
    assert set(RULES) == set(Opcode)
    for rule in RULES.values():
        assert rule.units
        for interlock in rule.interlocks:
            for kind in rule.units:
                assert not (interlock.present | interlock.absent) & ~SENSORS[kind]


def test_every_member_says_what_it_means() -> None:
    for values in (UnitKind, Opcode, State, Result, Position, Sensor, Fault, Light):
        assert all(member.meaning for member in values)
