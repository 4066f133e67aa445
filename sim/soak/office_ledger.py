"""The office's ledger as its events make it, place by place, against the daemon's own ledger. It shares no code with either.

Compared whenever the office has every event: what it was told since, link by link and in order, and each card that it names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sim.soak.books import Ended
from sim.soak.counts import Counts
from sim.soak.seams import Fetch

MOVED = "lockerd.card.moved"
LEFT = frozenset({"taken", "removed"})

_LINKS = (
    "SELECT move_id, card_id, target AS place, slot, responsible FROM card_move"
    " WHERE move_id > ? AND reason <> 'still_there' ORDER BY move_id"
)
_NAMED = (
    "SELECT card.card_id, place, slot, responsible FROM card JOIN card_move ON move_id ="
    " (SELECT max(move_id) FROM card_move WHERE card_move.card_id = card.card_id)"
    " WHERE card.card_id IN (SELECT value FROM json_each(?))"
)


class Standing(NamedTuple):
    """Where a card is and who answers for it, in the ledgers' words."""

    place: object
    slot: object
    responsible: object


class OfficeLedger:
    """`told` gets each event once, in order; `wrong` is told of each difference."""

    def __init__(self, wrong: Callable[[str], None]) -> None:
        self._wrong = wrong
        self.inside: dict[str, Standing] = {}
        self.comparisons = 0
        self._left = Ended()
        self._links: list[tuple[str, Standing]] = []  # told since the last comparison
        self._upto = 0  # link of the daemon's ledger that the last comparison reached
        self._taken_out = {"bin_emptied": 0, "retract_emptied": 0}
        self.counts = Counts(wrong)

    @property
    def news(self) -> bool:
        """Whether it was told of a card since the last comparison."""
        return bool(self._links)

    def told(self, kind: str, data: dict[str, Any]) -> None:
        """One event."""
        match kind:
            case "lockerd.card.moved":
                self._moved(data)
            case "lockerd.card.taken":
                self._agree(kind, data, self._place(data["card_id"]) == "taken")
            case "lockerd.doubt.decided":
                self._agree(kind, data, self._decided(data))
            case "lockerd.bin.emptied":
                self._emptied(kind, data, "bin_emptied", nameless=False)
            case "lockerd.retract.emptied":
                self._emptied(kind, data, "retract_emptied", nameless=True)

    def _moved(self, data: dict[str, Any]) -> None:
        card = str(data["card_id"])
        standing = Standing(data.get("place"), data.get("slot"), data.get("responsible"))
        if not standing.responsible:
            self._wrong(f"the office hears of {card} at {standing.place}, and of nobody who is responsible")
        self._links.append((card, standing))
        if standing.place in LEFT:
            self.inside.pop(card, None)
            self._left.keep(card, str(standing.place))
        else:
            self.inside[card] = standing
            self._left.keep(card, "")
        if data.get("reason") in self._taken_out:
            self._taken_out[str(data["reason"])] += 1
            self.counts.moved(data["reason"], standing.responsible)

    def _place(self, card: object) -> object:
        standing = self.inside.get(str(card))
        return standing.place if standing else self._left.of(str(card))

    def _decided(self, data: dict[str, Any]) -> bool:
        return self._place(data["card_id"]) == data["found"] and len(set(data["staff"])) == 2

    def _agree(self, kind: str, data: dict[str, Any], agrees: bool) -> None:
        if not agrees:
            self._wrong(f"the office hears {kind} of {data['card_id']}, which it has at {self._place(data['card_id'])}")

    def _emptied(self, kind: str, data: dict[str, Any], reason: str, *, nameless: bool) -> None:
        """`nameless`: cards that nobody could name are expected, too, and were never told."""
        named, self._taken_out[reason] = self._taken_out[reason], 0
        self.counts.emptied(kind, data)
        if named != data["expected"] and not (nameless and named < data["expected"]):
            self._wrong(f"the office hears {kind} with {data['expected']} cards, and {named} of them by name")

    async def compare(self, fetch: Fetch) -> list[tuple[str, Standing]]:
        """While the office has every event: what is new, against the daemon's chain and its cards; gives what was new."""
        self.comparisons += 1
        told, self._links = self._links, []
        links = await fetch(_LINKS, self._upto)
        for row, (card, standing) in zip(links, told, strict=False):
            if (row["card_id"], *_standing(row)) != (card, *standing):
                self._wrong(
                    f"the office was told {_told(card, standing)}, and the ledger's link {row['move_id']} is"
                    f" {_told(row['card_id'], _standing(row))}"
                )
                return []
        if len(links) != len(told):
            self._wrong(f"the office was told of {len(told)} links where the ledger has {len(links)}")
        self._upto = links[-1]["move_id"] if links else self._upto
        latest = dict(told)
        for row in await fetch(_NAMED, json.dumps(list(latest))):
            if _standing(row) != latest[row["card_id"]]:
                self._wrong(_differs(row["card_id"], _standing(row), latest[row["card_id"]]))
        return told

    def compare_all(self, inside: Mapping[str, Standing]) -> None:
        """While the office has every event: each card that either has inside the machine, or with staff for it.

        `inside` is how the daemon's chains end, link by link as they were committed.
        """
        if inside == self.inside:
            return
        for card in sorted(inside.keys() | self.inside.keys()):
            if inside.get(card) != self.inside.get(card):
                self._wrong(_differs(card, inside.get(card), self.inside.get(card)))


def _standing(row: Any) -> Standing:
    return Standing(row["place"], row["slot"], row["responsible"])


def _differs(card: str, ledger: Standing | None, office: Standing | None) -> str:
    mine, its = (f"{card} nowhere" if one is None else _told(card, one) for one in (ledger, office))
    return f"the ledger has {mine}, the office {its}"


def _told(card: str, standing: Standing) -> str:
    slot = "" if standing.slot is None else f" {standing.slot}"
    return f"{card} at {standing.place}{slot}, responsible {standing.responsible}"
