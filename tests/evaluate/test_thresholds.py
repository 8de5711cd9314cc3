"""Thresholds and the reject option against scikit-learn and against counting."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from lab.evaluate.thresholds import (
    answered_right,
    at_threshold,
    best_threshold,
    risk_coverage,
    threshold_for,
)


def drawn(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Which images are of the class, and scores with ties."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    return positive, np.clip(rng.normal(0.4 + 0.2 * positive, 0.2), 0, 1).round(2)


@pytest.mark.parametrize("seed", range(3))
def test_every_threshold_as_scikit_learn(seed: int) -> None:
    positive, scores = drawn(seed)
    precision, recall, thresholds = oracle.precision_recall_curve(positive, scores)
    for p, r, threshold in zip(precision, recall, thresholds, strict=False):
        point = at_threshold(positive, scores, threshold)
        assert (point.precision, point.recall) == pytest.approx((p, r))
        assert point.f1 == pytest.approx(oracle.f1_score(positive, scores >= threshold))
    best = best_threshold(positive, scores)
    assert best is not None
    every = [at_threshold(positive, scores, each).f1 for each in thresholds]
    assert at_threshold(positive, scores, best).f1 == pytest.approx(max(every))


def test_nothing_called_has_no_precision() -> None:
    point = at_threshold(np.array([True, False]), np.array([0.2, 0.1]), 0.5)
    assert np.isnan(point.precision)
    assert (point.recall, point.false_alarms, point.called) == (0, 0, 0)
    assert best_threshold(np.zeros(3, dtype=bool), np.ones(3)) is None


def test_risk_and_coverage_as_counted() -> None:
    right, confidence = drawn(4)
    curve = risk_coverage(confidence, right)
    for threshold, answered, share in zip(
        curve.thresholds, curve.answered, curve.right, strict=True
    ):
        given = confidence >= threshold
        assert (answered, share) == pytest.approx((given.mean(), right[given].mean()))
    assert curve.answered[-1] == 1
    wanted = threshold_for(curve, 0.6)
    assert wanted is not None
    assert right[confidence >= wanted].mean() >= 0.6
    lower = [t for t in np.unique(confidence) if t < wanted]
    assert all(right[confidence >= t].mean() < 0.6 for t in lower)
    assert threshold_for(curve, 1.01) is None
    assert len(risk_coverage(np.zeros(0), np.zeros(0, dtype=bool)).right) == 0


def test_copies_count_once() -> None:
    right, confidence = drawn(4, n=400)
    groups = np.repeat(np.arange(400), 5)
    alone = answered_right(confidence, right, 0.5)
    copies = answered_right(np.repeat(confidence, 5), np.repeat(right, 5), 0.5, groups)
    assert (copies.n, copies.units) == (5 * alone.n, alone.n)
    assert copies.interval == pytest.approx(alone.interval, abs=0.01)
