"""The end of a long story told as a short one: its visits and faults in a fresh town, where its people are the first ones.

A story of the 39th day needs 39 days to play, because only then its people have their cards. Here they get other names and the
days before are left out. What the machine carried over from those days is missing, so the new story has to be tried.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from sim.soak.item import Item
from sim.soak.setting import DAY, Setting

_LOADED_A_DAY = 150  # cards, by staff who come twice
_KINDS = 3  # every third lost the old card (sim.people), so whose number leaves the same remainder acts alike
_WITH_ANOTHER = frozenset({"impostor", "with a foreign card"})  # others have nothing to do with `Item.other`


def afresh(items: Sequence[Item], setting: Setting) -> tuple[list[Item], Setting, float]:
    """`items`, one at least, for a town made for them; its setting; and by how many seconds they come earlier, 0 where they cannot.

    The time of day stays.
    """
    names: dict[str, str] = {"": ""}
    for item in items:
        for person in (item.who, _other(item)):
            if person not in names:
                names[person] = _free(int(person[1:]) % _KINDS, set(names.values()))
    people = max((int(name[1:]) for name in names.values() if name), default=1)
    begin = min(item.at for item in items)
    earlier = max((begin // DAY - 1 - people // _LOADED_A_DAY) * DAY, 0.0)
    told = [replace(item, at=item.at - earlier, who=names[item.who], other=names[_other(item)]) for item in items]
    return told, replace(setting, visits=people / 2), earlier


def ends(items: Sequence[Item], what: str) -> list[list[Item]]:
    """The parts of a story that may be enough for the violation `what`, shortest first: its last items, its last days, and
    all that those did whom it names.
    """
    named = {f"p{int(number)}" for number in re.findall(r"\b[NOp](\d+)\b", what)}
    last = items[-1].at if items else 0.0
    parts = [list(items[-size:]) for size in (1, 2, 4, 8, 16, 32)]
    parts += [_of(items, named, last - 3600.0), _of(items, named, last - DAY / 4)]
    parts += [
        list(items[-64:]),
        _of(items, set(), last - DAY),
        _of(items, named, last - DAY),
        _of(items, set(), last - 3 * DAY),
    ]
    return [part for number, part in enumerate(parts) if part and part not in parts[:number]]


def _other(item: Item) -> str:
    return item.other if item.how in _WITH_ANOTHER else ""


def _of(items: Sequence[Item], named: set[str], since: float) -> list[Item]:
    return [item for item in items if item.at >= since or item.who in named]


def _free(remainder: int, taken: set[str]) -> str:
    number = remainder or _KINDS
    while f"p{number}" in taken:
        number += _KINDS
    return f"p{number}"
