"""How often the units are asked, in seconds between two looks: slow while nothing happens, fast while anything moves.

A look is one read (FC3) of a unit's whole status block: 77 bytes on the wire, 10 ms at 115200 baud and 44 ms at 19200 with
both gaps. So idle units take 0.6 % of a fast line and 2.6 % of a slow one; a unit in motion takes 17 % and 47 %, and two at
once still fit. No unit is asked by two callers at once: `MailboxUnit` makes them wait for each other.
"""

from dataclasses import dataclass

IDLE_SECONDS = 5.0
"""All units, one behind the other, while nobody is there: doors, supply and bins change at the pace of staff, and an alarm
that is seconds late is still in time."""

WATCHED_SECONDS = 0.1
"""The one unit at which a citizen's hand is awaited: the page answers before the hand is back."""

MOVING_SECONDS = 0.05
"""The one unit that moves: a motion takes about a second, so its end is known within a twentieth of it."""

LATELY_SECONDS = 1.0
"""How old a unit's status may be for what nothing can have changed since, and for planning its next command: the unit refuses
one that it has outlived."""

SILENT_SECONDS = 1.0
"""A unit that did not answer: longer than the line stays silent for a late answer, so that others get their turn."""


REPORTED_SECONDS = 0.5
"""Whether the health answer has become another: of memory only."""


GATHERED_SECONDS = 0.5
"""From the first new event until the office is told: what one step of a journey writes travels in one request."""


AWAY_SECONDS = 60.0
"""The longest pause between two tries to reach an office that is away."""


KEPT_SECONDS = 60.0
"""What changes slowly: a cabinet warms by less than a degree in that time, and models change with an installation."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What simulated time stretches: nobody waits there, and nearly all looks find nothing new. Seconds."""

    idle: float = IDLE_SECONDS
    watched: float = WATCHED_SECONDS
    moving: float = MOVING_SECONDS
    reported: float = REPORTED_SECONDS
    gathered: float = GATHERED_SECONDS
    away: float = AWAY_SECONDS
    kept: float = KEPT_SECONDS
