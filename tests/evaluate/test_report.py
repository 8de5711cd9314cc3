"""What predictions amount to, in figures and in words."""

import csv
import io

import numpy as np
import pytest

from lab.evaluate.predictions import Predictions
from lab.evaluate.report import (
    cell,
    make_report,
    most_frequent_error,
    ordered,
    predictions_csv,
)


def predictions(
    labels: list[int],
    probabilities: list[list[float]],
    *,
    names: tuple[str, ...] = ("cat", "dog"),
    train: list[int] | None = None,
) -> Predictions:
    shares = np.array(probabilities, dtype=np.float32)
    true = np.array(labels, dtype=np.int64)
    return Predictions(
        split="test",
        checkpoint="best",
        epoch=3,
        class_names=names,
        indices=np.arange(10, 10 + len(true)),
        labels=true,
        probabilities=shares,
        losses=-np.log(shares[np.arange(len(true)), true]),
        train_counts=np.array(train or [5, 5]),
        identity="1-2",
    )


FOUR = predictions([0, 0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.95, 0.05]])


def test_the_figures() -> None:
    report = make_report(FOUR)
    assert (report.n, report.right, report.accuracy) == (4, 2, 0.5)
    assert report.matrix.tolist() == [[1, 1], [1, 1]]
    assert report.interval == pytest.approx((0.15, 0.85), abs=0.001)
    assert report.loss == pytest.approx(-np.log([0.9, 0.2, 0.6, 0.05]).mean())
    assert (report.majority, report.baseline) == ("cat", 0.5)
    assert report.beats_baseline is None
    assert report.one_class is None
    assert report.macro.f1 == 0.5
    assert report.calibration.counts.sum() == 4


def test_orders() -> None:
    assert ordered(FOUR, "worst").tolist() == [3, 1, 2, 0]
    assert ordered(FOUR, "confident_wrong").tolist() == [3, 1]
    assert ordered(FOUR, "least_sure").tolist() == [2, 1, 0, 3]


def test_cells() -> None:
    answers = [[0.2, 0.8], [0.1, 0.9], [0.6, 0.4], [0.1, 0.9], [0.9, 0.1]]
    five = predictions([0, 0, 0, 1, 1], answers)
    assert cell(five, 0, 1).tolist() == [1, 0]
    assert cell(five, 1, 1).tolist() == [3]
    assert most_frequent_error(make_report(five).matrix) == (0, 1)
    assert most_frequent_error(np.diag([3, 4])) is None


def test_one_class_only_is_called_out() -> None:
    report = make_report(predictions([0, 0, 0, 1], [[0.6, 0.4]] * 4))
    assert report.one_class is not None
    assert "predicts 'cat' for every one of the 4 images" in report.one_class
    assert "75.0%" in report.one_class
    assert report.beats_baseline is None


def test_nearly_one_class_is_called_out_unless_most_images_are_of_it() -> None:
    answers = [[0.6, 0.4]] * 99 + [[0.3, 0.7]]
    balanced = make_report(predictions([0, 1] * 50, answers))
    assert balanced.one_class is not None
    assert "for 99 of the 100 images (99.0%), while only 50.0%" in balanced.one_class
    skewed = make_report(predictions([0] * 95 + [1] * 5, answers))
    assert skewed.one_class is None


def test_a_set_of_one_class_calls_nobody_out() -> None:
    assert make_report(predictions([0] * 4, [[0.9, 0.1]] * 4)).one_class is None


def test_better_and_worse_than_the_majority() -> None:
    right = [[0.9, 0.1], [0.1, 0.9]] * 50
    assert make_report(predictions([0, 1] * 50, right)).beats_baseline is True
    assert make_report(predictions([1, 0] * 50, right)).beats_baseline is False


def test_the_csv_has_every_image_and_can_be_read_back() -> None:
    two = predictions([0, 1], [[0.25, 0.75], [0.1, 0.9]], names=("cat, small", 'a "dog"'))
    names = ["?"] * 10 + ["cats/ä, 1.jpg", "dogs/=2.jpg"]
    rows = list(csv.DictReader(io.StringIO(predictions_csv(two, names))))
    assert [row["image"] for row in rows] == names[10:]
    formulas = list(csv.DictReader(io.StringIO(predictions_csv(two, ["=1+1"] * 12))))
    assert formulas[0]["image"] == "'=1+1"  # else a spreadsheet would run it
    assert rows[0]["true"] == "cat, small"
    assert rows[0]["predicted"] == 'a "dog"'
    assert [row["right"] for row in rows] == ["0", "1"]
    assert rows[1]["index"] == "11"
    assert float(rows[0]["loss"]) == pytest.approx(-np.log(0.25), rel=1e-5)
    assert float(rows[1]['probability of a "dog"']) == pytest.approx(0.9)
