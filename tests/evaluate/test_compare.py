"""What differs, how sure it is, and whether it is more than chance; checked against scipy."""

import numpy as np
import pytest
from scipy.stats import binomtest, t, ttest_ind

from lab.config import RunConfig
from lab.errors import ConfigError
from lab.evaluate.compare import (
    CHANCE,
    PairedTest,
    against_baseline,
    alike,
    differing_settings,
    groups_in_words,
    holm,
    in_words,
    mcnemar,
    over_seeds,
    paired,
    paired_over_seeds,
    share_interval,
    unpaired_difference,
    verdicts_on,
    welch,
)
from lab.evaluate.metrics import wilson_interval
from lab.evaluate.predictions import Predictions


def test_only_the_differences_of_settings() -> None:
    one, other = RunConfig(seed=1, epochs=3), RunConfig(seed=2, epochs=3, hidden_sizes=(5, 4))
    settings = [config.model_dump(mode="json") for config in (one, other)]
    assert differing_settings(settings) == {"hidden_sizes": ([50], [5, 4]), "seed": (1, 2)}
    assert differing_settings(settings[:1]) == {}
    assert differing_settings([]) == {}
    assert differing_settings([{"a": 1}, {"a": 1, "new": 2}]) == {"new": (None, 2)}


def test_a_recorded_accuracy_has_the_interval_of_its_counts() -> None:
    # 6,833 of 7,172 right, as a float that was divided and stored.
    assert share_interval(6833 / 7172, 7172) == wilson_interval(6833, 7172)
    assert share_interval(1.0, 50) == wilson_interval(50, 50)
    for share, n in ((None, 10), (0.5, None), (0.5, 0), (float("nan"), 10)):
        assert share_interval(share, n) is None


# --- several comparisons -------------------------------------------------------------------------
def test_holm_as_published() -> None:
    # As R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm").
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.03]) == (0.03,)
    assert holm([]) == ()
    assert holm([0.9, 0.8]) == (1.0, 1.0)


def test_three_equal_runs_seldom_show_a_difference() -> None:
    """The three pairs of three equally good networks: without a correction one set in eight."""
    rng = np.random.Generator(np.random.Philox(11))
    corrected = naive = 0
    for _ in range(400):
        runs = rng.random((3, 200)) < 0.8
        p_values = [mcnemar(runs[i], runs[j]).p_mid for i, j in ((0, 1), (0, 2), (1, 2))]
        corrected += min(holm(p_values)) < CHANCE
        naive += min(p_values) < CHANCE
    assert naive > 40
    assert corrected <= 28  # 5 % and twice the chance in 400 tries


def test_what_cannot_be_told_apart() -> None:
    assert alike(3, []) == ((0, 1, 2),)
    assert alike(3, [(0, 2)]) == ((0, 1), (1, 2))
    assert alike(4, [(0, 2), (0, 3), (1, 3)]) == ((0, 1), (1, 2), (2, 3))
    assert alike(3, [(0, 1), (0, 2), (1, 2)]) == ((0,), (1,), (2,))
    assert alike(0, []) == ()


def test_only_runs_that_were_compared_each_with_each_are_put_into_sets() -> None:
    right = np.arange(200) < 150
    rows = {0: right, 1: right, 2: ~right, 3: right}
    between = {(i, j): mcnemar(rows[i], rows[j]) for i in rows for j in rows if i < j}
    names = list("ABCD")
    assert groups_in_words(names, verdicts_on(names, between)) == (
        "Not distinguishable here: A and B and D."
    )
    gone = {pair: test for pair, test in between.items() if 1 not in pair}  # of B nothing is known
    assert groups_in_words(names, verdicts_on(names, gone)) == (
        "Not distinguishable here: A and D."
    )
    for lost in ([(0, 3)], [(0, 1), (0, 3)]):  # "A and B and D" would say too much
        known = {pair: test for pair, test in between.items() if pair not in lost}
        assert groups_in_words(names, verdicts_on(names, known)) == ""
    apart = {pair: between[pair] for pair in [(0, 2)]}
    assert groups_in_words(names, verdicts_on(names, apart)) == ""  # the pair says it


# --- seeds ---------------------------------------------------------------------------------------
def settings(**knobs: object) -> dict[str, object]:
    return RunConfig(**knobs).model_dump(mode="json")


def test_the_spread_over_seeds() -> None:
    runs = [
        settings(seed=0),
        # Not another experiment:
        settings(seed=1, device="cpu", film_strip=False, keep_every=2, frozen_features="off"),
        settings(seed=2),
        settings(seed=1),  # the second of its seed
        settings(seed=7),  # not tested yet
        settings(seed=0, learning_rate=0.1),  # alone
    ]
    (spread,) = over_seeds(runs, [0.90, 0.92, 0.97, 0.92, None, 0.5])
    assert spread.members == (0, 1, 2)
    assert spread.seeds == (0, 1, 2)
    assert spread.mean == pytest.approx(0.93)
    assert spread.deviation == pytest.approx(np.std([0.90, 0.92, 0.97], ddof=1))
    assert (spread.lowest, spread.highest) == (0.90, 0.97)
    expected = t.interval(0.95, 2, spread.mean, spread.deviation / 3**0.5)
    assert spread.interval == pytest.approx(expected, rel=1e-3)


