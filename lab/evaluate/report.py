"""Every metric of the Results tab, from the predictions of one checkpoint for one split.

Whole arrays at a time: 10,000 images take some milliseconds.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lab.evaluate.metrics import (
    MAJORITY_SHARE,
    ONE_CLASS_SHARE,
    Calibration,
    ClassScores,
    Ints,
    MacroScores,
    calibration,
    class_scores,
    confusion,
    grouped_share,
    macro_scores,
    majority_baseline,
)
from lab.evaluate.predictions import Predictions
from lab.names import csv_cell

Order = Literal["worst", "confident_wrong", "least_sure"]


@dataclass(frozen=True, eq=False)
class Report:
    """The metrics of n images; shares are in [0, 1]."""

    n: int
    right: int
    accuracy: float
    interval: tuple[float, float]
    """Wilson's 95 % interval of the accuracy, in which copies of one picture count once."""
    units: int
    """Independent pictures among the images; n where no copies are known."""
    loss: float
    """Mean cross-entropy in nats, unweighted."""
    matrix: Ints
    """(K, K) counts: row = true class, column = predicted class."""
    scores: ClassScores
    macro: MacroScores
    calibration: Calibration
    majority: str
    """The most frequent class of the images that the run was trained on."""
    baseline: float
    """The accuracy on these images of always answering `majority`."""
    one_class: str | None
    """The sentence for a run that answers (nearly) always the same; None for others."""

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the whole interval lies above the baseline (True) or below it (False); None when
        the baseline is inside it, so that these images cannot tell."""
        if self.interval[0] > self.baseline:
            return True
        return False if self.interval[1] < self.baseline else None


def make_report(predictions: Predictions, groups: Ints | None = None) -> Report:
    """Returns the metrics of `predictions`, which have at least one image; `groups` (N,) of the
    pack: images with the same number are copies of one picture."""
    labels, predicted, right = predictions.labels, predictions.predicted, predictions.right
    matrix = confusion(labels, predicted, len(predictions.class_names))
    scores = class_scores(matrix)
    hits, n = int(np.count_nonzero(right)), len(predictions)
    share = grouped_share(right, None if groups is None else groups[predictions.indices])
    majority, baseline = majority_baseline(predictions.train_counts, labels)
    return Report(
        n=n,
        right=hits,
        accuracy=hits / n,
        interval=share.interval,
        units=share.units,
        loss=float(predictions.losses.mean(dtype=np.float64)),
        matrix=matrix,
        scores=scores,
        macro=macro_scores(scores),
        calibration=calibration(predictions.probabilities.max(axis=1), right),
        majority=predictions.class_names[majority],
        baseline=baseline,
        one_class=_one_class(scores, predictions.class_names),
    )


def ordered(predictions: Predictions, order: Order) -> npt.NDArray[np.int64]:
    """Returns positions in the arrays of `predictions`, the most telling image first.

    worst: all, the highest loss first (the true class was given the smallest probability);
    confident_wrong: the wrong ones, the highest probability of the wrong answer first;
    least_sure: all, the lowest probability of the answer first, right or wrong.
    """
    sureness = predictions.probabilities.max(axis=1)
    if order == "worst":
        return np.argsort(-predictions.losses, kind="stable")
    if order == "least_sure":
        return np.argsort(sureness, kind="stable")
    wrong = np.flatnonzero(~predictions.right)
    return wrong[np.argsort(-sureness[wrong], kind="stable")]


def cell(predictions: Predictions, true: int, predicted: int) -> npt.NDArray[np.int64]:
    """Positions of the images of class `true` that were taken for `predicted`, the surest first."""
    rows = np.flatnonzero((predictions.labels == true) & (predictions.predicted == predicted))
    return rows[np.argsort(-predictions.probabilities[rows, predicted], kind="stable")]


def most_frequent_error(matrix: Ints) -> tuple[int, int] | None:
    """The true and predicted class of the most frequent error; None without an error."""
    errors = matrix.copy()
    np.fill_diagonal(errors, 0)
    true, predicted = np.unravel_index(int(errors.argmax()), errors.shape)
    return (int(true), int(predicted)) if errors.any() else None


def predictions_csv(predictions: Predictions, names: Sequence[str]) -> str:
    """Returns CSV, a line an image in the order of the pack; `names` (N,) are the whole pack's.

    Columns: image (its name), index (in the pack), true, predicted, right (1 or 0), loss (nats),
    then the probability of each class.
    """
    classes = predictions.class_names
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    head = ["image", "index", "true", "predicted", "right", "loss"]
    out.writerow(head + [f"probability of {name}" for name in classes])
    rows = zip(
        predictions.indices.tolist(),
        predictions.labels.tolist(),
        predictions.predicted.tolist(),
        predictions.losses.tolist(),
        predictions.probabilities.tolist(),
        strict=True,
    )
    for index, label, predicted, loss, probabilities in rows:
        out.writerow(
            [
                csv_cell(names[index]),
                index,
                csv_cell(classes[label]),
                csv_cell(classes[predicted]),
                int(label == predicted),
                f"{loss:.6g}",
                *(f"{p:.6g}" for p in probabilities),
            ]
        )
    return text.getvalue()


def _one_class(scores: ClassScores, class_names: Sequence[str]) -> str | None:
    """The warning for a network that predicts (nearly) one class only; None for others."""
    n = int(scores.support.sum())
    favourite = int(scores.predicted.argmax())
    answers, images = int(scores.predicted[favourite]), int(scores.support[favourite])
    name, share = repr(class_names[favourite]), images / n
    if images == n:
        return None  # nothing else to predict
    if answers == n:
        return (
            f"This run predicts {name} for every one of the {n:,} images: its accuracy of "
            f"{share:.1%} is only the share of that class among them. It does not tell the classes "
            "apart. Look at the recall of each class below; a smaller learning rate, other "
            "initial weights or class balancing may help."
        )
    if answers > ONE_CLASS_SHARE * n and share < MAJORITY_SHARE:
        return (
            f"This run predicts {name} for {answers:,} of the {n:,} images ({answers / n:.1%}), "
            f"while only {share:.1%} of them belong to that class: it hardly tells the classes "
            "apart. Look at the recall of each class below; a smaller learning rate, other "
            "initial weights or class balancing may help."
        )
    return None
