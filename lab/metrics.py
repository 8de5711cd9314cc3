"""Every metric that a run measures, as data: events, tables, curves and pages follow from it.

To add one, add an entry to METRICS and its formula to `lab.training.metrics.FORMULAS`. Its columns
are then in the store (an older database gains them when it is opened), its curve on the Train page
and in Compare, its values in the command line's table and JSON.

    where it is measured            called
    ------------------------------  --------------------------------------------------------------
    a training batch                <name>, and its moving average <name>_smoothed
    an epoch's training batches     train_<name>
    the validation images           val_<name>; of the best epoch best_val_<name>
    the test images, once           test_<name>
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lab.words import NONE, percent


@dataclass(frozen=True)
class Metric:
    """One number that says how well a network predicts."""

    name: str
    """Its name in events, columns and JSON."""
    title: str
    about: str
    """What it means, for a learner; one or two sentences."""
    best: float
    """The value of a perfect network."""
    worst: float
    """The worst possible value; infinite where there is none."""
    of_batches: bool = True
    """Whether it is measured on training batches too, not on whole splits only."""
    average: Literal["samples", "classes"] = "samples"
    """What has equal weight in the mean: every sample, or every class with samples."""
    fewest_classes: int = 2
    """The number of classes below which it is not measured."""
    shown: bool = True
    """Whether its curve is drawn by default."""

    @property
    def higher_is_better(self) -> bool:
        """Whether larger values are better."""
        return self.best > self.worst

    @property
    def is_share(self) -> bool:
        """Whether it is a fraction in [0, 1], written in percent."""
        return {self.best, self.worst} == {0.0, 1.0}

    def text(self, value: float | None) -> str:
        """Returns `value` for a person to read; a dash where there is none."""
        if value is None or math.isnan(value):
            return NONE
        return percent(value) if self.is_share else f"{value:.4g}"

    def is_better(self, value: float, than: float) -> bool:
        """Whether `value` is better than `than`."""
        return value > than if self.higher_is_better else value < than


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "loss",
            "Loss",
            "Mean cross-entropy: minus the logarithm of the probability that was given to the true "
            "class. 0 is perfect; training makes it small.",
            best=0.0,
            worst=math.inf,
        ),
        Metric(
            "accuracy",
            "Accuracy",
            "The share of images whose true class got the highest probability.",
            best=1.0,
            worst=0.0,
        ),
        Metric(
            "top5_accuracy",
            "Top-5 accuracy",
            "The share of images whose true class is among the five most probable ones.",
            best=1.0,
            worst=0.0,
            fewest_classes=6,
            shown=False,
        ),
        Metric(
            "macro_recall",
            "Macro recall",
            "The share of right answers in each class, averaged over the classes: a rare class "
            "counts as much as a common one.",
            best=1.0,
            worst=0.0,
            of_batches=False,
            average="classes",
            shown=False,
        ),
    )
}
"""In the order of every list and table."""


def metrics_of(classes: int) -> tuple[Metric, ...]:
    """Returns the metrics that a run with so many classes measures."""
    return tuple(m for m in METRICS.values() if classes >= m.fewest_classes)


def step_columns(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Returns the columns of a step: the batch's values, each followed by its moving average."""
    names = (m.name for m in metrics if m.of_batches)
    return tuple(column for name in names for column in (name, f"{name}_smoothed"))


def epoch_columns(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Returns the columns of an epoch: of its training batches and the validation images."""
    return tuple(
        f"{part}_{metric.name}"
        for metric in metrics
        for part in ("train", "val")
        if part == "val" or metric.of_batches
    )


def run_columns(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Returns the columns of a run: of the best epoch's validation and of the test."""
    return tuple(c for m in metrics for c in (f"best_val_{m.name}", f"test_{m.name}"))