def test_two_ways_of_training_over_their_seeds_as_scipy() -> None:
    rates = [settings(seed=seed, learning_rate=rate) for rate in (0.1, 0.01) for seed in range(3)]
    results = [0.90, 0.92, 0.97, 0.80, 0.81, 0.83]
    first, second = over_seeds(rates, results)
    expected = ttest_ind(results[:3], results[3:], equal_var=False).pvalue
    assert welch(first, second) == pytest.approx(expected)
    same, other = over_seeds(rates, [0.75] * 3 + [0.5] * 3)
    assert (welch(same, other), welch(same, same)) == (0.0, 1.0)


def test_no_spread_without_two_seeds() -> None:
    assert over_seeds([], []) == ()
    assert over_seeds([settings(seed=3), settings(seed=3)], [0.9, 0.9]) == ()
    assert over_seeds([settings(seed=1), settings(seed=2, epochs=3)], [0.9, 0.9]) == ()
    assert over_seeds([settings(seed=1), settings(seed=2)], [0.9, float("nan")]) == ()


# --- McNemar -------------------------------------------------------------------------------------
def outcome(both: int, first: int, second: int, neither: int) -> PairedTest:
    one = np.repeat([True, True, False, False], [both, first, second, neither])
    other = np.repeat([True, False, True, False], [both, first, second, neither])
    return mcnemar(one, other)


def test_the_published_example() -> None:
    """Airway hyper-responsiveness before and after, table 1 of Fagerland et al. (2013): exact
    0.070, mid-p 0.039; the interval of Bonett and Price computed by hand from their formula."""
    test = outcome(1, 1, 7, 12)
    assert (test.both_right, test.only_first, test.only_second, test.both_wrong) == (1, 1, 7, 12)
    assert test.p_exact == pytest.approx(0.0703125)
    assert test.p_mid == pytest.approx(0.0390625)
    assert test.more_than_chance
    assert test.difference == pytest.approx(-6 / 21)
    assert test.interval == pytest.approx((-0.5084, -0.0134), abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second"), [(0, 0), (1, 0), (0, 5), (3, 3), (10, 20), (105, 133), (900, 1100)]
)
def test_as_scipy(first: int, second: int) -> None:
    test = outcome(5, first, second, 5)
    other = outcome(5, second, first, 5)
    assert (test.p_exact, test.p_mid) == (other.p_exact, other.p_mid)
    assert test.difference == -other.difference
    if first + second:
        exact = binomtest(first, first + second).pvalue
        assert test.p_exact == pytest.approx(exact, rel=1e-9)
        assert 0 < test.p_mid <= test.p_exact
    else:
        assert test.p_exact == test.p_mid == 1.0


def test_thousands_of_differences_neither_overflow_nor_round_to_a_lie() -> None:
    even, uneven = outcome(0, 5000, 5000, 0), outcome(0, 9000, 1000, 0)
    assert even.p_mid == 1.0
    assert not even.more_than_chance
    assert 0 <= uneven.p_mid < 1e-300
    assert uneven.interval[0] > 0.78


def test_under_the_hypothesis_one_in_twenty_is_called_a_difference() -> None:
    """Two networks that are right by the same chance: the mid-p test must not cry wolf."""
    rng = np.random.Generator(np.random.Philox(7))
    called = 0
    for _ in range(1000):
        one, other = rng.random((2, 300)) < 0.8
        called += mcnemar(one, other).more_than_chance
    assert 25 <= called <= 75


def test_what_cannot_be_tested() -> None:
    with pytest.raises(ValueError, match="the same number"):
        mcnemar(np.ones(2, bool), np.ones(3, bool))
    with pytest.raises(ValueError, match="at least 1"):
        mcnemar(np.ones(0, bool), np.ones(0, bool))


def test_the_sentences() -> None:
    same = in_words(outcome(90, 0, 0, 10), "A", "B")
    assert "right on the very same images" in same
    assert "these 100 images show no difference at all" in same
    chance = in_words(outcome(6728, 105, 133, 206), "A", "B")
    assert chance == (
        "These two differ by no more than chance. On 238 of 7,172 images only one of them is "
        "right: A on 105, B on 133. If both were equally good, a split at least as uneven would "
        "still come up about 7 times in 100."
    )
    real = in_words(outcome(50, 2, 30, 0), "A", "B")
    assert real.startswith("B is better than A on these images by more than chance. On 32 of 82")
    assert real.endswith("would come up less than once in 10,000 times.")
    mild = in_words(outcome(50, 10, 30, 0), "A", "B")
    assert mild.endswith("would come up about 15 times in 10,000.")


# --- aligned -------------------------------------------------------------------------------------
def predictions(indices: list[int], answers: list[int], *, classes: str = "abc") -> Predictions:
    labels = np.array(indices) % 3
    return Predictions(
        split="test",
        checkpoint="best",
        epoch=1,
        class_names=tuple(classes),
        indices=np.array(indices),
        labels=labels,
        probabilities=np.eye(3, dtype=np.float32)[answers],
        losses=np.zeros(len(indices), dtype=np.float32),
        train_counts=np.ones(3, dtype=np.int64),
        identity="x",
    )


