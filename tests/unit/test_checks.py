"""The checks of the health answer: each fault has one, with words that both languages of the console know."""

from __future__ import annotations

import ast
import re
import sqlite3
from pathlib import Path

import pytest

import lockerd
from lockerd.checks import Heard, Survey, checks, office_words, recycler_words
from lockerd.maintenance import _REFUSED
from lockerd.model.climate import Climate
from lockerd.model.custody import CabinetObservation, Fault, Observation, Place, Sensor, SlotState, Unit
from lockerd.store.opening import translated
from lockerd.web.console_pages import said
from lockerd.web.health import Check, Status

CHINESE = re.compile("[\u4e00-\u9fff]")
WELL = Heard(
    survey=Survey(None, {}, 0),
    store_trouble="",
    no_backup="",
    unerased="",
    room=True,
    fit=True,
    dispenser="",
    recycler="",
    bin_full=False,
    retract_full=False,
    readers={"counter": True, "throat": True, "exit": True},
    worker_up=True,
    camera_up=True,
    finger=True,
    finger_needed=False,
    office=None,
    clock_wrong=False,
)
CABINET = CabinetObservation(True, True, False, False, 20.0, 50, hatch_open=True, climate=Climate(fan=50))


def seen(fault: Fault | None = None, place: Place | None = None) -> Observation:
    return Observation(Unit.RECYCLER, 1, False, False, place, None, frozenset({Sensor.HOME}), fault, 0, 0, 0)


RECYCLER = (
    *(recycler_words(seen(fault), settled=True, idle=True) for fault in Fault),
    *(recycler_words(seen(place=place), settled=True, idle=True) for place in (Place.ESCROW, Place.IN_DOUBT)),
    recycler_words(seen(), settled=False, idle=True),
    recycler_words(
        Observation(Unit.RECYCLER, 1, False, True, None, None, frozenset(), None, 0, 0, 0), settled=True, idle=True
    ),
)
FAULTS: dict[str, tuple[str, Heard]] = {
    "start": ("store", WELL._replace(survey=None)),
    "disk failed": ("store", WELL._replace(store_trouble="the disk is full; free space in the state directory")),
    "disk full": ("disk", WELL._replace(room=False)),
    "no backup": ("backup", WELL._replace(no_backup="/state/backup: no room (2 files)")),
    "not erased": ("backup", WELL._replace(unerased="lockerd.db waits: no room")),
    "path": ("card_path", WELL._replace(fit=False)),
    "dispenser silent": ("dispenser", WELL._replace(dispenser=None)),
    **{f"recycler {words}": ("recycler", WELL._replace(recycler=words)) for words in (None, *RECYCLER)},
    **{f"reader {name}": (f"reader.{name}", WELL._replace(readers={name: False})) for name in WELL.readers},
    "camera": ("face", WELL._replace(camera_up=False)),
    "worker": ("face", WELL._replace(worker_up=False)),
    "finger": ("fingerprint", WELL._replace(finger=False)),
    "office not yet": ("office", WELL._replace(office=office_words(""))),
    "office": ("office", WELL._replace(office=office_words("hello: the office could not be reached (OSError)"))),
    "clock": ("clock", WELL._replace(clock_wrong=True)),
    "bin": ("bin", WELL._replace(bin_full=True)),
    "retract box": ("retract_box", WELL._replace(retract_full=True)),
    "doubt": ("doubt", WELL._replace(survey=Survey(CABINET, {}, 0, doubtful=2))),
    "blocked": ("slots", WELL._replace(survey=Survey(CABINET, {SlotState.BLOCKED: 3}, 0))),
    "cabinet": ("cabinet", WELL),
    **{
        name: (name, WELL._replace(survey=Survey(CABINET, {}, 0)))
        for name in ("door", "hatch", "tamper", "mains", "fan")
    },
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_check_with_a_remedy_in_both_languages(fault: str) -> None:
    name, heard = FAULTS[fault]
    [check] = [one for one in checks(heard) if one.name == name]
    assert check.status is not Status.PASS
    for words in (check.name, check.what, check.remedy):
        assert CHINESE.search(said("zh", words)), words
    assert "_" not in said("en", check.name) + said("en", check.what)


def test_a_machine_without_fault_has_none() -> None:
    cabinet = CabinetObservation(False, False, False, True, 20.0, 100, climate=Climate())
    found = checks(WELL._replace(survey=Survey(cabinet, {SlotState.FREE: 300}, 12, retract_count=1)))
    assert [check for check in found if check.status is not Status.PASS] == []
    assert Check("doubt", Status.PASS) not in found


def refusals() -> set[str]:
    """What staff are told: the words of each refusal in the rooms that do their work."""
    folder = Path(lockerd.__file__).parent
    rooms = (
        "maintenance",
        "custody_desk",
        "loading",
        "journey/session",
        "store/findings",
        "web/console",
        "web/console_custody",
    )
    words = set(_REFUSED.values())
    for room in rooms:
        for node in ast.walk(ast.parse((folder / f"{room}.py").read_text())):
            values: list[ast.expr | None] = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                if name in ("FloorTaken", "StaffWorkFailed") or name.startswith("HTTP"):
                    values = [*node.args, *(one.value for one in node.keywords)]
            elif (isinstance(node, ast.Return) and room == "custody_desk") or (
                isinstance(node, ast.Assign) and room == "loading"
            ):
                values = [node.value]
            words |= {one.value for one in values if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return words - {"", "/login"}


def test_every_refusal_is_said_in_chinese() -> None:
    found = refusals()
    assert len(found) > 20
    assert {words for words in found if not CHINESE.search(said("zh", words))} == set()


@pytest.mark.parametrize("code", ["FULL", "BUSY", "CORRUPT", "IOERR", "READONLY"])
def test_a_database_that_fails_is_said_in_chinese(code: str) -> None:
    error = sqlite3.OperationalError("disk I/O error (10)")
    error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{code}")
    assert CHINESE.search(said("zh", str(translated(error))))


def test_what_is_kept_of_the_words_comes_back_in_its_place() -> None:
    words = "could not be made (/state: 3 files (old))"
    assert said("zh", words) == "没有做成 (/state: 3 files (old))"


def test_each_check_and_each_figure_is_in_the_book() -> None:
    folder = Path(lockerd.__file__).parent
    page = (folder.parent / "docs" / "monitoring.md").read_text()
    sources = "".join(path.read_text() for path in folder.rglob("*.py"))
    figures = set(re.findall(r'MetricFamily\(\s*"(lockerd_[a-z_]+)"', sources))
    assert len(figures) > 15
    assert {name for name in figures if not re.search(rf"`{name}(_total)?[`{{]", page)} == set()
    assert {name for name, _ in FAULTS.values() if f"`{name}`" not in page} == set()
