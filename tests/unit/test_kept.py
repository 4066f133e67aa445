"""The state file of a simulated machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.kept import Kept, StateError, UnitMemory
from sim.world import Place, World


def fresh() -> World:
    return World(4, {"N1": Place.TRAY})


def test_world_and_memories_come_back_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    kept = Kept.load(path, 3, fresh)
    kept.world.place_tray(["N1"])
    kept.boots = 2
    UnitMemory(kept, "dispenser").save({"accepted_seq": 9})

    back = Kept.load(path, 3, fresh)
    assert back.world.to_json() == kept.world.to_json()
    assert back.boots == 2
    assert UnitMemory(back, "dispenser").load() == {"accepted_seq": 9}
    assert UnitMemory(back, "recycler").load() == {}
    assert [file.name for file in tmp_path.iterdir()] == ["world.json"]


@pytest.mark.parametrize("text", ["", "{}", '{"seed": 3, "boots": 0, "firmware": {}, "world": {}}', "nonsense"])
def test_a_damaged_file_is_refused_with_a_remedy(tmp_path: Path, text: str) -> None:
    path = tmp_path / "world.json"
    path.write_text(text)
    with pytest.raises(StateError, match=r"world\.json.*remove the file"):
        Kept.load(path, 3, fresh)


def test_the_state_of_another_town_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    Kept.load(path, 3, fresh).save()
    with pytest.raises(StateError, match="--seed 3"):
        Kept.load(path, 4, fresh)
