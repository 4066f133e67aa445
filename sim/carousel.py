"""The carousel board of a machine with a bought dispenser: slots, feeder, storing head and reject lane, but no exit."""

from __future__ import annotations

from firmware_protocol.units import Fault, Opcode, Sensor
from sim.mechanisms import DispenserMechanism, Step
from sim.world import Place, Spot

_OWN = ~int(Sensor.EXIT | Sensor.GATE_OPEN | Sensor.RETRACT_FULL)
_WITHOUT_MODULE = frozenset({Opcode.RESET, Opcode.ALIGN, Opcode.LOAD, Opcode.STORE, Opcode.REJECT})


class CarouselMechanism(DispenserMechanism):
    """Sees its own side of the channel, and draws in on RESET only a card that it carried itself.

    Staff who clear a jam take a card out that is stuck in the channel, back to the tray: no command of the module brings one
    to a position that it can be read at.
    """

    _carrying = False

    def sensors(self) -> int:
        """Level of every sensor of this board."""
        return super().sensors() & _OWN

    def clear_jam(self) -> None:
        """Staff free the channel and take what is stuck in it."""
        super().clear_jam()
        stuck = self.world.card_between(self.kind)
        if stuck is not None:
            self.world.moves += 1
            self.world.spots[stuck] = Spot(Place.TRAY, since=self.world.moves)

    async def carry(self, opcode: Opcode, step: Step, slot: int | None = None) -> Fault:
        """Move one card as the opcode says; nothing for the motions that are the module's."""
        if opcode not in _WITHOUT_MODULE:
            return Fault.MOTOR
        self._carrying = True
        fault = await super().carry(opcode, step, slot)
        self._carrying = fault is not Fault.NONE and self.world.card_between(self.kind) is not None
        return fault

    async def _reset(self, step: Step) -> Fault:
        stuck = None if self._carrying else self.world.card_between(self.kind)
        gate_open = self.world.gate_open
        if stuck is None:
            fault = await super()._reset(step)
        else:
            fault = Fault.NONE if self.world.aligned is not None else await self._home()
        self.world.gate_open = gate_open
        self._carrying = self._carrying and fault is not Fault.NONE
        return fault

    async def _home(self) -> Fault:
        await self._turn(0)
        return Fault.NONE
