"""Metrics of a classifier from its answers: numpy in, plain numbers and arrays out.

n images, K classes. A metric that would be 0 / 0 is NaN and never a 0 that looks like a bad mark:
the precision of a class that was never predicted, the recall of a class without images.
Checked against scikit-learn in tests/evaluate/test_metrics.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

NORMAL_95 = 1.959963984540054
"""The standard normal's quantile that leaves 2.5 % on each side."""

BINS = 15
"""Bins of the reliability diagram, as in the tables of Guo et al. (2017)."""

ONE_CLASS_SHARE = 0.98
MAJORITY_SHARE = 0.90
"""A network answers one class only if that gets more than ONE_CLASS_SHARE of the answers while less
than MAJORITY_SHARE of the images belong to it."""


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of the share right / n; (0, 1) when n is 0: then nothing is known.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
    (1927). Unlike share ± 2 deviations it stays within [0, 1] and has a width at 0 % and 100 %.
    Takes the images for independent draws (see `grouped_interval` where they are not); it says
    nothing about another training seed.
    """
    return _wilson(right / n, n) if n else (0.0, 1.0)


def _wilson(share: float, n: float) -> tuple[float, float]:
    z, z2 = NORMAL_95, NORMAL_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # Rounding must not make the interval miss the share itself at 0 and at 1.
    low = 0.0 if share == 0 else max(0.0, centre - half)
    high = 1.0 if share == 1 else min(1.0, centre + half)
    return low, high


# --- images that belong together -----------------------------------------------------------------
@dataclass(frozen=True)
class GroupedShare:
    """A share of right answers among images of which some are copies of one another."""

    right: int
    n: int
    units: int
    """Independent groups of images: photographs, each with all its copies."""
    interval: tuple[float, float]
    """The 95 % interval, which counts groups and not copies."""

    @property
    def share(self) -> float:
        """In [0, 1]; NaN without images."""
        return self.right / self.n if self.n else math.nan


def grouped_share(right: Bools, groups: Ints | None) -> GroupedShare:
    """Returns the share of right answers with an interval that takes groups, not images, for
    independent.

    `right` (n,); `groups` (n,): images with the same number belong together; None: each stands for
    itself, and the interval is Wilson's. Copies of one photograph are mostly right or wrong
    together, so n images tell as much as n / (design effect) independent ones: that number goes
    into Wilson's interval (E. L. Korn and B. I. Graubard, Survey Methodology 24, 1998, do the same
    with another interval). The design effect is the variance of the share between groups, by
    linearisation, over that of independent images, and at least 1; Student's quantile makes up for
    few groups. Where all answers are right, or all wrong, each group counts once. Checked against a
    bootstrap of whole groups in tests/evaluate/test_metrics.py.
    """
    n, hits = len(right), int(np.count_nonzero(right))
    if groups is None or not n:
        return GroupedShare(hits, n, n, wilson_interval(hits, n))
    which, units = _numbered(groups)
    if units == n:
        return GroupedShare(hits, n, n, wilson_interval(hits, n))
    if units == 1:
        return GroupedShare(hits, n, 1, (0.0, 1.0))
    share = hits / n
    certain = hits in (0, n)
    deviations = right.astype(np.float64) - share
    effective = units if certain else n / design_effect(deviations, which, units)
    effective *= (student_95(n - 1) / student_95(units - 1)) ** 2
    return GroupedShare(hits, n, units, _wilson(share, effective))


def design_effect(deviations: Floats, which: Ints, units: int) -> float:
    """Returns the variance of a mean with groups over that with independent images, at least 1.

    `deviations` (n,) from the mean; `which` (n,) the group of each, in 0 to units - 1.
    """
    n = len(deviations)
    independent = float(np.sum(deviations**2)) * n / (n - 1)
    sums = np.bincount(which, weights=deviations, minlength=units)
    grouped = float(np.sum(sums**2)) * units / (units - 1)
    return max(1.0, grouped / independent) if independent else 1.0


def student_95(freedom: int) -> float:
    """Returns the quantile of Student's t that leaves 2.5 % on each side.

    The expansion of Abramowitz and Stegun, 26.7.5, right to 1 in 1,000 from 3 degrees on.
    """
    if freedom <= 2:
        return (math.inf, 12.7062, 4.3027)[max(0, freedom)]
    z = NORMAL_95
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(sum(term / freedom**power for power, term in enumerate(terms)))


def _numbered(groups: Ints) -> tuple[Ints, int]:
    """Returns (n,) the groups numbered from 0, and how many there are."""
    names, which = np.unique(groups, return_inverse=True)
    return which.astype(np.int64), len(names)


def confusion(labels: Ints, predicted: Ints, classes: int) -> Ints:
    """Returns (K, K) counts: row = true class, column = predicted class."""
    pairs = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return pairs.reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True, eq=False)
class ClassScores:
    """The metrics of each class, all (K,); NaN where there is none."""

    precision: Floats
    """The share of right answers among the images predicted as this class."""
    recall: Floats
    """The share of right answers among the images of this class."""
    f1: Floats
    """2 TP / (2 TP + FP + FN), the harmonic mean of both; NaN only for a class that neither occurs
    nor was predicted."""
    support: Ints
    """Images of this class."""
    predicted: Ints
    """Images predicted as this class."""


def class_scores(matrix: Ints) -> ClassScores:
    """Returns the metrics of each class from a confusion matrix (K, K), see `confusion`."""
    hits = np.diag(matrix)
    support, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    return ClassScores(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, support + predicted),
        support=support,
        predicted=predicted,
    )


@dataclass(frozen=True)
class MacroScores:
    """Means over the classes, each class counting the same however many images it has.

    A class without the metric (NaN) is left out of its mean; precision therefore ignores classes
    that were never predicted, but F1 counts them as 0.
    """

    precision: float
    recall: float
    f1: float
    never_predicted: int
    """Classes that the mean precision leaves out."""
    without_images: int
    """Classes that the mean recall leaves out."""


def macro_scores(scores: ClassScores) -> MacroScores:
    """Returns the means of the class metrics."""
    return MacroScores(
        precision=_mean(scores.precision),
        recall=_mean(scores.recall),
        f1=_mean(scores.f1),
        never_predicted=int(np.isnan(scores.precision).sum()),
        without_images=int(np.isnan(scores.recall).sum()),
    )


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Every threshold's false and true positive rates, both (m,) ascending from 0 to 1."""

    false_positive_rate: Floats
    true_positive_rate: Floats
    area: float
    """The area under the curve (AUC): the chance that a positive image scores higher than a
    negative one, ties counting half."""


