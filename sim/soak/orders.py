"""What the motors were told against what the ledger had made durable, and the units' totals against what really happened."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from firmware_protocol.units import Opcode, UnitKind
from sim.assembly import Machine
from sim.soak.seams import Fetch
from sim.world import Place

_UNITS = {"dispenser": UnitKind.DISPENSER, "recycler": UnitKind.RECYCLER}
EXIT_READER = "reader-exit"
_BY_MODULE = {
    "pick": (Place.SLOT, Place.TRANSPORT),
    "present": (Place.TRANSPORT, Place.EXIT),
    "retract": (Place.EXIT, Place.TRANSPORT),
    "capture": (Place.TRANSPORT, Place.RETRACT),
}
"""Motions that a bought module makes, whence and where to; all others are its board's."""
_BESIDE = {"pick": Opcode.ALIGN, "capture": Opcode.RESET}
"""What the board may do once for a motion of the module: bring the slot, forget the card."""


class Orders:
    """Each command that a unit accepts is one durable intent, and each intent at most one command.

    A bought dispenser numbers nothing: there each card that its motor pulls out of its place is one durable intent for just
    that, and each intent one such card at most. `wrong` is told of each breach; `lately` gives a unit's sensors that lie, or just
    did.
    """

    def __init__(
        self, machine: Machine, wrong: Callable[[str], None], lately: Callable[[str], Collection[str]]
    ) -> None:
        self._machine = machine
        self._wrong = wrong
        self._lately = lately
        self._durable: dict[UnitKind, tuple[int, int, int]] = {}  # seq, opcode, argument of the latest intent
        self._obeying = [(unit, kind, machine.firmware[kind]) for unit, kind in _UNITS.items()]
        self._accepted = {kind: machine.firmware[kind].record.accepted_seq for kind in _UNITS.values()}
        self._in_bin = machine.world.bin_counter
        self._in_box = 0
        self._excess: dict[UnitKind, int] = {}  # of the ledger's count of taken cards, after a lie
        self.kept = {UnitKind.DISPENSER: 0, UnitKind.RECYCLER: 0}  # cards that really fell into box and bin
        self._module = machine.module
        self._carried = machine.module.carried if machine.module else 0
        self._expected: tuple[Place | None, Place, int | None] | None = None  # of the module
        self._beside: tuple[int, int] | None = None  # opcode and argument, of its board
        self._at_exit: str | None = None
        self._out = 0  # new cards that hands took out of the exit

    def intended(self, unit: str, motion: str, slot: int | None, token: str) -> None:
        """An intent became durable."""
        self._notice_orders()  # a unit that lost its power as it accepted a command has changed nothing since
        kind = _UNITS[unit]
        if self._module is not None and unit == "dispenser":
            self._expected = self._beside = None
            if motion in _BY_MODULE:
                self._durable.pop(kind, None)
                self._expected = (*_BY_MODULE[motion], slot)
                self._beside = (_BESIDE[motion], slot or 0) if motion in _BESIDE else None
                return
            token = token.partition(":")[2]
        _boot, seq, opcode, argument = (int(part) for part in token.split(":"))
        if seq <= self._accepted[kind]:
            self._wrong(f"an intent of the {unit} bears number {seq}, which a command had before")
        self._durable[kind] = (seq, opcode, argument)

    def moved(self) -> str | None:
        """Something physical changed; gives an old card that fell into the bin just now."""
        world = self._machine.world
        self._notice_orders()
        if not world.spots.at(Place.TRANSPORT):
            self._machine.last_read.pop(EXIT_READER, None)
        if self._at_exit is not None and world.spots[self._at_exit].place in {Place.PERSON, Place.TRAY}:
            self._out += 1
        self._at_exit = world.card_at(Place.EXIT)
        box = len(world.spots.at(Place.RETRACT))
        if box != self._in_box:
            self.kept[UnitKind.DISPENSER] += max(box - self._in_box, 0)
            self._in_box = box
        if world.bin_counter == self._in_bin:
            return None
        fell, self._in_bin = world.bin_counter - self._in_bin, world.bin_counter
        if fell < 0:
            return None
        self.kept[UnitKind.RECYCLER] += fell
        return world.cards_at(Place.BIN)[-1]

    def _notice_orders(self) -> None:
        for unit, kind, firmware in self._obeying:
            record = firmware.record
            if record.accepted_seq != self._accepted[kind]:
                self._accepted[kind] = record.accepted_seq
                self._obeyed(unit, kind, (record.accepted_seq, record.opcode, record.arg0))
        module = self._module
        if module is not None and module.carried != self._carried and module.latest is not None:
            self._carried += 1
            self._module_obeyed(*module.latest, again=module.carried - self._carried)

    def _module_obeyed(self, origin: Place | None, target: Place, slot: int | None, *, again: int) -> None:
        expected, self._expected = self._expected, None
        if expected != (origin, target, slot) or again:
            self._carried += again
            self._wrong(f"the module carried from {origin} to {target} without a durable intent for it")
        card = self._machine.world.card_between(UnitKind.DISPENSER)
        if target is Place.EXIT and self._machine.last_read.get(EXIT_READER) != card:
            self._wrong(f"{card} goes to the gate, and nobody has read its chip")

    def _obeyed(self, unit: str, kind: UnitKind, command: tuple[int, int, int]) -> None:
        motion = Opcode(command[1]).name.lower()
        if kind is UnitKind.DISPENSER and self._beside == command[1:]:
            self._beside = None
            return
        if self._durable.pop(kind, None) != command:
            self._wrong(f"the {unit} was ordered to {motion} without a durable intent for it")
        if motion == "open":
            self._opens()
        card = self._machine.world.card_at(Place.TRANSPORT)
        if motion == "present" and card is not None and self._machine.last_read.get(EXIT_READER) != card:
            self._wrong(f"{card} goes to the gate, and nobody has read its chip")

    def _opens(self) -> None:
        """Nobody is asked for an old card while one stands inside, unless its sensor says that none does, or just did."""
        world = self._machine.world
        for place in (Place.THROAT, Place.ESCROW):
            card = world.card_at(place)
            if card is not None and place not in self._lately("recycler"):
                self._wrong(f"the shutter is ordered to open, and {card} stands at {place}")

    async def check_totals(self, fetch: Fetch, may_have_counted: set[str]) -> None:
        """While nothing moves: each unit has counted each card that it kept, once; the ledger has not counted more taken ones.

        `may_have_counted` are the units whose sensors lied. For a module the daemon counts, and the ledger may learn of that much
        later: it is struck out once it did.
        """
        for row in await fetch("SELECT unit, dispensed FROM unit_total"):
            kind = _UNITS[row["unit"]]
            excess = row["dispensed"] - self._dispensed(kind)
            if excess > self._excess.get(kind, 0):
                if self._module is None or row["unit"] not in may_have_counted:
                    self._wrong(
                        f"the ledger has counted {row['dispensed']} cards taken from the {row['unit']}, itself fewer"
                    )
                may_have_counted.discard(row["unit"])
                self._excess[kind] = excess  # and never less: taken cards that are not recorded yet hide it for a while
        for unit, kind in _UNITS.items():
            counted, kept = self._retained(kind), self.kept[kind]
            if counted != kept:
                self._wrong(f"the {unit} has counted {counted} cards as kept, and {kept} really fell")

    def _dispensed(self, kind: UnitKind) -> int:
        """Cards that hands took, as the unit counted them; a module counts none, so here they are counted."""
        bought = self._module is not None and kind is UnitKind.DISPENSER
        return self._out if bought else self._machine.firmware[kind].record.dispensed

    def _retained(self, kind: UnitKind) -> int:
        if self._module is not None and kind is UnitKind.DISPENSER:
            return self._module.counted
        return self._machine.firmware[kind].record.retained


