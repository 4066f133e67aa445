"""Hands and power switch of a unit that stands alone, for whoever proves it: `POST /bench {"do": NAME}` on the control port.

The names say what is done at the unit and no card's name, so that a client needs to know nothing of the simulated town:
power-off, power-on, feed-card, take-from-exit, insert-card, take-from-throat, open-door, close-door.
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

    def door(level: bool | None) -> None:
        machine.units["cabinet"].stick("door_open", level)

    return {
        "power-off": machine.cut_power,
        "power-on": machine.restore_power,
        "feed-card": feed,
        "take-from-exit": world.take_new,
        "insert-card": insert,
        "take-from-throat": world.take_old,
        "open-door": lambda: door(True),
        "close-door": lambda: door(None),
    }


def _some(machine: Machine, *places: Place) -> str:
    """A card that is at one of the places and not on the reader. Raises Impossible."""
    for place in places:
        for card in machine.world.cards_at(place):
            if card != machine.world.on_reader:
                return card
    raise Impossible("no card is left")