def roc_curve(positive: Bools, scores: npt.NDArray[np.floating]) -> RocCurve | None:
    """Receiver operating characteristic (T. Fawcett, "An introduction to ROC analysis", 2006).

    `positive` (n,): which images belong to the class; `scores` (n,): the probability given to it.
    Images of equal score share one threshold. Points in the middle of a straight piece are left
    out. None unless there are both positive and negative images.
    """
    hits, alarms = _counts_by_threshold(positive, scores)
    if not len(hits) or hits[-1] == 0 or alarms[-1] == 0:
        return None
    hits, alarms = np.append(0, hits), np.append(0, alarms)
    # Over whole numbers: exact however many thresholds there are.
    twice = np.sum((alarms[1:] - alarms[:-1]) * (hits[1:] + hits[:-1]))
    corners = _corners(alarms, hits)
    return RocCurve(
        false_positive_rate=alarms[corners] / alarms[-1],
        true_positive_rate=hits[corners] / hits[-1],
        area=float(twice / 2 / (hits[-1] * alarms[-1])),
    )


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Every threshold's recall (m,) ascending, and its precision (m,)."""

    recall: Floats
    precision: Floats
    average_precision: float
    """Sum over thresholds of (gain in recall) x precision."""
    share: float
    """The share of positive images: the precision of scores drawn by chance."""


def precision_recall_curve(
    positive: Bools, scores: npt.NDArray[np.floating]
) -> PrecisionRecallCurve | None:
    """Arguments as in `roc_curve`; None without a positive image.

    The average precision is the sum without interpolation, because straight lines between points
    of this curve are too optimistic (J. Davis and M. Goadrich, ICML 2006).
    """
    hits, alarms = _counts_by_threshold(positive, scores)
    if not len(hits) or hits[-1] == 0:
        return None
    recall, precision = hits / hits[-1], hits / (hits + alarms)
    return PrecisionRecallCurve(
        recall=recall,
        precision=precision,
        average_precision=float(np.sum(np.diff(recall, prepend=0.0) * precision)),
        share=float(np.mean(positive)),
    )


