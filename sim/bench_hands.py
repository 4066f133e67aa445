"""Hands and power switch of a unit that stands alone, for whoever proves it: `POST /bench {"do": NAME}` on the control port.

The names say what is done at the unit and no card's name, so that a client needs to know nothing of the simulated town;
an answer with status 400 lists them.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from aiohttp import web

from sim.assembly import Machine
from sim.world import Impossible, Place


def bench_routes(machine: Machine) -> list[web.RouteDef]:
    """The route; 200 when the act was done, 409 when physics forbids it, 400 when it is no act."""
    acts = _acts(machine)

    async def bench(request: web.Request) -> web.Response:
        try:
            name = (await request.json())["do"]
            act = acts[name]
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
            return web.json_response({"error": f'not {{"do": one of {", ".join(acts)}}}'}, status=400)
        try:
            act()
        except Impossible as error:
            return web.json_response({"error": str(error)}, status=409)
        machine.world.check()
        machine.changed()
        return web.json_response({"ok": True})

    return [web.post("/bench", bench)]


def _acts(machine: Machine) -> dict[str, Callable[[], None]]:
    world = machine.world

    def feed() -> None:
        if not world.cards_at(Place.TRAY):
            world.take_rejects()
            world.empty_retract()
        world.place_tray([_some(machine, Place.TRAY, Place.PERSON)])

    def insert() -> None:
        world.insert_old(_some(machine, Place.PERSON))

    def stick(part: str, sensor: str, level: bool | None) -> Callable[[], None]:
        return lambda: machine.units[part].stick(sensor, level)

    def fill(level: bool | None) -> None:
        machine.units["dispenser"].stick("retract_full", level)
        machine.units["recycler"].stick("bin_full", level)

    def block() -> None:
        machine.units["dispenser"].jam("present")
        machine.units["recycler"].jam("retain")

    def free() -> None:
        for part in ("dispenser", "recycler"):
            machine.units[part].clear_jam()

    return {
        "power-off": machine.cut_power,
        "power-on": machine.restore_power,
        "feed-card": feed,
        "take-from-exit": world.take_new,
        "insert-card": insert,
        "take-from-throat": world.take_old,
        "open-door": stick("cabinet", "door_open", True),
        "close-door": stick("cabinet", "door_open", None),
        "open-hatch": stick("cabinet", "hatch_open", True),
        "close-hatch": stick("cabinet", "hatch_open", None),
        "open-tamper": stick("cabinet", "tamper", True),
        "close-tamper": stick("cabinet", "tamper", None),
        "key-on": stick("cabinet", "key_switch", True),
        "key-off": stick("cabinet", "key_switch", None),
        "mains-off": stick("cabinet", "mains", False),
        "mains-on": stick("cabinet", "mains", None),
        "block-path": block,
        "free-path": free,
        "fill-box": lambda: fill(True),
        "empty-box": lambda: fill(None),
        "empty-feeder": world.empty_feeder,
        "block-exit": stick("dispenser", "exit", True),
        "free-exit": stick("dispenser", "exit", None),
    }


def _some(machine: Machine, *places: Place) -> str:
    """A card that is at one of the places and not on the reader. Raises Impossible."""
    for place in places:
        for card in machine.world.cards_at(place):
            if card != machine.world.on_reader:
                return card
    raise Impossible("no card is left")
