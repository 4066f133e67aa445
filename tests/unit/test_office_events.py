"""The CloudEvents envelope, the manifest's items and Retry-After: pure functions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_protocol.idnumber import check_digit
from lockerd.office.events import batch, cloud_event
from lockerd.office.exchange import RETRY_AFTER_LIMIT, retry_after
from lockerd.office.manifest import (
    MAX_PHOTO,
    Announced,
    CardFound,
    CardLost,
    CodeExtension,
    CodeReissue,
    Refusal,
    Refused,
    Withdrawn,
    decode,
)
from tests.office_parts import JPEG, TRUE_NUMBER, claim, event


def test_an_event_is_a_cloud_event() -> None:
    made = cloud_event(
        locker_id="locker-1",
        epoch="e1",
        seq=7,
        kind="lockerd.card.stocked",
        at=1_700_000_000.25,
        boot_id="b9",
        monotime=12.3456,
        data=b'{"claim_id":"N1","slot":3}',
    )
    assert json.loads(made) == {
        "specversion": "1.0",
        "id": "e1:7",
        "source": "/lockers/locker-1",
        "type": "lockerd.card.stocked",
        "time": "2023-11-14T22:13:20.250Z",
        "datacontenttype": "application/json",
        "sequence": "7",
        "bootid": "b9",
        "monotime": "12.346",
        "data": {"claim_id": "N1", "slot": 3},
    }


def test_a_batch_is_an_array() -> None:
    assert [e["sequence"] for e in json.loads(batch([event(1), event(2)]))] == ["1", "2"]
    assert json.loads(batch([event(1)])) == [json.loads(event(1))]


def sent(item: object) -> bytes:
    return json.dumps({"cursor": 5, "type": "manifest.item", "item": item}).encode()


def test_a_good_item_is_announced_and_its_repr_names_nobody() -> None:
    cursor, found = decode(sent(claim("N1")))
    assert (cursor, repr(found)) == (5, "Announced(N1)")
    assert isinstance(found, Announced)
    assert found.item.photo.startswith(b"\xff\xd8")


OTHER = "99010119900101002" + check_digit("99010119900101002")


def test_a_template_may_stand_for_the_photo_and_others_may_collect() -> None:
    template = {"model_id": "m", "vector": "AAAA"}
    guardian = {"relation": "guardian", "id_number": OTHER, "template": template}
    found = decode(sent(claim("N1", photo="", template=template, collectors=[guardian])))[1]
    assert isinstance(found, Announced)
    assert found.item.collectors[0].template == found.item.template


BAD: list[tuple[dict[str, Any], Refusal]] = [
    ({"kind": "loan"}, Refusal.UNDECODABLE),
    ({"extra": 1}, Refusal.UNDECODABLE),
    ({"photo": "%"}, Refusal.UNDECODABLE),
    ({"name": ""}, Refusal.NAME),
    ({"name": "a\nb"}, Refusal.NAME),
    ({"name": "长" * 51}, Refusal.NAME),
    ({"id_number": "990101200001010010"}, Refusal.ID_NUMBER),
    ({"id_number": ""}, Refusal.ID_NUMBER),
    ({"valid_from": "20260230"}, Refusal.DATES),
    ({"valid_from": "长期"}, Refusal.DATES),
    ({"valid_to": "soon"}, Refusal.DATES),
    ({"phone": "19900000001"}, Refusal.PHONE),
    ({"phone": ""}, Refusal.PHONE),
    ({"letter_code": "0000000000000002"}, Refusal.LETTER_CODE),
    ({"photo": ""}, Refusal.PHOTO),
    ({"photo": "AAAA"}, Refusal.PHOTO),
    ({"photo": "/9j/" + "AAAA" * (MAX_PHOTO // 3)}, Refusal.PHOTO_SIZE),
    ({"template": {"model_id": "", "vector": "AAAA"}}, Refusal.PHOTO),
    ({"template": {"model_id": "m", "vector": ""}}, Refusal.PHOTO),
    ({"template": {"model_id": "m", "vector": "AAAA" * 6000}}, Refusal.PHOTO),
    ({"collectors": [{"relation": "neighbour", "id_number": OTHER, "photo": JPEG}]}, Refusal.UNDECODABLE),
    ({"collectors": [{"relation": "guardian", "id_number": TRUE_NUMBER, "photo": JPEG}]}, Refusal.COLLECTORS),
    ({"collectors": [{"relation": "guardian", "id_number": "1", "photo": JPEG}]}, Refusal.COLLECTORS),
    ({"collectors": [{"relation": "guardian", "id_number": OTHER, "photo": "AAAA"}]}, Refusal.COLLECTORS),
    ({"collectors": [{"relation": "guardian", "id_number": OTHER, "photo": JPEG}] * 2}, Refusal.COLLECTORS),
]


@pytest.mark.parametrize(("changes", "reason"), BAD)
def test_a_bad_item_is_refused_by_claim_id_and_reason(changes: dict[str, Any], reason: Refusal) -> None:
    assert decode(sent(claim("N1", **changes))) == (5, Refused("N1", reason))


@pytest.mark.parametrize("claim_id", ["", "a b", "../N1", "N" * 41, "李"])
def test_a_claim_id_that_is_no_name_is_not_repeated(claim_id: str) -> None:
    assert decode(sent(claim(claim_id))) == (5, Refused(None, Refusal.CLAIM_ID))
    withdrawal = {"cursor": 5, "type": "manifest.withdraw", "claim_id": claim_id}
    assert decode(json.dumps(withdrawal).encode()) == (5, Refused(None, Refusal.CLAIM_ID))


def test_a_withdrawal() -> None:
    assert decode(b'{"cursor":5,"type":"manifest.withdraw","claim_id":"N1"}') == (5, Withdrawn("N1"))


def test_somebody_without_a_telephone_has_a_letter_code() -> None:
    found = decode(sent(claim("N1", phone="", letter_code="0000000000000001")))[1]
    assert isinstance(found, Announced)
    assert "0000000000000001" not in repr(found)


def test_codes_are_reissued_and_extended_until_a_moment() -> None:
    def command(kind: str, **more: object) -> object:
        return decode(json.dumps({"cursor": 5, "type": kind, "claim_id": "N1", "not_after": 9, **more}).encode())[1]

    letter = command("code.reissue", letter_code="0000000000000001")
    assert letter == CodeReissue("N1", 9.0, "0000000000000001")
    assert "0000000000000001" not in repr(letter)
    assert command("code.reissue") == CodeReissue("N1", 9.0)
    assert command("code.reissue", letter_code="1") == Refused("N1", Refusal.LETTER_CODE)
    assert command("code.extend") == CodeExtension("N1", 9.0)


def test_a_report_of_a_lost_card_comes_and_goes_and_a_bad_one_is_refused() -> None:
    number = "990101199003071237"
    whole: dict[str, object] = {"report_id": "L-7", "id_number": number, "valid_from": "20061101"}

    def reported(kind: str, **more: object) -> object:
        return decode(json.dumps({"cursor": 5, "type": kind, **whole, **more}).encode())[1]

    lost = reported("card.lost")
    assert lost == CardLost("L-7", number, "20061101")
    assert number not in repr(lost)
    assert reported("card.found") == CardFound("L-7")
    assert reported("card.lost", report_id="a b") == Refused(None, Refusal.REPORT_ID)
    assert reported("card.lost", id_number="1") == Refused(None, Refusal.ID_NUMBER)
    assert reported("card.lost", valid_from="20061301") == Refused(None, Refusal.DATES)


@pytest.mark.parametrize("raw", [b"", b"7", b"{}", b'{"cursor":"1"}', b"\xff", b"[" * 100_000])
def test_a_broken_envelope_has_no_cursor(raw: bytes) -> None:
    assert decode(raw) == (None, Refused(None, Refusal.UNDECODABLE))


def test_deep_nesting_is_undecodable() -> None:
    raw = b'{"cursor":5,"type":"manifest.item","item":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    assert isinstance(decode(raw)[1], Refused)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(sent))
def test_no_bytes_raise(raw: bytes) -> None:
    decode(raw)


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0.0),
        ("", 0.0),
        ("7", 7.0),
        ("-7", 0.0),
        ("１", 0.0),
        ("1e9", 0.0),
        ("9" * 400, RETRY_AFTER_LIMIT),
        ("soon", 0.0),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90.0),
        (format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True), 0.0),
        ("Tue, 14 Nov 2023 22:14:20 -0000", 60.0),
    ],
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert retry_after(header, NOW) == seconds