def test_images_are_aligned_whatever_their_order() -> None:
    one = predictions([3, 4, 5, 8], [0, 1, 0, 2])
    other = predictions([5, 9, 4, 3], [2, 1, 0, 0])
    both = paired(one, other)
    assert both.indices.tolist() == [3, 4, 5]
    assert both.labels.tolist() == [0, 1, 2]
    assert both.first.tolist() == [0, 1, 0]
    assert both.second.tolist() == [0, 0, 2]
    test = both.test()
    assert (test.n, test.both_right, test.only_first, test.only_second) == (3, 1, 1, 1)


def test_what_is_not_comparable_is_said() -> None:
    one = predictions([1, 2], [1, 2])
    with pytest.raises(ConfigError, match="other classes"):
        paired(one, predictions([1, 2], [1, 2], classes="abd"))
    with pytest.raises(ConfigError, match="no image of this part in common"):
        paired(one, predictions([3, 4], [1, 2]))
    changed = predictions([1, 2], [1, 2])
    changed.labels[0] = 0
    with pytest.raises(ConfigError, match="other labels"):
        paired(one, changed)


# --- images that are copies of one photograph ----------------------------------------------------
def test_one_image_a_group_is_mcnemars_test() -> None:
    rng = np.random.Generator(np.random.Philox(3))
    one, other = rng.random((2, 200)) < 0.8
    assert mcnemar(one, other, np.arange(200)) == mcnemar(one, other)


def test_copies_of_a_photograph_count_once() -> None:
    """Every photograph twenty times: the same p-value as of the photographs."""
    rng = np.random.Generator(np.random.Philox(4))
    one, other = rng.random((2, 150)) < 0.8
    alone = mcnemar(one, other)
    copies = mcnemar(np.repeat(one, 20), np.repeat(other, 20), np.repeat(np.arange(150), 20))
    assert (copies.n, copies.units) == (3000, 150)
    assert (copies.p_exact, copies.p_mid) == pytest.approx((alone.p_exact, alone.p_mid))
    assert copies.difference == alone.difference
    assert copies.interval == pytest.approx(alone.interval, abs=0.01)
    assert mcnemar(np.repeat(one, 20), np.repeat(other, 20)).p_mid < alone.p_mid
    assert "These images are copies of 150 photographs" in in_words(copies, "A", "B")


def test_sign_flips_as_all_flips_counted() -> None:
    rng = np.random.Generator(np.random.Philox(6))
    groups = np.repeat(np.arange(12), rng.integers(1, 6, size=12))
    one, other = rng.random((2, len(groups))) < 0.6
    sums = np.bincount(groups, weights=one.astype(int) - other.astype(int))
    signs = 1 - 2 * ((np.arange(2**12)[:, None] >> np.arange(12)) & 1)
    flipped = np.abs(signs @ sums)
    beyond = np.mean(flipped > abs(sums.sum()) + 1e-9)
    equal = np.mean(np.isclose(flipped, abs(sums.sum())))
    test = mcnemar(one, other, groups)
    assert test.p_exact == pytest.approx(beyond + equal)
    assert test.p_mid == pytest.approx(beyond + equal / 2)


def test_grouped_under_the_hypothesis_one_in_twenty_is_called_a_difference() -> None:
    """Two equally good networks, each right or wrong on all ten copies of a photograph together."""
    rng = np.random.Generator(np.random.Philox(9))
    groups = np.repeat(np.arange(80), 10)
    called = naive = 0
    for _ in range(400):
        one, other = np.repeat(rng.random((2, 80)) < 0.8, 10, axis=1)
        called += mcnemar(one, other, groups).more_than_chance
        naive += mcnemar(one, other).more_than_chance
    assert 8 <= called <= 36
    assert naive > 150


def test_over_seeds_copies_count_once() -> None:
    rng = np.random.Generator(np.random.Philox(5))
    first, second = rng.random((2, 3, 100)) < 0.8
    alone = paired_over_seeds(first, second)
    groups = np.repeat(np.arange(100), 7)
    copies = paired_over_seeds(np.repeat(first, 7, axis=1), np.repeat(second, 7, axis=1), groups)
    assert (copies.n, copies.units, copies.seeds) == (700, 100, 3)
    assert copies.difference == pytest.approx(alone.difference)
    assert copies.p == pytest.approx(alone.p)
    assert copies.interval == pytest.approx(alone.interval)


def test_the_unpaired_interval_is_newcombes() -> None:
    """His example of Table II: 56 of 70 and 48 of 80, method 10: 0.0524 to 0.3339."""
    difference, (low, high) = unpaired_difference((56 / 70, 70), (48 / 80, 80))
    assert difference == pytest.approx(0.2)
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert against_baseline(0.8, 70, 0.6, 80) == "+20.0 points"
    assert against_baseline(0.61, 100, 0.6, 100) == "+1.0 points, within chance"
    assert against_baseline(None, 100, 0.6, 100) == ""
