"""The exported vectors hold for the Python declarations and for the simulator's Modbus slave; the copies in docs are fresh."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from firmware_protocol import cardtext, crt, samv
from firmware_protocol.__main__ import main
from firmware_protocol.blocks import (
    COMMAND_ADDRESS,
    IDENTITY_ADDRESS,
    IDENTITY_COUNT,
    STATUS_ADDRESS,
    STATUS_COUNT,
    CommandBlock,
    IdentityBlock,
    StatusBlock,
)
from firmware_protocol.crc import crc16
from firmware_protocol.declaration import BlockError, Flaw
from firmware_protocol.export import exports
from firmware_protocol.framing import Parser
from firmware_protocol.mailbox import Conclusion, ExceptionCode, Verdict, conclude, judge
from firmware_protocol.units import State, UnitKind
from sim.modbus_slave import RtuSlave

DOCS = Path(__file__).parents[2] / "docs" / "firmware"
VECTORS: dict[str, Any] = json.loads((DOCS / "vectors.json").read_text("utf-8"))
BLOCKS: dict[str, type[Any]] = {"identity": IdentityBlock, "command": CommandBlock, "status": StatusBlock}


def each(section: str) -> pytest.MarkDecorator:
    rows = VECTORS[section]
    return pytest.mark.parametrize("vector", rows, ids=[f"{n} {row['name']}" for n, row in enumerate(rows)])


@pytest.mark.parametrize("name", exports())
def test_the_copy_in_docs_is_fresh(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == exports()[name], "run: python -m firmware_protocol export docs/firmware"


def test_the_command_writes_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "new" / "folder")]) == 0
    written = {path.name: path.read_text("utf-8") for path in (tmp_path / "new" / "folder").iterdir()}
    assert written == exports()
    assert len(capsys.readouterr().out.splitlines()) == len(written)


def test_the_command_says_what_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["export", str(tmp_path / "file")]) == 1
    assert "export: " in capsys.readouterr().err


def test_the_reference_names_everything_that_is_declared() -> None:
    text = exports()["reference.md"]
    for members in (UnitKind, State, samv.Command, samv.Status):
        assert all(f"`{member.name}`" in text for member in members)
    for verdict in Verdict:
        assert f"`{verdict.name}`" in text
    assert text.count("```") % 2 == 0
    assert "@" not in text.replace("lockerd@", "")


def test_every_verdict_flaw_and_conclusion_is_met() -> None:
    assert {row["verdict"] for row in VECTORS["mailbox"]} == {one.name for one in Verdict}
    assert {row["conclusion"] for row in VECTORS["conclusions"]} == {one.name for one in Conclusion}
    flaws = {row["flaw"] for row in VECTORS["blocks"]}
    assert flaws == {None, *(one.name for one in Flaw)} - {Flaw.RANGE.name}


@pytest.mark.parametrize("vector", VECTORS["crc16"])
def test_crc(vector: dict[str, Any]) -> None:
    assert crc16(bytes.fromhex(vector["hex"])) == vector["crc"]


@each("blocks")
def test_block(vector: dict[str, Any]) -> None:
    block = BLOCKS[vector["block"]]
    if vector["flaw"] is None:
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in vector["fields"].items()}
        assert block.from_registers(vector["registers"]) == block(**fields)
    else:
        with pytest.raises(BlockError) as refused:
            block.from_registers(vector["registers"])
        assert refused.value.flaw is Flaw[vector["flaw"]]


@each("mailbox")
def test_mailbox(vector: dict[str, Any]) -> None:
    unit = vector["unit"]
    judgement = judge(
        vector["registers"],
        kind=UnitKind(unit["kind"]),
        capacity=unit["capacity"],
        boot_id=unit["boot_id"],
        accepted_seq=unit["accepted_seq"],
        state=State(unit["state"]),
    )
    assert (judgement.verdict.name, judgement.verdict.exception) == (vector["verdict"], vector["exception"])


@each("conclusions")
def test_conclusion(vector: dict[str, Any]) -> None:
    status = StatusBlock.from_registers(vector["status"])
    assert conclude(CommandBlock(**vector["command"]), status).name == vector["conclusion"]


class Stated:
    """A unit that is as the vectors say, and decides by the rule."""

    silent = False

    def __init__(self, identity: list[int], status: list[int]) -> None:
        self.identity = identity
        self.status = status

    def read(self, address: int, count: int) -> list[int] | ExceptionCode:
        for start, length, block in (
            (IDENTITY_ADDRESS, IDENTITY_COUNT, self.identity),
            (STATUS_ADDRESS, STATUS_COUNT, self.status),
        ):
            if start <= address and address + count <= start + length:
                return block[address - start : address - start + count]
        return ExceptionCode.ILLEGAL_DATA_ADDRESS

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        if address != COMMAND_ADDRESS:
            return ExceptionCode.ILLEGAL_DATA_ADDRESS
        identity, status = IdentityBlock.from_registers(self.identity), StatusBlock.from_registers(self.status)
        return judge(
            values,
            kind=identity.kind,
            capacity=identity.capacity,
            boot_id=status.boot_id,
            accepted_seq=status.accepted_seq,
            state=status.state,
        ).verdict.exception


@pytest.mark.parametrize("vector", VECTORS["rtu"]["exchanges"], ids=lambda vector: vector["name"])
def test_frame_on_the_line(vector: dict[str, Any]) -> None:
    unit = Stated(VECTORS["rtu"]["identity"], VECTORS["rtu"]["status"])
    response = RtuSlave({1: unit}).feed(bytes.fromhex(vector["request"]))
    assert response.hex(" ") == (vector["response"] or "")


@each("samv")
def test_samv_stream(vector: dict[str, Any]) -> None:
    stream = bytes.fromhex(vector["stream"])
    told = vector["frames"]
    if vector["direction"] == "request":
        requests = samv.request_parser()
        expected = [samv.Request(frame["command"], bytes.fromhex(frame["data"])) for frame in told]
        assert [*requests.feed(stream), *requests.flush()] == expected
    else:
        replies = samv.reply_parser()
        answers = [samv.Reply(one["status"], bytes.fromhex(one["data"]), one["card_status"]) for one in told]
        assert [*replies.feed(stream), *replies.flush()] == answers


@each("crt")
def test_crt_stream(vector: dict[str, Any]) -> None:
    stream = bytes.fromhex(vector["stream"])
    parser: Parser[Any] = crt.request_parser() if vector["direction"] == "request" else crt.reply_parser()
    assert [*map(crt_frame, [*parser.feed(stream), *parser.flush()])] == vector["frames"]


def crt_frame(found: crt.Control | crt.Request | crt.Reply) -> dict[str, Any]:
    if isinstance(found, crt.Control):
        return {"control": found.name}
    told = {"cm": f"{found.cm:02x}", "pm": f"{found.pm:02x}", "data": found.data.hex(), "address": found.address}
    match found:
        case crt.Done():
            return told | {"status": found.status.hex()}
        case crt.Refusal():
            return told | {"code": found.code, "head": f"{found.head:02x}"}
        case _:
            return told


@each("card_texts")
def test_card_text(vector: dict[str, Any]) -> None:
    block = bytes.fromhex(vector["bytes"])
    if vector["layout"] is None:
        with pytest.raises(cardtext.CardTextError):
            cardtext.decode(block)
        return
    text = cardtext.decode(block)
    assert text == getattr(cardtext, vector["layout"])(**vector["fields"])
    assert list(cardtext.wrong_fields(text)) == vector["wrong_fields"]
