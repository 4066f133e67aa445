"""GB 11643 numbers: the worked example of the standard, and every way to be wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_protocol.idnumber import check_digit, is_date, is_valid

digits17 = st.text("0123456789", min_size=17, max_size=17)


@pytest.mark.parametrize(
    ("first17", "check"),
    [("11010519491231002", "X"), ("44052418800101001", "4"), ("99010119900101001", "9")],
)
def test_check_digit(first17: str, check: str) -> None:
    assert check_digit(first17) == check  # the first two are the examples printed in GB 11643-1999
    assert is_valid(first17 + check)


@pytest.mark.parametrize("first17", ["", "1101051949123100", "110105194912310021", "1101051949123100X", "１" * 17])
def test_check_digit_wants_17_ascii_digits(first17: str) -> None:
    with pytest.raises(ValueError, match="17 digits"):
        check_digit(first17)


@pytest.mark.parametrize(
    "number",
    [
        "",
        "11010519491231002x",  # cards write a capital X
        "110105194912310020",
        "1101051949123100２X",
        "11010519491231002X ",
        "99010119900230001" + check_digit("99010119900230001"),  # 30 February
        "99010100000101001" + check_digit("99010100000101001"),  # the year 0
    ],
)
def test_refused(number: str) -> None:
    assert not is_valid(number)


@given(digits17, st.integers(0, 16), st.integers(1, 9))
def test_any_wrong_digit_is_noticed(first17: str, position: int, difference: int) -> None:
    changed = str((int(first17[position]) + difference) % 10)
    assert check_digit(first17[:position] + changed + first17[position + 1 :]) != check_digit(first17)


@given(st.text(max_size=20))
def test_any_text_gives_an_answer(text: str) -> None:
    assert is_valid(text) in (True, False)
    assert is_date(text) in (True, False)
