"""The simulated town: stable, unique, and nobody real."""

from __future__ import annotations

import pytest

from firmware_protocol.cardtext import LONG_TERM
from firmware_protocol.idnumber import check_digit
from sim.people import population


def test_the_same_seed_makes_the_same_people_and_a_larger_town_only_adds() -> None:
    assert population(7, 50)[:20] == population(7, 20)
    assert population(7, 20) != population(8, 20)


def test_numbers_are_valid_unique_and_of_regions_that_are_not_issued() -> None:
    people = population(1, 300)
    for one in people:
        assert check_digit(one.id_number[:17]) == one.id_number[17]
        assert 990101 <= int(one.id_number[:6]) <= 999999
        assert one.id_number[6:14] == one.birth
        assert int(one.id_number[16]) % 2 == (1 if one.sex == "1" else 0)
        assert one.phone.startswith("+8619900")
        assert len(one.phone) == 14
    assert len({one.id_number for one in people}) == len({one.phone for one in people}) == 300


def test_cards_belong_to_their_person_and_only_a_replacement_has_no_old_one() -> None:
    people = population(3, 300)
    for one in people:
        cards = [card for card in (one.new_card, one.old_card, one.lost_card) if card is not None]
        assert len(cards) == 2
        assert {(card.person_id, card.name, card.id_number) for card in cards} == {
            (one.person_id, one.name, one.id_number)
        }
        assert (one.old_card is None) == (one.kind == "replacement")
        if one.old_card is not None:
            assert one.old_card.valid_from < one.new_card.valid_from
        for card in cards:
            assert card.valid_to == LONG_TERM or card.valid_from < card.valid_to
    assert {one.kind for one in people} == {"renewal", "replacement"}
    assert people[0].new_card.card_id == "N000001"


@pytest.mark.parametrize("n", [0, -1, 9001])
def test_an_impossible_town_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="9000"):
        population(1, n)
