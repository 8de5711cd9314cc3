"""Answer sets: "one of these 2 classes", as few as needed to be right 90 % of the time.

Split conformal prediction (A. N. Angelopoulos and S. Bates, "A gentle introduction to conformal
prediction", 2021, arXiv:2107.07511): a score says how strange a class would be as the answer; the
scores of the validation images' true classes give a limit; a set holds every class below it. If new
images are like the validation images, sets hold the true class as often as asked, whatever the
network. They often are not quite alike, so what the sets really hold is measured on test images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lab.evaluate.metrics import Bools, Floats, GroupedShare, Ints, grouped_share
from lab.evaluate.predictions import Predictions
from lab.registry import Registry

LEVELS = (0.80, 0.90, 0.95)

Score = Callable[[Floats], Floats]
"""(n, K) probabilities -> (n, K) how strange each class would be as the answer."""


@dataclass(frozen=True)
class SetMethod:
    """A way to make answer sets."""

    name: str
    title: str
    about: str
    score: Score


SET_METHODS: Registry[SetMethod] = Registry("way to make answer sets")


def _improbable(probabilities: Floats) -> Floats:
    return 1 - probabilities


def _cumulated(probabilities: Floats) -> Floats:
    """The probability of all classes that are at least as probable, the class with them."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    out = np.empty_like(sums)
    np.put_along_axis(out, order, sums, axis=1)
    return out


for _method in (
    SetMethod(
        "lac",
        "Smallest sets",
        "Every class above one probability (LAC: M. Sadinle, J. Lei, L. Wasserman, 2019).",
        _improbable,
    ),
    SetMethod(
        "aps",
        "Sets that follow the picture",
        "The most probable classes until their sum is reached: larger where the network is unsure "
        "(APS: Y. Romano, M. Sesia, E. Candès, 2020; without its random part).",
        _cumulated,
    ),
):
    SET_METHODS.add(_method.name, _method)


@dataclass(frozen=True)
class AnswerSets:
    """How sets are made that are to hold the true class with chance `level`."""

    method: str
    level: float
    limit: float
    """Classes with a score up to it are in the set; infinite: too few validation images, so every
    set holds all classes."""
    val_images: int

    def of(self, probabilities: npt.NDArray[np.floating]) -> Bools:
        """(n, K) -> (n, K) which classes are in the set; the most probable one always is."""
        exact = np.asarray(probabilities, dtype=np.float64)
        inside = SET_METHODS.get(self.method).score(exact) <= self.limit
        inside[np.arange(len(exact)), exact.argmax(axis=1)] = True
        return np.asarray(inside)


@dataclass(frozen=True)
class MeasuredSets:
    """Answer sets, and what they are worth on images that had no part in making them."""

    sets: AnswerSets
    coverage: GroupedShare
    """The images whose set holds the true class; its interval counts copies once."""
    mean_size: float
    alone: float
    """Share of sets with a single class."""

    @property
    def as_asked(self) -> bool:
        """Whether the interval reaches the level, or lies above it."""
        return self.coverage.interval[1] >= self.sets.level


def fit_sets(val: Predictions, level: float, method: str = "lac") -> AnswerSets:
    """Returns sets for `level` in (0, 1) from the validation images."""
    scores = SET_METHODS.get(method).score(val.probabilities.astype(np.float64))
    true = np.sort(scores[np.arange(len(val)), val.labels])
    rank = math.ceil((len(true) + 1) * level - 1e-9)
    limit = float(true[rank - 1]) if rank <= len(true) else math.inf
    return AnswerSets(method, level, limit, len(val))


def measure_sets(sets: AnswerSets, other: Predictions, groups: Ints | None = None) -> MeasuredSets:
    """Returns what `sets` are worth on the images of `other`; `groups` (N,) of the pack."""
    inside = sets.of(other.probabilities)
    sizes = inside.sum(axis=1)
    holds = inside[np.arange(len(other)), other.labels]
    coverage = grouped_share(holds, None if groups is None else groups[other.indices])
    return MeasuredSets(sets, coverage, float(sizes.mean()), float(np.mean(sizes == 1)))
