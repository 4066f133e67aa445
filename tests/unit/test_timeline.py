import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.timeline import Interval, Mark, Owner, StepTime, attribute, seconds_of, step_of


def test_everything_unclaimed_is_the_machines() -> None:
    assert attribute(Interval(10.0, 14.0), [Mark(9.0, "code")], [], []) == (StepTime("code", 4.0, Owner.MACHINE),)


def test_time_is_split_at_pages_hands_and_motors() -> None:
    steps = attribute(
        Interval(0.0, 10.0),
        [Mark(0.0, "code"), Mark(4.0, "dispense"), Mark(9.0, "take")],
        citizen=[Interval(0.0, 1.0)],
        mechanics=[Interval(5.0, 9.5)],
    )
    assert steps == (
        StepTime("code", 1.0, Owner.CITIZEN),
        StepTime("code", 3.0, Owner.MACHINE),
        StepTime("dispense", 1.0, Owner.MACHINE),
        StepTime("dispense", 4.0, Owner.MECHANICS),
        StepTime("take", 0.5, Owner.MECHANICS),
        StepTime("take", 0.5, Owner.MACHINE),
    )
    assert seconds_of(Owner.MACHINE, steps) == pytest.approx(4.5)


def test_a_motor_that_turns_while_the_citizen_waits_on_purpose_is_counted_once() -> None:
    steps = attribute(Interval(0.0, 6.0), [Mark(0.0, "take")], [Interval(1.0, 4.0)], [Interval(2.0, 5.0)])
    assert {step.owner: step.seconds for step in steps} == {
        Owner.MACHINE: 2.0,
        Owner.CITIZEN: 3.0,
        Owner.MECHANICS: 1.0,
    }


def test_overlapping_and_outlying_intervals_do_not_stretch_the_whole() -> None:
    steps = attribute(Interval(0.0, 2.0), [Mark(-5.0, "face")], [], [Interval(-3.0, 1.0), Interval(0.5, 9.0)])
    assert steps == (StepTime("face", 2.0, Owner.MECHANICS),)


def test_a_step_that_comes_back_is_one_entry_per_owner() -> None:
    marks = [Mark(0.0, "code"), Mark(1.0, "identify"), Mark(2.0, "code"), Mark(3.0, "identify")]
    assert attribute(Interval(0.0, 4.0), marks, [], []) == (
        StepTime("code", 2.0, Owner.MACHINE),
        StepTime("identify", 2.0, Owner.MACHINE),
    )


def test_the_parts_of_a_step_stand_together() -> None:
    marks = [Mark(0.0, "code"), Mark(1.0, "face"), Mark(2.0, "code")]
    steps = attribute(Interval(0.0, 3.0), marks, [Interval(2.0, 3.0)], [])
    assert [(step.name, step.owner.value) for step in steps] == [
        ("code", "machine"),
        ("code", "citizen"),
        ("face", "machine"),
    ]


def test_without_pages_there_are_no_steps() -> None:
    with pytest.raises(ValueError, match="without a single page"):
        attribute(Interval(0.0, 1.0), [], [], [])


@pytest.mark.parametrize(
    ("view", "progress", "step"),
    [
        ("code", "checking", "code"),
        ("face", "looking", "face"),
        ("old_card", "reading_old_card", "old card"),
        ("old_card", "fetching", "dispense"),
        ("take", "none", "take"),
        ("take", "finishing", "finish"),
        ("done", "none", "finish"),
    ],
)
def test_pages_belong_to_steps(view: str, progress: str, step: str) -> None:
    assert step_of(view, progress) == step


moments = st.floats(0.0, 100.0)
intervals = st.lists(st.tuples(moments, moments).map(lambda pair: Interval(min(pair), max(pair))), max_size=8)


@given(intervals, intervals, st.lists(st.tuples(moments, st.sampled_from("abc")), min_size=1, max_size=6))
def test_the_parts_make_up_the_whole_and_none_is_counted_twice(
    citizen: list[Interval], mechanics: list[Interval], changes: list[tuple[float, str]]
) -> None:
    whole = Interval(20.0, 80.0)
    marks = [Mark(at, name) for at, name in sorted(changes)]
    steps = attribute(whole, marks, citizen, mechanics)
    assert sum(step.seconds for step in steps) == pytest.approx(60.0)
    assert len({(step.name, step.owner) for step in steps}) == len(steps)
    hands_only = attribute(whole, marks, citizen, [])
    assert seconds_of(Owner.CITIZEN, steps) == pytest.approx(seconds_of(Owner.CITIZEN, hands_only))
