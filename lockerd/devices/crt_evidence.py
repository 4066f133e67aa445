"""What became of a move of a module that numbers nothing: told by what was seen before and after. Pure.

A conclusion may be weaker than the truth, never contrary to it. The response only says why a module gave up; where the card
is follows from what is seen. "Not begun" is said only where the card is seen at its origin, the line has answered since
(so nothing is on its way: a serial line keeps the order) and no counter moved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from firmware_protocol.crt import COMMAND_ERRORS, Card, Done, ErrorCode, Move, Refusal, Reply
from lockerd.devices.crt_module import Seen
from lockerd.model.custody import Fault, Motion, Result

MOVES: dict[Motion, Move] = {
    Motion.PICK: Move.RF_POSITION,
    Motion.PRESENT: Move.HOLD_AT_GATE,
    Motion.RETRACT: Move.RF_POSITION,
    Motion.CAPTURE: Move.ERROR_BIN,
}
"""The module's moves. Each would take the next card out of the slot at the picker if the channel were empty."""

ORIGINS: dict[Motion, Card] = {
    Motion.PICK: Card.NONE,
    Motion.PRESENT: Card.READER,
    Motion.RETRACT: Card.GATE,
    Motion.CAPTURE: Card.READER,
}

FAULTS: dict[str, Fault] = {
    ErrorCode.JAM: Fault.JAM,
    ErrorCode.SENSOR: Fault.SENSOR,
    ErrorCode.LONG_CARD: Fault.JAM,
    ErrorCode.SHORT_CARD: Fault.JAM,
    ErrorCode.RECYCLE_FAILED: Fault.JAM,
    ErrorCode.MOVED_BY_HAND: Fault.SENSOR,
    ErrorCode.COUNTER_OVERFLOW: Fault.BIN_FULL,
    ErrorCode.MOTOR: Fault.MOTOR,
    ErrorCode.STACKER_EMPTY: Fault.SLOT_EMPTY,
    ErrorCode.BIN_FULL: Fault.BIN_FULL,
}
"""What an error code means for custody; codes that are not named say that the module does not work, and are OTHER."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a module with a memory would keep through a power cut; the driver keeps it in its place.

    `dispensed`: cards taken by a hand. `held`: a card was last seen at the gate, with `counted` cards in the bin then.
    `carried`: a card is in the channel, as far as this driver caused it. `moving`: a move was sent, or is about to be, and
    its end is not known. The module's bin counter ends at 999, so it is set back in time: `counted_before` cards were counted
    until then, and `zeroing`, if not 0, is what it stood at when it was, or was about to be, set back.
    """

    dispensed: int = 0
    held: bool = False
    carried: bool = False
    moving: bool = False
    counted: int = 0
    counted_before: int = 0
    zeroing: int = 0


def fault_of(code: str) -> Fault | None:
    """The fault that an error code means; None for NOT_RESET, which says only that the power was gone."""
    return None if code == ErrorCode.NOT_RESET else FAULTS.get(code, Fault.OTHER)


COUNTER_LIMIT = 900
"""From here on the bin counter is set back before the next CAPTURE; at 999 the module would refuse to count."""


def why_not(motion: Motion, seen: Seen) -> tuple[Result, Fault] | None:
    """Why a move must not be sent now; None when it may.

    NOT_MOVED is said only of a card that is seen where the move begins. One that is missing there is FAILED: it is surely no
    longer there; and one that may be what stands in the channel is in doubt.
    """
    if motion is Motion.PICK:
        if seen.card is not Card.NONE or seen.covered:
            return Result.NOT_MOVED if seen.stacked else Result.IN_DOUBT, Fault.TARGET_OCCUPIED
        return None if seen.stacked else (Result.FAILED, Fault.SLOT_EMPTY)
    if seen.card is not ORIGINS[motion]:
        return Result.FAILED, Fault.NO_CARD
    if motion is Motion.CAPTURE and seen.bin_full:
        return Result.NOT_MOVED, Fault.BIN_FULL
    return None


