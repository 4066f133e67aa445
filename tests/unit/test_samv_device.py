"""The simulated reader against the bytes of the reference, without a wire."""

from __future__ import annotations

import pytest

from firmware_protocol import cardtext, samv
from firmware_protocol.idnumber import check_digit
from firmware_protocol.samv import Command, Request, Status
from sim.id_reader import ChipData, SamvDevice, resident_chip

NUMBER = "99010119900101001" + check_digit("99010119900101001")
CARD = resident_chip("测试甲", NUMBER, "20200101", "长期")
OTHER = resident_chip("测试甲", NUMBER, "20100101", "20200101")
FIND, SELECT, READ = (Request(c) for c in (Command.FIND, Command.SELECT, Command.READ_TEXT_PHOTO))


class Field:
    def __init__(self, card: ChipData | None) -> None:
        self.card = card
        self.device = SamvDevice(lambda: self.card)

    def ask(self, request: Request) -> samv.Reply:
        return samv.decode_reply(self.device.feed(request.to_bytes()))


def test_find_select_read() -> None:
    field = Field(CARD)
    assert field.device.feed(bytes.fromhex("AAAAAA96690003200122")) == bytes.fromhex("AAAAAA9669000800009F0000000097")
    assert field.device.feed(bytes.fromhex("AAAAAA96690003200221"))[-1] == 0x9C
    wire = field.device.feed(bytes.fromhex("AAAAAA96690003300132"))
    assert len(wire) == 1295
    assert cardtext.decode(wire[14:270]) == CARD.text


def test_no_card() -> None:
    field = Field(None)
    assert field.device.feed(FIND.to_bytes()) == bytes.fromhex("AAAAAA9669000400008084")
    assert field.device.feed(SELECT.to_bytes()) == bytes.fromhex("AAAAAA9669000400008185")
    assert field.ask(READ).status == Status.READ_FAILED


@pytest.mark.parametrize("then", [None, OTHER])
def test_a_card_that_left_must_be_found_again(then: ChipData | None) -> None:
    field = Field(CARD)
    field.ask(FIND)
    field.card = then
    assert field.ask(SELECT).status == Status.SELECT_FAILED
    field.card = CARD
    assert field.ask(FIND).status == Status.FOUND
    assert field.ask(SELECT).status == Status.OK
    field.card = then
    assert field.ask(READ).status == Status.READ_FAILED
    field.card = CARD
    assert field.ask(READ).status == Status.READ_FAILED


@pytest.mark.parametrize("length", samv.FINGERPRINT_LENGTHS)
def test_fingerprint_and_added_address(length: int) -> None:
    field = Field(ChipData(CARD.text, fingerprint=bytes(length), added_address="虚构省测试市新路3号"))
    field.ask(FIND)
    field.ask(SELECT)
    data = field.ask(Request(Command.READ_TEXT_PHOTO_FINGERPRINT)).data
    assert samv.decode_card_blocks(Command.READ_TEXT_PHOTO_FINGERPRINT, data).fingerprint == bytes(length)
    address = field.ask(Request(Command.READ_ADDED_ADDRESS)).data
    assert len(address) == samv.ADDED_ADDRESS_LENGTH
    assert address.decode("utf-16-le").rstrip() == "虚构省测试市新路3号"


def test_other_commands_and_garbage() -> None:
    field = Field(CARD)
    assert field.ask(Request(Command.SAM_STATUS)).status == Status.OK
    assert len(field.ask(Request(Command.SAM_ID)).data) == 16
    assert field.ask(Request(Command.SET_MAX_RF_BYTES, b"\x50")).status == Status.OK
    assert field.ask(Request(0x7777)).status == Status.BAD_COMMAND
    assert field.ask(Request(Command.READ_ADDED_ADDRESS)).status == Status.READ_FAILED
    assert field.device.feed(b"\xaa\xaa\x00garbage") == b""
    damaged = FIND.to_bytes()[:-1] + b"\x00"
    assert samv.decode_reply(field.device.feed(damaged)).status == Status.BAD_CHECKSUM
    assert field.ask(FIND).status == Status.FOUND
