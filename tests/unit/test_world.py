"""The physics of the simulated machine."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_protocol.units import UnitKind
from sim.world import PATH_END, Impossible, Place, World

D, R = UnitKind.DISPENSER, UnitKind.RECYCLER
CARDS = {"N1": Place.TRAY, "N2": Place.TRAY, "O1": Place.PERSON, "O2": Place.PERSON}


@pytest.fixture
def world() -> World:
    return World(4, CARDS)


def move(world: World, path: UnitKind, origin: Place, target: Place, *, to_slot: int | None = None) -> None:
    world.leave(path, origin)
    world.arrive(path, target, to_slot)


operations = st.one_of(
    st.tuples(st.just("place_tray"), st.lists(st.sampled_from([*CARDS, "X"]), max_size=3)),
    st.tuples(st.sampled_from(["put_on_reader", "insert_old"]), st.sampled_from([*CARDS, "X"])),
    st.tuples(
        st.sampled_from(
            ["take_rejects", "empty_bin", "empty_retract", "take_from_reader", "take_new", "take_old", "check"]
        )
    ),
    st.tuples(st.just("swap_slots"), st.integers(-1, 4), st.integers(0, 4)),
    st.tuples(st.just("leave"), st.sampled_from([D, R]), st.sampled_from([p for p in Place if p is not Place.SLOT])),
    st.tuples(st.just("leave"), st.just(D), st.just(Place.SLOT), st.integers(0, 4)),
    st.tuples(
        st.just("arrive"),
        st.sampled_from([D, R]),
        st.sampled_from([p for p in Place if p not in {Place.SLOT, Place.BETWEEN}]),
    ),
    st.tuples(st.just("arrive"), st.just(D), st.just(Place.SLOT), st.integers(0, 4)),
    st.tuples(st.just("set"), st.sampled_from(["gate_open", "shutter_open"]), st.booleans()),
    st.tuples(st.just("set"), st.just("aligned"), st.sampled_from([None, 0, 1, 2, 3])),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(operations, max_size=60))
def test_any_sequence_of_operations_keeps_each_card_at_exactly_one_place(sequence: list[tuple[object, ...]]) -> None:
    world = World(4, CARDS)
    for name, *arguments in sequence:
        before = world.to_json()
        if name == "set":
            setattr(world, str(arguments[0]), arguments[1])
            continue
        try:
            getattr(world, str(name))(*arguments)
        except Impossible:
            assert world.to_json() == before
        world.check()
        assert set(world.spots) == set(CARDS)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(operations, max_size=30))
def test_a_kept_world_comes_back_the_same(sequence: list[tuple[object, ...]]) -> None:
    world = World(4, CARDS)
    world.jammed.add(D)
    for name, *arguments in sequence:
        if name != "set":
            with suppress(Impossible):
                getattr(world, str(name))(*arguments)
    kept = world.to_json()
    back = World.from_json(json.loads(json.dumps(kept)))
    back.check()
    assert back.to_json() == kept
    assert vars(back) == vars(world)


def test_a_broken_state_is_refused() -> None:
    kept = World(4, CARDS).to_json() | {"slots": "many"}
    with pytest.raises(ValueError, match="slots"):
        World.from_json(kept)


def test_a_card_travels_from_the_tray_to_a_hand(world: World) -> None:
    world.place_tray(["N2", "N1"])
    move(world, D, Place.LOAD, Place.TRANSPORT)
    assert world.card_at(Place.TRANSPORT) == "N2"
    assert world.cards_at(Place.LOAD) == ["N1"]
    world.aligned = 3
    move(world, D, Place.TRANSPORT, Place.SLOT, to_slot=3)
    assert world.card_in_slot(3) == "N2"
    world.leave(D, Place.SLOT, 3)
    assert world.card_between(D) == "N2"
    world.arrive(D, Place.TRANSPORT)
    move(world, D, Place.TRANSPORT, Place.EXIT)
    with pytest.raises(Impossible, match="gate"):
        world.take_new()
    world.gate_open = True
    world.take_new()
    assert world.spots["N2"].place is Place.PERSON
    assert not world.gate_open


def test_two_cards_never_share_a_place(world: World) -> None:
    world.place_tray(["N1", "N2"])
    move(world, D, Place.LOAD, Place.TRANSPORT)
    with pytest.raises(Impossible, match="no room"):
        world.leave(D, Place.LOAD)
    move(world, D, Place.TRANSPORT, Place.SLOT, to_slot=0)
    move(world, D, Place.LOAD, Place.TRANSPORT)
    world.leave(D, Place.TRANSPORT)
    with pytest.raises(Impossible, match="occupied"):
        world.arrive(D, Place.SLOT, 0)
    with pytest.raises(Impossible, match="in the way"):
        world.leave(D, Place.SLOT, 0)


def test_the_picker_reaches_only_the_slot_before_it(world: World) -> None:
    world.place_tray(["N1"])
    move(world, D, Place.LOAD, Place.TRANSPORT)
    move(world, D, Place.TRANSPORT, Place.SLOT, to_slot=0)
    for aligned in (1, None):
        world.aligned = aligned
        with pytest.raises(Impossible, match="picker"):
            world.leave(D, Place.SLOT, 0)


def test_a_closed_shutter_keeps_cards_in_and_out(world: World) -> None:
    with pytest.raises(Impossible, match="shutter"):
        world.insert_old("O1")
    world.shutter_open = True
    world.put_on_reader("O1")
    world.insert_old("O1")
    assert world.on_reader is None
    with pytest.raises(Impossible, match="no room"):
        world.insert_old("O2")
    world.shutter_open = False
    with pytest.raises(Impossible, match="shutter"):
        world.take_old()


def test_the_bins_counter_counts_cards_and_not_hands(world: World) -> None:
    world.shutter_open = True
    world.insert_old("O1")
    move(world, R, Place.THROAT, PATH_END[R])
    move(world, R, Place.ESCROW, Place.BIN)
    world.empty_bin()
    assert world.bin_counter == 1
    assert world.cards_at(Place.BIN) == []
    assert world.spots["O1"].place is Place.TRAY


def test_swapped_slots_hold_each_others_card(world: World) -> None:
    world.place_tray(["N1"])
    move(world, D, Place.LOAD, Place.TRANSPORT)
    move(world, D, Place.TRANSPORT, Place.SLOT, to_slot=0)
    world.swap_slots(0, 2)
    assert (world.card_in_slot(0), world.card_in_slot(2)) == (None, "N1")
