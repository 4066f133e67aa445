"""The checks of the health answer: what is heard of the parts, and what that means. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from lockerd.model.custody import CabinetObservation, Observation, Place, Sensor, SlotState, Unit
from lockerd.web.health import Check, Status

CLEAR_IT = "clear it, then settle at the console"
LOOK_IN_TWOS = "settle; then two of you look for what is left, and say where it is on the console's custody page"
LOOK_INTO_SLOTS = "look into each, then use it again on the console's custody page"
MAKE_ROOM = "make room on it; the machine goes on by itself then"

NEEDED = frozenset({"store", "disk", "card_path", "dispenser", "reader.exit", "face"})
"""The checks without which nobody can collect a card; every other failure leaves a way and is a warning.

The fingerprint sensor is one more where the policy opens nothing without a finger.
"""

LASTING = frozenset({"backup", "office", "clock", "slots", "bin", "retract_box", "doubt"})
"""The checks that people or the network end, however often the parts are asked."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What only a round tells: the cabinet (None while it is silent) and what the ledger counts.

    `retract_count` is of the cards in the retract box, `doubtful` of those that staff have to look for.
    """

    cabinet: CabinetObservation | None
    slots: dict[SlotState, int]
    bin_count: int
    retract_count: int = 0
    doubtful: int = 0


class Heard(NamedTuple):
    """All that the checks are made of; equal ones make equal checks.

    `survey` is None before the first round. `dispenser` and `recycler` are the words for what is wrong with a unit, None while
    it is silent, empty when it is well; `readers` tells by name which answer; `finger` is None on a machine without
    a sensor; `office` says why it is not reached, None when it is. The other words are empty when there is nothing to say.
    """

    survey: Survey | None
    store_trouble: str
    no_backup: str
    unerased: str
    room: bool
    fit: bool
    dispenser: str | None
    recycler: str | None
    bin_full: bool
    retract_full: bool
    readers: dict[str, bool]
    worker_up: bool
    camera_up: bool
    finger: bool | None
    finger_needed: bool
    office: str | None
    clock_wrong: bool


def checks(heard: Heard) -> Iterator[Check]:
    """Each part that there is, and each that is wrong."""
    if heard.survey is None:
        yield Check("store", Status.FAIL, "the parts are asked for the first time", "wait a moment")
        return
    yield _check("store", not heard.store_trouble, heard.store_trouble, "look at the disk, then at the log")
    yield _check("disk", heard.room, "is full", MAKE_ROOM)
    if heard.no_backup:
        yield Check("backup", Status.WARN, f"could not be made ({heard.no_backup})", "look at the disk")
    elif heard.unerased:
        yield Check("backup", Status.WARN, f"could not be erased in ({heard.unerased})", "look at the disk")
    yield _check("card_path", heard.fit, "is not at rest", CLEAR_IT)
    for unit, words in ((Unit.DISPENSER, heard.dispenser), (Unit.RECYCLER, heard.recycler)):
        if words is None:
            yield _check(unit.value, False, "does not answer", "check its power and the bus line")
        else:
            yield _check(unit.value, not words, words, CLEAR_IT)
    for name, well in heard.readers.items():
        yield _check(f"reader.{name}", well, "does not answer", "check its cable and power")
    face = "gets no picture from the camera" if heard.worker_up else "has no worker yet"
    yield _check("face", heard.worker_up and heard.camera_up, face, "check the camera and the model pack")
    if heard.finger is not None:
        remedy = "check the sensor and its matcher"
        yield _check("fingerprint", heard.finger, "does not answer", remedy, needed=heard.finger_needed)
    yield _check("office", heard.office is None, heard.office or "", "check the network; events are kept until then")
    if heard.clock_wrong:
        yield Check("clock", Status.WARN, "differs from the office's by more than 30 s", "check time synchronisation")
    yield from _supplies(heard.survey, heard.bin_full, heard.retract_full)


def dispenser_words(seen: Observation | None) -> str | None:
    """What is wrong with the dispenser, as `Heard` has it."""
    if seen is None:
        return None
    return "" if seen.fault is None else f"reports {seen.fault}"


def recycler_words(seen: Observation | None, *, settled: bool, idle: bool) -> str | None:
    """What is wrong with the recycler, or keeps it from taking an old card; a card in its path is no trouble during a journey."""
    if seen is None:
        return None
    if seen.fault is not None:
        return f"reports {seen.fault}"
    if not settled:
        return "has yet to be settled"
    if not idle or (seen.place is None and Sensor.HOME in seen.sensors and not seen.interrupted):
        return ""
    if seen.place is None:
        return "is not at rest"
    return "cannot tell its place" if seen.place is Place.IN_DOUBT else "has a card in its path"


def office_words(trouble: str) -> str:
    """Why the office is not reached; `trouble` is the link's, empty before the first try has ended."""
    return f"the link does not work ({trouble})" if trouble else "not reached yet"


@cache
def passes(name: str) -> Check:
    """The check of a part that is well, always the same one: nearly all are, and two reports are then soon compared."""
    return Check(name, Status.PASS)


def _check(name: str, good: bool, what: str, remedy: str, *, needed: bool = False) -> Check:
    if good:
        return passes(name)
    return Check(name, Status.FAIL if needed or name in NEEDED else Status.WARN, what, remedy)


def _supplies(survey: Survey, bin_full: bool, retract_full: bool) -> Iterator[Check]:
    if bin_full:
        yield Check("bin", Status.WARN, "is full", "empty the recycling bin at the console")
    if retract_full:
        yield Check("retract_box", Status.WARN, "is full", "empty the retract box at the console")
    if survey.doubtful:
        yield Check("doubt", Status.WARN, f"{survey.doubtful} to look for", LOOK_IN_TWOS)
    if survey.slots.get(SlotState.BLOCKED, 0):
        yield Check("slots", Status.WARN, f"{survey.slots[SlotState.BLOCKED]} blocked", LOOK_INTO_SLOTS)
    cabinet = survey.cabinet
    if cabinet is None:
        yield Check("cabinet", Status.WARN, "does not answer", "check its power and the bus line")
        return
    for name, bad, what, remedy in (
        ("door", cabinet.door_open, "is open", "close it"),
        ("hatch", cabinet.hatch_open, "is open", "close it"),
        ("tamper", cabinet.tamper, "contact is open", "inspect the machine"),
        ("mains", not cabinet.mains, "is gone; on battery", "restore the supply"),
        ("fan", _fan_stands(cabinet), "does not turn", "clean or change it"),
    ):
        if bad:
            yield Check(name, Status.WARN, what, remedy)


def _fan_stands(cabinet: CabinetObservation) -> bool:
    return cabinet.climate is not None and cabinet.climate.fan > 0 and not cabinet.fan_turns
