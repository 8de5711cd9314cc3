"""The share of the training's time that film strip and layer health keep to, and their words."""

import pytest

from lab.errors import ResourceError
from lab.training.watch.budget import NEWEST, Budget, ordinal, switched_off


@pytest.mark.parametrize(
    ("costs", "unit_seconds", "every"),
    [
        ([], 10.0, 1),
        ([0.3], 10.0, 1),
        ([0.31], 10.0, 2),
        ([5.0, 0.9], 10.0, 3),  # another program was in the way of the first
        ([1.2], 10.0, 5),
        ([2.5], 10.0, 10),
        ([3.3], 10.0, 15),
        ([4.8], 10.0, 20),
        ([7.5], 10.0, 30),
        ([30.9], 10.0, 150),
        ([3090.0], 10.0, 15_000),
    ],
)
def test_a_sample_is_taken_as_rarely_as_its_share_wants(
    costs: list[float], unit_seconds: float, every: int
) -> None:
    budget = Budget(0.03)
    for seconds in costs:
        budget.add(seconds)
    assert budget.adapt(unit_seconds) is (every > 1)
    assert budget.every == every
    assert budget.cost <= 1.01 * 0.03 * unit_seconds * budget.every


def test_units_that_take_no_time_do_not_divide_by_zero() -> None:
    budget = Budget(0.03)
    budget.add(1.0)
    budget.adapt(0.0)
    assert budget.every > 10**6


def test_the_spacing_shrinks_only_for_a_gain_of_two() -> None:
    budget = Budget(0.1)
    for cost, changed, every in [
        (1.0, True, 10),
        (0.6, False, 10),  # every 7th would do
        (0.5, True, 5),
        (0.05, True, 1),
    ]:
        budget.add(cost)
        assert budget.adapt(1.0) is changed
        assert budget.every == every


def test_only_the_newest_costs_count() -> None:
    budget = Budget(0.1)
    budget.add(0.1)
    for _ in range(NEWEST):
        budget.add(0.3)
    assert budget.cost == 0.3
    budget.forget_costs()
    assert budget.cost == 0


def test_samples_can_be_few_for_other_reasons() -> None:
    budget = Budget(0.1, least_every=6)
    budget.add(0.1)
    assert budget.adapt(1.0) is False
    assert budget.every == 6


def test_an_earlier_session_is_gone_on_with() -> None:
    budget = Budget(0.1, least_every=2)
    budget.resume(1)
    assert budget.every == 2
    budget.resume(15)
    assert budget.every == 15


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ResourceError("The disk is full."), "The disk is full."),
        (MemoryError(), "there is not enough memory for it beside the training."),
        (RuntimeError("shapes do not fit\nat all"), "RuntimeError: shapes do not fit."),
    ],
)
def test_the_end_of_the_watching_is_a_sentence(error: Exception, reason: str) -> None:
    said = switched_off("Film strip", error)
    assert said.level == "warning"
    assert said.text == f"Film strip off: {reason} The training goes on."


def test_ordinals() -> None:
    numbers = {2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 21: "21st", 111: "111th"}
    assert {number: ordinal(number) for number in numbers} == numbers