@dataclass(frozen=True, eq=False)
class Calibration:
    """Whether an answer given with 90 % is right nine times in ten. Arrays are (bins,)."""

    edges: Floats
    """(bins + 1,) from 0 to 1; a bin is above its left edge, up to and with its right one."""
    counts: Ints
    confidence: Floats
    """Mean probability of the predicted class in the bin; NaN in an empty one."""
    accuracy: Floats
    """Share of right answers in the bin; NaN in an empty one."""
    expected_error: float
    """The expected calibration error: mean |accuracy - confidence| over the bins, each weighted by
    its images; in [0, 1], NaN without images."""
    gap: float
    """Mean confidence - accuracy over all images: above 0 is too sure of itself."""


def calibration(
    confidence: npt.NDArray[np.floating], right: Bools, *, bins: int = BINS
) -> Calibration:
    """C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks",
    ICML 2017, equations 1 to 3, with bins of equal width.

    `confidence` (n,): the probability of the predicted class; `right` (n,): whether it was true.
    """
    sure = np.asarray(confidence, dtype=np.float64)
    edges = np.linspace(0.0, 1.0, bins + 1)
    which = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, bins - 1)
    counts = np.bincount(which, minlength=bins)
    mean_confidence = _ratio(np.bincount(which, weights=sure, minlength=bins), counts)
    accuracy = _ratio(np.bincount(which, weights=right, minlength=bins), counts)
    if not len(sure):
        error = gap = math.nan
    else:
        error = float(np.nansum(counts * np.abs(accuracy - mean_confidence)) / len(sure))
        gap = float(sure.mean() - right.mean())
    return Calibration(edges, counts.astype(np.int64), mean_confidence, accuracy, error, gap)


def calibration_by_luck(
    confidence: npt.NDArray[np.floating], groups: Ints | None = None
) -> tuple[float, float]:
    """Returns between which errors 95 of 100 perfectly calibrated networks lie that are as sure.

    A network that is right exactly as often as it says still shows an error on n images: in each of
    400 draws, always the same ones, every image is right with its `confidence` (n,). Images of
    one group (n,) are right or wrong together, as copies are. After J. Vaicenavicius et al.,
    "Evaluating model calibration in classification", AISTATS 2019.
    """
    rng = np.random.Generator(np.random.Philox(len(confidence)))
    sure = np.asarray(confidence, dtype=np.float64)
    which, units = (np.arange(len(sure)), len(sure)) if groups is None else _numbered(groups)
    errors = [calibration(sure, rng.random(units)[which] < sure).expected_error for _ in range(400)]
    low, high = np.quantile(errors, (0.025, 0.975))
    return float(low), float(high)


def majority_baseline(train_counts: Ints, labels: Ints) -> tuple[int, float]:
    """The most frequent class of the training images, the first of equals, and the accuracy on
    `labels` (n,) of always answering it: what a network must beat. NaN without labels."""
    majority = int(np.argmax(train_counts))
    return majority, float(np.mean(labels == majority)) if len(labels) else math.nan


def _counts_by_threshold(positive: Bools, scores: npt.NDArray[np.floating]) -> tuple[Ints, Ints]:
    """(m,) true and (m,) false positives at each different score, the highest first."""
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order], positive[order]
    last_of_equals = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    last_of_equals = last_of_equals[last_of_equals >= 0]
    hits = np.cumsum(positive)[last_of_equals]
    return hits.astype(np.int64), (1 + last_of_equals - hits).astype(np.int64)


def _corners(x: Ints, y: Ints) -> Ints:
    """The indexes where a line of points (x, y) turns, with both ends."""
    dx, dy = np.diff(x), np.diff(y)
    turns = dx[:-1] * dy[1:] != dx[1:] * dy[:-1]
    return np.flatnonzero(np.concatenate([[True], turns, [True]]))


def _ratio(above: npt.NDArray[np.number], below: npt.NDArray[np.number]) -> Floats:
    """Element by element; NaN where `below` is 0."""
    below = np.broadcast_to(below, above.shape)
    out = np.full(above.shape, np.nan)
    np.divide(above, below, out=out, where=below != 0)
    return out


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
