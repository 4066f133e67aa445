"""One machine put together: the world, mechanics and firmware of its units, its card readers, and its power."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from firmware_protocol.blocks import IdentityBlock
from firmware_protocol.mailbox import ExceptionCode
from firmware_protocol.units import Light, Sensor, UnitKind
from sim.camera import Scene
from sim.carousel import CarouselMechanism
from sim.chip_photo import LENGTH, photo_block
from sim.crt_dispenser import CrtDispenser, Send
from sim.fingerprint import block_of
from sim.firmware import UnitFirmware
from sim.id_reader import ChipData, SamvDevice, resident_chip
from sim.kept import Kept, UnitMemory
from sim.mechanisms import CabinetMechanism, DispenserMechanism, RecyclerMechanism, Sleep, Unit
from sim.motions import MotionLog
from sim.people import Card, Citizen
from sim.world import Impossible, Place, Spot, World

MODULE = "crt-dispenser"
READERS = ("reader-counter", "reader-throat", "reader-exit")
CAMERA = "camera"
FINGERPRINT = "fingerprint"
_MAX_RESPONSE_MS = 100
_AT_FIRST = {"new": Place.TRAY, "old": Place.PERSON}
_MECHANISMS: dict[UnitKind, type[Unit]] = {
    UnitKind.DISPENSER: DispenserMechanism,
    UnitKind.RECYCLER: RecyclerMechanism,
    UnitKind.CABINET: CabinetMechanism,
}


def cards_of(town: Sequence[Citizen]) -> list[Card]:
    """Every card there is: the new one of each citizen and the old one, also where it was lost: it is with someone outside."""
    return [card for one in town for card in (one.new_card, one.old_card, one.lost_card) if card is not None]


def fresh_world(town: Sequence[Citizen], slots: int) -> World:
    """A machine with an empty carousel; new cards are with the staff, old ones with their citizens."""
    return World(slots, {card.card_id: _AT_FIRST[card.role] for card in cards_of(town)})


class Machine:
    """All parts of one machine around `kept.world`. It has power once `boot` was called; `run` gives the units life.

    `clock` (seconds, monotonic) times motions and silences; `speed` divides the duration of every motion;
    `poll_interval` is the firmware's pause in seconds between two looks at its sensors when nobody asks. With `bought` the
    exit is a module of its own on its own line (`module_feed`), and unit 1 is the carousel's board.
    """

    def __init__(
        self,
        town: Sequence[Citizen],
        kept: Kept,
        *,
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
        speed: float = 1.0,
        poll_interval: float = 0.05,
        bought: bool = False,
    ) -> None:
        self.world = kept.world
        self.log = MotionLog(clock)
        self._kept = kept
        self._clock = clock
        self._faces = {one.person_id: one.face_seed for one in town}
        self._cards = {card.card_id: card for card in cards_of(town)}
        self._chips: dict[str, ChipData] = {}
        self._silent_until: dict[str, float] = {}
        self._readers: dict[str, SamvDevice] = {}
        self.last_read: dict[str, str] = {}  # by reader, the card whose chip it was asked for last
        self.heard: Callable[[str, str], None] = lambda _reader, _card: None  # of a chip that a host has got whole

        self.units: dict[str, Unit] = {}
        self.firmware: dict[UnitKind, UnitFirmware] = {}
        mechanisms = _MECHANISMS | ({UnitKind.DISPENSER: CarouselMechanism} if bought else {})
        for kind, mechanism in mechanisms.items():
            unit = mechanism(kind, self.world, self.log, sleep=sleep, changed=kept.save, speed=speed)
            capacity = self.world.slots if kind is UnitKind.DISPENSER else 0
            identity = IdentityBlock(kind, capacity, kept.seed & 0xFFFFFFFF, _MAX_RESPONSE_MS)
            self.units[unit.name] = unit
            self.firmware[kind] = UnitFirmware(identity, unit, UnitMemory(kept, unit.name), poll_interval=poll_interval)
        self.module: CrtDispenser | None = None
        if bought:
            self.module = CrtDispenser(
                self.world,
                self.log,
                UnitMemory(kept, MODULE),
                random=Random(f"{kept.seed}:module"),
                changed=kept.save,
                sleep=sleep,
                clock=clock,
                speed=speed,
            )

    async def run(self) -> None:
        """Run all units until cancelled, which is a power cut for them."""
        async with asyncio.TaskGroup() as group:
            for firmware in self.firmware.values():
                group.create_task(firmware.run())
            if self.module is not None:
                group.create_task(self.module.run())

    # Power and lines

    def boot(self) -> None:
        """Switch on whatever the state says: nothing after `cut_power`, else all units with new boot ids."""
        if not self.world.powered:
            return
        self._kept.boots += 1
        ids = Random(f"{self._kept.seed}:boot:{self._kept.boots}")
        self._readers = {name: SamvDevice(self._field(name)) for name in READERS}
        for firmware in self.firmware.values():
            firmware.power_on(ids.randrange(1, 2**32))
        if self.module is not None:
            self.module.power_on()
        self._kept.save()

    def cut_power(self) -> None:
        """Units, readers, camera and lights go off; a running motion stops where it is."""
        if not self.world.powered:
            raise Impossible("the power is off")
        self.world.powered = False
        self.world.lights = self.world.fan = self.world.heater = 0
        for firmware in self.firmware.values():
            firmware.power_off()
        if self.module is not None:
            self.module.power_off()
        self._readers = {}
        self._kept.save()

    def restore_power(self) -> None:
        """The power comes back; every unit boots."""
        if self.world.powered:
            raise Impossible("the power is on")
        self.world.powered = True
        self.boot()

    def silence(self, part: str, seconds: float) -> None:
        """Break the line of a unit, a reader or the camera for so long; what it does goes on.

        A bought dispenser is silent as a whole by the name of its unit, and alone, without its board, by `MODULE`.
        """
        if part not in {*self.units, *READERS, CAMERA, FINGERPRINT, *((MODULE,) if self.module else ())}:
            raise Impossible(f"there is no {part}")
        self._silent_until[part] = self._clock() + seconds

    def silenced(self, part: str) -> bool:
        """Whether the part's line is broken now."""
        until = self._silent_until.get(part)
        return until is not None and self._clock() < until

    # What hangs on the wires

    def bus(self) -> Mapping[int, Line]:
        """The units by their address."""
        return {int(kind): Line(self, kind.name.lower(), firmware) for kind, firmware in self.firmware.items()}

    def reader_feed(self, name: str, data: bytes) -> bytes:
        """Bytes from the host to a reader; its answer, nothing while it is off or silent."""
        device = self._readers.get(name)
        return b"" if device is None or self.silenced(name) else device.feed(data)

    def module_feed(self, data: bytes, send: Send) -> None:
        """Bytes from the host to a bought dispenser; it answers by `send`, nothing while its line is broken."""
        if self.module is not None and not self._module_silenced():
            self.module.handle(data, lambda answer: None if self._module_silenced() else send(answer))

    def _module_silenced(self) -> bool:
        return self.silenced("dispenser") or self.silenced(MODULE)

    def scene(self) -> Scene | None:
        """What the camera sees; None while it is off or gone."""
        world = self.world
        if not world.powered or self.silenced(CAMERA):
            return None
        first, second = (None if one is None else self._faces[one] for one in (world.looking, world.also_looking))
        return Scene(first, second, world.printed)

    def finger(self) -> bytes | None:
        """What the fingerprint sensor sees, as a chip would carry it; None without a finger."""
        person = self.world.touching
        return next((block_of(card.id_number) for card in self._cards.values() if card.person_id == person), None)

    def has_sensor(self) -> bool:
        """Whether the fingerprint sensor answers."""
        return self.world.powered and not self.silenced(FINGERPRINT)

    def _field(self, name: str) -> Callable[[], ChipData | None]:
        def card() -> str | None:
            match name:
                case "reader-counter":
                    return self.world.on_reader
                case "reader-throat":
                    return self.world.card_at(Place.ESCROW)
                case _:
                    return self.world.card_at(Place.TRANSPORT)

        def chip() -> ChipData | None:
            found = card()
            if found is None or found in self.world.broken:
                return None
            self.last_read[name] = found
            return self._chips.get(found) or self._made(self._cards[found])

        return chip

    def _made(self, card: Card) -> ChipData:
        """A card's chip, made when it is first asked for and kept as long as the card."""
        face = self._faces.get(card.person_id)
        photo = bytes(LENGTH) if face is None else photo_block(face)
        chip = resident_chip(card.name, card.id_number, card.valid_from, card.valid_to, photo)
        made = self._chips[card.card_id] = replace(chip, fingerprint=block_of(card.id_number))
        return made

    # What a run may know and do

    def moves(self, unit: str | None = None) -> bool:
        """Whether a motor of the unit runs, or of any; a bought module's is one of the dispenser's."""
        if self.module is not None and self.module.moving and unit in {None, "dispenser"}:
            return True
        return any(self.firmware[one.kind].moving for name, one in self.units.items() if unit in {None, name})

    def sees(self, unit: str, sensor: str) -> bool:
        """Whether a sensor of the unit, or of its bought module, by its name in lower case, sees something."""
        if self.module is not None and unit == "dispenser" and self.module.sees(sensor):
            return True
        return bool(Sensor[sensor.upper()] & self.units[unit].sensors())

    def add(self, one: Citizen) -> None:
        """Somebody more with their cards: the new one with the staff, the old one in their hand."""
        self._faces[one.person_id] = one.face_seed
        for card in cards_of([one]):
            self._cards[card.card_id] = card
            self.world.spots[card.card_id] = Spot(_AT_FIRST[card.role])

    def remove(self, one: Citizen) -> None:
        """Somebody leaves the story with all their cards; raises Impossible while one is in the machine."""
        for card in cards_of([one]):
            if self.world.spots[card.card_id].place not in {Place.PERSON, Place.TRAY}:
                raise Impossible(f"card {card.card_id} is in the machine")
        del self._faces[one.person_id]
        for card in cards_of([one]):
            del self._cards[card.card_id], self.world.spots[card.card_id]
            self._chips.pop(card.card_id, None)

    def changed(self) -> None:
        """Keep the world after somebody changed it."""
        self._kept.save()

    def knows(self, person: str | None) -> bool:
        """Whether there is this person; nobody is always there."""
        return person is None or person in self._faces

    def truth(self) -> dict[str, Any]:
        """The physical truth in JSON's types, and the units' own totals."""
        world = self.world
        cards = []
        for card_id, spot in world.spots.items():
            card = self._cards[card_id]
            cards.append(
                {
                    "card_id": card_id,
                    "role": card.role,
                    "person": card.person_id,
                    "place": spot.place.value,
                    "slot": spot.slot,
                    "broken": card_id in world.broken,
                }
            )
        return {
            "cards": cards,
            "units": {name: self._totals(name) for name in ("dispenser", "recycler")},
            "powered": world.powered,
            "motions": [
                {"unit": one.unit, "motion": one.motion, "began": one.began, "ended": one.ended}
                for one in self.log.motions()
            ],
            "gate_open": world.gate_open,
            "shutter_open": world.shutter_open,
            "lights": [light.name.lower() for light in Light if light.name and light & world.lights],
            "at_exit": world.card_at(Place.EXIT),
            "at_throat": world.card_at(Place.THROAT),
            "on_reader": world.on_reader,
            "looking": world.looking,
            "also_looking": world.also_looking,
            "touching": world.touching,
            "tray": world.cards_at(Place.TRAY),
            "load": world.cards_at(Place.LOAD),
            "rejects": world.cards_at(Place.REJECT_LANE),
            "jammed": sorted(kind.name.lower() for kind in world.jammed),
            "slots": world.slots,
        }

    def _totals(self, name: str) -> dict[str, int]:
        """A unit's own totals. A bought dispenser counts no taken card: there the world says how many are with people."""
        if self.module is not None and name == "dispenser":
            given = [card for card in self.world.cards_at(Place.PERSON) if self._cards[card].role == "new"]
            return {"dispensed": len(given), "retained": self.module.counted}
        record = UnitMemory(self._kept, name).load()
        return {total: record.get(total, 0) for total in ("dispensed", "retained")}


class Line:
    """A unit as the bus reaches it: its firmware, unless the line is broken. A `sim.modbus_slave.RegisterDevice`."""

    def __init__(self, machine: Machine, name: str, firmware: UnitFirmware) -> None:
        self._machine = machine
        self._name = name
        self._firmware = firmware

    @property
    def silent(self) -> bool:
        """Whether nothing answers."""
        return self._firmware.silent or self._machine.silenced(self._name)

    def read(self, address: int, count: int) -> list[int] | ExceptionCode:
        """Holding registers of the unit."""
        return self._firmware.read(address, count)

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        """Write holding registers of the unit."""
        return self._firmware.write(address, values)
