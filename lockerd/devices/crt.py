"""A dispenser of two devices behind the port `Mover`: a carousel board on the bus, and a bought module on its own line.

The board (unit 1, this project's protocol) turns the carousel and serves the staff's side: ALIGN, LOAD, STORE, REJECT. The
module stands with its stacker's mouth at the slot that the board has aligned, and serves the citizen's side: PICK, PRESENT,
RETRACT, CAPTURE. Both work on one channel; the module's RF position is where the exit reader's antenna is.

The module numbers nothing and remembers nothing. So a move is planned with what is seen, sent once, and judged by what is
seen afterwards (`crt_evidence`); what a memory would keep, the driver keeps in a `Tally`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from firmware_protocol.crt import Card, ErrorCode
from lockerd.devices.crt_evidence import (
    COUNTER_LIMIT,
    MOVES,
    Tally,
    concluded,
    fault_of,
    judge,
    noticed,
    why_not,
    zeroed,
)
from lockerd.devices.crt_module import CrtModule, Look, Seen
from lockerd.errors import DeviceError
from lockerd.model.custody import Fault, Motion, Observation, Order, Outcome, Place, Plan, Result, Sensor, Unit
from lockerd.ports import Mover

_log = structlog.get_logger()

_BOARD = "board:"
_MODULE = "crt1"
_RESET = "reset:"
_TRIES_AFTER = 3  # of the look that decides; the module may be booting

_BOARD_MOTIONS = frozenset({Motion.ALIGN, Motion.LOAD, Motion.STORE, Motion.REJECT})
_HANDING_OVER = frozenset({Motion.LOAD, Motion.STORE, Motion.REJECT})
_PLACES = {Card.GATE: Place.EXIT, Card.READER: Place.TRANSPORT}
_BOARD_SENSORS = frozenset({Sensor.HOME, Sensor.LOAD})


class Keeper(Protocol):
    """Non-volatile memory of one `Tally`."""

    def load(self) -> Tally:
        """The last one saved."""

    def save(self, tally: Tally) -> None:
        """Make it durable before returning. Raises DeviceError."""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What was seen before a move, as its token carries it."""

    seen: Seen

    def to_token(self) -> str:
        seen = self.seen
        flags = "".join(str(int(flag)) for flag in (seen.stacked, seen.bin_full, seen.covered))
        return f"{_MODULE}:{seen.card}:{flags}:{seen.counted}"

    @classmethod
    def from_token(cls, token: str) -> _Snapshot:
        """Raises ValueError."""
        kind, card, flags, counted = token.split(":")
        stacked, bin_full, covered = (flag == "1" for flag in flags)
        if kind != _MODULE:
            raise ValueError(kind)
        return cls(Seen(Card(card), stacked, bin_full, int(counted), covered))