def told_with(move: Any) -> frozenset[str]:
    """The events of which one has to be in the transaction of a recorded move; empty for a move of which nobody is told."""
    if move["origin"] == move["target"]:
        return frozenset()  # says again where a card is, because older links are deleted
    if move["target"] == "in_doubt":
        return frozenset({"lockerd.intent.in_doubt"})
    if move["target"] == "taken":
        return frozenset({"lockerd.card.taken"}) if not str(move["card_id"]).startswith("old-") else frozenset()
    return _TOLD.get((move["reason"], move["target"]), frozenset()) if move["result"] == "done" else frozenset()


def tells(event: dict[str, Any], move: Any) -> bool:
    """Whether the data of an event are about this card, and about the slot in which it is recorded, if in one."""
    card, slot = move["card_id"], event.get("slot")
    ours = event.get("card_id") == card and (str(card).startswith("old-") or event.get("claim_id", card) == card)
    return bool(ours and (move["target"] != "slot" or slot == move["slot"]))


_TOLD = {
    ("present", "exit"): frozenset({"lockerd.card.presented"}),
    ("retract", "transport"): frozenset({"lockerd.card.retracted"}),
    ("store", "slot"): frozenset({"lockerd.card.restowed", "lockerd.card.stocked"}),
    ("capture", "retract"): frozenset({"lockerd.card.captured"}),
    ("accept", "escrow"): frozenset({"lockerd.old.inserted"}),
    ("return", "throat"): frozenset({"lockerd.old.returned"}),
    ("retain", "bin"): frozenset({"lockerd.old.retained"}),
}
