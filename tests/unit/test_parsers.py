"""Every parser of the wires: any bytes, in any split, give frames or the declared error. `make fuzz` looks further."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import parsers
from tests.fuzz.parsers import PARSERS, samples

TRUE = [sample for name in PARSERS for sample in samples(name)]
INPUTS = st.binary(max_size=400) | st.lists(st.sampled_from(TRUE) | st.binary(max_size=20), max_size=4).map(b"".join)


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=60, deadline=None)
@given(data=INPUTS)
def test_any_bytes_give_frames_or_the_declared_error(name: str, data: bytes) -> None:
    PARSERS[name](data)


def test_a_request_longer_than_any_frame_does_not_wait_in_the_buffer() -> None:
    parsers.modbus_rtu(b"\x00\x00" + bytes.fromhex("0117") + bytes(8) + b"\xff" + bytes(250))
