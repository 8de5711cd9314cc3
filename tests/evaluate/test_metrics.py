"""The figures against scikit-learn and against values worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from lab.evaluate.metrics import (
    calibration,
    calibration_by_luck,
    class_scores,
    confusion,
    grouped_share,
    macro_scores,
    majority_baseline,
    precision_recall_curve,
    roc_curve,
    student_95,
    wilson_interval,
)


@pytest.fixture(params=range(4))
def answers(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, int]:
    """labels (n,), probabilities (n, K), K; with a class that is never predicted and, at odd
    seeds, one without images."""
    rng = np.random.default_rng(request.param)
    classes = 6
    labels = rng.integers(0, classes - request.param % 2, size=500)
    logits = rng.normal(size=(500, classes))
    logits[np.arange(500), labels] += 1.5
    logits[:, 2] = -10
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels.astype(np.int64), probabilities.astype(np.float32), classes


def test_confusion_and_class_scores(answers: tuple[np.ndarray, np.ndarray, int]) -> None:
    labels, probabilities, classes = answers
    predicted = probabilities.argmax(axis=1)
    matrix = confusion(labels, predicted, classes)
    everyone = list(range(classes))
    assert (matrix == oracle.confusion_matrix(labels, predicted, labels=everyone)).all()
    scores = class_scores(matrix)
    precision, recall, f1, support = oracle.precision_recall_fscore_support(
        labels, predicted, labels=everyone, zero_division=np.nan
    )
    np.testing.assert_allclose(scores.precision, precision)
    np.testing.assert_allclose(scores.recall, recall)
    np.testing.assert_allclose(scores.f1, f1)
    assert (scores.support == support).all()
    assert math.isnan(scores.precision[2])
    assert scores.f1[2] == 0
    macro = macro_scores(scores)
    assert macro.never_predicted == 1
    assert macro.without_images == int((support == 0).sum())
    for mean, each in ((macro.precision, precision), (macro.recall, recall), (macro.f1, f1)):
        assert mean == pytest.approx(np.nanmean(each))


def test_a_class_that_neither_occurs_nor_is_predicted_has_no_figure() -> None:
    scores = class_scores(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]))
    assert np.isnan([scores.precision[2], scores.recall[2], scores.f1[2]]).all()
    assert macro_scores(scores).f1 == pytest.approx((6 / 7 + 4 / 5) / 2)


@pytest.mark.parametrize("ties", [False, True])
def test_roc_and_precision_recall(ties: bool) -> None:
    rng = np.random.default_rng(7)
    positive = rng.random(400) < 0.3
    scores = (rng.normal(size=400) + positive).astype(np.float32)
    if ties:
        scores = np.round(scores)
    roc = roc_curve(positive, scores)
    assert roc is not None
    assert roc.area == pytest.approx(oracle.roc_auc_score(positive, scores))
    x, y, _ = oracle.roc_curve(positive, scores, drop_intermediate=False)
    points = set(zip(x.tolist(), y.tolist(), strict=True))
    assert set(zip(roc.false_positive_rate, roc.true_positive_rate, strict=True)) <= points
    assert (roc.false_positive_rate[0], roc.true_positive_rate[0]) == (0, 0)
    assert (roc.false_positive_rate[-1], roc.true_positive_rate[-1]) == (1, 1)
    assert oracle.auc(roc.false_positive_rate, roc.true_positive_rate) == pytest.approx(roc.area)
    curve = precision_recall_curve(positive, scores)
    assert curve is not None
    assert curve.average_precision == pytest.approx(
        oracle.average_precision_score(positive, scores)
    )
    precision, recall, _ = oracle.precision_recall_curve(positive, scores)
    np.testing.assert_allclose(curve.precision, precision[:-1][::-1])
    np.testing.assert_allclose(curve.recall, recall[:-1][::-1])
    assert curve.share == pytest.approx(positive.mean())


def test_curves_of_one_class_do_not_exist() -> None:
    scores = np.array([0.1, 0.9])
    assert roc_curve(np.array([True, True]), scores) is None
    assert roc_curve(np.array([False, False]), scores) is None
    assert precision_recall_curve(np.array([False, False]), scores) is None
    assert roc_curve(np.empty(0, dtype=bool), np.empty(0)) is None
    assert precision_recall_curve(np.empty(0, dtype=bool), np.empty(0)) is None


def test_one_score_for_all_is_chance() -> None:
    roc = roc_curve(np.array([True, False, False]), np.full(3, 0.5))
    assert roc is not None
    assert roc.area == 0.5
    assert len(roc.false_positive_rate) == 2


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        # Agresti & Coull (1998) and R's prop.test(correct = FALSE).
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), method 3
        (1, 29, 0.0061, 0.1718),  # Newcombe (1998), method 3
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson(right: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(right, n) == pytest.approx((low, high), abs=5e-5)


def test_calibration_by_hand() -> None:
    confidence = np.array([0.55, 0.58, 0.95, 0.95, 1.0, 0.9])
    right = np.array([True, False, True, True, True, False])
    result = calibration(confidence, right, bins=10)
    assert result.counts.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 1, 3]  # 0.9 is in (0.8, 0.9]
    assert result.accuracy[5] == 0.5
    assert result.accuracy[9] == 1.0
    assert math.isnan(result.accuracy[0])
    by_hand = (2 * abs(0.5 - 0.565) + 1 * 0.9 + 3 * abs(1 - 2.9 / 3)) / 6
    assert result.expected_error == pytest.approx(by_hand)
    assert result.gap == pytest.approx(confidence.mean() - right.mean())


def test_calibration_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    confidence = rng.random(2000).astype(np.float32)
    right = rng.random(2000) < confidence**2
    result = calibration(confidence, right, bins=15)
    accuracy, mean = oracle_curve(right, confidence)
    np.testing.assert_allclose(result.accuracy, accuracy)
    np.testing.assert_allclose(result.confidence, mean)
    assert result.gap > 0
    assert math.isnan(calibration(np.empty(0), np.empty(0, dtype=bool)).expected_error)


def oracle_curve(right: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.calibration import calibration_curve

    accuracy, mean = calibration_curve(right, confidence.astype(np.float64), n_bins=15)
    return accuracy, mean


def test_certainty_and_zero_are_in_the_outer_bins() -> None:
    result = calibration(np.array([0.0, 1.0], dtype=np.float32), np.array([False, True]))
    assert result.counts[0] == result.counts[-1] == 1
    assert result.expected_error == 0


def test_majority_is_of_the_training_images() -> None:
    train_counts = np.array([10, 30, 30])
    assert majority_baseline(train_counts, np.array([0, 0, 0, 1])) == (1, 0.25)
    assert math.isnan(majority_baseline(train_counts, np.empty(0, dtype=np.int64))[1])


# --- images that belong together ------------------------------------------------------------------
def photographs(
    groups: int, size: int, *, accuracy: float, within: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Right or not of groups x size images; `within`: share of photographs of which all copies have
    one answer."""
    rng = np.random.Generator(np.random.Philox(seed))
    right = rng.random((groups, size)) < accuracy
    same = rng.random(groups) < within
    right[same] = right[same][:, :1]
    return right.ravel(), np.repeat(np.arange(groups), size)


