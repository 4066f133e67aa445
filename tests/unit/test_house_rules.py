"""Who may enter whom: the rooms of docs/architecture.md, held by their imports."""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VALUES = ("lockerd.model", "lockerd.errors", "lockerd.ports")
RULES: dict[str, tuple[str, ...]] = {
    # room: what of the project it may import, apart from itself
    "firmware_protocol": (),
    "sim": ("firmware_protocol",),
    "lockerd.model": (),
    "lockerd.errors": (),
    "lockerd.ports": ("lockerd.model",),
    "lockerd.pickup": ("lockerd.model", "firmware_protocol.idnumber"),
    "lockerd.store": VALUES,
    "lockerd.devices": (*VALUES, "firmware_protocol"),
    "lockerd.face": VALUES,
    "lockerd.office": (*VALUES, "firmware_protocol.idnumber"),
    "lockerd.web": (*VALUES, "firmware_protocol.idnumber"),
    "lockerd.motions": (*VALUES, "lockerd.store"),
    "lockerd.journey": (*VALUES, "lockerd.motions", "lockerd.pickup", "lockerd.stocking", "lockerd.store"),
    **{
        # what stands low in the room, and enters of it only what stands lower
        f"lockerd.journey.{name}": (*VALUES, *(f"lockerd.{other}" for other in others))
        for name, others in {
            "page_time": ("pickup",),
            "lights": (),
            "reading": ("pickup",),
            "resting": (),
            "records": ("pickup", "store"),
            "face_tries": ("pickup", "store"),
            "tries": ("pickup", "store"),
            "reviewing": ("pickup", "store"),
            "watching": ("motions", "pickup", "journey.face_tries", "journey.reviewing"),
            "checking": ("pickup", "store"),
            "moving": ("motions", "pickup", "store", "journey.reading", "journey.records"),
            "doing": ("pickup", "store", *(f"journey.{one}" for one in ("checking", "moving", "reading", "records"))),
            "resuming": ("pickup", "store", "journey.reading"),
            "recovery": (
                *("motions", "pickup", "stocking", "store"),
                *("journey.reading", "journey.records", "journey.resting", "journey.resuming"),
            ),
            "clearing": ("pickup", "store", "journey.recovery"),
        }.items()
    },
    "lockerd.issuing": (*VALUES, "lockerd.store", "lockerd.office.sms"),
}


@pytest.fixture(autouse=True, scope="module")
def nothing_is_finalised() -> Iterator[None]:
    """CPython 3.11 gives up on a syntax tree (gh-106905) when a finaliser of other tests' garbage runs while it is built."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


HARNESS = ROOT / "sim/soak/harness.py"  # the one file of the simulator that may start the daemon's composition root


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


def files(room: str) -> list[Path]:
    place = ROOT / room.replace(".", "/")
    return sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]


@pytest.mark.parametrize("room", RULES)
def test_a_room_enters_only_the_rooms_it_may(room: str) -> None:
    ours = ("firmware_protocol", "lockerd", "sim")
    for path in files(room):
        if path == HARNESS:
            continue
        for name in imports(path):
            if any(within(name, root) for root in ours):
                assert any(within(name, allowed) for allowed in (room, *RULES[room])), f"{path.name} imports {name}"


def test_the_wire_declarations_need_the_standard_library_only() -> None:
    for path in files("firmware_protocol"):
        for name in imports(path):
            top = name.split(".")[0]
            assert top in sys.stdlib_module_names or top == "firmware_protocol", f"{path.name} imports {name}"


def test_the_declarations_of_the_wires_do_no_input_or_output() -> None:
    """The conformance kit is the one part of the room that does: it is a command beside the declarations, not one of them."""
    doing = {"asyncio", "os", "select", "socket", "subprocess", "termios", "time", "urllib"}
    for path in files("firmware_protocol"):
        tops = {name.split(".")[0] for name in imports(path)}
        if "conformance" not in path.parts:
            assert not tops & doing, path
            assert not any(within(name, "firmware_protocol.conformance") for name in imports(path)), path


def test_lockerd_knows_nothing_of_the_simulator() -> None:
    for path in files("lockerd"):
        assert not any(within(name, "sim") for name in imports(path)), path


def test_pymodbus_is_used_in_one_module() -> None:
    users = {path.name for path in files("lockerd") if any(within(name, "pymodbus") for name in imports(path))}
    assert users == {"bus.py"}


@pytest.mark.parametrize("room", ["firmware_protocol", "lockerd", "sim", "tests"])
def test_modules_can_be_read_in_one_sitting(room: str) -> None:
    long = {
        str(path.relative_to(ROOT)): n for path in files(room) if (n := len(path.read_text("utf-8").splitlines())) > 500
    }
    assert long == {}