def judge(motion: Motion, before: Seen, after: Seen, reply: Reply | None) -> tuple[Result, Fault | None]:
    """Conclude from what was seen before and after a move, and its response if there was one.

    For PICK, `before.stacked` is not looked at: the carousel may have turned since.
    """
    code = reply.code if isinstance(reply, Refusal) else None
    fault = None if code is None else fault_of(code)
    if at_target(motion, before, after):
        return (Result.DONE, None) if code is None else (Result.FAILED, fault)
    if _at_origin(motion, before, after) and not isinstance(reply, Done):
        begun = code is not None and code not in COMMAND_ERRORS
        return (Result.FAILED, fault) if begun else (Result.NOT_MOVED, fault)
    if motion is Motion.PRESENT and isinstance(reply, Done) and _gone(before, after):
        return Result.DONE, None  # a hand was quicker than the look
    if motion is Motion.RETRACT and code == ErrorCode.STACKER_EMPTY and _gone(before, after):
        return Result.FAILED, Fault.NO_CARD  # a hand was quicker than the rollers: they found the channel empty
    return Result.IN_DOUBT, fault


def at_target(motion: Motion, before: Seen, after: Seen) -> bool:
    """Whether the card is seen where the move leads, and nothing speaks for another card being there."""
    same_count = after.counted == before.counted
    match motion:
        case Motion.PICK:
            return before.card is Card.NONE and after.card is Card.READER and not after.stacked and same_count
        case Motion.PRESENT:
            return after.card is Card.GATE and after.stacked == before.stacked and same_count
        case Motion.RETRACT:
            return after.card is Card.READER and after.stacked == before.stacked and same_count
        case _:
            counted = after.counted == before.counted + 1
            return counted and after.card is Card.NONE and not after.covered and after.stacked == before.stacked


def _at_origin(motion: Motion, before: Seen, after: Seen) -> bool:
    stacked = after.stacked if motion is Motion.PICK else after.stacked == before.stacked
    return after.card is ORIGINS[motion] and not after.covered and stacked and after.counted == before.counted


def _gone(before: Seen, after: Seen) -> bool:
    """Whether the channel is clear, nothing fell into the bin and nothing came out of the slot at the picker."""
    unchanged = (after.counted, after.stacked) == (before.counted, before.stacked)
    return after.card is Card.NONE and not after.covered and unchanged


def noticed(tally: Tally, seen: Seen) -> Tally:
    """What a look while nothing moves adds: a held card that is gone from a clear channel was taken by a hand.

    Not if the bin has counted another one meanwhile: then something moved that nobody ordered. What is seen at the gate while
    this driver has nothing in the channel is no card that it could hand out, but a sensor that lies or something put in.
    """
    if seen.card is Card.GATE:
        return replace(tally, held=True, counted=seen.counted) if tally.carried else tally
    if tally.held and seen.card is Card.NONE and not seen.covered:
        taken = seen.counted == tally.counted
        return replace(tally, dispensed=tally.dispensed + taken, held=False, carried=not taken)
    if seen.card is Card.READER:
        return replace(tally, held=False, carried=True)
    return tally


def zeroed(tally: Tally, seen: Seen) -> Tally:
    """The tally after a look that tells whether the bin counter was set back."""
    if not tally.zeroing:
        return tally
    back = seen.counted < tally.zeroing
    return replace(tally, counted_before=tally.counted_before + (tally.zeroing if back else 0), zeroing=0)


def concluded(tally: Tally, motion: Motion, result: Result, after: Seen | None) -> Tally:
    """The tally after a move's end; `tally` is the one from before it, `after` None where nothing could be seen."""
    if result is Result.DONE:
        tally = replace(tally, held=motion is Motion.PRESENT, carried=motion is not Motion.CAPTURE)
        if after is not None:
            tally = replace(tally, counted=after.counted)
    elif result is Result.IN_DOUBT or after is None:
        tally = replace(tally, held=False, carried=True)
    tally = replace(tally, moving=False)
    return tally if after is None else noticed(tally, after)
