"""Temperature scaling against scikit-learn's and against a temperature that is known."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from lab.evaluate.predictions import Predictions
from lab.evaluate.temperature import COLDEST, fit_temperature, scaled, scaling


def drawn(n: int, *, sharper: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from the softmax of logits, and these logits times `sharper`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 5)) * 2
    labels = np.array([rng.choice(5, p=p) for p in scaled(logits, 1.0)])
    return logits * sharper, labels


def predictions(logits: np.ndarray, labels: np.ndarray) -> Predictions:
    exact = torch.from_numpy(logits)
    return Predictions(
        split="val",
        checkpoint="best",
        epoch=1,
        class_names=tuple("abcde"),
        indices=np.arange(len(labels)),
        labels=labels,
        probabilities=exact.softmax(1).float().numpy(),
        losses=torch.nn.functional.cross_entropy(exact, torch.from_numpy(labels), reduction="none")
        .float()
        .numpy(),
        train_counts=np.ones(5, dtype=np.int64),
        identity="1",
    )


class _Logits(ClassifierMixin, BaseEstimator):
    """A classifier whose decision function is its input."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> "_Logits":
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(axis=1)


@pytest.mark.parametrize("sharper", [0.4, 1.0, 2.5])
def test_the_temperature_is_scikit_learns_and_the_true_one(sharper: float) -> None:
    logits, labels = drawn(4000, sharper=sharper)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(sharper, rel=0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = CalibratedClassifierCV(
            FrozenEstimator(_Logits().fit(logits, labels)), method="temperature", ensemble=False
        ).fit(logits, labels)
    np.testing.assert_allclose(scaled(logits, found), oracle.predict_proba(logits), atol=1e-3)


def test_probabilities_are_as_good_as_logits() -> None:
    """Also of a network so sure that its probabilities are too small for float32."""
    logits, labels = drawn(500, sharper=60)
    assert predictions(logits, labels).probabilities.min() == 0
    from_probabilities = predictions(logits, labels).log_probabilities
    assert fit_temperature(from_probabilities, labels) == pytest.approx(
        min(20, fit_temperature(logits, labels)), rel=0.03
    )


def test_before_and_after_on_other_images() -> None:
    val, test = drawn(3000, sharper=3, seed=2), drawn(3000, sharper=3, seed=3)
    result = scaling(predictions(*val), predictions(*test))
    assert result.helps
    assert result.loss[0] == pytest.approx(predictions(*test).losses.mean(), rel=1e-5)
    assert result.before.expected_error > 0.15
    low, high = result.luck
    assert low < result.after.expected_error < high < 0.04
    assert not result.at_its_end


def test_a_perfect_validation_part_says_nothing() -> None:
    logits, labels = drawn(300, sharper=3)
    logits[np.arange(300), labels] = 100
    assert fit_temperature(logits, labels) == COLDEST
    other = drawn(300, sharper=3, seed=5)
    result = scaling(predictions(logits, labels), predictions(*other))
    assert result.at_its_end
    assert not result.helps
