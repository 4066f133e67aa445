"""The rule of fan and heater."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockerd.model.climate import AIR, COOL, Climate, wanted

OFF, WARM, AIRED, COOLED = Climate(), Climate(0, True), Climate(AIR), Climate(COOL)


@pytest.mark.parametrize(
    ("temperature", "now", "then"),
    [
        (21.5, OFF, OFF),
        (5.0, OFF, OFF),
        (4.9, OFF, WARM),
        (9.9, WARM, WARM),
        (10.0, WARM, OFF),
        (32.0, OFF, OFF),
        (32.1, OFF, AIRED),
        (28.1, AIRED, AIRED),
        (28.0, AIRED, OFF),
        (40.0, AIRED, AIRED),
        (40.1, OFF, COOLED),
        (36.1, COOLED, COOLED),
        (36.0, COOLED, AIRED),
        (21.5, COOLED, OFF),
        (-40.0, COOLED, WARM),
        (33.0, Climate(30), AIRED),  # a speed that somebody else told it
    ],
)
def test_rule(temperature: float, now: Climate, then: Climate) -> None:
    assert wanted(temperature, now) == then


@given(st.floats(-40, 100), st.sampled_from([OFF, WARM, AIRED, COOLED, Climate(COOL, True)]))
def test_a_steady_temperature_comes_to_rest_and_never_heats_and_cools(temperature: float, now: Climate) -> None:
    then = wanted(temperature, now)
    assert wanted(temperature, then) == then
    assert not (then.heater and then.fan)
