"""The four text layouts: one list drives encoder and decoder; offsets are checked against bytes placed by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_protocol.cardtext import (
    LAYOUTS,
    TEXT_LENGTH,
    CardText,
    CardTextError,
    ForeignerText2017,
    ForeignerText2023,
    PermitText,
    ResidentText,
    decode,
    encode,
    is_valid_on,
    table_of,
    wrong_fields,
)
from firmware_protocol.idnumber import check_digit

NUMBER = "99010119900101001" + check_digit("99010119900101001")
FOREIGN_NUMBER = "91103219850704002" + check_digit("91103219850704002")

RESIDENT = ResidentText(
    name="测试甲",
    sex="1",
    ethnicity="01",
    birth="19900101",
    address="虚构省测试市样例路1号",
    id_number=NUMBER,
    issuer="测试市公安局",
    valid_from="20200101",
    valid_to="20400101",
)
PERMIT = PermitText(
    name="測試乙",
    sex="2",
    birth="19900101",
    address="虚构省测试市样例路2号",
    id_number=NUMBER,
    issuer="测试市公安局",
    valid_from="20240229",
    valid_to="20290228",
    permit_number="M00000000",
    issue_count="01",
)
FOREIGN_2017 = ForeignerText2017(
    english_name="SAMPLE, PERSON OF TEST",
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
FOREIGN_2023 = ForeignerText2023(
    name="测试丙",
    sex="2",
    reissue_count="00",
    birth="19850704",
    english_name="SAMPLE, PERSON OF A VERY LONG TEST",
    id_number=FOREIGN_NUMBER,
    valid_from="20240101",
    valid_to="长期",
    english_name_continued="NAME",
    nationality="XXA",
    old_number_link="001",
)
TEXTS = [RESIDENT, PERMIT, FOREIGN_2017, FOREIGN_2023]

BY_HAND = [
    (
        RESIDENT,
        [(0, "测试甲"), (30, "1"), (32, "01"), (36, "19900101"), (52, "虚构省"), (122, NUMBER), (158, "测试市")],
    ),
    (RESIDENT, [(188, "20200101"), (204, "20400101"), (248, " ")]),
    (PERMIT, [(0, "測試乙"), (32, "  "), (122, NUMBER), (220, "M00000000"), (238, "01"), (248, "J")]),
    (FOREIGN_2017, [(0, "SAMPLE"), (120, "1"), (122, "XXA990185070401"), (152, "XXA"), (158, " "), (188, "20180101")]),
    (FOREIGN_2017, [(204, "20280101"), (220, "19850704"), (236, "01"), (240, "1500"), (248, "I")]),
    (FOREIGN_2023, [(0, "测试丙"), (30, "2"), (32, "00"), (36, "19850704"), (52, "SAMPLE"), (122, FOREIGN_NUMBER)]),
    (FOREIGN_2023, [(204, "长期  "), (220, "NAME"), (242, "XXA"), (248, "Y"), (250, "001")]),
]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: type(text).__name__)
def test_both_ways_and_sound(text: CardText) -> None:
    block = encode(text)
    assert len(block) == TEXT_LENGTH
    assert decode(block) == text
    assert wrong_fields(text) == ()


@pytest.mark.parametrize(("text", "places"), BY_HAND)
def test_offsets_of_the_reference(text: CardText, places: list[tuple[int, str]]) -> None:
    block = encode(text)
    for offset, value in places:
        raw = value.encode("utf-16-le")
        assert block[offset : offset + len(raw)] == raw, (offset, value)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_fields_overlap_neither_each_other_nor_the_type_letter(layout: type[CardText]) -> None:
    taken = [248, 249]
    for at in table_of(layout).values():
        taken += range(at.offset, at.offset + at.length)
    assert len(set(taken)) == len(taken)
    assert set(taken) <= set(range(TEXT_LENGTH))


@pytest.mark.parametrize("padding", ["\0", "　", " "])
def test_other_padding_is_padding(padding: str) -> None:
    block = bytearray(encode(RESIDENT))
    block[6:30] = (padding * 12).encode("utf-16-le")
    block[248:250] = padding.encode("utf-16-le")
    assert decode(bytes(block)) == RESIDENT


def test_value_that_fills_its_field_and_rare_characters() -> None:
    text = replace(RESIDENT, name="𬱖" * 7 + "甲")  # seven surrogate pairs and one: 15 units
    assert decode(encode(text)) == text


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"name": "甲" * 16}, "name"), ({"valid_to": "202001011"}, "valid_to"), ({"name": "\ud800"}, "name")],
)
def test_what_does_not_fit_is_not_written(changes: dict[str, str], field: str) -> None:
    with pytest.raises(CardTextError, match=field) as caught:
        encode(replace(RESIDENT, **changes))
    assert changes[field] not in str(caught.value)


@pytest.mark.parametrize(
    "block",
    [b"", bytes(255), bytes(257), encode(RESIDENT)[:248] + b"Q\0" + bytes(6), b"\x00\xd8" + encode(RESIDENT)[2:]],
    ids=["empty", "short", "long", "letter", "surrogate"],
)
def test_what_is_no_text_is_refused(block: bytes) -> None:
    with pytest.raises(CardTextError):
        decode(block)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (replace(RESIDENT, name=""), ("name",)),
        (replace(RESIDENT, id_number=NUMBER[:17] + ("0" if NUMBER[17] != "0" else "1")), ("id_number",)),
        (replace(RESIDENT, valid_to="20400230"), ("valid_to",)),
        (replace(RESIDENT, valid_to="20191231"), ("valid_to",)),
        (replace(RESIDENT, valid_from="长期"), ("valid_from", "valid_to")),
        (replace(RESIDENT, valid_to="长期"), ()),
        (replace(RESIDENT, birth="1990010"), ("birth",)),
        (replace(FOREIGN_2017, id_number=NUMBER), ("id_number",)),
        (replace(FOREIGN_2017, english_name=""), ("name",)),
        (replace(FOREIGN_2023, id_number="8" + FOREIGN_NUMBER[1:]), ("id_number",)),
    ],
)
def test_wrong_fields(text: CardText, wrong: tuple[str, ...]) -> None:
    assert wrong_fields(text) == wrong


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "day", "valid"),
    [
        ("20200101", "20400101", date(2020, 1, 1), True),
        ("20200101", "20400101", date(2040, 1, 1), True),
        ("20200101", "20400101", date(2019, 12, 31), False),
        ("20200101", "20400101", date(2040, 1, 2), False),
        ("20200101", "长期", date(2999, 1, 1), True),
        ("长期", "20400101", date(2030, 1, 1), False),
        ("20200101", "", date(2030, 1, 1), False),
    ],
)
def test_validity(valid_from: str, valid_to: str, day: date, valid: bool) -> None:
    assert is_valid_on(replace(RESIDENT, valid_from=valid_from, valid_to=valid_to), day) is valid


@given(st.binary(min_size=256, max_size=256), st.sampled_from([b" \0", b"J\0", b"I\0", b"Y\0", b"", b"\0\xdc"]))
def test_any_block_gives_a_text_or_the_declared_error(block: bytes, letter: bytes) -> None:
    block = block[:248] + letter + block[248 + len(letter) :]
    try:
        text = decode(block)
    except CardTextError:
        return
    assert set(wrong_fields(text)) <= set(table_of(type(text))) | {"name"}
    is_valid_on(text, date(2030, 1, 1))
    assert decode(encode(text)) == text
