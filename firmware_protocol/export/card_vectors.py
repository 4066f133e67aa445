"""Test vectors of the ID-card reader: streams of SAM-V frames, and card texts. The people are invented."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from firmware_protocol.cardtext import (
    LONG_TERM,
    CardText,
    ForeignerText2017,
    ForeignerText2023,
    PermitText,
    ResidentText,
    encode,
)
from firmware_protocol.idnumber import check_digit
from firmware_protocol.samv import HEADER, CardBlocks, Command, Reply, Request, Status

_NUMBER = "99010119900307001" + check_digit("99010119900307001")
_FOREIGN_NUMBER = "99010119850704002" + check_digit("99010119850704002")

RESIDENT = ResidentText(
    name="样例甲",
    sex="1",
    ethnicity="01",
    birth="19900307",
    address="虚构省样例市测试路1号",
    id_number=_NUMBER,
    issuer="样例市公安局",
    valid_from="20200101",
    valid_to="20400101",
)
_PERMIT = PermitText(
    name="樣例乙",
    sex="2",
    birth="19900307",
    address="虚构省样例市测试路2号",
    id_number=_NUMBER,
    issuer="样例市公安局",
    valid_from="20240229",
    valid_to="20290228",
    permit_number="M00000000",
    issue_count="01",
)
_FOREIGNER_2017 = ForeignerText2017(
    english_name="SAMPLE, PERSON",
    sex="1",
    id_number="XXA990185070401",
    nationality="XXA",
    name="",
    valid_from="20180101",
    valid_to="20280101",
    birth="19850704",
    version="01",
    authority="1500",
)
_FOREIGNER_2023 = ForeignerText2023(
    name="样例丙",
    sex="2",
    reissue_count="00",
    birth="19850704",
    english_name="SAMPLE, PERSON WITH A NAME THAT GOE",
    id_number=_FOREIGN_NUMBER,
    valid_from="20231201",
    valid_to="20331201",
    english_name_continued="S ON",
    nationality="XXA",
    old_number_link="",
)


def card_texts() -> Iterator[dict[str, Any]]:
    """Vectors of the text layouts."""
    wrong_digit = _NUMBER[:-1] + ("0" if _NUMBER[-1] != "0" else "1")
    for name, text, wrong in (
        ("resident", RESIDENT, []),
        ("resident, no end of validity", replace(RESIDENT, valid_to=LONG_TERM), []),
        ("permit", _PERMIT, []),
        ("foreigner 2017", _FOREIGNER_2017, []),
        ("foreigner 2023", _FOREIGNER_2023, []),
        ("wrong check digit", replace(RESIDENT, id_number=wrong_digit), ["id_number"]),
        ("30 February", replace(RESIDENT, birth="19900230"), ["birth"]),
        ("ends before it begins", replace(RESIDENT, valid_to="20191231"), ["valid_to"]),
        ("without a name", replace(RESIDENT, name=""), ["name"]),
    ):
        yield _text(name, encode(text), text, wrong)
    block = encode(RESIDENT)
    zeros = block.replace(" ".encode("utf-16-le"), b"\0\0")[:248] + block[248:]
    yield _text("padded with zeros", zeros, RESIDENT, [])
    for name, data in (
        ("one byte short", block[:-1]),
        ("one byte more", block + b"\0"),
        ("unknown type letter", block[:248] + "Q".encode("utf-16-le") + block[250:]),
        ("half a surrogate pair in the name", b"\x00\xd8" + block[2:]),
    ):
        yield {"name": name, "bytes": data.hex(), "layout": None}


def _text(name: str, block: bytes, text: CardText, wrong: list[str]) -> dict[str, Any]:
    told = {"layout": type(text).__name__, "fields": asdict(text), "wrong_fields": wrong}
    return {"name": name, "bytes": block.hex(), **told}


def samv_streams() -> Iterator[dict[str, Any]]:
    """Vectors of the reader's line."""
    find = Request(Command.FIND).to_bytes()
    found = Reply(Status.FOUND, bytes(4)).to_bytes()
    photo = bytes(range(256)) * 4
    read = Reply(Status.OK, CardBlocks(encode(RESIDENT), photo).to_data()).to_bytes()
    for name, stream, requests in (
        *(
            (one.name, Request(one).to_bytes(), [Request(one)])
            for one in Command
            if one is not Command.SET_MAX_RF_BYTES
        ),
        ("SET_MAX_RF_BYTES", bytes.fromhex("AAAAAA9669000461FF50CA"), [Request(Command.SET_MAX_RF_BYTES, b"\x50")]),
        ("unknown command", bytes.fromhex("AAAAAA96690003777703"), [Request(0x7777)]),
        ("wrong check", find[:-1] + b"\x23", []),
        ("two in one", find + find, [Request(Command.FIND)] * 2),
        ("garbage around", b"\xaa\x00\xaa\xaa" + find + b"\xaa\xaa", [Request(Command.FIND)]),
        ("header repeated", HEADER + find, [Request(Command.FIND)]),
        ("a third 0xAA more", b"\xaa" + find, [Request(Command.FIND)]),
        ("no length", HEADER, []),
        ("length 0", HEADER + bytes(3), []),
        ("length beyond the longest", HEADER + b"\xff\xff" + bytes(16), []),
        ("cut in the middle", find[:-2], []),
        ("one cut, then a whole one", find[:-3] + find, [Request(Command.FIND)]),
        ("nothing", b"", []),
    ):
        frames = [{"command": int(one.command), "data": one.data.hex()} for one in requests]
        yield {"name": name, "direction": "request", "stream": stream.hex(), "frames": frames}
    for name, stream, replies in (
        ("found", found, [Reply(Status.FOUND, bytes(4))]),
        ("not found", bytes.fromhex("AAAAAA9669000400008084"), [Reply(Status.FIND_FAILED)]),
        ("selected", bytes.fromhex("AAAAAA9669000C00009000000000000000009C"), [Reply(Status.OK, bytes(8))]),
        ("unknown status and card status", bytes.fromhex("AAAAAA966900046A8277") + b"\x9b", [Reply(0x77, b"", 0x6A82)]),
        ("text and photo", read, [Reply(Status.OK, read[10:-1])]),
        ("text and photo, one bit wrong", read[:700] + bytes((read[700] ^ 1,)) + read[701:], []),
        ("garbage that begins like a long frame", HEADER + b"\x08\x00" + found, [Reply(Status.FOUND, bytes(4))]),
    ):
        told = [{"status": int(one.status), "card_status": one.card_status, "data": one.data.hex()} for one in replies]
        yield {"name": name, "direction": "reply", "stream": stream.hex(), "frames": told}
