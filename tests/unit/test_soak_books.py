from __future__ import annotations

from sim.soak.books import Ended, Played
from sim.soak.item import Item


def test_what_ended_is_remembered_by_name_and_may_be_forgotten() -> None:
    ended = Ended()
    ended.keep("N000001", "taken")
    ended.keep("old-000001", "removed")
    ended.keep("old-001234", "taken")
    assert [ended.of(name) for name in ("N000001", "old-000001", "old-001234")] == ["taken", "removed", "taken"]
    assert [ended.of(name) for name in ("N000000", "N000002", "old-009999", "other-1")] == [None] * 4
    ended.keep("N000001", "")
    assert ended.of("N000001") is None


def test_played_items_come_back_as_they_were_and_in_order() -> None:
    items = [Item(index / 3, "visit", index, f"p{index}", "honest", f"p{index + 1}") for index in range(1203)]
    played = Played()
    for item in items:
        played.append(item)
    assert list(played) == items
