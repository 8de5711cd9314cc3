"""Answer sets: what they promise, counted; MAPIE's rules by hand."""

import numpy as np
import pytest

from lab.evaluate.answer_sets import SET_METHODS, AnswerSets, fit_sets, measure_sets
from lab.evaluate.how_sure import how_sure
from tests.evaluate.test_temperature import drawn, predictions


def test_the_limit_is_the_published_quantile() -> None:
    """The ceil((n + 1) level)-th smallest score of n: of 9 images at 80 %, the 8th."""
    shares = np.linspace(0.1, 0.9, 9)
    logits = np.log(np.stack([shares, *([(1 - shares) / 4] * 4)], axis=1))
    val = predictions(logits, np.zeros(9, dtype=np.int64))
    assert fit_sets(val, 0.8).limit == pytest.approx(0.8)
    assert fit_sets(val, 0.9).limit == pytest.approx(0.9)
    assert fit_sets(val, 0.95).limit == np.inf
    assert fit_sets(val, 0.95).of(val.probabilities).all()


def test_sets_by_hand() -> None:
    p = np.array([[0.6, 0.3, 0.1], [0.34, 0.33, 0.33], [0.05, 0.9, 0.05]])
    lac = AnswerSets("lac", 0.9, limit=0.72, val_images=99).of(p)
    assert lac.tolist() == [[True, True, False], [True, True, True], [False, True, False]]
    aps = AnswerSets("aps", 0.9, limit=0.91, val_images=99).of(p)
    assert aps.tolist() == [[True, True, False], [True, True, False], [False, True, False]]
    none = AnswerSets("lac", 0.9, limit=0.01, val_images=99).of(p)
    assert none.sum(axis=1).tolist() == [1, 1, 1]  # never "one of these 0 classes"


@pytest.mark.parametrize("method", [each.name for each in SET_METHODS])
def test_the_promise_holds_over_many_draws(method: str) -> None:
    """For an over-sure network too: of 60 draws with 99 validation images, 90 % on average."""
    held, sizes = [], []
    for seed in range(60):
        logits, labels = drawn(399, sharper=3, seed=100 + seed)
        sets = fit_sets(predictions(logits[:99], labels[:99]), 0.9, method)
        measured = measure_sets(sets, predictions(logits[99:], labels[99:]))
        held.append(measured.coverage.share)
        sizes.append(measured.mean_size)
    assert 0.89 < np.mean(held) < 0.95  # above: the most probable class is always in
    assert 1 < np.mean(sizes) < 4


def test_validation_that_flatters_is_said() -> None:
    """Validation images that are nearly all known by heart give sets of one class, which test
    images are then not in; copies among these count once."""
    val_logits, val_labels = drawn(300, sharper=3)
    val_logits[np.arange(300), val_labels] += 30
    logits, labels = drawn(50, sharper=3, seed=9)
    test = predictions(np.repeat(logits, 20, axis=0), np.repeat(labels, 20))
    sure = how_sure(predictions(val_logits, val_labels), test, np.repeat(np.arange(50), 20))
    measured = sure.measured[0.9]
    assert measured.mean_size < 1.01
    assert (measured.coverage.n, measured.coverage.units) == (1000, 50)
    low, high = measured.coverage.interval
    assert high - low > 0.15
    assert not measured.as_asked
    sentence = sure.set_sentence(0.9)
    assert "1,000 test images of 50 independent pictures" in sentence
    assert "less than 90%" in sentence
