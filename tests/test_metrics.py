"""Metrics as data: facts, words, columns."""

import math

import pytest

from lab.metrics import METRICS, epoch_columns, metrics_of, run_columns, step_columns
from lab.training.metrics import FORMULAS


def test_every_metric_has_a_formula_and_every_formula_a_metric() -> None:
    assert set(FORMULAS) == set(METRICS)
    assert all(name == metric.name for name, metric in METRICS.items())


def test_directions_and_ranges() -> None:
    loss, accuracy = METRICS["loss"], METRICS["accuracy"]
    assert (loss.higher_is_better, loss.is_share) == (False, False)
    assert (accuracy.higher_is_better, accuracy.is_share) == (True, True)
    assert loss.is_better(0.1, than=0.2)
    assert not loss.is_better(0.2, than=0.2)
    assert accuracy.is_better(0.3, than=0.2)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("loss", 0.41234, "0.4123"),
        ("accuracy", 0.8765, "87.6%"),
        ("accuracy", None, "–"),
        ("loss", math.nan, "–"),
    ],
)
def test_words(name: str, value: float | None, text: str) -> None:
    assert METRICS[name].text(value) == text


def test_top_5_is_measured_from_six_classes_on() -> None:
    assert [m.name for m in metrics_of(5)] == ["loss", "accuracy", "macro_recall"]
    assert [m.name for m in metrics_of(6)] == ["loss", "accuracy", "top5_accuracy", "macro_recall"]


def test_columns() -> None:
    metrics = metrics_of(2)
    assert step_columns(metrics) == ("loss", "loss_smoothed", "accuracy", "accuracy_smoothed")
    assert epoch_columns(metrics) == (
        "train_loss", "val_loss", "train_accuracy", "val_accuracy", "val_macro_recall",
    )  # fmt: skip
    assert run_columns(metrics)[:2] == ("best_val_loss", "test_loss")
