"""What fan and heater of the cabinet should do at a temperature. Pure, and without a memory: what they do now is on the wire.

The host decides and the unit does what it was told: a board has no rule of its own, and switches both off at RESET. Both
bounds of each step lie 4 to 5 degrees apart, so that a temperature at a bound does not switch at each look.
"""

from __future__ import annotations

from dataclasses import dataclass

HEAT_BELOW, HEAT_UNTIL = 5.0, 10.0
AIR_ABOVE, AIR_UNTIL = 32.0, 28.0
COOL_ABOVE, COOL_UNTIL = 40.0, 36.0
AIR, COOL = 50, 100


@dataclass(frozen=True, slots=True)
class Climate:
    """Speed of the fan in per cent, and whether the heater is on."""

    fan: int = 0
    heater: bool = False


def wanted(temperature: float, now: Climate) -> Climate:
    """What fan and heater should do at a temperature in degrees Celsius, given what they do now."""
    heater = temperature < HEAT_BELOW or (now.heater and temperature < HEAT_UNTIL)
    if temperature > COOL_ABOVE or (now.fan >= COOL and temperature > COOL_UNTIL):
        return Climate(COOL, heater)
    if temperature > AIR_ABOVE or (now.fan > 0 and temperature > AIR_UNTIL):
        return Climate(AIR, heater)
    return Climate(0, heater)
