"""The simulator's control interface: what a run may see of the world, and do to it, over HTTP on loopback.

`GET /truth` answers `Machine.truth()`. `POST /act` takes one act as a JSON object whose "do" names it and answers 200, 409
when physics forbids it (nothing changed), or 400 when it is no act.
"""

from __future__ import annotations

import re
from typing import assert_never

import msgspec
from aiohttp import web

from sim.assembly import Machine
from sim.mechanisms import Unit
from sim.world import Impossible


def _word(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag=_word):
    """One thing that hands, staff or fate do; "do" is the name of its class in snake_case."""


class PutOnReader(Act, frozen=True):
    """Hold a card to the counter's reader."""

    card: str


class BreakChip(Act, frozen=True):
    """Break the chip of a card in somebody's hand."""

    card: str


class TakeFromReader(Act, frozen=True):
    """Take the card from the counter's reader."""


class Look(Act, frozen=True):
    """Stand before the camera: nobody, a person, or a person and another beside; or hold a print of a person before it."""

    person: str | None
    also: str | None = None
    printed: bool = False


class Touch(Act, frozen=True):
    """Lay a person's finger on the fingerprint sensor, or take it away (null)."""

    person: str | None


class InsertOld(Act, frozen=True):
    """Put a card into the throat."""

    card: str


class TakeNew(Act, frozen=True):
    """Take the card out of the exit."""


class TakeOld(Act, frozen=True):
    """Take the card out of the throat."""


class PlaceTray(Act, frozen=True):
    """Put a stack of cards into the load feeder, the first on top."""

    cards: list[str]


class TakeRejects(Act, frozen=True):
    """Take all cards out of the reject lane."""


class EmptyBin(Act, frozen=True):
    """Take all cards out of the bin."""


class EmptyRetract(Act, frozen=True):
    """Take all cards out of the retract box."""


class Jam(Act, frozen=True):
    """Let the next such motion (an opcode in lower case) of a unit jam."""

    unit: str
    motion: str


class ClearJam(Act, frozen=True):
    """Free the mechanics of a unit."""

    unit: str


class TakeStuck(Act, frozen=True):
    """Pull the card that got stuck in a unit's path out by hand."""

    unit: str


class StickSensor(Act, frozen=True):
    """Fix a sensor of a unit at a level, or let it see again (null)."""

    unit: str
    sensor: str
    level: bool | None


class CutPower(Act, frozen=True):
    """Cut the machine's power."""


class RestorePower(Act, frozen=True):
    """Give the machine power."""


class Silence(Act, frozen=True):
    """Break the line of a unit, a reader or the camera for so many seconds."""

    unit: str
    seconds: float


class SwapSlots(Act, frozen=True):
    """Exchange what lies in two slots."""

    a: int
    b: int


AnyAct = (
    PutOnReader
    | BreakChip
    | TakeFromReader
    | Look
    | Touch
    | InsertOld
    | TakeNew
    | TakeOld
    | PlaceTray
    | TakeRejects
    | EmptyBin
    | EmptyRetract
    | Jam
    | ClearJam
    | TakeStuck
    | StickSensor
    | CutPower
    | RestorePower
    | Silence
    | SwapSlots
)


_ACTS: msgspec.json.Decoder[AnyAct] = msgspec.json.Decoder(AnyAct)


def perform(machine: Machine, act: AnyAct) -> None:
    """Do one act and keep the world; raises Impossible, then nothing changed."""
    world = machine.world
    match act:
        case PutOnReader(card):
            world.put_on_reader(card)
        case BreakChip(card):
            world.break_chip(card)
        case TakeFromReader():
            world.take_from_reader()
        case Look(person, also, printed):
            _known(machine, person, also)
            world.look(person, also, printed)
        case Touch(person):
            _known(machine, person)
            world.touching = person
        case InsertOld(card):
            world.insert_old(card)
        case TakeNew():
            world.take_new()
        case TakeOld():
            world.take_old()
        case PlaceTray(cards):
            world.place_tray(cards)
        case TakeRejects():
            world.take_rejects()
        case EmptyBin():
            world.empty_bin()
        case EmptyRetract():
            world.empty_retract()
        case Jam(unit, motion):
            _unit(machine, unit).jam(motion)
        case ClearJam(unit):
            _unit(machine, unit).clear_jam()
        case TakeStuck(unit):
            world.take_stuck(_unit(machine, unit).kind)
        case StickSensor(unit, sensor, level):
            _unit(machine, unit).stick(sensor, level)
        case CutPower():
            machine.cut_power()
        case RestorePower():
            machine.restore_power()
        case Silence(unit, seconds):
            machine.silence(unit, seconds)
        case SwapSlots(a, b):
            world.swap_slots(a, b)
        case _:
            assert_never(act)
    world.check()
    machine.changed()


def application(machine: Machine) -> web.Application:
    """The control interface of one machine."""

    async def truth(_: web.Request) -> web.Response:
        return web.json_response(machine.truth(), headers={"Cache-Control": "no-store"})

    async def act(request: web.Request) -> web.Response:
        try:
            perform(machine, _ACTS.decode(await request.read()))
        except msgspec.MsgspecError as error:
            return web.json_response({"error": str(error)}, status=400)
        except Impossible as error:
            return web.json_response({"error": str(error)}, status=409)
        return web.json_response({"ok": True})

    app = web.Application()
    app.add_routes([web.get("/truth", truth), web.post("/act", act)])
    return app


def _known(machine: Machine, *people: str | None) -> None:
    for one in people:
        if not machine.knows(one):
            raise Impossible(f"there is no person {one}")


def _unit(machine: Machine, name: str) -> Unit:
    if name not in machine.units:
        raise Impossible(f"there is no unit {name}")
    return machine.units[name]