def bootstrap(right: np.ndarray, groups: np.ndarray, *, draws: int = 4000) -> tuple[float, float]:
    """The 95 % percentile interval of whole groups drawn with replacement."""
    sums = np.bincount(groups, weights=right)
    sizes = np.bincount(groups)
    rng = np.random.Generator(np.random.Philox(11))
    drawn = rng.integers(0, len(sums), size=(draws, len(sums)))
    shares = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.parametrize("within", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("accuracy", [0.6, 0.9])
def test_the_grouped_interval_is_that_of_a_bootstrap_of_groups(
    within: float, accuracy: float
) -> None:
    right, groups = photographs(350, 20, accuracy=accuracy, within=within, seed=3)
    share = grouped_share(right, groups)
    low, high = bootstrap(right, groups)
    width = high - low
    assert share.interval == pytest.approx((low, high), abs=0.12 * width + 5e-4)
    assert (share.n, share.units, share.right) == (7000, 350, int(right.sum()))
    if within == 1.0:  # as many independent answers as photographs
        alone = wilson_interval(int(right[::20].sum()), 350)
        assert share.interval == pytest.approx(alone, abs=2e-3)


def test_groups_of_unequal_sizes() -> None:
    rng = np.random.Generator(np.random.Philox(8))
    sizes = rng.integers(1, 60, size=200)
    right = np.repeat(rng.random(200) < 0.85, sizes)
    groups = np.repeat(np.arange(200), sizes)
    low, high = bootstrap(right, groups)
    assert grouped_share(right, groups).interval == pytest.approx((low, high), abs=0.01)


def test_images_that_stand_for_themselves_have_wilsons_interval() -> None:
    right = np.random.Generator(np.random.Philox(1)).random(500) < 0.7
    wilson = wilson_interval(int(right.sum()), 500)
    assert grouped_share(right, None).interval == wilson
    alone = grouped_share(right, np.arange(500)[::-1])
    assert alone.interval == wilson
    assert alone.units == 500


def test_all_right_counts_each_photograph_once() -> None:
    share = grouped_share(np.ones(400, bool), np.repeat(np.arange(20), 20))
    assert share.interval[1] == 1.0
    assert share.interval[0] < wilson_interval(20, 20)[0]  # and Student's quantile for so few
    assert grouped_share(np.ones(40, bool), np.zeros(40)).interval == (0.0, 1.0)
    nothing = grouped_share(np.ones(0, bool), np.ones(0))
    assert nothing.interval == (0.0, 1.0)
    assert np.isnan(nothing.share)


def test_the_grouped_interval_covers_the_truth_as_often_as_it_says() -> None:
    missed = 0
    for seed in range(300):
        right, groups = photographs(60, 15, accuracy=0.8, within=0.8, seed=seed)
        low, high = grouped_share(right, groups).interval
        missed += not low <= 0.8 <= high
    assert 4 <= missed <= 30  # 15 expected; taking images for independent misses about 150


def test_students_quantile() -> None:
    for freedom in (1, 2, 3, 5, 10, 40, 1000):
        assert student_95(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-3)


def test_what_a_perfectly_calibrated_network_shows() -> None:
    """The audit's figures: 7.5 % with 100 images, 1.8 % with 2,000; and copies count once."""
    rng = np.random.default_rng(5)
    sure = rng.uniform(0.5, 1, size=2000)
    low, high = calibration_by_luck(sure[:100])
    assert low < 0.075 < high
    low, high = calibration_by_luck(sure)
    assert low < 0.018 < high < 0.035
    inside = 0
    for _ in range(100):
        error = calibration(sure, rng.random(2000) < sure).expected_error
        inside += low <= error <= high
    assert 88 <= inside <= 100
    copies = np.repeat(sure[:100], 20)
    assert calibration_by_luck(copies, np.repeat(np.arange(100), 20))[0] > 3 * low
    assert calibration_by_luck(copies)[1] < calibration_by_luck(sure[:100])[0]