class CrtMover:
    """The dispenser made of `board` and `module`; implements `lockerd.ports.Mover`."""

    def __init__(self, module: CrtModule, board: Mover, keeper: Keeper) -> None:
        self._module = module
        self._board = board
        self._keeper = keeper
        self._kept: Tally | None = None
        self._fault: Fault | None = None

    @property
    def capacity(self) -> int:
        """Number of slots of the carousel; 0 before the first `observe`."""
        return self._board.capacity

    async def observe(self) -> Observation:
        """Read both devices; counts a card that a hand took since. Raises DeviceError."""
        board = await self._board.observe()
        return self._observation(board, await self._look())

    async def plan(self, order: Order) -> Plan:
        """Prepare an order without moving anything. Raises DeviceError."""
        if order.motion in _BOARD_MOTIONS:
            return Plan(order, _BOARD + (await self._board.plan(order)).token)
        if order.motion is Motion.RESET:
            return Plan(order, _RESET + (await self._board.plan(order)).token)
        if order.motion not in MOVES or order.unit is not Unit.DISPENSER:
            raise DeviceError(self._module.name, f"{order.motion} is no order for it")
        if (order.slot is not None) != (order.motion is Motion.PICK):
            raise DeviceError(self._module.name, f"{order.motion} with slot {order.slot} is no order")
        if order.slot is not None:  # the board alone knows which slots there are
            await self._board.plan(Order(order.unit, Motion.ALIGN, order.slot))
        look = await self._look()
        if isinstance(look, Seen) and order.motion is Motion.CAPTURE and look.counted >= COUNTER_LIMIT:
            self._save(replace(self._tally, zeroing=look.counted))
            await self._module.zero_counter()
            look = await self._look()
        if not isinstance(look, Seen):
            raise DeviceError(self._module.name, f"refuses with error {look}; RESET first")
        return Plan(order, _Snapshot(look).to_token())

    async def carry_out(self, plan: Plan) -> Outcome:
        """Make the motion once and wait for its end; never raises for what the devices did or did not do."""
        if plan.token.startswith(_BOARD):
            return await self._by_board(plan)
        if plan.token.startswith(_RESET):
            return await self._reset(plan)
        return await self._by_module(plan.order)

    async def settle(self, plan: Plan) -> Outcome:
        """Tell what became of a plan; never moves anything. Raises DeviceError while a device is silent."""
        if plan.token.startswith(_BOARD):
            outcome = await self._board.settle(_for_board(plan, _BOARD))
            return replace(outcome, observation=await self.observe())
        if plan.token.startswith(_RESET):
            return Outcome(Result.IN_DOUBT, None, await self.observe())
        try:
            before = _Snapshot.from_token(plan.token).seen
        except ValueError as error:
            raise DeviceError(self._module.name, "the token is not one of this driver's") from error
        board = await self._board.observe()
        look = await self._look()
        if not isinstance(look, Seen):
            return Outcome(Result.IN_DOUBT, fault_of(look), self._observation(board, look))
        result, fault = judge(plan.order.motion, before, look, None)
        if plan.order.motion is Motion.PICK and board.slot != plan.order.slot:
            result = _not_aligned(board, before, look)
        self._keep(concluded(self._tally, plan.order.motion, result, look))
        return Outcome(result, fault, self._observation(board, look))

    # --- the board's motions -----------------------------------------------------------------------------------------

    async def _by_board(self, plan: Plan) -> Outcome:
        if plan.order.motion is Motion.ALIGN and not await self._channel_clear():
            # With a loaded slot at the picker a move that finds the channel empty would fetch that slot's card.
            return await self._with_observation(Outcome(Result.NOT_MOVED, Fault.TARGET_OCCUPIED))
        outcome = await self._board.carry_out(_for_board(plan, _BOARD))
        if plan.order.motion in _HANDING_OVER and outcome.result is not Result.NOT_MOVED:
            await self._look_afresh(plan.order.motion, outcome.result)
        return await self._with_observation(outcome)

    async def _channel_clear(self) -> bool:
        try:
            look = await self._look()
        except DeviceError:
            return False
        return isinstance(look, Seen) and look.card is Card.NONE

    async def _look_afresh(self, motion: Motion, result: Result) -> None:
        """Tell the module that its channel was used by somebody else, lest it calls that moved by hand."""
        try:
            await self._module.initialise()
        except DeviceError as error:
            _log.warning("module not told of a handover", device=self._module.name, error=str(error))
        if result is Result.DONE and motion is not Motion.LOAD:
            self._keep(replace(self._tally, carried=False))

    async def _reset(self, plan: Plan) -> Outcome:
        outcome = await self._board.carry_out(_for_board(plan, _RESET))
        try:
            refusal = await self._module.initialise()
            look = await self._look()
        except DeviceError as error:
            _log.warning("module not reset", device=self._module.name, error=str(error))
            return Outcome(Result.IN_DOUBT, Fault.SILENT)
        if refusal is not None or not isinstance(look, Seen):
            self._fault = fault_of(refusal.code if refusal is not None else str(look)) or Fault.OTHER
            return await self._with_observation(Outcome(Result.FAILED, self._fault))
        self._fault = None
        if look.card is Card.NONE and not look.covered:
            self._keep(replace(self._tally, carried=False, held=False))
        return await self._with_observation(outcome)

    async def _with_observation(self, outcome: Outcome) -> Outcome:
        try:
            return replace(outcome, observation=await self.observe())
        except DeviceError as error:
            _log.warning("dispenser not observed", error=str(error))
            return replace(outcome, observation=None)

    # --- the module's moves ------------------------------------------------------------------------------------------

    async def _by_module(self, order: Order) -> Outcome:
        motion = order.motion
        try:
            if motion is Motion.PICK:
                refused = await self._align(order)
                if refused is not None:
                    return await self._with_observation(refused)
            board = await self._board.observe()
            before = await self._look()
            if not isinstance(before, Seen):
                return Outcome(Result.NOT_MOVED, fault_of(before), self._observation(board, before))
            obstacle = why_not(motion, before)
            if obstacle is not None:
                result, fault = obstacle
                return Outcome(result, fault, self._observation(board, before, fault))
            self._save(replace(self._tally, moving=True))
        except DeviceError as error:
            _log.warning("move not begun", device=self._module.name, motion=motion, error=str(error))
            return Outcome(Result.NOT_MOVED, Fault.SILENT)
        reply = await self._module.move(MOVES[motion])
        after = await self._look_after()
        if isinstance(after, Seen):
            result, reason = judge(motion, before, after, reply)
        else:
            result, reason = Result.IN_DOUBT, Fault.SILENT if after is None else fault_of(after)
        self._fault = reason
        seen = after if isinstance(after, Seen) else None
        self._keep(concluded(self._tally, motion, result, seen))
        if after is None:
            return Outcome(result, reason)
        if motion is Motion.CAPTURE and result is Result.DONE:
            await self._let_board_forget()
        return Outcome(result, reason, await self._both(board, after))

    async def _align(self, order: Order) -> Outcome | None:
        """Bring the slot to the picker; None when the board says that it stands there. Raises DeviceError."""
        if not await self._channel_clear():
            stands = (await self._board.observe()).slot == order.slot
            return None if stands else Outcome(Result.NOT_MOVED, Fault.TARGET_OCCUPIED)
        turn = Order(order.unit, Motion.ALIGN, order.slot)
        outcome = await self._board.carry_out(await self._board.plan(turn))
        if outcome.result is Result.DONE and (await self._board.observe()).slot == order.slot:
            return None
        return Outcome(Result.NOT_MOVED, outcome.fault)

    async def _look_after(self) -> Look | None:
        """What is seen after a move; None when the module stays silent."""
        for _ in range(_TRIES_AFTER):
            try:
                return await self._module.look()
            except DeviceError as error:
                _log.warning("module silent after a move", device=self._module.name, error=str(error))
        return None

    async def _let_board_forget(self) -> None:
        """Home the board if it still believes in a card that it loaded and the module has put into the bin."""
        try:
            if (await self._board.observe()).place is Place.IN_DOUBT:
                await self._board.carry_out(await self._board.plan(Order(Unit.DISPENSER, Motion.RESET)))
        except DeviceError as error:
            _log.warning("board not homed", error=str(error))

    async def _both(self, board: Observation, look: Look) -> Observation:
        """What both see after a move; of a board that fell silent what it saw before, but for the card."""
        try:
            board = await self._board.observe()
        except DeviceError as error:
            _log.warning("board silent after a move", error=str(error))
            board = replace(board, place=None)
        return self._observation(board, look)

    # --- what is known -----------------------------------------------------------------------------------------------

    @property
    def _tally(self) -> Tally:
        if self._kept is None:
            self._kept = self._keeper.load()
        return self._kept

    def _save(self, tally: Tally) -> None:
        """Raises DeviceError; then the tally in memory is the former one too."""
        if tally != self._tally:
            self._keeper.save(tally)
            self._kept = tally

    def _keep(self, tally: Tally) -> None:
        """As `_save`, for what has happened already: it is remembered at least until the restart."""
        try:
            self._save(tally)
        except DeviceError as error:
            _log.error("tally not kept", device=self._module.name, error=str(error))
            self._kept = tally

    async def _look(self) -> Look:
        """Look while nothing moves, and note what a hand did meanwhile. Raises DeviceError."""
        tally = self._tally
        if tally.moving:  # of a run before this one: it may still be moving, and whether it was begun is not known
            await self._module.let_finish()
            tally = replace(tally, moving=False, held=False, carried=True)
        look = await self._module.look()
        if isinstance(look, Seen):
            tally = noticed(zeroed(tally, look), look)
        self._save(tally)
        return look

    def _observation(self, board: Observation, look: Look, fault: Fault | None = None) -> Observation:
        tally = self._tally
        if not isinstance(look, Seen):
            return replace(
                board,
                interrupted=board.interrupted or look == ErrorCode.NOT_RESET,
                place=Place.IN_DOUBT,
                sensors=board.sensors & {Sensor.LOAD},
                fault=board.fault or fault_of(look),
                dispensed=tally.dispensed,
            )
        sensors = set(board.sensors & _BOARD_SENSORS)
        place = _PLACES.get(look.card)
        if place is None and (look.covered or tally.carried or board.place is not None):
            place = Place.IN_DOUBT
        if look.card is Card.READER:
            sensors.add(Sensor.TRANSPORT)
        if look.card is Card.GATE:
            sensors |= {Sensor.EXIT, Sensor.GATE_OPEN}
        if look.stacked and Sensor.SLOT in board.sensors:
            sensors.add(Sensor.SLOT)
        if look.bin_full:
            sensors.add(Sensor.RETRACT_FULL)
        return replace(
            board,
            place=place,
            sensors=frozenset(sensors),
            fault=board.fault or fault or self._fault,
            dispensed=tally.dispensed,
            retained=tally.counted_before + look.counted,
            bin_count=look.counted,
        )


def _for_board(plan: Plan, prefix: str) -> Plan:
    return replace(plan, token=plan.token.removeprefix(prefix))


def _not_aligned(board: Observation, before: Seen, after: Seen) -> Result:
    """A PICK whose slot does not stand at the picker was never sent, if nothing is in the channel and nobody lost power."""
    steady = board.slot is not None and not board.interrupted and not board.busy
    clear = after.card is Card.NONE and not after.covered and after.counted == before.counted
    return Result.NOT_MOVED if steady and clear and before.card is Card.NONE else Result.IN_DOUBT
