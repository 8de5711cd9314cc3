"""Answers above a threshold: one class against the others, and "answer only when sure".

Validation images choose a threshold, other images say what it is worth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lab.evaluate.metrics import Bools, Floats, GroupedShare, Ints, grouped_share

Scores = npt.NDArray[np.floating]


@dataclass(frozen=True)
class AtThreshold:
    """What becomes of n images when a class is answered from a probability on; NaN for 0 / 0."""

    threshold: float
    called: int
    """Images that are given the class."""
    precision: float
    recall: float
    f1: float
    false_alarms: float
    """The share of the other images that are given the class."""


def at_threshold(positive: Bools, scores: Scores, threshold: float) -> AtThreshold:
    """`positive` (n,): which images are of the class; `scores` (n,): its probability."""
    called = scores >= threshold
    hits, all_called, all_of = (
        int(np.count_nonzero(x)) for x in (called & positive, called, positive)
    )
    others = len(positive) - all_of
    return AtThreshold(
        threshold,
        all_called,
        precision=hits / all_called if all_called else math.nan,
        recall=hits / all_of if all_of else math.nan,
        f1=2 * hits / (all_called + all_of) if all_called + all_of else math.nan,
        false_alarms=(all_called - hits) / others if others else math.nan,
    )


def best_threshold(positive: Bools, scores: Scores) -> float | None:
    """Returns the threshold with the largest F1, halfway to the next lower score; None without an
    image of the class."""
    if not positive.any():
        return None
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hits = scores[order], np.cumsum(positive[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + positive.sum())
    last_of_equals = np.append(np.diff(sorted_scores) != 0, True)
    best = int(np.argmax(np.where(last_of_equals, f1, -1)))
    below = sorted_scores[best + 1] if best + 1 < len(hits) else 0.0
    return float((float(sorted_scores[best]) + float(below)) / 2)


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """Every threshold of "answer only when at least x sure": all (m,), from few answers to all.

    R. El-Yaniv and Y. Wiener, "On the foundations of noise-free selective classification", JMLR 11
    (2010).
    """

    thresholds: Floats
    answered: Floats
    """The share of images that get an answer."""
    right: Floats
    """The share of right ones among these answers."""


def risk_coverage(confidence: Scores, right: Bools) -> RiskCoverage:
    """`confidence` (n,): the probability of the answer; `right` (n,): whether it is true."""
    order = np.argsort(-confidence, kind="stable")
    last_of_equals = np.append(np.diff(confidence[order]) != 0, True)[: len(order)]
    count = np.flatnonzero(last_of_equals) + 1
    return RiskCoverage(
        np.asarray(confidence[order][count - 1], dtype=np.float64),
        count / max(1, len(order)),
        np.cumsum(right[order])[count - 1] / count,
    )


def threshold_for(curve: RiskCoverage, wanted: float) -> float | None:
    """Returns the lowest threshold at which the share of right answers is `wanted`; None where no
    threshold reaches it."""
    reached = np.flatnonzero(curve.right >= wanted)
    return float(curve.thresholds[reached[-1]]) if len(reached) else None


def answered_right(
    confidence: Scores, right: Bools, threshold: float, groups: Ints | None = None
) -> GroupedShare:
    """Returns the share of right ones among the answers given from `threshold` on; `groups` (n,):
    images with the same number are copies of one picture."""
    given = confidence >= threshold
    return grouped_share(right[given], None if groups is None else groups[given])
