"""What staff take out of bin and retract box and count blind, against what the machine tells the office of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class _Count(NamedTuple):
    """One emptying: who, how many they said, how many cards they really held."""

    person: str
    said: int
    held: int


class Counts:
    """`wrong` is told of each breach. An emptying may be told again where the answer to the first telling was lost."""

    def __init__(self, wrong: Callable[[str], None]) -> None:
        self._wrong = wrong
        self._said: dict[str, list[_Count]] = {"bin": [], "retract": []}
        self._links: dict[str, list[object]] = {"bin": [], "retract": []}

    def says(self, box: str, person: str, said: int, held: int) -> None:
        """Staff are about to tell that they emptied the "bin" or the "retract" box."""
        self._said[box].append(_Count(person, said, held))

    def moved(self, reason: object, responsible: object) -> None:
        """The office hears of one card that was taken out."""
        box = str(reason).removesuffix("_emptied")
        if box != reason and box in self._links:
            self._links[box].append(responsible)

    def emptied(self, kind: str, data: dict[str, Any]) -> None:
        """The office hears of an emptying, after its cards."""
        box = kind.split(".")[1]
        links, self._links[box] = self._links[box], []
        told = (data["staff"], data["counted"])
        while self._said[box] and self._said[box][0][:2] != told:
            self._said[box].pop(0)  # was refused
        if not self._said[box]:
            self._wrong(f"the office hears that {told[0]} counted {told[1]} cards from the {box}, and nobody said so")
            return
        counted = self._said[box][0]
        if data["agreed"] != (data["counted"] == data["expected"]):
            self._wrong(f"the office hears of {told[1]} cards from the {box}, {data['expected']} expected, as agreed")
        if links and set(links) != {f"staff:{counted.person}"}:
            self._wrong(
                f"{counted.person} emptied the {box}, and its cards are on {', '.join(sorted(map(str, links)))}"
            )
        if data["expected"] > max(counted.held, len(links)):
            self._wrong(f"{data['expected']} cards were expected in the {box}, and {counted.held} were in it")
