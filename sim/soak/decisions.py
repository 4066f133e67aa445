"""How doubts end: by evidence that the machine found, or because two different people said the same, and it is recorded.

What each person really said is known here from the person, not from the daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Where = tuple[str, int | None]
"""A place in the ledger's words, and the slot where it is one."""

TWO_PEOPLE = "found by two people"
EVIDENCE = frozenset(
    {
        "slot sensor",
        "chip read before the exit gate",
        "chip read while loading",
        "sensor after an interruption",
        "chip and sensor",
        "totals after an interruption",
        "the unit counted a taken card",
        "exit sensor and total",
        "throat sensor clear",
    }
)
"""Reasons of links without a motion of their own, with which the machine's own evidence ends a doubt."""


class Decisions:
    """`wrong` is told of each breach; `judged` gets each card that two people decided about, and where they said it is."""

    def __init__(self, wrong: Callable[[str], None], judged: Callable[[str, Where], None]) -> None:
        self._wrong = wrong
        self._judged = judged
        self._said: dict[tuple[str, str], Where] = {}  # by card and person, the latest words
        self._stands: dict[str, tuple[str, Where]] = {}  # by card, the one finding that awaits another
        self._due: dict[str, tuple[str, set[str], Where]] = {}  # what has to follow in the same transaction
        self._decided: dict[str, Where] = {}
        self.counts = {"doubt decided by two people": 0, "doubt disputed": 0, "doubt ended by evidence": 0}

    def says(self, person: str, card: str, where: Where) -> None:
        """A member of staff is about to record where a card is."""
        self._said[card, person] = where

    def events(self, told: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """The events of one transaction."""
        for kind, data in told:
            match kind:
                case "lockerd.doubt.found":
                    self._found(data["card_id"], data["staff"], (data["found"], data["slot"]))
                case "lockerd.doubt.disputed" | "lockerd.doubt.decided":
                    self._ruled(kind.rpartition(".")[2], data)
        for card, (due, both, _where) in self._due.items():
            self._wrong(f"{' and '.join(sorted(both))} have both said where {card} is, and it is not {due}")
        self._due.clear()

    def _found(self, card: str, person: str, where: Where) -> None:
        said = self._said.get((card, person))
        if said != where:
            self._wrong(f"{person} is recorded to have found {card} at {_told(where)}, and said {said and _told(said)}")
        first = self._stands.pop(card, None)
        if first is None or first[0] == person:
            self._stands[card] = (person, where)
        else:
            self._due[card] = ("decided" if first[1] == where else "disputed", {first[0], person}, where)

    def _ruled(self, ruling: str, data: dict[str, Any]) -> None:
        card = data["card_id"]
        due, both, where = self._due.pop(card, ("undecided", set(), ("", None)))
        if ruling != due or set(data["staff"]) != both:
            self._wrong(f"the doubt about {card} is {ruling} by {', '.join(data['staff'])}: it is {due}")
            return
        if ruling == "disputed":
            self.counts["doubt disputed"] += 1
            return
        self._decided[card] = where

    def moved(self, row: Any) -> None:
        """One link of a chain; what was said about the record before it is void, unless it only restates the doubt."""
        card = row["card_id"]
        if (row["origin"], row["target"], row["reason"]) == ("in_doubt", "in_doubt", "still_there"):
            return
        self._stands.pop(card, None)
        decided = self._decided.pop(card, None)
        if row["origin"] != "in_doubt" or row["target"] == "in_doubt":
            return
        if row["reason"] == TWO_PEOPLE:
            self.counts["doubt decided by two people"] += 1
            if decided != (row["target"], row["slot"]):
                self._wrong(
                    f"{card} was in doubt and is recorded at {_told((row['target'], row['slot']))};"
                    f" two people said {decided and _told(decided)}"
                )
            else:
                self._judged(card, decided)
            return
        self.counts["doubt ended by evidence"] += 1
        if row["intent_id"] is None and row["reason"] not in EVIDENCE:
            self._wrong(f"the doubt about {card} ended without evidence: {row['reason']}")

    def recorded(self) -> None:
        """All links of one transaction were seen."""
        for card, where in self._decided.items():
            self._wrong(f"two people have decided that {card} is at {_told(where)}, and its record is not changed")
        self._decided.clear()

    def forget(self, card: str) -> None:
        """A card's chain is over."""
        for key in [key for key in self._said if key[0] == card]:
            del self._said[key]


def _told(where: Where) -> str:
    place, slot = where
    return place if slot is None else f"{place} {slot}"
