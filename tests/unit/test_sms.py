"""The pickup SMS and the file sender."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockerd.errors import LinkError
from lockerd.model.cards import ClaimKind
from lockerd.office.sms import (
    ONE_PART,
    SIGNATURE,
    FileSms,
    another_text,
    corrected_text,
    grouped,
    named_text,
    pickup_text,
)

LAST_MINUTE_OF_2026 = 1_798_732_740.0  # 2026-12-31T15:59:00Z


@dataclass
class Still:
    """A clock that stands."""

    time: float = 5.0

    def now(self) -> float:
        return self.time


@pytest.fixture
def sender(tmp_path: Path) -> FileSms:
    return FileSms(tmp_path / "inbox", Still())


@given(
    st.from_regex(r"[0-9]{8}", fullmatch=True),
    st.floats(0, 4_102_444_800),
    st.sampled_from(ClaimKind),
    st.sampled_from([pickup_text, another_text, named_text]),
)
def test_the_text_fits_in_one_part(
    code: str, expires: float, kind: ClaimKind, words: Callable[[str, float, ClaimKind], str]
) -> None:
    text = words(code, expires, kind)
    assert len(text.encode("utf-16-be")) <= 2 * ONE_PART
    assert text.startswith("【")
    assert text.startswith(SIGNATURE)
    assert f"{code[:4]} {code[4:]}" in text


def test_the_text_says_until_when_in_china_and_what_to_bring() -> None:
    renewal = pickup_text("12345678", LAST_MINUTE_OF_2026, ClaimKind.RENEWAL)
    assert "12月31日23:59前" in renewal
    assert "旧证" in renewal
    assert "旧证" not in pickup_text("12345678", LAST_MINUTE_OF_2026, ClaimKind.REPLACEMENT)
    corrected = corrected_text(LAST_MINUTE_OF_2026)
    assert "12月31日23:59前" in corrected
    assert len(corrected) <= ONE_PART


@pytest.mark.parametrize(("code", "read"), [("12345678", "1234 5678"), ("123456", "1234 56"), ("", "")])
def test_grouped(code: str, read: str) -> None:
    assert grouped(code) == read


async def test_the_same_message_twice_is_one_file(sender: FileSms) -> None:
    await sender.send("N1-1", "+8619900000001", "一")
    await sender.send("N1-1", "+8619900000001", "一")
    await sender.send("N1-2", "+8619900000001", "二")
    assert sorted(path.name for path in sender.directory.iterdir()) == ["N1-1.json", "N1-2.json"]
    written = json.loads((sender.directory / "N1-1.json").read_text("utf-8"))
    assert written == {"id": "N1-1", "phone": "+8619900000001", "text": "一", "at": 5.0}
    assert stat.S_IMODE((sender.directory / "N1-1.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("message_id", ["", ".", "..", "../x", "a/b", "a\x00b", "a b", "李", "x" * 101, "a\n"])
async def test_an_id_that_is_no_file_name_is_refused(sender: FileSms, message_id: str) -> None:
    with pytest.raises(LinkError) as refusal:
        await sender.send(message_id, "+8619900000001", "秘密")
    assert "199" not in str(refusal.value)
    assert not sender.directory.exists()


async def test_a_directory_that_cannot_be_written_is_a_link_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LinkError):
        await FileSms(tmp_path / "file", Still()).send("N1", "+8619900000001", "一")
