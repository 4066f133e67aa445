"""Which changes of place can be observed though no motion made them. Pure."""

from __future__ import annotations

from lockerd.model.custody import Place

IN_DOUBT = "in_doubt"
"""Reason of a slot that is blocked only because of its card's doubt: it ends with the doubt."""

SINGLE = frozenset({Place.TRANSPORT, Place.EXIT, Place.THROAT, Place.ESCROW})
"""Places that hold one card at most."""

_NEW = frozenset(
    {
        Place.TRAY,
        Place.LOAD,
        Place.TRANSPORT,
        Place.SLOT,
        Place.EXIT,
        Place.RETRACT,
        Place.TAKEN,
        Place.REMOVED,
        Place.IN_DOUBT,
    }
)
_OLD = frozenset({Place.THROAT, Place.ESCROW, Place.BIN, Place.TAKEN, Place.REMOVED, Place.IN_DOUBT})

_BY_HAND: frozenset[tuple[Place, Place]] = frozenset(
    {
        (Place.TRAY, Place.LOAD),
        (Place.LOAD, Place.TRAY),
        (Place.TRAY, Place.TRANSPORT),  # LOAD moved a card that nobody had read yet
        (Place.LOAD, Place.TRANSPORT),
        (Place.EXIT, Place.TAKEN),
        (Place.THROAT, Place.TAKEN),
        (Place.TAKEN, Place.THROAT),  # an old card comes back; refused for new ones, which never are at the throat
        (Place.RETRACT, Place.TRAY),
        (Place.REMOVED, Place.TRAY),
        # read or sensed there after somebody reached in, or after a motion that the unit forgot
        (Place.SLOT, Place.TRANSPORT),
        (Place.EXIT, Place.TRANSPORT),
        (Place.TRANSPORT, Place.EXIT),
        (Place.RETRACT, Place.TRANSPORT),
        (Place.REMOVED, Place.TRANSPORT),
        (Place.THROAT, Place.ESCROW),
        (Place.ESCROW, Place.THROAT),
        # told by the unit's totals while the path is empty
        (Place.THROAT, Place.BIN),
        (Place.ESCROW, Place.BIN),
        (Place.ESCROW, Place.TAKEN),
        (Place.TRANSPORT, Place.TAKEN),
    }
)
_OUT_OF_STAFF_REACH = frozenset({Place.TAKEN, Place.REMOVED, Place.BIN})  # the bin is emptied as a whole, with a count
_OUTSIDE = frozenset({Place.TRAY, Place.TAKEN, Place.REMOVED})


def refusal_of_move(role: str, origin: Place, target: Place) -> str | None:
    """Why a card of `role` ("new" or "old") cannot be observed to go from `origin` to `target`; None when it can.

    Staff may take a card out of any place but the bin; any place inside may come into doubt; evidence may resolve a doubt
    to any place of the card's own side of the machine.
    """
    if target not in (_NEW if role == "new" else _OLD):
        return f"a card of role {role} is never at {target}"
    if origin is target:
        return f"is at {target} already"
    if origin is Place.IN_DOUBT or (origin, target) in _BY_HAND:
        return None
    if target is Place.REMOVED and origin not in _OUT_OF_STAFF_REACH:
        return None
    if target is Place.IN_DOUBT and origin not in _OUTSIDE:
        return None
    return f"cannot get from {origin} to {target} without a motion"
