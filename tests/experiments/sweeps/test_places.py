"""Which combinations differ by more than chance, against values from scipy and simulations."""

import numpy as np
import pytest
from scipy import stats

from lab.experiments.sweeps.config import SweepConfig
from lab.experiments.sweeps.places import effect, effect_words, pairs, places

NAN = float("nan")


def sweep(seeds: int, combinations: int = 2, **values: object) -> SweepConfig:
    axes = {"batch_size": list(range(1, combinations + 1))}
    return SweepConfig.from_mapping(
        {"base": {}, "axes": axes, "seeds": list(range(seeds)), **values}
    )


def images(count: int, n: float = 10_000) -> np.ndarray:
    return np.full(count, n)


def test_two_combinations_are_the_paired_t_test() -> None:
    values = np.array([[0.80, 0.82, 0.81, 0.85, 0.79], [0.82, 0.83, 0.84, 0.86, 0.80]])
    expected = stats.ttest_rel(values[0], values[1])
    found = pairs(values, images(2), is_share=True)
    assert found.p[0, 1] == pytest.approx(expected.pvalue)
    answer = effect(sweep(5), values, images(2))
    assert answer is not None
    assert answer.difference == pytest.approx(0.016)
    low, high = expected.confidence_interval(0.95)
    assert answer.half == pytest.approx((high - low) / 2)
    assert (answer.values, answer.seeds, answer.more_than_chance) == ((1, 2), 5, True)


def test_several_are_pooled_as_in_a_randomised_block_design() -> None:
    """Where no pair varies more than all do together, the error is the blocks' residual."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.8, 0.01, (4, 6)) + rng.normal(0, 0.05, 6)
    residual = values - values.mean(0) - values.mean(1)[:, None] + values.mean()
    variance = (residual**2).sum() / (3 * 5)
    found = pairs(values, images(4), is_share=True)
    assert found.freedom[0, 1] == 15
    off = ~np.eye(4, dtype=bool)
    assert found.error[off].min() == pytest.approx(np.sqrt(2 * variance / 6))
    assert (found.error[off] >= found.error[off].min()).all()


def test_one_seed_knows_the_images_only() -> None:
    """0.59 against 0.586 of 2,000 images is no difference; 0.59 against 0.50 is one."""
    config = sweep(1, 3)
    assert places(config, np.array([[0.590], [0.586], [0.500]]), images(3, 2000)) == [1, 1, 3]
    p = pairs(np.array([[0.590], [0.500]]), images(2, 2000), is_share=True).p[0, 1]
    z = 0.09 / np.sqrt((0.59 * 0.41 + 0.25) / 2000)
    assert p == pytest.approx(2 * stats.norm.sf(z))


def test_what_nothing_can_tell_has_no_place() -> None:
    by_loss = sweep(1, 2, metric="val_loss")
    assert places(by_loss, np.array([[0.2], [0.9]]), images(2)) == [None, None]
    assert places(sweep(1), np.array([[0.5], [NAN]]), images(2)) == [None, None]
    assert places(sweep(1), np.zeros((0, 1)), images(0)) == []


def test_a_lower_loss_is_better_and_a_missing_seed_is_left_out() -> None:
    by_loss = sweep(4, 3, metric="val_loss")
    values = np.array([[0.9, 0.91, 0.9, 0.92], [0.2, 0.21, 0.2, NAN], [NAN, NAN, NAN, NAN]])
    assert places(by_loss, values, images(3)) == [2, 1, None]


def test_equal_results_are_no_proof_of_a_difference() -> None:
    """Two seeds, each one image of 200 apart: without the images' grain, t would be infinite."""
    values = np.array([[0.600, 0.700], [0.605, 0.705]])
    assert places(sweep(2), values, images(2, 200)) == [1, 1]


@pytest.mark.parametrize(("combinations", "seeds"), [(2, 5), (6, 3), (6, 1)])
def test_false_differences_are_rare(combinations: int, seeds: int) -> None:
    """Equal combinations: at most one sweep in twenty finds any difference."""
    rng, config, false = np.random.default_rng(1), sweep(seeds, combinations), 0
    for _ in range(400):
        chance = 0.8 + rng.normal(0, 0.01, (combinations, seeds)) * (seeds > 1)
        values = rng.binomial(1000, chance) / 1000
        false += {*places(config, values, images(combinations, 1000))} != {1}
    assert false / 400 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


def test_the_answer_in_words() -> None:
    far = np.array([[0.80, 0.81, 0.79], [0.90, 0.92, 0.89]])
    answer = effect(sweep(3), far, images(2))
    assert answer is not None
    assert effect_words(sweep(3), answer) == (
        "Batch size 2 is better than batch size 1 here: 10.3 points of validation accuracy more, "
        "95% interval 8.9 to 11.8, over 3 seeds (p = 0.001)."
    )
    near = np.array([[0.80, 0.81, 0.79], [0.81, 0.80, 0.80]])
    answer = effect(sweep(3), near, images(2))
    assert answer is not None
    assert effect_words(sweep(3), answer) == (
        "Not distinguishable with 3 seeds: batch size 2 and batch size 1 differ by 0.3 points of "
        "validation accuracy, 95% interval -2.5 to 3.2 (p = 0.67). A difference below about 2.9 "
        "points would not show with so few."
    )
    by_loss = sweep(3, metric="val_loss")
    answer = effect(by_loss, far, images(2))
    assert answer is not None
    assert "Batch size 1 is better than batch size 2 here: 0.103 of validation loss less" in (
        effect_words(by_loss, answer)
    )
    assert effect(sweep(3), far[:, :1].repeat(3, 1) * [1, NAN, NAN], images(2)) is None
    assert effect(sweep(3, 3), np.ones((3, 3)), images(3)) is None
